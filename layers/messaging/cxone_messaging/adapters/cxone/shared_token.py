"""The token that all workers share, kept in Secrets Manager or in Parameter Store.

Invalid content counts as no token, and is replaced.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from cxone_messaging.adapters.secrets import SecretStore, UnreadableSecretError, read_object
from cxone_messaging.domain.errors import StorageError
from cxone_messaging.platform.base_urls import is_base_url
from cxone_messaging.platform.clock import Clock

# The shortest and longest lifetime that a token is treated as having, whatever CXone says. A lifetime of a second would
# mean a fetch each second. A lifetime of years would keep a refused token in the secret.
MIN_LIFETIME_SECONDS, MAX_LIFETIME_SECONDS = 30.0, 86_400.0
# The SMS document refreshes two minutes before expiry.
_REFRESH_EARLY_SECONDS = 120.0
# The characters that a header may contain; the documents specify no more.
BEARER = re.compile(r"[!-~]+")
# How much later than the longest lifetime a shared token may expire, because its writer's clock differs.
_CLOCK_SLACK_SECONDS = 60.0
# So many tokens may be shared in quick succession, beyond one in each spacing of the store's. With Secrets Manager's
# 1,000 seconds, no 24 hours have more than 97 of its 100 writes. Tokens in doubt leave half of the burst to others.
_BURST, _BURST_IN_DOUBT = 10, 5
# More tokens than any fleet ever fetches. A fleet did not write a greater number, so the count begins anew.
MAX_GENERATION = 10**15


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token; `generation` counts the fleet's tokens, instants are in Unix seconds.

    No worker fetches another token before `doubted_until`, because earlier tokens were refused; 0 if they worked.
    `base_url` is where the API is that the token is for, if that was found with it.
    """

    value: str
    generation: int
    expires_at: float
    refresh_at: float
    doubted_until: float = 0.0
    issued_at: float = 0.0
    base_url: str = ""

    @classmethod
    def issued(cls, value: str, generation: int, at: float, lifetime: float) -> Self:
        """Return a token that was requested `at` (Unix seconds) and is valid for `lifetime` seconds from then."""
        lifetime = min(max(MIN_LIFETIME_SECONDS, lifetime), MAX_LIFETIME_SECONDS)
        # Without this minimum, a token with a lifetime below the margin would be refreshed at every call.
        refresh_after = max(lifetime - _REFRESH_EARLY_SECONDS, lifetime / 2)
        return cls(value, generation, expires_at=at + lifetime, refresh_at=at + refresh_after, issued_at=at)

    def __repr__(self) -> str:
        return f"Token(generation={self.generation})"


class SharedToken:
    """The shared token in one secret or parameter.

    The document also holds `pacedUntil`, in Unix seconds: each write moves it on by the store's spacing, so all workers
    keep to one pace of writes. A token is `located` if it comes with its API's base URL; one of the other kind is of
    the API that the stack spoke before, and so no token.
    """

    def __init__(self, store: SecretStore, name: str, clock: Clock, *, located: bool = False) -> None:
        self._store = store
        self._name = name
        self._clock = clock
        self._located = located
        self._paced_until = 0.0

    @property
    def write_seconds(self) -> float:
        """How long a write takes, at most."""
        return self._store.write_seconds

    def read(self) -> Token | None:
        """Return the shared token; None if there is no valid one.

        Raises `BusyStoreError` and `StorageError`.
        """
        try:
            document = read_object(self._store, self._name)
        except UnreadableSecretError:
            document = {}
        latest = self._clock.now() + MAX_LIFETIME_SECONDS + _CLOCK_SLACK_SECONDS
        self._paced_until = _time(document.get("pacedUntil"), latest) or 0.0
        token = _read(document, latest)
        return token if token and bool(token.base_url) == self._located else None

    def write(self, token: Token) -> None:
        """Share a token, at the pace that the last read showed.

        Raises `BusyStoreError`, and `StorageError`, also if another write would be too many.
        """
        now, spacing = self._clock.now(), self._store.spacing_seconds
        paced_until, longest = max(now, self._paced_until), now + _BURST * spacing
        if paced_until > longest + _CLOCK_SLACK_SECONDS:
            paced_until = longest - spacing  # a wrong clock's; this write puts it right
        burst = _BURST_IN_DOUBT if token.doubted_until else _BURST
        if paced_until > now + (burst - 1) * spacing:
            raise StorageError("the shared token was written too often")
        document = {
            "accessToken": token.value,
            "generation": token.generation,
            "expiresAt": token.expires_at,
            "refreshAt": token.refresh_at,
            "issuedAt": token.issued_at,
        }
        if token.base_url:
            document["baseUrl"] = token.base_url
        if token.doubted_until:
            document["doubtedUntil"] = token.doubted_until
        if spacing:
            document["pacedUntil"] = paced_until + spacing
        self._store.write(self._name, json.dumps(document))


def _read(document: Mapping[str, Any], latest: float) -> Token | None:
    value, generation = document.get("accessToken"), document.get("generation")
    if not (isinstance(value, str) and BEARER.fullmatch(value)):
        return None
    if type(generation) is not int or not 0 < generation < MAX_GENERATION:
        return None
    expires_at, refresh_at = (_time(document.get(name), latest) for name in ("expiresAt", "refreshAt"))
    if expires_at is None or refresh_at is None:
        return None
    doubted_until = _time(document.get("doubtedUntil"), latest) or 0.0
    issued_at, base_url = _time(document.get("issuedAt"), latest) or 0.0, document.get("baseUrl", "")
    if not (isinstance(base_url, str) and (not base_url or is_base_url(base_url))):
        return None
    return Token(value, generation, expires_at, refresh_at, doubted_until, issued_at, base_url)


def _time(value: Any, latest: float) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value <= latest else None  # NaN is neither
