"""The faults of a chain: in itself, or in comparison with the checkpoints."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum

from cli.audit.chains import Chain
from cli.plain import visible
from cxone_messaging.domain.entries import FIRST_PREVIOUS_HASH, Entry, first_broken

_DAY = timedelta(days=1)


class Kind(StrEnum):
    """The kind of a fault."""

    CHANGED = "changed"
    MOVED = "moved"
    MISSING = "missing"
    DOES_NOT_FOLLOW = "does not follow"
    EXTRA = "not the ledger's"
    WRONG_DATE = "wrong date"
    REWRITTEN = "rewritten"
    CUT_OFF = "cut off"
    CHAIN_MISSING = "whole chain missing"
    ADDED = "added later"
    LATE = "entered late"
    UNSEEN = "not checkpointed yet"
    SKIPPED = "skipped"
    NO_CHECKPOINT = "no checkpoint"
    WRONG_CHECKPOINT = "wrong checkpoint"


# These occur without tampering: a frozen process or a slow clock appends an entry late, or a checkpoint could not read
# a chain. They are no alarm.
NOTES = frozenset({Kind.LATE, Kind.UNSEEN, Kind.SKIPPED})


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault, with the entry that shows it; `sequence` is None if it concerns a whole subject."""

    subject: str
    sequence: int | None
    kind: Kind
    detail: str

    def __str__(self) -> str:
        place = f", entry {self.sequence}" if self.sequence is not None else ""
        return visible(
            f"{self.subject}{place}: {self.kind} - {self.detail}"
        )  # anybody may have written the table's texts


def chain_faults(subject: str, entries: Collection[Entry]) -> list[Fault]:
    """Return the faults of a chain in itself; `entries` are in the order of their sequences."""
    if first_broken(subject, entries) is None:
        return []
    faults: list[Fault] = []
    previous: Entry | None = None  # the entry before, unless it is faulty itself
    place = 1
    for entry in entries:
        number = entry.sequence
        if number < place:
            detail = "no entry has this number, or there is another one of it"
            faults.append(Fault(subject, number, Kind.EXTRA, detail))
            continue
        if number > place:
            detail = f"entries {place} to {number - 1} are not there" if number > place + 1 else "it is not there"
            faults.append(Fault(subject, place, Kind.MISSING, detail))
            previous = None
        fault = _fault_of(entry, previous, len(entries))
        if fault:
            faults.append(fault)
        previous, place = None if fault else entry, number + 1
    return faults


def faults_of(chain: Chain, checkpointed: Collection[str], latest: date) -> list[Fault]:
    """Return all faults of a chain, and its late entries.

    `checkpointed` are the days with a checkpoint to compare with, `latest` is the last day that an entry may have.
    """
    entries = chain.entries
    faults = chain_faults(chain.subject, entries)
    reported = {fault.sequence for fault in faults}
    against = [*_against_checkpoints(chain, entries), *_skipped(chain, checkpointed)]
    # Only a chain that is intact in itself and matches all checkpoints may have late entries.
    is_as_seen = not faults and all(fault.kind in NOTES for fault in against)
    by_date = _by_date(chain, entries, checkpointed, latest, holds=is_as_seen)
    return faults + [
        fault for fault in (*against, *by_date) if fault.sequence is None or fault.sequence not in reported
    ]


def _fault_of(entry: Entry, previous: Entry | None, places: int) -> Fault | None:
    if entry.hash != entry.computed_hash():
        for place in range(1, places + 2):
            if replace(entry, sequence=place).computed_hash() == entry.hash:
                return Fault(entry.subject, entry.sequence, Kind.MOVED, f"it was made as entry {place}")
        return Fault(entry.subject, entry.sequence, Kind.CHANGED, "its hash is not that of what it says")
    if previous and entry.previous_hash != previous.hash:
        detail = f"entry {previous.sequence} has another hash: one of the two was changed and hashed anew, or put in"
        return Fault(entry.subject, entry.sequence, Kind.DOES_NOT_FOLLOW, detail)
    if entry.sequence == 1 and entry.previous_hash != FIRST_PREVIOUS_HASH:
        detail = "it is the first, and names one before it"
        return Fault(entry.subject, entry.sequence, Kind.DOES_NOT_FOLLOW, detail)
    return None


