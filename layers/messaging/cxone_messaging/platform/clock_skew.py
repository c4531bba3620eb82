"""How far this machine's clock is off, learned from the `Date` of answers that it receives anyway.

A `Date` has whole seconds, so each answer only gives bounds of the server's time. The bounds are stored relative to the
stopwatch, which is never set. They narrow with every answer. If the clock is set wrong later, they show that without a
new answer.
"""

import threading
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from cxone_messaging.platform.clock import Clock

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# A clock that is off by more is wrong: other machines read its ledger entries, deadlines and slots.
MAX_SKEW_SECONDS = 2.0
# AWS refuses requests whose signature is a few minutes off. An answer that is days off is no evidence: an emulator sent
# it, beside a test's clock.
_ABSURD_SECONDS = 86_400.0
# A server may send a `Date` that it formatted up to a second before.
_LATE_SECONDS = 1.0
# A stopwatch drifts by less than this a second.
_DRIFT = 1e-4
# Bounds are no ground for a refusal after this many seconds, or if the clock has moved against the stopwatch.
_FRESH_SECONDS = 2.0
_MOVED_SECONDS = 0.05


class ClockCheck:
    """The bounds of one server's time.

    Pass it the answers of one service only: two services may differ.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._text, self._date = "", 0.0
        self._observed: tuple[float, float, float, float] | None = None

    def observe(self, date: str, sent_at: float, received_at: float) -> None:
        """Learn from an answer's `Date`; skip an invalid one.

        The other parameters are stopwatch readings.
        """
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
        if bounds := self._bounds(offset, received_at):
            if low <= bounds[1] and bounds[0] <= high:
                low, high = max(low, bounds[0]), min(high, bounds[1])
            elif max(low - bounds[1], bounds[0] - high) < _LATE_SECONDS:
                low, high = max(low, bounds[0]), max(high, bounds[1])
            # Otherwise the stopwatch had stopped (a frozen environment): only the new answer counts.
        self._observed = (low, high, received_at, offset)

    def observe_answer(self, answer: Mapping[str, Any], sent_at: float) -> None:
        """Learn from an answer of botocore's, or an error's; an answer without a `Date` is skipped."""
        date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
        if date:
            self.observe(date, sent_at, self._clock.monotonic())

    def watch(self, client: "DynamoDBClient") -> None:
        """Learn from every answer that a client receives from now on."""
        sent = threading.local()

        def before(**_: object) -> None:
            sent.at = self._clock.monotonic()

        def after(parsed: Mapping[str, Any], **_: object) -> None:
            self.observe_answer(parsed, sent.at)

        client.meta.events.register("before-send.dynamodb", before)
        client.meta.events.register("after-call.dynamodb", after)

    def server_time(self) -> tuple[float, float] | None:
        """Return the earliest and latest possible server time now, in Unix seconds; None if unknown."""
        stopwatch = self._clock.monotonic()
        bounds = self._bounds(self._clock.now() - stopwatch, stopwatch)
        return (bounds[0] + stopwatch, bounds[1] + stopwatch) if bounds else None

    def nearest(self, instant: float) -> float:
        """Return the possible server time that is nearest to an instant.

        If the server's time is unknown, this is the instant itself.
        """
        server_time = self.server_time()
        return min(max(instant, server_time[0]), server_time[1]) if server_time else instant

    @property
    def stopwatch(self) -> float:
        """The present stopwatch reading, which `observe_answer` takes as the time of a request."""
        return self._clock.monotonic()

    @property
    def skew(self) -> float:
        """The seconds by which the clock is certainly ahead of the server's (negative: behind)."""
        server_time = self.server_time()
        if server_time is None:
            return 0.0
        now = self._clock.now()
        return max(0.0, now - server_time[1]) + min(0.0, now - server_time[0])

    @property
    def is_wrong(self) -> bool:
        """Whether the clock is certainly off by more than two seconds."""
        return abs(self.skew) > MAX_SKEW_SECONDS

    @property
    def has_jumped(self) -> bool:
        """Whether the clock was set, or the process frozen, for more than a second since the last answer."""
        return self._observed is not None and abs(self._moved) > _LATE_SECONDS

    @property
    def is_outdated(self) -> bool:
        """Whether a newer answer is needed before the clock counts as wrong."""
        if self._observed is None:
            return False
        return self._clock.monotonic() - self._observed[2] > _FRESH_SECONDS or abs(self._moved) > _MOVED_SECONDS

    @property
    def _moved(self) -> float:
        return self._clock.now() - self._clock.monotonic() - self._observed[3] if self._observed else 0.0

    def _bounds(self, offset: float, stopwatch: float) -> tuple[float, float] | None:
        """Return the bounds of the server's time less the stopwatch, widened by the drift since then."""
        if self._observed is None:
            return None
        low, high, observed_at, offset_then = self._observed
        drift = _DRIFT * max(0.0, stopwatch - observed_at)
        # If the clock has moved ahead of the stopwatch, the stopwatch may have stopped for that long.
        return low - drift, high + drift + max(0.0, offset - offset_then)


class CheckedClock:
    """A machine's clock, corrected to the server's time if that is known.

    Its stopwatch is the machine's.
    """

    def __init__(self, clock: Clock, check: ClockCheck) -> None:
        self._clock = clock
        self._check = check
        self.monotonic = clock.monotonic
        self.sleep = clock.sleep

    def now(self) -> float:
        """Return the time of day in Unix seconds."""
        return self._check.nearest(self._clock.now())
