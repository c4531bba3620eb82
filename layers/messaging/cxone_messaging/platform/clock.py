"""Time, as an argument: code that needs it has a `Clock` parameter, so that tests can pass their own."""

import time
from datetime import UTC, datetime
from typing import Protocol

# How far two machines' clocks may differ before one machine treats a living owner as dead.
CLOCK_SKEW_SECONDS = 5.0


class Clock(Protocol):
    """The time of day, a stopwatch and a way to wait."""

    def now(self) -> float:
        """Return the time of day in Unix seconds."""
        ...

    def monotonic(self) -> float:
        """Return the stopwatch's reading in seconds; it is never set back."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait for that many seconds."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        """Return the time of day in Unix seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Return the stopwatch's reading in seconds; it is never set back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait for that many seconds."""
        time.sleep(seconds)


def milliseconds_since(began: float, clock: Clock) -> int:
    """Return the whole milliseconds since the stopwatch showed `began` seconds."""
    return round((clock.monotonic() - began) * 1000)


def instant(unix_seconds: float) -> datetime:
    """Return Unix seconds as an instant in UTC."""
    return datetime.fromtimestamp(unix_seconds, UTC)
