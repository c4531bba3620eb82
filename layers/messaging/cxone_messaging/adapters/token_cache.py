"""One CXone token for the whole fleet: from memory, else the one all share in Secrets Manager, else a new one.

Whoever holds the lease fetches; the others go on with the token that still works, or wait for the new one where there
is none. Each token has a generation, so that a refused one is thrown away once and not its successor with it.
"""

import json
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from cxone_messaging.adapters.lease import RefreshLease
from cxone_messaging.adapters.secret_store import SecretStore, read_object
from cxone_messaging.domain.errors import Code, MessagingError
from cxone_messaging.platform.clock import Clock
from cxone_messaging.platform.telemetry import Metric, Telemetry

# The SMS document refreshes two minutes before expiry.
REFRESH_EARLY_SECONDS = 120
# A little longer than a token call may take (10 s), so that only a dead holder's lease ever runs out.
LEASE_SECONDS = 12
# How long a caller without any token waits for the lease's holder: longer than a lease, so that one death is survived.
WAIT_SECONDS = 15
_POLL_SECONDS = 0.1
# While the holder refreshes early, nobody else looks again sooner than this.
_LOOK_AGAIN_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token; `generation` counts the fleet's tokens, instants are in Unix seconds."""

    value: str
    generation: int
    expires_at: float
    refresh_at: float

    def __repr__(self) -> str:
        return f"Token(generation={self.generation})"


@dataclass(frozen=True, slots=True)
class FetchedToken:
    """What the token endpoint gave; the lifetime is in seconds."""

    value: str
    lifetime: float


type FetchToken = Callable[[], FetchedToken]


class TokenCache:
    """The token of one API family. Safe to share between threads."""

    def __init__(
        self,
        *,
        fetch: FetchToken,
        secrets: SecretStore,
        secret_arn: str,
        lease: RefreshLease,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._fetch = fetch
        self._secrets = secrets
        self._secret_arn = secret_arn
        self._lease = lease
        self._clock = clock
        self._telemetry = telemetry
        self._owner = uuid.uuid4().hex
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._refused_generation = 0
        self._look_at = float("-inf")

    def get(self, wait_seconds: float = WAIT_SECONDS) -> Token:
        """Give a token that works, waiting for one no longer than told.

        Raises `MessagingError` with `cxone_unavailable` or `cxone_auth_failed`, and `StorageError`.
        """
        token = self._token
        if token and self._usable(token) and self._clock.now() < max(token.refresh_at, self._look_at):
            return token
        with self._lock:
            return self._renewed(self._clock.now() + wait_seconds)

    def invalidate(self, token: Token) -> None:
        """Throw away a token that CXone refused; one of a newer generation stays."""
        with self._lock:
            self._refused_generation = max(self._refused_generation, token.generation)

    def _renewed(self, give_up_at: float) -> Token:
        while True:
            now = self._clock.now()
            if self._token and self._usable(self._token) and now < max(self._token.refresh_at, self._look_at):
                return self._token
            generation = self._take_shared()
            if self._token and self._usable(self._token) and now < self._token.refresh_at:
                return self._token
            if self._lease.acquire(generation, self._owner, now, LEASE_SECONDS):
                return self._refresh(generation)
            if self._token and self._usable(self._token):
                self._look_at = now + _LOOK_AGAIN_SECONDS
                return self._token
            if now >= give_up_at:
                raise MessagingError(
                    Code.CXONE_UNAVAILABLE, "no token could be had in time", retry_after=_LOOK_AGAIN_SECONDS
                )
            self._clock.sleep(_POLL_SECONDS)

    def _usable(self, token: Token) -> bool:
        return token.generation > self._refused_generation and self._clock.now() < token.expires_at

    def _take_shared(self) -> int:
        """Read the token that all share, and give its generation, 0 where there is none yet."""
        document = read_object(self._secrets, self._secret_arn)
        if not document:
            return 0
        shared = Token(
            value=document["accessToken"],
            generation=document["generation"],
            expires_at=document["expiresAt"],
            refresh_at=document["refreshAt"],
        )
        if self._token is None or shared.generation > self._token.generation:
            self._token = shared
        return shared.generation

    def _refresh(self, generation: int) -> Token:
        started = self._clock.now()
        try:
            fetched = self._fetch()
        except BaseException:
            # Whoever comes next may try at once: the endpoint's own answer decides, not our lease.
            self._lease.release(self._owner, generation)
            raise
        self._telemetry.add(Metric.TOKEN_FETCHES)
        token = Token(
            value=fetched.value,
            generation=generation + 1,
            expires_at=started + fetched.lifetime,
            # A token that lives shorter than the margin would be refreshed at every call.
            refresh_at=started + max(fetched.lifetime - REFRESH_EARLY_SECONDS, fetched.lifetime / 2),
        )
        document = {
            "accessToken": token.value,
            "generation": token.generation,
            "expiresAt": token.expires_at,
            "refreshAt": token.refresh_at,
        }
        self._secrets.write(self._secret_arn, json.dumps(document))
        self._lease.release(self._owner, token.generation)
        self._token = token
        return token
