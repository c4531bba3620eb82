"""A token for the Digital Engagement API, and where that API is.

Four values are needed: the client's id and secret from NICE's registration of an application, and the id and secret of
an access key of a CXone user. NICE documents the password grant for back ends without a user, and no client
credentials.
"""

import base64
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from cxone_messaging.adapters.cxone.dfo.discovery import Discovery
from cxone_messaging.adapters.cxone.http import CxoneSession
from cxone_messaging.adapters.cxone.json_answers import text
from cxone_messaging.adapters.cxone.oauth import request_token, unavailable
from cxone_messaging.adapters.cxone.token_cache import FetchedToken
from cxone_messaging.domain.errors import Code, MessagingError, StorageError
from cxone_messaging.platform.clock import Clock
from cxone_messaging.platform.deadline import Deadline

# A request needs at least this long to connect and to receive the answer.
_LEAST_SECONDS = 0.5


class AccessKey(NamedTuple):
    """The four credentials."""

    client_id: str
    client_secret: str
    access_key_id: str
    access_key_secret: str

    def __repr__(self) -> str:
        return "AccessKey()"


class DfoTokenEndpoint:
    """Discovery, the password grant, and the tenant's area; a call fetches a new token, with the API's base URL.

    `credentials` returns the four values. `base_url` is empty, or replaces what discovery would find.
    """

    def __init__(
        self,
        session: CxoneSession,
        issuer: str,
        credentials: Callable[[], AccessKey],
        clock: Clock,
        base_url: str = "",
    ) -> None:
        self._session = session
        self._discovery = Discovery(session, issuer)
        self._credentials = credentials
        self._clock = clock
        self._base_url = base_url

    def __call__(self, seconds: float) -> FetchedToken:
        """Return a new token.

        It takes at most `seconds` to read the credentials and to ask CXone four times. Raises `MessagingError` with
        `cxone_auth_failed` or `cxone_unavailable`, and `StorageError` if the credentials cannot be read.
        """
        deadline = Deadline.after(self._clock, seconds)
        key = self._credentials()
        if not all(key):
            raise MessagingError(
                Code.CXONE_AUTH_FAILED,
                "the credentials secret does not hold clientId, clientSecret, accessKeyId and accessKeySecret yet",
            )
        if deadline.left < min(_LEAST_SECONDS, seconds):
            raise StorageError("the credentials were read too slowly")
        endpoints = self._discovery.endpoints(_left(deadline))
        token, answer = request_token(
            self._session,
            endpoints.token,
            {"grant_type": "password", "username": key.access_key_id, "password": key.access_key_secret},
            {"Authorization": _basic(key), "Accept": "application/json"},
            _left(deadline),
        )
        # Imported here: cryptography is large, and a process with a shared token needs none of it.
        from cxone_messaging.adapters.cxone.dfo.identity import tenant_of  # noqa: PLC0415

        keys = self._discovery.keys(endpoints.keys, _left(deadline))
        tenant = tenant_of(text(answer, "id_token"), keys, self._discovery.issuer, self._clock.now())
        return replace(token, base_url=self._base_url or self._discovery.digital_base_url(tenant, _left(deadline)))


def _left(deadline: Deadline) -> float:
    """Return the seconds left for the next request. Raises `MessagingError` if it could not be answered in them."""
    if deadline.left < _LEAST_SECONDS:
        raise unavailable("CXone answered too slowly to give a token")
    return deadline.left


def _basic(key: AccessKey) -> str:
    """Return the header of `client_secret_basic`, as NICE and all clients seen write it.

    RFC 6749, 2.3.1, would have both values form-encoded first; they differ only if a value has special characters.
    """
    return "Basic " + base64.b64encode(f"{key.client_id}:{key.client_secret}".encode()).decode()
