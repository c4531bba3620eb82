"""One CXone token for the whole fleet: from memory, else the one all share in Secrets Manager, else a new one.

Whoever holds the lease fetches; the others go on with the token that still works, or wait for the new one where there
is none. Each token has a generation, so that a refused one is thrown away once and not its successor with it.
"""

import json
import random
import threading
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from cxone_messaging.adapters.lease import RefreshLease
from cxone_messaging.adapters.secret_store import SecretStore, read_object
from cxone_messaging.domain.errors import Code, MessagingError, StorageError
from cxone_messaging.platform.clock import Clock
from cxone_messaging.platform.telemetry import Metric, Telemetry

# The SMS document refreshes two minutes before expiry.
REFRESH_EARLY_SECONDS = 120.0
FETCH_SECONDS = 10.0
# Longer than a fetch and the writes around it take, so that only a dead holder's lease ever runs out.
LEASE_SECONDS = 16.0
# How long a caller without any token waits for the lease's holder: longer than a lease, so that one death is survived.
WAIT_SECONDS = 20.0
# First pause between two looks at the shared token; it grows, and is jittered so that a fleet doesn't look in step.
_FIRST_PAUSE_SECONDS, _MAX_PAUSE_SECONDS = 0.1, 0.5
# With a token that still works, nobody looks for a newer one, or tries a failing endpoint, more often than this.
_LOOK_AGAIN_SECONDS = 5.0
# Whoever waited for a fetch in the same process shares its failure for a moment, instead of waiting once more.
_FAILURE_SECONDS = 1.0
# So many generations refused one soon after the other, none of which had worked, mean that new tokens don't help. One
# message sees two refused, and whoever comes after it sees whether CXone is still of that mind.
_REFUSALS_TO_GIVE_UP = 3
_REFUSED_SECONDS = 30.0


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


type FetchToken = Callable[[float], FetchedToken]


