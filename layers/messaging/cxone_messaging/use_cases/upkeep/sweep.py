"""What nobody waits for: join delivery events to messages that appeared after them, and count what stays unknown.

A run every few minutes reads the ledger's index of unsettled matters for as long as it has time. Whatever it does not
reach, and whatever is done already, is there for the next run. So that a run which is cut off leaves out others than
the one before, each begins at a random instant and takes what it reads in random order. Events of the last minutes
come first, because their messages have just appeared. Half of the time is the joining's own: an index full of unknown
messages takes no more than the other half.
"""

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import batched, chain

from cxone_messaging.domain import subjects
from cxone_messaging.domain.attention import Attention
from cxone_messaging.domain.errors import StorageError
from cxone_messaging.domain.ledger import Ledger
from cxone_messaging.domain.messages import Message, Status
from cxone_messaging.domain.times import format_time
from cxone_messaging.platform.clock import Clock, instant
from cxone_messaging.platform.telemetry import Metric, Telemetry
from cxone_messaging.use_cases.chain_ends import newest, read_for_event
from cxone_messaging.use_cases.events.cxone_ids import bearer_of
from cxone_messaging.use_cases.events.delivery import RecordDelivery

_DAY = 86_400.0
# A message appears within a minute of its first event, or never; an unknown one is reported for a week.
_JOIN_SECONDS, _REPORT_SECONDS = _DAY, 7 * _DAY
# Every event of the last two runs.
_FRESH_SECONDS = 600.0
_LEAST_SECONDS = 5.0
# So many subjects are read before the first is dealt with: some pages of the index, and more than a run can deal with.
_BLOCK = 20_000


@dataclass(frozen=True, slots=True)
class Swept:
    """How many events were joined, and how many messages stay unknown."""

    joined: int
    unknown: int


class Sweep:
    """The use case; `patience_seconds` is how long a message may be unknown without being counted."""

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        telemetry: Telemetry,
        patience_seconds: float,
        rng: random.Random | None = None,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._telemetry = telemetry
        self._patience_seconds = patience_seconds
        self._rng = rng or random.Random()  # noqa: S311  an order is no secret
        self._deliveries = RecordDelivery(ledger, clock, telemetry)

    def __call__(self, seconds_left: Callable[[], float]) -> Swept:
        """Do one run. Raises `StorageError`; the metric is reported whenever the run got as far as counting."""
        half = seconds_left() / 2
        unknown = self._count_unknown(lambda: seconds_left() - half)
        self._telemetry.add(Metric.MESSAGES_STILL_UNKNOWN, unknown)
        return Swept(self._join(seconds_left), unknown)

    def _count_unknown(self, seconds_left: Callable[[], float]) -> int:
        seen: set[str] = set()
        unknown = 0
        for subject in self._in_random_order(Attention.UNKNOWN, _REPORT_SECONDS, self._patience_seconds):
            if seconds_left() < _LEAST_SECONDS:
                break
            if subject not in seen:
                seen.add(subject)
                unknown += Message.of(newest(self._ledger, subject)).status is Status.UNKNOWN
        return unknown

    def _join(self, seconds_left: Callable[[], float]) -> int:
        half = seconds_left() / 2
        seen: set[str] = set()
        fresh = self._in_random_order(Attention.UNMATCHED, _FRESH_SECONDS, 0)
        joined = self._join_each(fresh, seen, lambda: seconds_left() - half)
        return joined + self._join_each(
            self._in_random_order(Attention.UNMATCHED, _JOIN_SECONDS, 0), seen, seconds_left
        )

    def _join_each(self, strays: Iterable[str], seen: set[str], seconds_left: Callable[[], float]) -> int:
        """Join the events of each subject that was not seen yet; one's trouble is raised after the others' turn."""
        joined = 0
        trouble: StorageError | None = None
        for stray in strays:
            if seconds_left() < _LEAST_SECONDS:
                break
            if stray in seen:
                continue
            seen.add(stray)
            try:
                joined += self._join_one(subjects.cxone_message_id_in(stray))
            except StorageError as error:
                trouble = trouble or error
        if trouble:
            raise trouble
        return joined

    def _join_one(self, cxone_message_id: str) -> int:
        bearer = bearer_of(self._ledger, cxone_message_id)
        if bearer is None:
            return 0
        known = read_for_event(self._ledger, bearer.subject)
        return len(self._deliveries.join(bearer.subject, cxone_message_id, known)) - len(known)

    def _in_random_order(self, why: Attention, since: float, until: float) -> Iterator[str]:
        """Name the subjects of an interval, given in seconds ago, some twice; where it begins is left to chance."""
        start = self._ago(self._rng.uniform(until, since))
        found = chain(
            self._ledger.flagged(why, self._ago(since), start), self._ledger.flagged(why, start, self._ago(until))
        )
        for block in batched(found, _BLOCK, strict=False):
            yield from self._rng.sample(block, len(block))

    def _ago(self, seconds: float) -> str:
        return format_time(instant(self._clock.now() - seconds))
