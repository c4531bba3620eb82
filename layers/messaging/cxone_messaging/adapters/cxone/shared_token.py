"""The token that all workers share, as a secret: what makes no sense there counts as no token, and is replaced."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from cxone_messaging.adapters.secrets import SecretStore, UnreadableSecretError, read_object
from cxone_messaging.platform.clock import Clock

# What any token's lifetime is taken for at least and at most, whatever CXone says: a lifetime of a second would be a
# fetch each second, and one of years would keep a refused token in the secret.
MIN_LIFETIME_SECONDS, MAX_LIFETIME_SECONDS = 30.0, 86_400.0
# The SMS document refreshes two minutes before expiry.
_REFRESH_EARLY_SECONDS = 120.0
# What may be in a header; the documents don't say more.
BEARER = re.compile(r"[!-~]+")
# How much later than that a shared token may expire, since the clock of its writer differs.
_CLOCK_SLACK_SECONDS = 60.0
# More than any fleet ever fetches. A greater number comes from elsewhere, and the count begins anew.
MAX_GENERATION = 10**15


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token; `generation` counts the fleet's tokens, instants are in Unix seconds.

    `doubted_until` says how long no worker fetches another one, since those before were refused; 0 where they worked.
    """

    value: str
    generation: int
    expires_at: float
    refresh_at: float
    doubted_until: float = 0.0

    @classmethod
    def issued(cls, value: str, generation: int, at: float, lifetime: float) -> Self:
        """Return a token that was requested at an instant (Unix seconds) and lives for so many seconds from then on."""
        lifetime = min(max(MIN_LIFETIME_SECONDS, lifetime), MAX_LIFETIME_SECONDS)
        # A token that lives shorter than the margin would be refreshed at every call.
        refresh_after = max(lifetime - _REFRESH_EARLY_SECONDS, lifetime / 2)
        return cls(value, generation, expires_at=at + lifetime, refresh_at=at + refresh_after)

    def __repr__(self) -> str:
        return f"Token(generation={self.generation})"


class SharedToken:
    """The shared token in one secret."""

    def __init__(self, secrets: SecretStore, arn: str, clock: Clock) -> None:
        self._secrets = secrets
        self._arn = arn
        self._clock = clock

    def read(self) -> Token | None:
        """Return the shared token, or None where there is none that makes sense. Raises `StorageError`."""
        try:
            document = read_object(self._secrets, self._arn)
        except UnreadableSecretError:
            return None
        return _read(document, self._clock.now() + MAX_LIFETIME_SECONDS + _CLOCK_SLACK_SECONDS)

    def write(self, token: Token) -> None:
        """Share a token. Raises `StorageError`."""
        document = {
            "accessToken": token.value,
            "generation": token.generation,
            "expiresAt": token.expires_at,
            "refreshAt": token.refresh_at,
        }
        if token.doubted_until:
            document["doubtedUntil"] = token.doubted_until
        self._secrets.write(self._arn, json.dumps(document))


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
