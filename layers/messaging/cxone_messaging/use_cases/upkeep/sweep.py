"""Join early delivery events to their messages, and count messages that stay unknown.

A run every few minutes reads the ledger's index of subjects that need attention, while it has time. The next run finds
the rest. Each run begins at a random instant and reads subjects in random order. So a run that ends early omits other
subjects than the run before. Events of the last minutes are first, because their messages have just appeared. Half of
the time is for joining: an index full of unknown messages takes at most the other half.
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import batched, chain

from cxone_messaging.domain import subjects
from cxone_messaging.domain.attention import Attention
from cxone_messaging.domain.errors import StorageError
from cxone_messaging.domain.messages import Message, Status
from cxone_messaging.domain.times import format_time
from cxone_messaging.platform.clock import Clock, instant
from cxone_messaging.platform.deadline import Deadline
from cxone_messaging.platform.telemetry import Metric, Telemetry
from cxone_messaging.use_cases.message_trail import MessageTrail

_DAY = 86_400.0
# A message appears within a minute of its first event, or never. An unknown message is reported for a week.
_JOIN_SECONDS, _REPORT_SECONDS = _DAY, 7 * _DAY
# This covers every event of the last two runs.
_FRESH_SECONDS = 600.0
_LEAST_SECONDS = 5.0
# How many subjects are read before the first is processed: some pages of the index, and more than a run has time for.
_BLOCK = 20_000


@dataclass(frozen=True, slots=True)
class Swept:
    """How many events were joined, and how many messages stay unknown."""

    joined: int
    unknown: int


class Sweep:
    """Sweeps the index.

    `patience_seconds` is how long a message may be unknown without being counted.
    """

    def __init__(
        self,
        trail: MessageTrail,
        clock: Clock,
        telemetry: Telemetry,
        patience_seconds: float,
        rng: random.Random | None = None,
    ) -> None:
        self._trail = trail
        self._ledger = trail.journal.ledger
        self._clock = clock
        self._telemetry = telemetry
        self._patience_seconds = patience_seconds
        self._rng = rng or random.Random()  # noqa: S311  an order is no secret

    def __call__(self, deadline: Deadline) -> Swept:
        """Do one run, and return its counts.

        Raises `StorageError`, but after the count the metric is reported.
        """
        unknown = self._count_unknown(deadline.less(deadline.left / 2))
        self._telemetry.add(Metric.MESSAGES_STILL_UNKNOWN, unknown)
        return Swept(self._join(deadline), unknown)

    def _count_unknown(self, deadline: Deadline) -> int:
        seen: set[str] = set()
        unknown = 0
        for subject in self._in_random_order(Attention.UNKNOWN, _REPORT_SECONDS, self._patience_seconds):
            if deadline.left < _LEAST_SECONDS:
                break
            if subject not in seen:
                seen.add(subject)
                unknown += Message.of(self._trail.journal.newest(subject)).status is Status.UNKNOWN
        return unknown

    def _join(self, deadline: Deadline) -> int:
        seen: set[str] = set()
        fresh = self._in_random_order(Attention.UNMATCHED, _FRESH_SECONDS, 0)
        joined = self._join_each(fresh, seen, deadline.less(deadline.left / 2))
        return joined + self._join_each(self._in_random_order(Attention.UNMATCHED, _JOIN_SECONDS, 0), seen, deadline)

    def _join_each(self, strays: Iterable[str], seen: set[str], deadline: Deadline) -> int:
        """Join the events of each subject not seen yet; return their number.

        Raises any error at the end.
        """
        joined = 0
        failure: StorageError | None = None
        for stray in strays:
            if deadline.left < _LEAST_SECONDS:
                break
            if stray in seen:
                continue
            seen.add(stray)
            try:
                joined += self._trail.join_strays(subjects.cxone_message_id_in(stray))
            except StorageError as error:
                failure = failure or error
        if failure:
            raise failure
        return joined

    def _in_random_order(self, why: Attention, since: float, until: float) -> Iterator[str]:
        """Yield the subjects of an interval, given in seconds ago, from a random start.

        Some occur twice.
        """
        start = self._ago(self._rng.uniform(until, since))
        found = chain(
            self._ledger.flagged(why, self._ago(since), start), self._ledger.flagged(why, start, self._ago(until))
        )
        for block in batched(found, _BLOCK, strict=False):
            yield from self._rng.sample(block, len(block))

    def _ago(self, seconds: float) -> str:
        return format_time(instant(self._clock.now() - seconds))