class TokenCache:
    """The token of one API family. Safe to share between threads. `fetch` is told how many seconds it may take."""

    def __init__(
        self,
        *,
        fetch: FetchToken,
        secrets: SecretStore,
        secret_arn: str,
        lease: RefreshLease,
        clock: Clock,
        telemetry: Telemetry,
        rng: random.Random,
    ) -> None:
        self._fetch = fetch
        self._secrets = secrets
        self._secret_arn = secret_arn
        self._lease = lease
        self._clock = clock
        self._telemetry = telemetry
        self._rng = rng
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._refused_generation = 0
        self._refused_at = float("-inf")
        self._refusals = 0
        self._proven_generation = 0
        self._content_until = float("-inf")
        self._failure: tuple[float, MessagingError] = (float("-inf"), _too_late())

    def get(self, seconds: float = WAIT_SECONDS) -> Token:
        """Give a token that works, within about that many seconds where there is none at hand.

        Raises `MessagingError` with `cxone_unavailable` or `cxone_auth_failed`, and `StorageError`.
        """
        give_up_at = self._clock.monotonic() + min(seconds, WAIT_SECONDS)
        token = self._token
        if token and self._is_content_with(token):
            return token
        if not self._lock.acquire(timeout=max(0.0, min(seconds, WAIT_SECONDS))):
            raise _too_late()
        try:
            return self._renewed(give_up_at)
        finally:
            self._lock.release()

    def at_hand(self) -> Token | None:
        """Give the token in memory, if it works; asks nobody and waits for nothing."""
        token = self._token
        return token if token and self._works(token) else None

    def prove(self, token: Token) -> None:
        """Note that CXone took a token: if it is refused later, its time was up, and a new one helps."""
        self._proven_generation = max(self._proven_generation, token.generation)

    def invalidate(self, token: Token) -> None:
        """Throw away a token that CXone refused; one of a newer generation stays."""
        with self._lock:
            if token.generation <= self._refused_generation:
                return
            self._refused_generation = token.generation
            now = self._clock.monotonic()
            is_one_more = now - self._refused_at < _REFUSED_SECONDS and token.generation > self._proven_generation
            self._refusals = self._refusals + 1 if is_one_more else 1
            if self._refusals >= _REFUSALS_TO_GIVE_UP:
                told = MessagingError(Code.CXONE_AUTH_FAILED, "CXone refuses new tokens: check the credentials")
                self._failure = (now + _REFUSED_SECONDS, told)
            self._refused_at = now

    def discard(self, token: Token) -> None:
        """Don't use a token again that works but lacks a scope: the next one has it, once it was granted."""
        with self._lock:
            self._refused_generation = max(self._refused_generation, token.generation)

    def _renewed(self, give_up_at: float) -> Token:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            if self._token and self._is_content_with(self._token):
                return self._token
            until, failure = self._failure
            if self._clock.monotonic() < until:
                raise failure
            try:
                renewed = self._shared_or_new(give_up_at)
            except (MessagingError, StorageError):
                if self._token is None or not self._works(self._token):
                    raise
                renewed = None
            if renewed:
                return renewed
            if self._token and self._works(self._token):
                # Due for a refresh, which somebody else is at or which fails: it does as long as it works.
                self._content_until = self._clock.monotonic() + _LOOK_AGAIN_SECONDS
                return self._token
            if self._clock.monotonic() + pause >= give_up_at:
                raise _too_late()
            self._clock.sleep(pause * self._rng.uniform(0.5, 1.5))
            pause = min(_MAX_PAUSE_SECONDS, pause * 1.5)

    def _is_content_with(self, token: Token) -> bool:
        is_young = self._clock.now() < token.refresh_at or self._clock.monotonic() < self._content_until
        return is_young and self._works(token)

    def _works(self, token: Token) -> bool:
        return token.generation > self._refused_generation and self._clock.now() < token.expires_at

    def _shared_or_new(self, give_up_at: float) -> Token | None:
        """Take the shared token where it is young, else fetch one; None while somebody else is fetching."""
        document = read_object(self._secrets, self._secret_arn)
        shared = _read(document) if document else None
        if shared and (self._token is None or shared.generation > self._token.generation):
            self._token = shared
            if self._is_content_with(shared):
                return shared
        generation = shared.generation if shared else 0
        seconds = min(FETCH_SECONDS, give_up_at - self._clock.monotonic())
        owner = uuid.uuid4().hex
        newest = self._lease.acquire(generation, owner, self._clock.now(), LEASE_SECONDS) if seconds > 0 else None
        if newest is None:
            return None
        return self._refresh(owner, max(generation, newest), seconds)

    def _refresh(self, owner: str, generation: int, seconds: float) -> Token:
        started = self._clock.now()
        try:
            fetched = self._fetch(seconds)
        except MessagingError as error:
            self._failure = (self._clock.monotonic() + _FAILURE_SECONDS, error)
            self._telemetry.add(Metric.TOKEN_FETCHES_FAILED)
            with suppress(StorageError):
                self._lease.release(owner, generation, self._clock.now())
            raise
        self._telemetry.add(Metric.TOKEN_FETCHES)
        token = Token(
            value=fetched.value,
            generation=generation + 1,
            expires_at=started + fetched.lifetime,
            # A token that lives shorter than the margin would be refreshed at every call.
            refresh_at=started + max(fetched.lifetime - REFRESH_EARLY_SECONDS, fetched.lifetime / 2),
        )
        self._token = token
        # A token that could not be shared still serves this process; the lease runs out, and somebody tries again.
        with suppress(StorageError):
            self._secrets.write(self._secret_arn, _written(token))
            self._lease.release(owner, token.generation, self._clock.now())
        return token


def _read(document: Mapping[str, Any]) -> Token:
    try:
        return Token(
            value=str(document["accessToken"]),
            generation=int(document["generation"]),
            expires_at=float(document["expiresAt"]),
            refresh_at=float(document["refreshAt"]),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise StorageError("the shared token can't be read") from error


def _written(token: Token) -> str:
    return json.dumps(
        {
            "accessToken": token.value,
            "generation": token.generation,
            "expiresAt": token.expires_at,
            "refreshAt": token.refresh_at,
        }
    )


def _too_late() -> MessagingError:
    return MessagingError(Code.CXONE_UNAVAILABLE, "no token could be had in time", retry_after=5)
