"""The verification of a whole ledger: its checkpoints first, then every chain, alone and against them."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta

from cli.audit.chains import Chain
from cli.audit.copy import Copy
from cli.audit.faults import Fault, Kind, faults_of
from cxone_messaging.domain import subjects
from cxone_messaging.domain.checkpoints import Checkpoint, last_complete_day
from cxone_messaging.domain.entries import FIRST_PREVIOUS_HASH, EntryType, first_broken

# The function runs every hour, so a checkpoint that is missing this long after its time is a fault.
OVERDUE_AFTER = timedelta(hours=2)

_DAY = timedelta(days=1)


class Verification:
    """A copy of the ledger, verified as of an instant not after the reading of its first item.

    `noted` are hashes of checkpoints that an operator kept elsewhere, by their days. `faults` are those of the
    checkpoints as such; `chains` yields the faults of all chains, those of checkpoints too. `late` are the late entries
    of the chains yielded so far.
    """

    def __init__(self, copy: Copy, now: datetime, noted: Mapping[date, str] | None = None) -> None:
        self._copy = copy
        self._now = now
        self._checkpointed: set[str] = set()
        self.checkpoints: dict[date, Checkpoint] = {}
        self.faults: list[Fault] = []
        self.late: list[Fault] = []
        for chain in copy.checkpoints():
            self._add_checkpoint(chain)
        self._check_links()
        self._check_days()
        self._check_noted(noted or {})

    def chains(self) -> Iterator[tuple[Chain, list[Fault]]]:
        """Yield every chain that exists or should exist, with its faults."""
        latest = self._now.date() + _DAY  # a new day may have begun while the ledger was read
        for chain in self._copy.chains():
            found = faults_of(chain, self._checkpointed, latest)
            self.late += [fault for fault in found if fault.kind is Kind.LATE]
            yield chain, [fault for fault in found if fault.kind is not Kind.LATE]

    def _add_checkpoint(self, chain: Chain) -> None:
        """Add a finished checkpoint; chains are compared with it only if it is intact."""
        day = _day_of(chain.subject)
        if day is None:
            detail = "its subject is a checkpoint's, but names no day"
            self.faults.append(Fault(chain.subject, None, Kind.WRONG_CHECKPOINT, detail))
            return
        entries = list(chain.entries)
        checkpoint = Checkpoint.read(day, entries)
        if checkpoint is None:
            return
        self.checkpoints[day] = replace(checkpoint, heads=(), skipped=())
        ends = sum(entry.type == EntryType.CHECKPOINT for entry in entries)
        if ends > 1 or not checkpoint.holds:
            detail = "its heads do not match its root and its count, or it continues after its end"
            self.faults.append(Fault(chain.subject, entries[-1].sequence, Kind.WRONG_CHECKPOINT, detail))
        elif first_broken(chain.subject, entries) is None and day <= last_complete_day(self._now):
            self._checkpointed.add(day.isoformat())
            self._copy.see(checkpoint)

    def _check_links(self) -> None:
        for day, checkpoint in self.checkpoints.items():
            before = self.checkpoints.get(day - _DAY)
            if before and checkpoint.previous != before.hash:
                detail = f"it does not name the checkpoint of {before.day} that is there: one of the two was made anew"
                self.faults.append(Fault(subjects.checkpoint(day), None, Kind.WRONG_CHECKPOINT, detail))

    def _check_days(self) -> None:
        """Find days without a checkpoint: every day since the first entry must have one, empty days too."""
        due = last_complete_day(self._now - OVERDUE_AFTER)
        dated = {day: subject for text, subject in self._copy.days().items() if (day := _date(text)) and day <= due}
        named = {each.day - _DAY for each in self.checkpoints.values() if each.previous != FIRST_PREVIOUS_HASH}
        expected = {*dated, *named, *self.checkpoints}
        first = min(expected, default=due + _DAY)
        for day in (first + number * _DAY for number in range((due - first).days + 1)):
            if day not in self.checkpoints:
                entries = f"; {dated[day]} has an entry of that day" if day in dated else ""
                detail = f"it was removed, or never made or finished{entries}"
                self.faults.append(Fault(subjects.checkpoint(day), None, Kind.NO_CHECKPOINT, detail))

    def _check_noted(self, noted: Mapping[date, str]) -> None:
        for day, noted_hash in noted.items():
            checkpoint = self.checkpoints.get(day)
            if checkpoint is None or checkpoint.hash != noted_hash:
                detail = "its hash is not the one that was noted: it, or an earlier checkpoint, was made anew"
                if checkpoint is None:
                    detail = "a hash of it was noted, and it is not there: it was removed, or this is another ledger"
                self.faults.append(Fault(subjects.checkpoint(day), None, Kind.WRONG_CHECKPOINT, detail))


def _day_of(subject: str) -> date | None:
    day = _date(subject.partition("#")[2])
    return day if day and subjects.checkpoint(day) == subject else None


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
