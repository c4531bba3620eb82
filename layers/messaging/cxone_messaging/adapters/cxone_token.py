"""CXone's token endpoints: client credentials in, a bearer token out."""

import json
import math
import re
from collections.abc import Callable, Sequence
from http import HTTPStatus

import requests

from cxone_messaging.adapters.cxone_http import CxoneSession
from cxone_messaging.adapters.token_cache import FetchedToken
from cxone_messaging.domain.errors import Code, MessagingError

_RETRY_AFTER_SECONDS = 5
_REFUSALS = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})

# What may stand in a header; the documents don't say more.
_TOKEN = re.compile(r"[!-~]+")

type Credentials = Callable[[], tuple[str, str]]


class TokenEndpoint:
    """One API family's endpoint; called, it fetches a new token. `credentials` gives the client's id and secret.

    `scopes` are asked for by name where the family wants that.
    """

    def __init__(self, session: CxoneSession, url: str, credentials: Credentials, scopes: Sequence[str] = ()) -> None:
        self._session = session
        self._url = url
        self._credentials = credentials
        self._scopes = tuple(scopes)

    def __call__(self, seconds: float) -> FetchedToken:
        """Fetch a token within that many seconds.

        Raises `MessagingError` with `cxone_auth_failed` or `cxone_unavailable`.
        """
        client_id, client_secret = self._credentials()
        if not (client_id and client_secret):
            raise MessagingError(
                Code.CXONE_AUTH_FAILED, "the credentials secret holds no clientId and clientSecret yet"
            )
        form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": client_secret}
        if self._scopes:
            form["scope"] = " ".join(self._scopes)
        try:
            answer = self._session.exchange(self._url, form, {}, seconds, wanted={HTTPStatus.OK})
        except (requests.RequestException, OSError) as error:
            raise _unavailable(f"gave no answer ({type(error).__name__})") from None
        if answer.status in _REFUSALS:
            told = f"the token endpoint answered {answer.status}: check the credentials and their scopes"
            raise MessagingError(Code.CXONE_AUTH_FAILED, told)
        try:
            document = json.loads(answer.body or b"{}")
            value, lifetime = document["access_token"], float(document["expires_in"])
        except (ValueError, KeyError, TypeError, RecursionError):
            raise _unavailable(f"answered {answer.status} without a token") from None
        # A message that such a token is sent with would be refused for good.
        if not (isinstance(value, str) and _TOKEN.fullmatch(value)):
            raise _unavailable("answered with something that is no bearer token")
        if not 0 < lifetime < math.inf:
            raise _unavailable("answered with a token that doesn't live")
        return FetchedToken(value, lifetime)


def _unavailable(what: str) -> MessagingError:
    return MessagingError(Code.CXONE_UNAVAILABLE, f"the token endpoint {what}", retry_after=_RETRY_AFTER_SECONDS)
