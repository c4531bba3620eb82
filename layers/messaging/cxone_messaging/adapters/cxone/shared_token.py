"""The token that all workers share, kept in Secrets Manager or in Parameter Store.

Invalid content counts as no token, and is replaced.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from cxone_messaging.adapters.secrets import SecretStore, UnreadableSecretError, read_object
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
# More tokens than any fleet ever fetches. A fleet did not write a greater number, so the count begins anew.
MAX_GENERATION = 10**15


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token; `generation` counts the fleet's tokens, instants are in Unix seconds.

    No worker fetches another token before `doubted_until`, because earlier tokens were refused; 0 if they worked.
    """

    value: str
    generation: int
    expires_at: float
    refresh_at: float
    doubted_until: float = 0.0

    @classmethod
    def issued(cls, value: str, generation: int, at: float, lifetime: float) -> Self:
        """Return a token that was requested `at` (Unix seconds) and is valid for `lifetime` seconds from then."""
        lifetime = min(max(MIN_LIFETIME_SECONDS, lifetime), MAX_LIFETIME_SECONDS)
        # Without this minimum, a token with a lifetime below the margin would be refreshed at every call.
        refresh_after = max(lifetime - _REFRESH_EARLY_SECONDS, lifetime / 2)
        return cls(value, generation, expires_at=at + lifetime, refresh_at=at + refresh_after)

    def __repr__(self) -> str:
        return f"Token(generation={self.generation})"


class SharedToken:
    """The shared token in one secret or parameter."""

    def __init__(self, store: SecretStore, name: str, clock: Clock) -> None:
        self._store = store
        self._name = name
        self._clock = clock

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
            return None
        return _read(document, self._clock.now() + MAX_LIFETIME_SECONDS + _CLOCK_SLACK_SECONDS)

    def write(self, token: Token) -> None:
        """Share a token. Raises `BusyStoreError` and `StorageError`."""
        document = {
            "accessToken": token.value,
            "generation": token.generation,
            "expiresAt": token.expires_at,
            "refreshAt": token.refresh_at,
        }
        if token.doubted_until:
            document["doubtedUntil"] = token.doubted_until
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
    return Token(value, generation, expires_at, refresh_at, doubted_until)


def _time(value: Any, latest: float) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value <= latest else None  # NaN is neither
