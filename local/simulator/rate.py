"""The account's rate limits: sliding logs of a second and of a minute, one of each slow sender, and the other users."""

import random
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass

from local.simulator.settings import Settings


class SlidingLog:
    """The requests that were admitted in the last `window_seconds`; refused ones do not count."""

    def __init__(self, window_seconds: float = 1.0) -> None:
        self._window = window_seconds
        self._let_in: deque[float] = deque()

    def wait_seconds(self, now: float, limit: int) -> float:
        """Return 0 if a request may be admitted, else the seconds until the next one may be."""
        while self._let_in and self._let_in[0] <= now - self._window:
            self._let_in.popleft()
        return self._let_in[-limit] + self._window - now if len(self._let_in) >= limit else 0.0

    def add(self, now: float) -> None:
        """Log an admitted request."""
        self._let_in.append(now)


@dataclass(frozen=True, slots=True)
class Excess:
    """Why a request is refused, and how many seconds later it would be admitted."""

    detail: str
    wait_seconds: float


class Limits:
    """Admits a request if each limit has room for it; only then it counts in all of them."""

    def __init__(self, now: float) -> None:
        self._second, self._minute = SlidingLog(), SlidingLog(60.0)
        self._senders: defaultdict[str, SlidingLog] = defaultdict(SlidingLog)
        self._others_seen = now

    def admit(self, now: float, settings: Settings, sender: str | None = None) -> Excess | None:
        """Return None if the request is admitted, else the limit that it exceeds the longest."""
        limits = [("a second", self._second, settings.requests_per_second)]
        if settings.requests_per_minute is not None:
            limits.append(("a minute", self._minute, settings.requests_per_minute))
        if sender in settings.sender_requests_per_second:
            limits.append(("of this sender", self._senders[sender], settings.sender_requests_per_second[sender]))
        found = [Excess(f"too many requests {name}", log.wait_seconds(now, limit)) for name, log, limit in limits]
        longest = max(found, key=lambda excess: excess.wait_seconds)
        if longest.wait_seconds > 0:
            return longest
        self._minute.add(now)  # a limit that is set later counts what went before
        for _, log, _ in limits:
            if log is not self._minute:
                log.add(now)
        return None

    def others(self, now: float, settings: Settings, rng: random.Random) -> Iterator[tuple[float, Excess | None]]:
        """Let in the requests of the account's other users since the last call, each with its time and its excess.

        They come evenly, or form a Poisson process, whose next gap does not depend on when one looks. A refused one is
        not repeated.
        """
        rate, at = settings.others_per_second, self._others_seen
        is_even = settings.others_spread == "even" and rate > 0
        while rate and (following := at + (1 / rate if is_even else rng.expovariate(rate))) <= now:
            at = following
            yield at, self.admit(at, settings)
        self._others_seen = at if is_even else now
