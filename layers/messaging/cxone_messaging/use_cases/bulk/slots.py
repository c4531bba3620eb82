"""Use a chunk's slots one by one, each at its time."""

from collections.abc import Callable

from cxone_messaging.adapters.dynamodb.governor import Governor
from cxone_messaging.domain.schedule import RateUsedUpError, SlotMissedError, Slots
from cxone_messaging.platform.clock import Clock
from cxone_messaging.platform.deadline import Deadline
from cxone_messaging.use_cases.send.dispatcher import wait_until

# The schedule is read again after this many slots, twice in a chunk: an eighth of a second at 100 a second.
_CHECK_EVERY = 13
# Slots that replace missed ones lie no further ahead than this, in seconds.
_HORIZON_SECONDS = 5.0
# The process waits for the end of a hold, or of a full schedule, if that is this near.
_PATIENCE_SECONDS = 2.0


class SlotSequence:
    """Hands out consecutive slots, and replaces slots that this process missed because it was delayed.

    `reserve` gives more slots, as many as requested or fewer, within a horizon in seconds.
    """

    def __init__(
        self, slots: Slots, governor: Governor, reserve: Callable[[int, float], Slots], clock: Clock, deadline: Deadline
    ) -> None:
        self._slots = slots
        self._governor = governor
        self._reserve = reserve
        self._clock = clock
        self._deadline = deadline
        self._next = 0
        self._check_at = 0

    def next(self, still_needed: int) -> Slots:
        """Wait for the next slot's time, but not past the deadline, and return the slot.

        Raises `NoSlotError` if no further message may be sent now, and `StorageError`.
        """
        while True:
            if self._next == self._slots.count:  # slots were missed, or a probe is fewer than requested
                self._reserve_more(still_needed)
            number, self._next = self._next, self._next + 1
            slot = self._slots.at(number)
            try:
                wait_until(slot, self._deadline, self._clock)
            except SlotMissedError:
                continue
            if not slot.probe and slot.is_missed(self._clock.now()):
                continue  # a later slot may be in time
            try:
                self._governor.refuse_held()
                if number >= self._check_at:
                    self._governor.check(slot)
                    self._check_at = number + _CHECK_EVERY
            except SlotMissedError:
                continue
            except RateUsedUpError as error:
                # A short wait, as after a 429, is cheaper than to put the rest of the chunk back on the queue. The next
                # free slots begin after that wait.
                if error.retry_after > _PATIENCE_SECONDS:
                    raise
                self._reserve_more(still_needed)
                continue
            return slot

    def _reserve_more(self, count: int) -> None:
        while True:
            try:
                self._slots = self._reserve(count, _HORIZON_SECONDS)
            except RateUsedUpError as error:
                if error.retry_after > min(_PATIENCE_SECONDS, self._deadline.left):
                    raise
                self._clock.sleep(error.retry_after)
            else:
                self._next = self._check_at = 0
                return
