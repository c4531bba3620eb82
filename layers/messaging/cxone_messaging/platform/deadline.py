"""The end of the time for an operation: made once, and passed down."""

from dataclasses import dataclass, replace
from typing import Any, Self

from cxone_messaging.platform.clock import Clock


@dataclass(frozen=True, slots=True)
class Deadline:
    """An instant on the stopwatch (`stopwatch_at`) and in the time of day (`at`, Unix seconds).

    It has passed as soon as either has, because neither is reliable alone: a stopwatch may stop while Lambda freezes an
    execution environment, and the time of day may be set back.
    """

    clock: Clock
    stopwatch_at: float
    at: float

    @classmethod
    def after(cls, clock: Clock, seconds: float) -> Self:
        """Return the deadline `seconds` from now."""
        return cls(clock, clock.monotonic() + seconds, clock.now() + seconds)

    @classmethod
    def of_invocation(cls, context: Any, clock: Clock) -> Self:
        """Return the deadline of a Lambda invocation, from its context."""
        return cls.after(clock, context.get_remaining_time_in_millis() / 1000)

    @property
    def left(self) -> float:
        """The seconds that are left; negative once the deadline has passed."""
        return min(self.stopwatch_at - self.clock.monotonic(), self.at - self.clock.now())

    @property
    def has_passed(self) -> bool:
        """Whether no time is left."""
        return self.left <= 0

    def less(self, seconds: float) -> Self:
        """Return a deadline that is `seconds` earlier."""
        return replace(self, stopwatch_at=self.stopwatch_at - seconds, at=self.at - seconds)

    def within(self, seconds: float) -> Self:
        """Return the earlier of this deadline and `seconds` from now."""
        return self.less(max(0.0, self.left - seconds))
