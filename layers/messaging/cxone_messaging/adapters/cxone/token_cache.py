"""One CXone token for the whole fleet.

A process uses the token in its memory, else the shared one (`shared_token.py`), else it fetches a new one.

The owner of the lease fetches. The other workers use the token that still works; without one they wait for the new
token. Each token has a generation, so that a refused token is discarded once, and its successor is kept.
After a failed fetch the lease holds the whole fleet back.
"""

import random
import threading
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from cxone_messaging.adapters.cxone.shared_token import SharedToken, Token
from cxone_messaging.adapters.dynamodb.token_lease import JUST_RELEASED_SECONDS, Grant, LeaseTakenError, RefreshLease
from cxone_messaging.adapters.secrets import BusyStoreError, SecretStore
from cxone_messaging.domain.errors import Code, MessagingError, StorageError
from cxone_messaging.domain.schedule import MAX_HOLD_SECONDS
from cxone_messaging.domain.token_holds import Cause, HeldBackError, Hold, hold_seconds
from cxone_messaging.platform.clock import Clock
from cxone_messaging.platform.deadline import Deadline
from cxone_messaging.platform.telemetry import Metric, Telemetry

FETCH_SECONDS = 10.0
# The owner's work takes less: it reads the credentials, fetches, and releases. Some time is reserved for the release.
LEASE_SECONDS, _RELEASE_SECONDS = 16.0, 4.0
# A fetch with less time than this would fail, and hold the fleet back for no reason.
_LEAST_FETCH_SECONDS = 1.0
# How long a caller without a token waits for the lease's owner: longer than a lease, in case one owner dies.
WAIT_SECONDS = 20.0
# The first pause between two reads of the shared token. It grows, and has jitter so that a fleet does not read in step.
_FIRST_PAUSE_SECONDS, _MAX_PAUSE_SECONDS = 0.1, 0.5
# The same, once the store has refused a read, which is because too many read at once.
_FIRST_BUSY_PAUSE_SECONDS, _MAX_BUSY_PAUSE_SECONDS = 1.0, 4.0
# The pause between two tries to write the shared token.
_WRITE_PAUSE_SECONDS = 0.3
# How often a process checks for a newer token while its own works, or while the fleet is held back.
_LOOK_AGAIN_SECONDS = 5.0
# The longest that a process holds itself back after its own fetch failed; the lease may hold it back for longer.
_OWN_HOLD_SECONDS = 60.0
# A token refused this long after it was issued, or after CXone accepted it, has expired, and a new token helps.
_BRAND_NEW_SECONDS = 300.0

__all__ = ["FetchedToken", "Token", "TokenCache"]


@dataclass(frozen=True, slots=True)
class FetchedToken:
    """A token as the token endpoint returned it; the lifetime is in seconds.

    `scopes` are those that the endpoint named; None if it named none, which RFC 6749, 5.1, allows. `base_url` is where
    the API is that it is for, if that was found with it.
    """

    value: str
    lifetime: float
    scopes: frozenset[str] | None = None
    base_url: str = ""

    def __repr__(self) -> str:
        return f"FetchedToken(lifetime={self.lifetime})"


# Returns a new token within the given seconds; may raise any error.
type FetchToken = Callable[[float], FetchedToken]


