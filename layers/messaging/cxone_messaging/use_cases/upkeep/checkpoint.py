"""Make the checkpoints of past days: the last entry of each chain on a day, under one Merkle root.

A run that breaks off is continued by the next run. A day's heads are recorded in parts, in the order of their subjects,
and a day without a last entry is unfinished. Missed days are made up for, the oldest first.

The chains of the previous day are read again: an entry dated on it may have been appended after its checkpoint.

A chain is read from its end, no further than its head. A chain that is too long for that, or unreadable, is listed as
skipped, and the next day's checkpoint reads it again. So no chain holds up the checkpoint of a day.

Because every chain of a day is read here, this run finds a message whose sender died at the latest on the next day.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from datetime import date, timedelta
from itertools import batched, dropwhile, groupby

from cxone_messaging.domain import subjects
from cxone_messaging.domain.checkpoints import (
    REACHED_KEY,
    SKIPPED_KEY,
    Checkpoint,
    Head,
    heads_in,
    is_finished,
    last_complete_day,
    reached,
    root_of,
    skipped_in,
)
from cxone_messaging.domain.entries import FIRST_PREVIOUS_HASH, Draft, Entry, EntryType, Value, first_broken
from cxone_messaging.domain.errors import StorageError
from cxone_messaging.platform.clock import Clock, instant
from cxone_messaging.platform.deadline import Deadline
from cxone_messaging.platform.telemetry import Metric, Telemetry
from cxone_messaging.use_cases.message_trail import MessageTrail
from cxone_messaging.use_cases.upkeep.chain_heads import SPARE_SECONDS, ChainHeads, Looked, Named, NoTimeError

# The heads in one entry: 30 KB as a rule, and below DynamoDB's 400 KB even with the longest subjects.
PART = 250
# A function that has not run for longer leaves days without a checkpoint. An audit reports such days.
LOOKBACK_DAYS = 60

_READERS = 16
_DAY = timedelta(days=1)


class _OvertakenError(Exception):
    """Another run is making this checkpoint."""


class _Part:
    """The next entry of heads; `last` is the last chain that was read."""

    def __init__(self, last: str) -> None:
        self.last = last
        self.is_behind = False
        self.listed: list[Value] = []
        self.skipped: list[Value] = []

    def take(self, subject: str, looked: Looked) -> None:
        """Add the result of reading a chain."""
        self.last, self.is_behind = subject, True
        if looked.trouble:
            self.skipped.append(subject)
        elif looked.head:
            self.listed.append(looked.head.written())

    @property
    def is_full(self) -> bool:
        """Whether the part is as long as an entry may be."""
        return len(self.listed) + len(self.skipped) == PART

    def written(self) -> dict[str, Value]:
        """Return the entry's data, and begin the next entry."""
        data: dict[str, Value] = {"heads": self.listed}
        if self.skipped:
            data[SKIPPED_KEY] = self.skipped
        self.listed, self.skipped, self.is_behind = [], [], False
        return data


