"""CXone's token endpoints: client credentials in, a bearer token out."""

import json
from collections.abc import Callable
from http import HTTPStatus

import requests

from cxone_messaging.adapters.cxone_http import CONNECT_TIMEOUT_SECONDS, read_answer
from cxone_messaging.adapters.token_cache import FetchedToken
from cxone_messaging.domain.errors import Code, MessagingError
from cxone_messaging.platform.clock import Clock

_RETRY_AFTER_SECONDS = 5
_REFUSALS = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})

type Credentials = Callable[[], tuple[str, str]]


class TokenEndpoint:
    """One API family's endpoint; called, it fetches a new token. `credentials` gives the client's id and secret."""

    def __init__(self, session: requests.Session, url: str, credentials: Credentials, clock: Clock) -> None:
        self._session = session
        self._url = url
        self._credentials = credentials
        self._clock = clock

    def __call__(self, seconds: float) -> FetchedToken:
        """Fetch a token within that many seconds.

        Raises `MessagingError` with `cxone_auth_failed` or `cxone_unavailable`.
        """
        client_id, client_secret = self._credentials()
        if not (client_id and client_secret):
            raise MessagingError(
                Code.CXONE_AUTH_FAILED, "the credentials secret holds no clientId and clientSecret yet"
            )
        try:
            with self._session.post(
                self._url,
                data={"grant_type": "client_credentials", "client_id": client_id, "client_secret": client_secret},
                timeout=(min(CONNECT_TIMEOUT_SECONDS, seconds), seconds),
                stream=True,
            ) as response:
                answer = read_answer(response, self._clock, self._clock.monotonic() + seconds)
        except (requests.RequestException, OSError) as error:
            raise _unavailable(f"gave no answer ({type(error).__name__})") from None
        if response.status_code in _REFUSALS:
            told = f"the token endpoint answered {response.status_code}: check the credentials and their scopes"
            raise MessagingError(Code.CXONE_AUTH_FAILED, told)
        try:
            document = json.loads(answer) if response.ok else {}
            return FetchedToken(str(document["access_token"]), float(document["expires_in"]))
        except (ValueError, KeyError, TypeError, RecursionError):
            raise _unavailable(f"answered {response.status_code} without a token") from None


def _unavailable(what: str) -> MessagingError:
    return MessagingError(Code.CXONE_UNAVAILABLE, f"the token endpoint {what}", retry_after=_RETRY_AFTER_SECONDS)
