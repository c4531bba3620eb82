"""Make the checkpoints of the days that are over: what every chain of a day ended with, under one Merkle root.

Whoever runs it next goes on where a run broke off: a day's heads are entered in parts, in the order of their subjects,
and a day without a last entry is not finished. Days that no run came to are caught up with, the oldest first.

Since every chain of a day is read here anyway, a message whose sender died and that nobody has asked for is found here
too, at the latest on the next day.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import date, timedelta
from itertools import batched, dropwhile

from cxone_messaging.adapters.ledger import Draft, Ledger, append
from cxone_messaging.domain.checkpoints import (
    Checkpoint,
    head_of,
    heads_in,
    is_finished,
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
        previous, days = self._due()
        made: list[Checkpoint] = []
        try:
            for day in days:
                checkpoint = self._make(day, previous, seconds_left)
                if checkpoint is None:
                    break
                made.append(checkpoint)
                previous = checkpoint.hash
        except _OvertakenError:
            pass  # it goes on with what is left, and the next run finds what is not
        return made

    def _due(self) -> tuple[str, list[date]]:
        """Give the newest checkpoint's hash and the days since; with none, those from the first with entries on."""
        newest = settled_day(instant(self._clock.now()))
        days: list[date] = []
        for day in (newest - number * _DAY for number in range(LOOKBACK_DAYS)):
            entries = self._ledger.read(subject_of(day))
            if is_finished(entries):
                return entries[-1].hash, days[::-1]
            days.append(day)
        return FIRST_PREVIOUS_HASH, list(dropwhile(self._is_empty, reversed(days)))

    def _is_empty(self, day: date) -> bool:
        return next(self._ledger.subjects_of_day(day.isoformat()), None) is None

    def _make(self, day: date, previous: str, seconds_left: Callable[[], float]) -> Checkpoint | None:
        """Make one checkpoint, or finish one; None where the time is up."""
        entries: Sequence[Entry] = self._ledger.read(subject_of(day))
        if is_finished(entries):
            raise _OvertakenError
        last = max((head.subject for head in heads_in(entries)), default="")
        for subjects in batched(self._ledger.subjects_of_day(day.isoformat(), last), PART, strict=False):
            if seconds_left() < _SPARE_SECONDS:
                return None
            chains = [self._settled(chain) for chain in self._executor.map(self._ledger.read, subjects)]
            listed: list[Value] = [head.written() for chain in chains if (head := head_of(chain, day))]
            entries = self._append(day, entries, EntryType.CHECKPOINT_HEADS, {"heads": listed})
        heads = list(heads_in(entries))
        told: dict[str, Value] = {"count": len(heads), "root": root_of(heads), "previous": previous}
        return Checkpoint.read(day, self._append(day, entries, EntryType.CHECKPOINT, told))

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
