"""The account's rate limit: a sliding log of one second."""

from collections import deque

WINDOW_SECONDS = 1.0


class SlidingLog:
    """Admits a request while fewer than `limit` were admitted in the last second; refused ones do not count."""

    def __init__(self) -> None:
        self._let_in: deque[float] = deque()

    def wait_seconds(self, now: float, limit: int) -> float:
        """Return 0 if the request is admitted (and logged), else the seconds until the next one would be."""
        while self._let_in and self._let_in[0] <= now - WINDOW_SECONDS:
            self._let_in.popleft()
        if len(self._let_in) >= limit:
            return self._let_in[-limit] + WINDOW_SECONDS - now
        self._let_in.append(now)
        return 0.0
