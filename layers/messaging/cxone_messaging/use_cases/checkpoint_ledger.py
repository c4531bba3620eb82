"""Make the checkpoints of the days that are over: what every chain of a day ended with, under one Merkle root.

Whoever runs it next goes on where a run broke off: a day's heads are entered in parts, in the order of their subjects,
and a day without a last entry is not finished. Days that no run came to are caught up with, the oldest first.

The chains of the day before are read again: an entry dated on it may have come after its checkpoint.

A chain is read from its end, no further than its head. One that is too long for that, or can't be read, is listed as
skipped; the next day's checkpoint looks at it again. So no chain keeps a day, or later days, from being checkpointed.

Since every chain of a day is looked at here anyway, a message whose sender died and that nobody has asked for is found
here too, at the latest on the next day.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from datetime import date, timedelta
from itertools import batched, dropwhile, groupby

from cxone_messaging.adapters.ledger import Draft, Ledger, append
from cxone_messaging.domain.checkpoints import (
    REACHED_KEY,
    SKIPPED_KEY,
    Checkpoint,
    Head,
    heads_in,
    is_finished,
    reached,
    root_of,
    settled_day,
    skipped_in,
    subject_of,
)
from cxone_messaging.domain.entries import FIRST_PREVIOUS_HASH, Entry, EntryType, Value, first_broken
from cxone_messaging.domain.errors import StorageError
from cxone_messaging.platform.clock import Clock, instant
from cxone_messaging.platform.telemetry import Metric, Telemetry
from cxone_messaging.use_cases.chain_heads import SPARE_SECONDS, ChainHeads, Looked, Named, NoTimeError
from cxone_messaging.use_cases.settle import settle_overdue

# So many heads stand in one entry: 30 KB as a rule, and below DynamoDB's 400 KB even where each subject is as long as
# one can be.
PART = 250
# A function that has not run for longer than this leaves days without a checkpoint, as an audit will say.
LOOKBACK_DAYS = 60

_READERS = 16
_DAY = timedelta(days=1)


class _OvertakenError(Exception):
    """Another run is making this checkpoint."""


class _Part:
    """What the next entry of heads lists; `last` is the last chain that was dealt with."""

    def __init__(self, last: str) -> None:
        self.last = last
        self.is_behind = False
        self.listed: list[Value] = []
        self.skipped: list[Value] = []

    def take(self, subject: str, looked: Looked) -> None:
        """Take in what a look at a chain found."""
        self.last, self.is_behind = subject, True
        if looked.trouble:
            self.skipped.append(subject)
        elif looked.head:
            self.listed.append(looked.head.written())

    @property
    def is_full(self) -> bool:
        """Whether it is as long as an entry may be."""
        return len(self.listed) + len(self.skipped) == PART

    def written(self) -> dict[str, Value]:
        """Give it as it stands in an entry, and begin the next one."""
        told: dict[str, Value] = {"heads": self.listed}
        if self.skipped:
            told[SKIPPED_KEY] = self.skipped
        self.listed, self.skipped, self.is_behind = [], [], False
        return told


class CheckpointLedger:
    """The use case. Chains are read side by side in the `executor`; one of its own, where none is given."""

    def __init__(self, ledger: Ledger, clock: Clock, telemetry: Telemetry, executor: Executor | None = None) -> None:
        self._ledger = ledger
        self._clock = clock
        self._telemetry = telemetry
        self._heads = ChainHeads(ledger, clock, executor or ThreadPoolExecutor(_READERS))

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
        part = _Part(reached(entries))
        chains = self._named(day, before, part.last)
        for named in batched(chains, PART, strict=False):
            in_time = seconds_left() >= SPARE_SECONDS
            for each, looked in self._heads(named, day, seconds_left) if in_time else ():
                if isinstance(looked.trouble, NoTimeError):
                    in_time = False
                    break
                part.take(each.subject, looked)
                if looked.is_broken:
                    self._telemetry.add(Metric.BROKEN_CHAINS)
                self._settle(looked.dead)
                if part.is_full:
                    entries = self._append(day, entries, EntryType.CHECKPOINT_HEADS, part.written())
            if not in_time:
                if not part.is_behind:
                    return entries
                told = {**part.written(), REACHED_KEY: part.last}
                return self._append(day, entries, EntryType.CHECKPOINT_HEADS, told)
        if part.listed or part.skipped:
            entries = self._append(day, entries, EntryType.CHECKPOINT_HEADS, part.written())
        heads = list(heads_in(entries))
        previous = before[-1].hash if before else FIRST_PREVIOUS_HASH
        end: dict[str, Value] = {"count": len(heads), "root": root_of(heads), "previous": previous}
        return self._append(day, entries, EntryType.CHECKPOINT, end)

    def _named(self, day: date, before: Sequence[Entry], after: str) -> Iterator[Named]:
        """Name in their order the chains to look at: those with an entry of a day, and of the day before.

        The latter if that day has a checkpoint, `before`; chains that it skipped are named, too.
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

    def _settle(self, chain: list[Entry] | None) -> None:
        """Settle a message whose sender died; a chain that doesn't hold is left as it is.

        The entry is of today, and so moves no head of the day that is checkpointed.
        """
        if chain and first_broken(chain[0].subject, chain) is None:
            # Found again the next day, if not before; no chain may keep the others from being checkpointed.
            with suppress(StorageError):
                settle_overdue(self._ledger, self._clock, self._telemetry, chain[0].subject, chain)

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