class CheckpointLedger:
    """Makes checkpoints. Chains are read in parallel in the `executor`."""

    def __init__(
        self, trail: MessageTrail, clock: Clock, telemetry: Telemetry, executor: Executor | None = None
    ) -> None:
        self._trail = trail
        self._ledger = trail.journal.ledger
        self._clock = clock
        self._telemetry = telemetry
        self._heads = ChainHeads(trail, executor or ThreadPoolExecutor(_READERS))

    def __call__(self, deadline: Deadline) -> list[Checkpoint]:
        """Make the checkpoints that are due while there is time, and return them.

        Raises `StorageError`.
        """
        before, days = self._due()
        made: list[Checkpoint] = []
        try:
            for day in days:
                entries = self._make(day, before, deadline)
                checkpoint = Checkpoint.read(day, entries)
                if checkpoint is None:
                    break
                made.append(checkpoint)
                before = entries
        except _OvertakenError:
            pass  # the other run makes the rest, and the next run makes any that are still missing
        return made

    def _due(self) -> tuple[Sequence[Entry], list[date]]:
        """Return the newest checkpoint's entries and the days since, else all days since the first entry."""
        newest = last_complete_day(instant(self._clock.now()))
        days: list[date] = []
        for day in (newest - number * _DAY for number in range(LOOKBACK_DAYS)):
            entries = self._ledger.read(subjects.checkpoint(day))
            if is_finished(entries):
                return entries, days[::-1]
            days.append(day)
        return (), list(dropwhile(self._is_empty, reversed(days)))

    def _is_empty(self, day: date) -> bool:
        return next(self._ledger.subjects_of_day(day.isoformat()), None) is None

    def _make(self, day: date, before: Sequence[Entry], deadline: Deadline) -> Sequence[Entry]:
        """Make or continue one checkpoint, and return its entries. It is unfinished if time ran out.

        `before` are the entries of the previous day's checkpoint.
        """
        entries: Sequence[Entry] = self._ledger.read(subjects.checkpoint(day))
        if is_finished(entries):
            raise _OvertakenError
        part = _Part(reached(entries))
        chains = self._named(day, before, part.last)
        for named in batched(chains, PART, strict=False):
            in_time = deadline.left >= SPARE_SECONDS
            for each, looked in self._heads(named, day, deadline) if in_time else ():
                if isinstance(looked.trouble, NoTimeError):
                    in_time = False
                    break
                part.take(each.subject, looked)
                if looked.is_broken:
                    self._telemetry.add(Metric.BROKEN_CHAINS)
                self._mark_unknown(looked.dead)
                if part.is_full:
                    entries = self._append(day, entries, EntryType.CHECKPOINT_HEADS, part.written())
            if not in_time:
                if not part.is_behind:
                    return entries
                data = {**part.written(), REACHED_KEY: part.last}
                return self._append(day, entries, EntryType.CHECKPOINT_HEADS, data)
        if part.listed or part.skipped:
            entries = self._append(day, entries, EntryType.CHECKPOINT_HEADS, part.written())
        heads = list(heads_in(entries))
        previous = before[-1].hash if before else FIRST_PREVIOUS_HASH
        end: dict[str, Value] = {"count": len(heads), "root": root_of(heads), "previous": previous}
        return self._append(day, entries, EntryType.CHECKPOINT, end)

    def _named(self, day: date, before: Sequence[Entry], after: str) -> Iterator[Named]:
        """Yield the chains to read, in order: all chains with an entry on the day, or on the previous day.

        Chains of the previous day are included only if that day has a checkpoint, `before`; so are the chains that it
        skipped.
        """
        of_day = ((subject, 0) for subject in self._ledger.subjects_of_day(day.isoformat(), after))
        if not before:
            yield from (Named(subject, is_of_day=True) for subject, _ in of_day)
            return
        of_day_before = ((subject, 1) for subject in self._ledger.subjects_of_day((day - _DAY).isoformat(), after))
        skipped = set(skipped_in(before))
        seen = _in_order(heads_in(before))
        named = heapq.merge(of_day, of_day_before, ((subject, 2) for subject in sorted(skipped) if subject > after))
        for subject, group in groupby(named, key=lambda each: each[0]):
            days = {each[1] for each in group}
            yield Named(subject, 0 in days, seen(subject), was_skipped=subject in skipped)

    def _mark_unknown(self, chain: list[Entry] | None) -> None:
        """Record `unknown` for a message whose sender died; leave a broken chain alone.

        The entry is dated today, and so changes no head of the checkpoint's day.
        """
        if chain and first_broken(chain[0].subject, chain) is None:
            # The next day's run finds it again; no chain may hold up the checkpoint.
            with suppress(StorageError):
                self._trail.mark_overdue_unknown(chain[0].subject, chain)

    def _append(
        self, day: date, entries: Sequence[Entry], type_: EntryType, data: Mapping[str, Value]
    ) -> Sequence[Entry]:
        def decide(known: Sequence[Entry]) -> Draft | None:
            if len(known) != len(entries):
                raise _OvertakenError
            return Draft(type_, data)

        return self._trail.journal.append(subjects.checkpoint(day), decide, known=entries).entries


def _in_order(heads: Iterable[Head]) -> Callable[[str], Head | None]:
    """Return a lookup of heads by subject, for heads and lookups in the same order."""
    rest = iter(heads)
    head = next(rest, None)

    def find(subject: str) -> Head | None:
        nonlocal head
        while head and head.subject < subject:
            head = next(rest, None)
        return head if head and head.subject == subject else None

    return find