class TokenCache:
    """The token of one API family, safe to share between threads.

    `fetch` gets the seconds that it may take. `located` means that its tokens come with their API's base URL.
    """

    def __init__(
        self,
        *,
        fetch: FetchToken,
        store: SecretStore,
        name: str,
        lease: RefreshLease,
        clock: Clock,
        telemetry: Telemetry,
        rng: random.Random,
        located: bool = False,
    ) -> None:
        self._fetch = fetch
        self._shared = SharedToken(store, name, clock, located=located)
        self._lease = lease
        self._clock = clock
        self._telemetry = telemetry
        self._rng = rng
        self._lock = threading.Lock()
        self._marks = threading.Lock()
        self._token: Token | None = None
        # The newest generation that CXone refused, that lacks a scope, and that CXone accepted.
        self._refused = self._insufficient = self._accepted = 0
        self._reuse_until = float("-inf")
        # When, by the stopwatch, CXone first accepted each of the last two tokens that it accepted.
        self._accepted_at = float("-inf"), float("-inf")
        # The token that replaced one never accepted, and until when, by the stopwatch, that holds the fleet back.
        self._doubted: tuple[int, float] | None = None
        # A generation that is not shared, because it is in doubt.
        self._unshared = 0
        # What the shared token is, and until when, by the stopwatch, it need not be read again: somebody is fetching.
        self._unchanged: tuple[Token | None, float] | None = None
        # Why there is no new token, and when, by the stopwatch, this process learned it and checks again.
        self._held: tuple[Hold, float, float] | None = None

    def get(self, seconds: float = WAIT_SECONDS) -> Token:
        """Return a token that works; if this process has none, wait about `seconds` for one.

        Raises `MessagingError` with `cxone_unavailable` or `cxone_auth_failed`, at once if the fleet is held back. Also
        raises `StorageError`.
        """
        token = self._token
        if token and self._is_fresh(token):
            return token
        deadline = Deadline.after(self._clock, min(seconds, WAIT_SECONDS))
        works = token is not None and self._works(token)
        if not self._lock.acquire(timeout=0.0 if works else max(0.0, deadline.left)):
            if token and works:
                return token  # another thread is refreshing it
            raise _too_late()
        try:
            return self._renewed(deadline)
        finally:
            self._lock.release()

    def current(self) -> Token | None:
        """Return the token in memory if it works, otherwise None; make no call, and do not wait."""
        token = self._token
        return token if token and self._works(token) else None

    def mark_accepted(self, token: Token) -> None:
        """Record that CXone accepted a token.

        If CXone refuses it later, it has expired, and a new token helps. If earlier refused tokens hold the fleet back,
        this also records in the lease that this token works, and shares it if it is not shared yet.
        """
        with self._marks:
            if token.generation > self._accepted:
                self._accepted_at = self._accepted_at[1], self._clock.monotonic()
                self._accepted = token.generation
            doubted = self._doubted
            if doubted is None or doubted[0] != token.generation:
                return
            self._doubted = None
        if token.generation == self._unshared:
            with suppress(StorageError):
                shared = self._shared.read()  # and with it the pace of writes
                if shared is None or shared.generation < token.generation:
                    self._shared.write(replace(token, doubted_until=0.0))
        if (left := doubted[1] - self._clock.monotonic()) > 0:
            with suppress(StorageError):
                self._lease.withdraw(token.generation, self._clock.now(), Hold(Cause.UNSTEADY, left))

    def invalidate(self, token: Token) -> None:
        """Discard a token that CXone refused; a newer generation stays. Does not wait for a fetch."""
        with self._marks:
            self._refused = max(self._refused, token.generation)

    def discard(self, token: Token) -> None:
        """Replace a token that works but lacks a scope: the next token has the scope, once it is granted."""
        with self._marks:
            self._insufficient = max(self._insufficient, token.generation)
        self._reuse_until = float("-inf")

    def _renewed(self, deadline: Deadline) -> Token:
        pause, was_issued = _FIRST_PAUSE_SECONDS, False
        while True:
            if self._token and self._is_fresh(self._token):
                return self._token
            try:
                renewed = self._shared_or_new(deadline)
            except _JustIssuedError:
                renewed = None
                pause, was_issued = (pause if was_issued else _FIRST_PAUSE_SECONDS), True
            except BusyStoreError:
                renewed = None
                pause = min(max(_FIRST_BUSY_PAUSE_SECONDS, 2 * pause), _MAX_BUSY_PAUSE_SECONDS)
            except (MessagingError, StorageError):
                if self._token is None or not self._works(self._token):
                    raise
                renewed = None
            if renewed:
                return renewed
            if self._token and self._works(self._token):
                # A refresh is due, but another worker is doing it or it failed. This token serves while it works.
                self._reuse_until = self._clock.monotonic() + _LOOK_AGAIN_SECONDS
                return self._token
            if deadline.left <= pause:
                raise _too_late()
            self._clock.sleep(min(pause * self._rng.uniform(0.5, 1.5), deadline.left))
            pause = max(pause, min(_MAX_PAUSE_SECONDS, pause * 1.25))

    def _is_fresh(self, token: Token) -> bool:
        is_due = self._clock.now() >= token.refresh_at or token.generation <= self._insufficient
        return self._works(token) and (not is_due or self._clock.monotonic() < self._reuse_until)

    def _works(self, token: Token) -> bool:
        return self._clock.now() < token.expires_at and (token.generation > self._refused or self._is_reprieved)

    @property
    def _is_reprieved(self) -> bool:
        """Whether the newest token is used although CXone refused it: CXone accepts it at other times."""
        held = self._held
        if held is None or self._clock.monotonic() >= held[2]:
            return False
        return held[0].cause is Cause.UNSTEADY or (held[0].cause is Cause.REFUSED and self._is_unsteady)

    @property
    def _is_unsteady(self) -> bool:
        """Whether CXone accepted two tokens in quick succession: then a refusal is not the credentials' fault."""
        return self._clock.monotonic() - self._accepted_at[0] < _BRAND_NEW_SECONDS

    def _shared_or_new(self, deadline: Deadline) -> Token | None:
        """Return the shared token if it is fresh, else a new one; None while another worker is fetching.

        Raises `_JustIssuedError` if another worker is about to share a newer one, and `BusyStoreError` if so many
        workers read the shared token that the store refuses this one.
        """
        self._raise_if_held()
        shared, is_until = self._read_shared()
        known = max(self._refused, self._token.generation if self._token else 0)
        if shared and shared.generation > known:
            known = shared.generation
            if self._works(shared):
                self._token = shared
                self._doubt(shared, min(shared.doubted_until - self._clock.now(), MAX_HOLD_SECONDS))
                if self._is_fresh(shared):
                    return shared
        if deadline.left < _LEAST_FETCH_SECONDS:
            return None
        lease_ends = Deadline.after(self._clock, LEASE_SECONDS)
        accepted = self._accepted if known > self._insufficient else 0
        try:
            grant = self._acquired(known, accepted)
        except LeaseTakenError:
            self._unchanged = shared, is_until
            return None
        if grant is None:
            raise _JustIssuedError
        if shared and self._is_fresh(shared):
            # The token had expired by this machine's clock, but the lease's answer gave the server's time.
            self._release(grant, failures=grant.failures)
            self._token = shared
            return shared
        seconds = min(FETCH_SECONDS, deadline.left, lease_ends.left - _RELEASE_SECONDS)
        if seconds < _LEAST_FETCH_SECONDS:
            self._release(grant, failures=grant.failures)
            return None
        failures = self._failures_with(grant, known)
        token = self._token = self._fetched(grant, seconds)
        if grant.generation <= known:  # the count began anew
            with self._marks:
                self._refused = self._insufficient = self._accepted = 0
        self._share(
            grant, token, failures, lease_ends, worked=0 < known <= accepted or (accepted > 0 and self._is_unsteady)
        )
        return self.current()  # if the process was frozen, the token may have expired meanwhile

    def _read_shared(self) -> tuple[Token | None, float]:
        """Return the shared token, and until when, by the stopwatch, that is recent. Raises as `SharedToken.read()`.

        While another worker fetches, the last read counts: Parameter Store answers 40 requests a second, and a fleet
        that waits would use them all up. It counts for less time than the lease knows a newer generation.
        """
        now = self._clock.monotonic()
        last, self._unchanged = self._unchanged, None
        if last and now < last[1]:
            return last
        return self._shared.read(), now + _LOOK_AGAIN_SECONDS

    def _acquired(self, known: int, accepted: int) -> Grant | None:
        """Return the lease as `RefreshLease.acquire()` does, but raise a hold as its `MessagingError`."""
        try:
            return self._lease.acquire(known, uuid.uuid4().hex, self._clock.now(), LEASE_SECONDS, accepted)
        except HeldBackError as held:
            raise self._remember(held.hold, _LOOK_AGAIN_SECONDS) from None

    def _failures_with(self, grant: Grant, known: int) -> int:
        """Return the number of failures in a row, counting the replacement of the newest known token."""
        if not 0 < known <= max(self._refused, self._insufficient):
            return 0
        is_old = known <= grant.issued and self._clock.now() - grant.issued_at > _BRAND_NEW_SECONDS
        return 1 if is_old else grant.failures + 1

    def _fetched(self, grant: Grant, seconds: float) -> Token:
        """Return a new token.

        After any error of the fetch, the lease is released, and holds the fleet back.
        """
        started = self._clock.now()
        try:
            fetched = self._fetch(seconds)
            token = Token.issued(fetched.value, grant.generation, started, fetched.lifetime)
            token = replace(token, base_url=fetched.base_url)
        except StorageError:
            self._failed(grant, Cause.STORAGE)
            self._held = None  # the lease holds the duration; callers wait there after a first failure
            raise
        except MessagingError as error:
            cause = Cause.CREDENTIALS if error.code is Code.CXONE_AUTH_FAILED else Cause.UNAVAILABLE
            raise self._failed(grant, cause, error.detail, error.retry_after or 0) from error
        except Exception as error:
            detail = f"the token could not be fetched ({type(error).__name__})"
            raise self._failed(grant, Cause.UNAVAILABLE, detail) from error
        self._telemetry.add(Metric.TOKEN_FETCHES)
        self._held = None
        return token

    def _failed(self, grant: Grant, cause: Cause, detail: str = "", retry_after: float = 0) -> MessagingError:
        """Release the lease after a failed fetch, so that it holds the fleet back; return the error to raise."""
        self._telemetry.add(Metric.TOKEN_FETCHES_FAILED)
        failures = grant.failures + 1
        hold = Hold(cause, hold_seconds(cause, failures, retry_after), detail)
        self._release(grant, failures=failures, hold=hold)
        return self._remember(hold, _OWN_HOLD_SECONDS)

    def _remember(self, hold: Hold, longest: float) -> MessagingError:
        """Return a hold's error; this process raises it, without any call, until it checks again."""
        now = self._clock.monotonic()
        self._held = hold, now, now + min(hold.seconds, longest)
        return hold.error()

    def _raise_if_held(self) -> None:
        now = self._clock.monotonic()
        if self._held and now < self._held[2]:
            hold, since, _ = self._held
            raise hold.error(now - since)

    def _share(self, grant: Grant, token: Token, failures: int, lease_ends: Deadline, *, worked: bool) -> None:
        """Release the lease and write the shared token, unless the lease has expired or has another owner.

        `worked` means that CXone had accepted the token that this one replaces.

        The release comes first: its condition shows whether this worker still owns the lease. Until the write is
        complete, the lease refuses all workers that know only older tokens. A token that is not shared serves this
        process alone. One that replaces refused tokens may be shared later, when CXone accepts it: tokens that CXone
        issues and then refuses must not use up the writes that Secrets Manager takes in a day.
        """
        write_ends = Deadline.after(self._clock, JUST_RELEASED_SECONDS)
        cause = Cause.UNSTEADY if worked else Cause.REFUSED
        # If a token's lifetime is shorter than the hold, its refresh must not wait for the end of the hold.
        longest = token.refresh_at - self._clock.now() if worked else MAX_HOLD_SECONDS
        seconds = min(hold_seconds(cause, failures), longest)
        hold = Hold(cause, seconds) if seconds > 0 else None
        if hold and not worked:
            token = replace(token, doubted_until=self._clock.now() + seconds)
            self._doubt(token, seconds)
        if lease_ends.has_passed or not self._release(grant, token.generation, failures, hold):
            return
        if not self._written(token, write_ends):
            self._unshared = token.generation
            with suppress(StorageError):
                unshared = hold or Hold(Cause.STORAGE, hold_seconds(Cause.STORAGE, 1))
                self._lease.withdraw(token.generation, self._clock.now(), unshared)

    def _written(self, token: Token, write_ends: Deadline) -> bool:
        """Write the shared token; return whether that succeeded before another worker may fetch."""
        with suppress(StorageError):
            while write_ends.left >= self._shared.write_seconds:
                try:
                    self._shared.write(token)
                except BusyStoreError:
                    self._clock.sleep(_WRITE_PAUSE_SECONDS)
                else:
                    return True
        return False

    def _doubt(self, token: Token, seconds: float) -> None:
        with self._marks:
            self._doubted = (token.generation, self._clock.monotonic() + seconds) if seconds > 0 else None

    def _release(self, grant: Grant, issued: int = 0, failures: int = 0, hold: Hold | None = None) -> bool:
        with suppress(StorageError):
            return self._lease.release(grant.owner, issued, self._clock.now(), failures=failures, hold=hold)
        return False  # then the lease expires


def _too_late() -> MessagingError:
    return MessagingError(Code.CXONE_UNAVAILABLE, "no token was available in time", retry_after=5)


class _JustIssuedError(Exception):
    """Another worker has a newer token, and shares it in a moment."""
