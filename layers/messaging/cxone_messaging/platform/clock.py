"""Time, as an argument: whoever needs it takes a `Clock`, so that tests can hold one of their own."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """The time of day, a stopwatch and a way to wait."""

    def now(self) -> float:
        """Give the time of day in Unix seconds."""
        ...

    def monotonic(self) -> float:
        """Give seconds since some instant, never set back."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        """Give the time of day in Unix seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Give seconds since some instant, never set back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


def milliseconds_since(began: float, clock: Clock) -> int:
    """Read the stopwatch, in whole milliseconds since it stood at `began` seconds."""
    return round((clock.monotonic() - began) * 1000)


def instant(unix_seconds: float) -> datetime:
    """Turn Unix seconds into an instant in UTC."""
    return datetime.fromtimestamp(unix_seconds, UTC)
