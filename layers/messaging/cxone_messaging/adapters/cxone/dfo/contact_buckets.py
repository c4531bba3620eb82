"""The limit of one contact: NICE documents updates of one contact in a burst of 250, refilled by 17 a minute.

Each process counts its own texts, so several may find that limit together. Then CXone answers 429, which is taken for
the contact's limit if the contact has had many texts lately: that must not slow down all others.
"""

import threading
from collections import OrderedDict

from cxone_messaging.platform.clock import Clock

_BURST, _REFILL_SECONDS = 250.0, 60 / 17
# So many texts in a burst are no conversation: a 429 after them is the contact's.
_MANY = 20.0
_MOST_KEPT = 10_000


class ContactBuckets:
    """What is left of each contact's bucket, by phone number; in memory alone."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, number: str) -> float:
        """Take one text out of a contact's bucket; return 0, or after how many seconds there is room for it."""
        with self._lock:
            left, now = self._refilled(number)
            if left < 1:
                return (1 - left) * _REFILL_SECONDS
            self._left[number] = left - 1, now
            self._left.move_to_end(number)
            if len(self._left) > _MOST_KEPT:
                self._left.popitem(last=False)
            return 0.0

    def is_busy(self, number: str) -> bool:
        """Whether this process has sent a contact many texts lately."""
        with self._lock:
            return self._refilled(number)[0] <= _BURST - _MANY

    def emptied(self, number: str) -> float:
        """Note that CXone found a contact's bucket empty; return after how many seconds it has room for one text."""
        with self._lock:
            self._left[number] = 0.0, self._clock.monotonic()
        return _REFILL_SECONDS

    def _refilled(self, number: str) -> tuple[float, float]:
        now = self._clock.monotonic()
        left, since = self._left.get(number, (_BURST, now))
        return min(_BURST, left + (now - since) / _REFILL_SECONDS), now