def _against_checkpoints(chain: Chain, entries: Collection[Entry]) -> Iterator[Fault]:
    """Yield the entries that a checkpoint lists and that are missing or changed."""
    if not chain.seen:
        return
    newest = max(chain.seen, key=lambda seen: (seen.sequence, seen.day))
    if not entries:
        finding = "could not read it" if newest.is_skipped else f"saw it end with entry {newest.sequence}"
        yield Fault(chain.subject, None, Kind.CHAIN_MISSING, f"the checkpoint of {newest.day} {finding}")
        return
    listed = {seen.sequence for seen in chain.seen}
    hashes: dict[int, str] = {}
    last = 0
    for entry in entries:
        last = entry.sequence
        if last in listed:
            hashes[last] = entry.hash
    if newest.sequence > last:
        missing = f"entries {last + 1} to {newest.sequence} are" if newest.sequence > last + 1 else "it is"
        detail = f"the checkpoint of {newest.day} saw it, and {missing} not there"
        yield Fault(chain.subject, last + 1, Kind.CUT_OFF, detail)
    confirmed = 0
    for seen in sorted((each for each in chain.seen if not each.is_skipped), key=lambda each: each.sequence):
        if seen.sequence in hashes and hashes[seen.sequence] != seen.hash:
            doubtful = f"entries {confirmed + 1} to {seen.sequence} are" if seen.sequence > confirmed + 1 else "it is"
            detail = f"the checkpoint of {seen.day} saw another hash there; {doubtful} in doubt"
            yield Fault(chain.subject, seen.sequence, Kind.REWRITTEN, detail)
            return
        confirmed = seen.sequence


def _skipped(chain: Chain, checkpointed: Collection[str]) -> Iterator[Fault]:
    """Yield the checkpoints that could not read an existing chain; later checkpoints vouch for it."""
    skipped = {each.day for each in chain.seen if each.is_skipped}
    for day in sorted(skipped) if chain.stored else ():
        later = _next_readable(day, skipped)
        proof = f"that of {later} vouches for it" if later in checkpointed else "the next one is still to be made"
        yield Fault(chain.subject, None, Kind.SKIPPED, f"the checkpoint of {day} could not read it; {proof}")


def _by_date(
    chain: Chain, entries: Collection[Entry], checkpointed: Collection[str], latest: date, *, holds: bool
) -> Iterator[Fault]:
    """Yield entries with an impossible date: the day's checkpoint does not cover them, or the day is in the future.

    The next day's checkpoint covers a late entry, or is still to be made. If a checkpoint could not read the chain, the
    next one takes its place.
    """
    seen = {each.day: each.sequence for each in chain.seen if not each.is_skipped}
    skipped = {each.day for each in chain.seen if each.is_skipped}
    for entry in entries:
        if not _is_by(entry.day, latest):
            yield Fault(chain.subject, entry.sequence, Kind.WRONG_DATE, "it is dated on no day up to now")
            continue
        day = _next_readable(entry.day, skipped) if entry.day in skipped else entry.day
        if day in checkpointed and entry.sequence > seen.get(day, 0):
            detail = f"the checkpoint of {day}, the day that it is dated on, did not see it"
            if day != entry.day:
                detail = f"the checkpoint of {day}, the first that could read its chain, did not see it"
            next_day = _next_readable(day, skipped)
            if holds and entry.sequence <= seen.get(next_day, 0):
                yield Fault(chain.subject, entry.sequence, Kind.LATE, f"{detail}; that of the day after did")
            elif holds and next_day not in checkpointed:
                detail = f"{detail}; that of the day after is still to be made"
                yield Fault(chain.subject, entry.sequence, Kind.UNSEEN, detail)
            else:
                detail = f"{detail}, nor did that of the day after" if holds else detail
                yield Fault(chain.subject, entry.sequence, Kind.ADDED, detail)


def _next_readable(day: str, skipped: Collection[str]) -> str:
    """Return the next day whose checkpoint did not skip a chain, or is still to be made."""
    later = date.fromisoformat(day)
    while True:
        later += _DAY
        if later.isoformat() not in skipped:
            return later.isoformat()


def _is_by(day: str, latest: date) -> bool:
    try:
        return date.fromisoformat(day) <= latest
    except ValueError:
        return False
