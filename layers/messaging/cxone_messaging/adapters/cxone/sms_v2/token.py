"""CXone's token endpoints: client credentials in, a bearer token out."""

from collections.abc import Callable, Sequence

from cxone_messaging.adapters.cxone.http import CxoneSession
from cxone_messaging.adapters.cxone.oauth import request_token
from cxone_messaging.adapters.cxone.token_cache import FetchedToken
from cxone_messaging.domain.errors import Code, MessagingError, StorageError
from cxone_messaging.platform.clock import Clock, SystemClock
from cxone_messaging.platform.deadline import Deadline

# A request needs at least this long to connect and to receive the answer.
_LEAST_SECONDS = 0.5

type Credentials = Callable[[], tuple[str, str]]


class TokenEndpoint:
    """The token endpoint of one API family; a call fetches a new token.

    `credentials` returns the client's id and secret. `scopes` are requested by name if the family requires that.
    """

    def __init__(
        self,
        session: CxoneSession,
        url: str,
        credentials: Credentials,
        scopes: Sequence[str] = (),
        clock: Clock | None = None,
    ) -> None:
        self._session = session
        self._url = url
        self._credentials = credentials
        self._scopes = tuple(scopes)
        self._clock = clock or SystemClock()

    def __call__(self, seconds: float) -> FetchedToken:
        """Return a new token.

        It takes at most `seconds` to read the credentials and to fetch the token. Raises `MessagingError` with
        `cxone_auth_failed` or `cxone_unavailable`; its `retry_after` is set only if CXone requests a wait. Raises
        `StorageError` if the credentials cannot be read.
        """
        deadline = Deadline.after(self._clock, seconds)
        client_id, client_secret = self._credentials()
        if not (client_id and client_secret):
            raise MessagingError(
                Code.CXONE_AUTH_FAILED,
                "the credentials secret holds no clientId and clientSecret yet: check the credentials",
            )
        if deadline.left < min(_LEAST_SECONDS, seconds):
            raise StorageError("the credentials were read too slowly")
        form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": client_secret}
        if self._scopes:
            form["scope"] = " ".join(self._scopes)
        return request_token(self._session, self._url, form, {}, deadline.left)[0]
