"""How far this machine's clock is off, learned from the `Date` of answers that it gets anyway.

A `Date` has whole seconds, so each answer bounds the server's time only. The bounds are kept against the stopwatch,
which no one sets: they narrow with every answer, and a clock that is set wrong later is noticed without a new one.
"""

import threading
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from cxone_messaging.platform.clock import Clock

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# A clock that is off by more is wrong: ledger entries, deadlines and slots are read by other machines.
MAX_SKEW_SECONDS = 2.0
# AWS refuses requests whose signature is a few minutes off. An answer that is days off is no evidence: it comes from an
# emulator beside a test's clock.
_ABSURD_SECONDS = 86_400.0
# A server may write a `Date` that it formatted up to a second before.
_LATE_SECONDS = 1.0
# A stopwatch drifts by less than this a second.
_DRIFT = 1e-4
# Old bounds are no ground for a refusal after so many seconds, or where the clock has moved against the stopwatch.
_FRESH_SECONDS = 2.0
_MOVED_SECONDS = 0.05


class ClockCheck:
    """What is known of one server's time. Feed it with the answers of one service: two may differ."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._text, self._date = "", 0.0
        self._observed: tuple[float, float, float, float] | None = None

    def observe(self, date: str, sent_at: float, received_at: float) -> None:
        """Learn from an answer's `Date`; the other two are stopwatch readings. A date that can't be read is skipped."""
        if date != self._text:
            try:
                parsed = parsedate_to_datetime(date)
                self._date = (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
            except (ValueError, TypeError, OverflowError, IndexError):
                return
            self._text = date
        low, high = self._date - received_at, self._date + 1 - sent_at
        offset = self._clock.now() - self._clock.monotonic()
        if abs(offset - low) > _ABSURD_SECONDS:
            return
        if known := self._known(offset, received_at):
            if low <= known[1] and known[0] <= high:
                low, high = max(low, known[0]), min(high, known[1])
            elif max(low - known[1], known[0] - high) < _LATE_SECONDS:
                low, high = max(low, known[0]), max(high, known[1])
            # Otherwise the stopwatch stood still (a frozen environment): only the new answer counts.
        self._observed = (low, high, received_at, offset)

    def observe_answer(self, answer: Mapping[str, Any], sent_at: float) -> None:
        """Learn from an answer of botocore's, or from an error's; one without a `Date` is skipped."""
        date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
        if date:
            self.observe(date, sent_at, self._clock.monotonic())

    def watch(self, client: "DynamoDBClient") -> None:
        """Learn from every answer that a client gets from now on."""
        sent = threading.local()

        def before(**_: object) -> None:
            sent.at = self._clock.monotonic()

        def after(parsed: Mapping[str, Any], **_: object) -> None:
            self.observe_answer(parsed, sent.at)

        client.meta.events.register("before-send.dynamodb", before)
        client.meta.events.register("after-call.dynamodb", after)

    def server_time(self) -> tuple[float, float] | None:
        """Return the earliest and the latest that the server's time can be now, in Unix seconds; None if unknown."""
        stopwatch = self._clock.monotonic()
        known = self._known(self._clock.now() - stopwatch, stopwatch)
        return (known[0] + stopwatch, known[1] + stopwatch) if known else None

    def nearest(self, instant: float) -> float:
        """Return what the server's time can be now that is nearest to an instant; the instant itself if unknown."""
        known = self.server_time()
        return min(max(instant, known[0]), known[1]) if known else instant

    @property
    def stopwatch(self) -> float:
        """Return the reading that `observe_answer` takes for the instant of a request."""
        return self._clock.monotonic()

    @property
    def skew(self) -> float:
        """By how many seconds the clock is ahead of the server's (behind: negative) for certain."""
        known = self.server_time()
        if known is None:
            return 0.0
        now = self._clock.now()
        return max(0.0, now - known[1]) + min(0.0, now - known[0])

    @property
    def is_wrong(self) -> bool:
        """Whether the clock is certainly off by more than two seconds."""
        return abs(self.skew) > MAX_SKEW_SECONDS

    @property
    def has_jumped(self) -> bool:
        """Whether the clock has moved against the stopwatch by seconds since the last answer: it was set, or frozen."""
        return self._observed is not None and abs(self._moved) > _LATE_SECONDS

    @property
    def is_outdated(self) -> bool:
        """Whether another answer should be looked at before a clock is called wrong."""
        if self._observed is None:
            return False
        return self._clock.monotonic() - self._observed[2] > _FRESH_SECONDS or abs(self._moved) > _MOVED_SECONDS

    @property
    def _moved(self) -> float:
        return self._clock.now() - self._clock.monotonic() - self._observed[3] if self._observed else 0.0

    def _known(self, offset: float, stopwatch: float) -> tuple[float, float] | None:
        """Return the bounds of the server's time less the stopwatch, with the drift since they were last observed."""
        if self._observed is None:
            return None
        low, high, observed_at, offset_then = self._observed
        drift = _DRIFT * max(0.0, stopwatch - observed_at)
        # Where the clock has moved ahead of the stopwatch, the stopwatch may have stood still for as long.
        return low - drift, high + drift + max(0.0, offset - offset_then)


class CheckedClock:
    """A machine's clock that keeps to the server's time where that is known; its stopwatch is the machine's."""

    def __init__(self, clock: Clock, check: ClockCheck) -> None:
        self._clock = clock
        self._check = check
        self.monotonic = clock.monotonic
        self.sleep = clock.sleep

    def now(self) -> float:
        """Return the time of day in Unix seconds."""
        return self._check.nearest(self._clock.now())
