"""Use a chunk's slots one by one, each at its time."""

from dataclasses import replace

from cxone_messaging.adapters.dynamodb.governor import Governor
from cxone_messaging.domain.schedule import RateUsedUpError, SlotMissedError, Slots
from cxone_messaging.platform.clock import Clock
from cxone_messaging.platform.deadline import Deadline
from cxone_messaging.use_cases.send.dispatcher import wait_until

# The schedule is looked at again after so many slots, twice in a chunk: an eighth of a second at 100 a second.
_LOOK_EVERY = 13
# Slots that replace missed ones lie no further ahead than this, in seconds.
_HORIZON_SECONDS = 5.0
# A hold, or a schedule that is full, is waited out where that ends this soon.
_PATIENCE_SECONDS = 2.0


class SlotSequence:
    """Hands out consecutive slots. Slots that this process missed because it was held up are replaced by others."""

    def __init__(self, slots: Slots, governor: Governor, clock: Clock, deadline: Deadline) -> None:
        self._slots = slots
        self._governor = governor
        self._clock = clock
        self._deadline = deadline
        self._next = 0
        self._look_at = 0

    def next(self, still_needed: int) -> Slots:
        """Wait for the next slot's time, but not past the deadline, and return the slot.

        Raises `NoSlotError` when nothing more may be sent now, and `StorageError`.
        """
        while True:
            if self._next == self._slots.count:  # slots were missed, or a probe is fewer than requested
                self._reserve_more(still_needed)
            number, self._next = self._next, self._next + 1
            slot = replace(self._slots, start=self._slots.start + number * self._governor.slot_seconds, count=1)
            try:
                wait_until(slot, self._deadline, self._clock)
            except SlotMissedError:
                continue
            if not slot.probe and slot.is_missed(self._clock.now()):
                continue  # a later slot may be in time
            try:
                if number >= self._look_at:
                    self._governor.check(slot)
                    self._look_at = number + _LOOK_EVERY
            except SlotMissedError:
                continue
            except RateUsedUpError as error:
                # A short wait, as after a 429, is cheaper than putting the rest of the chunk back on the queue; the
                # next free slots lie behind it.
                if error.retry_after > _PATIENCE_SECONDS:
                    raise
                self._reserve_more(still_needed)
                continue
            return slot

    def _reserve_more(self, count: int) -> None:
        while True:
            try:
                self._slots = self._governor.reserve(count, _HORIZON_SECONDS)
            except RateUsedUpError as error:
                if error.retry_after > min(_PATIENCE_SECONDS, self._deadline.left):
                    raise
                self._clock.sleep(error.retry_after)
            else:
                self._next = self._look_at = 0
                return
