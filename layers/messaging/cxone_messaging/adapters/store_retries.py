"""How often, and for how long, an adapter retries a throttled call or a lost answer."""

import random
from collections.abc import Iterator

from cxone_messaging.domain.schedule import backoff
from cxone_messaging.platform.clock import Clock

MOST_TRIES = 5
# The time starts at the first failure: the SDK alone may take nine seconds to report that failure.
PATIENCE_SECONDS = 4.0

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 1.0


class Tries:
    """The tries of one operation; iterate over them.

    A growing pause with jitter precedes each but the first.
    """

    def __init__(self, clock: Clock, rng: random.Random, most: int = MOST_TRIES) -> None:
        self._clock = clock
        self._rng = rng
        self._most = most
        self._give_up_at: float | None = None

    def __iter__(self) -> Iterator[int]:
        """Yield the numbers of the tries, from 0.

        They end after `most` tries, or when the time is up.
        """
        yield 0
        for number in range(1, self._most):
            if not self.has_time():
                return
            longest = backoff(_FIRST_PAUSE_SECONDS, number - 1, _LONGEST_PAUSE_SECONDS)
            self._clock.sleep(longest * self._rng.uniform(0.5, 1))
            yield number

    def has_time(self) -> bool:
        """Return whether another call may begin.

        The first use of this, after a failure, starts the time.
        """
        now = self._clock.monotonic()
        if self._give_up_at is None:
            self._give_up_at = now + PATIENCE_SECONDS
        return now < self._give_up_at
