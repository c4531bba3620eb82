"""Show the account's pace, and set a ceiling on it at once, without a deployment.

The ledger gets its entry before the ceiling is in force, so that each ceiling has an entry that says who set it. If the
ceiling cannot be written after that, the entry says what was tried, and the same request tries again.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cxone_messaging.adapters.dynamodb.pace_item import PaceStore
from cxone_messaging.adapters.queue import QueueLength
from cxone_messaging.domain import subjects
from cxone_messaging.domain.entries import Draft, Entry, EntryType
from cxone_messaging.domain.errors import Code, FieldError, MessagingError, StorageError
from cxone_messaging.domain.pace import MICRO, AccountRate, PaceLaw, as_number, ceiling_from
from cxone_messaging.domain.schedule import Circuit
from cxone_messaging.domain.sender_rates import SenderRates
from cxone_messaging.domain.times import format_time
from cxone_messaging.platform.clock import Clock, instant
from cxone_messaging.use_cases.journal import Journal

# Each lost race means that another request has set a ceiling.
_MOST_RACES_LOST = 20


@dataclass(frozen=True, slots=True)
class PaceNow:
    """The pace in force: rates in requests a second, but for `per_minute`.

    `holds` counts the last 429s that followed one another at once. `held_until` is None while nothing holds the senders
    back. `queued` are the records on the bulk queue, `queue_seconds` the time that they take at this pace; each is None
    if unknown.
    """

    ceiling: float
    deployed_ceiling: float
    pace: float
    per_minute: float
    held_until: str | None
    holds: int
    circuit: Circuit
    senders: Mapping[str, float]
    queued: int | None
    queue_seconds: int | None


class ManagePace:
    """Shows the account's pace, and sets its ceiling."""

    def __init__(
        self,
        *,
        journal: Journal,
        item: PaceStore,
        queue: QueueLength,
        rate: AccountRate,
        senders: SenderRates,
        clock: Clock,
    ) -> None:
        self._journal = journal
        self._item = item
        self._queue = queue
        self._law = PaceLaw(rate)
        self._senders = senders
        self._clock = clock

    def read(self) -> PaceNow:
        """Return the pace in force. Raises `StorageError`."""
        schedule, law, now = self._item.read(), self._law, round(self._clock.now() * MICRO)
        pace, queued = law.at(schedule.pace, now), self._queue.read()
        return PaceNow(
            ceiling=_number(law.ceiling(schedule.pace)),
            deployed_ceiling=_number(law.rate.requests_per_second),
            pace=_number(round(pace, 2)),
            per_minute=_number(law.per_minute(schedule.pace)),
            held_until=format_time(instant(schedule.held_until / MICRO)) if schedule.held_until > now else None,
            holds=schedule.holds,
            circuit=schedule.circuit(now),
            senders={name: _number(rate) for name, rate in self._senders.by_name.items()},
            queued=queued,
            queue_seconds=_seconds(queued, pace),
        )

    def set_ceiling(self, number: float, by: str | None) -> PaceNow:
        """Set the ceiling to a number of requests a second, and return the pace in force.

        0 stops all sending. The deployed rate takes an operator's ceiling back. `by` is the caller's IAM principal.
        Raises `validation_failed`, and `StorageError`: the caller must repeat the request then.
        """
        ceiling = ceiling_from(number, self._law.rate)
        if ceiling is None:
            most = _number(self._law.rate.requests_per_second)
            fault = f"a ceiling is a number from 0 to {most}, the deployed rate, with at most three decimals"
            raise MessagingError(
                Code.VALIDATION_FAILED,
                "nothing was changed",
                errors=[FieldError(Code.INVALID_CEILING, "ceiling", fault)],
            )
        for _ in range(_MOST_RACES_LOST):
            if self._has_set(ceiling, by):
                return self.read()
        raise StorageError("other requests set the ceiling all the time")

    def _has_set(self, ceiling: int, by: str | None) -> bool:
        """Record the change, then make it; return False if another request was first.

        Each try begins with the item, so that the last entry is the one in force once nobody tries any more.
        """
        pace = self._item.read().pace
        own = None if ceiling == round(self._law.rate.requests_per_second * MICRO) else ceiling

        def unless_in_force(known: Sequence[Entry]) -> Draft | None:
            last = known[-1].sequence if known else 0
            if own == pace.ceiling and last == pace.ceiling_entry:
                return None
            # Entries hold integers and texts, no fractions.
            return Draft(
                EntryType.PACE_SET,
                {
                    "ceiling": str(as_number(ceiling)),
                    "previousCeiling": str(_number(self._law.ceiling(pace))),
                    "by": by,
                },
            )

        entry = self._journal.append(subjects.pace(), unless_in_force).new
        return entry is None or self._item.set_ceiling(own, entry=entry.sequence, seen=pace.ceiling_entry)


def _number(rate: float) -> float:
    return as_number(round(rate * MICRO))


def _seconds(queued: int | None, pace: float) -> int | None:
    """Return how many seconds `queued` records take at a pace in requests a second; None if for ever."""
    if not queued:
        return queued
    return math.ceil(queued / pace) if pace else None
