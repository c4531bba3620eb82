"""Make the checkpoints of the days that are over: what every chain of a day ended with, under one Merkle root.

Whoever runs it next goes on where a run broke off: a day's heads are entered in parts, in the order of their subjects,
and a day without a last entry is not finished. Days that no run came to are caught up with, the oldest first.

The chains of the day before are read again: an entry dated on it may have come after its checkpoint.

Since every chain of a day is read here anyway, a message whose sender died and that nobody has asked for is found here
too, at the latest on the next day.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import date, timedelta
from itertools import batched, dropwhile, groupby

from cxone_messaging.adapters.ledger import Draft, Ledger, append
from cxone_messaging.domain.checkpoints import (
    REACHED_KEY,
    Checkpoint,
    Head,
    heads_in,
    is_finished,
    listed_head_of,
    reached,
    root_of,
    settled_day,
    subject_of,
)
from cxone_messaging.domain.entries import FIRST_PREVIOUS_HASH, Entry, EntryType, Value, first_broken
from cxone_messaging.domain.messages import fold, is_message
from cxone_messaging.platform.clock import Clock, instant
from cxone_messaging.platform.telemetry import Telemetry
from cxone_messaging.use_cases.settle import is_overdue, settle_overdue

# So many heads stand in one entry: 30 KB as a rule, and below DynamoDB's 400 KB even where each subject is as long as
# one can be.
PART = 250
# A function that has not run for longer than this leaves days without a checkpoint, as an audit will say.
LOOKBACK_DAYS = 60

_READERS = 16
# Left of an invocation's time for reading one more part, and for the last entry.
_SPARE_SECONDS = 30.0
_DAY = timedelta(days=1)


class _OvertakenError(Exception):
    """Another run is making this checkpoint."""


class CheckpointLedger:
    """The use case. Chains are read side by side in the `executor`; one of its own, where none is given."""

    def __init__(self, ledger: Ledger, clock: Clock, telemetry: Telemetry, executor: Executor | None = None) -> None:
        self._ledger = ledger
        self._clock = clock
        self._telemetry = telemetry
        self._executor = executor or ThreadPoolExecutor(_READERS)

    def __call__(self, seconds_left: Callable[[], float]) -> list[Checkpoint]:
        """Make what checkpoints are due and can be made in the time left, and give them. Raises `StorageError`."""
        before, days = self._due()
        made: list[Checkpoint] = []
        try:
            for day in days:
                entries = self._make(day, before, seconds_left)
                checkpoint = Checkpoint.read(day, entries)
                if checkpoint is None:
                    break
                made.append(checkpoint)
                before = entries
        except _OvertakenError:
            pass  # it goes on with what is left, and the next run finds what is not
        return made

    def _due(self) -> tuple[Sequence[Entry], list[date]]:
        """Give the newest checkpoint's entries and the days since; with none, those from the first with entries on."""
        newest = settled_day(instant(self._clock.now()))
        days: list[date] = []
        for day in (newest - number * _DAY for number in range(LOOKBACK_DAYS)):
            entries = self._ledger.read(subject_of(day))
            if is_finished(entries):
                return entries, days[::-1]
            days.append(day)
        return (), list(dropwhile(self._is_empty, reversed(days)))

    def _is_empty(self, day: date) -> bool:
        return next(self._ledger.subjects_of_day(day.isoformat()), None) is None

    def _make(self, day: date, before: Sequence[Entry], seconds_left: Callable[[], float]) -> Sequence[Entry]:
        """Make one checkpoint, or go on with one, and return its entries. It is not finished where the time was up.

        `before` are the entries of the checkpoint of the day before.
        """
        entries: Sequence[Entry] = self._ledger.read(subject_of(day))
        if is_finished(entries):
            raise _OvertakenError
        seen = _in_order(heads_in(before))
        last = written_up_to = reached(entries)
        listed: list[Value] = []
        for subjects in batched(self._subjects(day, last, is_first=not before), PART, strict=False):
            if seconds_left() < _SPARE_SECONDS:
                if last > written_up_to:
                    data: dict[str, Value] = {"heads": listed, REACHED_KEY: last}
                    entries = self._append(day, entries, EntryType.CHECKPOINT_HEADS, data)
                return entries
            chains = self._executor.map(self._ledger.read, subjects)
            for subject, chain in zip(subjects, map(self._settled, chains), strict=True):
                head = listed_head_of(chain, day, seen(subject))
                if head:
                    listed.append(head.written())
                if len(listed) == PART:
                    entries = self._append(day, entries, EntryType.CHECKPOINT_HEADS, {"heads": listed})
                    written_up_to, listed = subject, []
            last = subjects[-1]
        if listed:
            entries = self._append(day, entries, EntryType.CHECKPOINT_HEADS, {"heads": listed})
        heads = list(heads_in(entries))
        previous = before[-1].hash if before else FIRST_PREVIOUS_HASH
        told: dict[str, Value] = {"count": len(heads), "root": root_of(heads), "previous": previous}
        return self._append(day, entries, EntryType.CHECKPOINT, told)

    def _subjects(self, day: date, after: str, *, is_first: bool) -> Iterator[str]:
        """Name in their order the subjects with an entry of a day, or of the day before if that has a checkpoint."""
        days = [day] if is_first else [day, day - _DAY]
        named = heapq.merge(*(self._ledger.subjects_of_day(each.isoformat(), after) for each in days))
        return (subject for subject, _ in groupby(named))

    def _settled(self, chain: list[Entry]) -> list[Entry]:
        """Settle a message whose sender died; a chain that doesn't hold is left as it is.

        The entry is of today, and so moves no head of the day that is checkpointed.
        """
        subject = chain[0].subject if chain else ""
        dead = is_message(subject) and is_overdue(fold("", chain), self._clock) and first_broken(subject, chain) is None
        return settle_overdue(self._ledger, self._clock, self._telemetry, subject, chain) if dead else chain

    def _append(
        self, day: date, entries: Sequence[Entry], type_: EntryType, data: Mapping[str, Value]
    ) -> Sequence[Entry]:
        def decide(known: Sequence[Entry]) -> Draft | None:
            if len(known) != len(entries):
                raise _OvertakenError
            return Draft(type_, data)

        return append(self._ledger, self._clock, subject_of(day), decide, known=entries)


def _in_order(heads: Iterable[Head]) -> Callable[[str], Head | None]:
    """Make a lookup of heads by their subjects, which stand in their order and are asked for in it."""
    rest = iter(heads)
    head = next(rest, None)

    def find(subject: str) -> Head | None:
        nonlocal head
        while head and head.subject < subject:
            head = next(rest, None)
        return head if head and head.subject == subject else None

    return find
