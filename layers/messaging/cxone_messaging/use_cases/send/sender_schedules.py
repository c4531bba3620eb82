"""The schedules of the senders that have a rate of their own, beside the account's.

Carriers limit a sender by itself, for example a US long code to five messages a second. Such a sender has a schedule
like the account's, and a line: when the records that have to wait come back from the queue. They come back a little
faster than the sender sends, so that no slot is left unused. A record that finds none goes to the end of the line.
"""

import random
from collections.abc import Callable
from functools import lru_cache

from cxone_messaging.adapters.dynamodb.governor import Governor
from cxone_messaging.domain.schedule import ClockUnsureError, RateUsedUpError, SenderRateUsedUpError, Slots
from cxone_messaging.domain.sender_rates import SenderRates, canonical
from cxone_messaging.platform.clock import Clock

# SQS delays no record for longer, in seconds.
_LONGEST_SECONDS = 900.0
_LINE_PERCENT = 110
# A caller may name any sender.
_MOST_KEPT = 256
# Refusals of two senders within so many seconds are the account's.
_TOGETHER_SECONDS = 3.0
# A sender's schedule is full for this long at least if it has no room.
_SHORTEST_SECONDS = 1.0


class SenderSchedules:
    """The schedules by sender. `make` returns the schedule of a name, with so many requests a second."""

    def __init__(
        self, rates: SenderRates, make: Callable[[str, float], Governor], clock: Clock, rng: random.Random
    ) -> None:
        self._rates = rates
        self._make = lru_cache(_MOST_KEPT)(make)
        self._clock = clock
        self._rng = rng
        # The sender of the last refusal, and when that was by the stopwatch.
        self._refused = "", float("-inf")

    def note_refusal(self, sender: str) -> bool:
        """Note that CXone refused a sender with a 429; return whether it has just refused another one too."""
        name, now = canonical(sender), self._clock.monotonic()
        (other, at), self._refused = self._refused, (name, now)
        return other not in {"", name} and now - at < _TOGETHER_SECONDS

    def name(self, sender: str) -> str:
        """Return the name of a sender that has a rate of its own; empty if it has the account's only."""
        return canonical(sender) if self._rates.rate_of(sender) else ""

    def of(self, sender: str) -> Governor | None:
        """Return the schedule of a sender that has a rate of its own."""
        own = self._rates.rate_of(sender)
        return self._make(f"schedule of {canonical(sender)}", own.rate) if own else None

    def reserve(self, sender: str, count: int, horizon: float) -> Slots | None:
        """Return up to `count` slots of a sender that has a rate of its own, and None of any other.

        Raises `SenderRateUsedUpError`, other `NoSlotError`s, and `StorageError`.
        """
        own = self.of(sender)
        if own is None:
            return None
        try:
            return reserve_when_sure(own, count, horizon, self._clock)
        except RateUsedUpError as error:
            raise SenderRateUsedUpError(error.retry_after) from None

    def pauses(self, sender: str, count: int) -> list[float]:
        """Return after how many seconds each of `count` records comes back.

        Raises `NoSlotError`, and `StorageError`.
        """
        own = self._rates.rate_of(sender)
        if own is None:
            return [_SHORTEST_SECONDS] * count
        line = self._make(f"line of {canonical(sender)}", own.rate * _LINE_PERCENT / 100)
        pauses: list[float] = []
        try:
            places = reserve_when_sure(line, count, _LONGEST_SECONDS, self._clock)
            first = places.start - self._clock.now() + _SHORTEST_SECONDS
            pauses = [first + number * places.seconds for number in range(places.count)]
        except RateUsedUpError:
            pass  # the line is longer than any delay
        return pauses + [_LONGEST_SECONDS * self._rng.uniform(0.8, 1.0) for _ in range(count - len(pauses))]


def reserve_when_sure(schedule: Governor, count: int, horizon: float, clock: Clock) -> Slots:
    """Reserve slots of a schedule, once this process is sure of the fleet's time, which takes a second at most.

    Raises `NoSlotError`, and `StorageError`.
    """
    while True:
        try:
            return schedule.reserve(count, horizon)
        except ClockUnsureError as error:
            clock.sleep(error.retry_after)
