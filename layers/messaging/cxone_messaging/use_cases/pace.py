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
from cxone_messaging.domain.pace_state import AccountLimits, Circuit, as_number, ceiling_from, pace_of
from cxone_messaging.domain.schedule import MICRO
from cxone_messaging.domain.times import format_time
from cxone_messaging.platform.clock import Clock, instant
from cxone_messaging.use_cases.journal import Journal

# Each lost race means that another request has set a ceiling.
_MOST_RACES_LOST = 20


@dataclass(frozen=True, slots=True)
class PaceNow:
    """The pace in force: rates in requests a second, but for `per_minute`.

    `holds` counts the 429s since the last success. `held_until` is None while nothing holds the senders back. `queued`
    are the records on the bulk queue, `queue_seconds` the time that they take at this pace; each is None if unknown.
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
        self, *, journal: Journal, item: PaceStore, queue: QueueLength, limits: AccountLimits, clock: Clock
    ) -> None:
        self._journal = journal
        self._item = item
        self._queue = queue
        self._limits = limits
        self._clock = clock

    def read(self) -> PaceNow:
        """Return the pace in force. Raises `StorageError`."""
        state, limits = self._item.read(), self._limits
        now = round(self._clock.now() * MICRO)
        pace, per_minute, queued = pace_of(state, limits), state.per_minute_within(limits), self._queue.read()
        return PaceNow(
            ceiling=as_number(state.ceiling_within(limits)),
            deployed_ceiling=as_number(limits.ceiling),
            pace=as_number(pace),
            per_minute=as_number(per_minute),
            held_until=format_time(instant(state.held_until / MICRO)) if state.held_until > now else None,
            holds=state.holds,
            circuit=state.circuit(now),
            senders={name: as_number(round(rate * MICRO)) for name, rate in limits.senders.by_name.items()},
            queued=queued,
            queue_seconds=_seconds(queued, min(pace, per_minute / 60)),
        )

    def set_ceiling(self, number: float, by: str | None) -> PaceNow:
        """Set the ceiling to a number of requests a second, and return the pace in force.

        0 stops all sending. The deployed rate takes an operator's ceiling back. `by` is the caller's IAM principal.
        Raises `validation_failed`, and `StorageError`: the caller must repeat the request then.
        """
        ceiling = ceiling_from(number, self._limits)
        if ceiling is None:
            most = as_number(self._limits.ceiling)
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
        state = self._item.read()
        own = None if ceiling == self._limits.ceiling else ceiling

        def unless_in_force(known: Sequence[Entry]) -> Draft | None:
            last = known[-1].sequence if known else 0
            if own == state.ceiling and last == state.ceiling_entry:
                return None
            # Entries hold integers and texts, no fractions.
            return Draft(
                EntryType.PACE_SET,
                {
                    "ceiling": str(as_number(ceiling)),
                    "previousCeiling": str(as_number(state.ceiling_within(self._limits))),
                    "by": by,
                },
            )

        entry = self._journal.append(subjects.pace(), unless_in_force).new
        return entry is None or self._item.set_ceiling(own, entry=entry.sequence, seen=state.ceiling_entry)


def _seconds(queued: int | None, pace: float) -> int | None:
    """Return how many seconds `queued` records take at a pace in micro-requests a second; None if for ever."""
    if not queued:
        return queued
    return math.ceil(queued * MICRO / pace) if pace else None
