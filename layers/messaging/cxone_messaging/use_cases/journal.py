"""Append to the ledger's chains: the entries of a chain decide about each append.

An insert at a taken sequence fails. The writer then reads the chain again and decides again. So one condition serves
the hash chain, deduplication and fencing.
"""

from collections.abc import Callable, Sequence
from itertools import islice
from typing import NamedTuple

from cxone_messaging.domain.delivery_bounds import MOST_DELIVERIES, deliveries_in
from cxone_messaging.domain.entries import Draft, Entry, unbroken
from cxone_messaging.domain.errors import StorageError
from cxone_messaging.domain.ledger import BrokenChainError, Ledger, SequenceTakenError
from cxone_messaging.platform.clock import Clock, instant

# As a rule, all entries of a message: its receipts, and as many entries of its senders and batches.
WINDOW = 2 * MOST_DELIVERIES
# A lost race means that another writer's append succeeded. This many in a row mean a fault, not contention.
_MOST_RACES_LOST = 100
# An event that loses this many races is refused; CXone posts it again.
_MOST_EVENT_RACES_LOST = 20
_ALWAYS_TAKEN = "the ledger's next sequence is always taken"

type Decide = Callable[[Sequence[Entry]], Draft | None]


class Appended(NamedTuple):
    """A subject's entries after an append, and the appended entry; None if `decide` returned None."""

    entries: list[Entry]
    new: Entry | None


class Journal:
    """Reads chains of the ledger, and appends to them."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self.ledger = ledger
        self._clock = clock

    def read(self, subject: str) -> list[Entry]:
        """Return all entries of a subject. Raises `StorageError`."""
        return self.ledger.read(subject)

    def entry(self, draft: Draft, subject: str, after: Sequence[Entry] = ()) -> Entry:
        """Return the entry that a draft becomes after the entries `after`, dated now.

        Nothing is written.
        """
        return draft.following(after, subject, instant(self._clock.now()))

    def append(
        self, subject: str, decide: Decide, *, known: Sequence[Entry] | None = None, before_gap: bool = False
    ) -> Appended:
        """Append the draft that `decide` returns for the subject's entries.

        `decide` is called again with newer entries whenever another writer was first; None appends nothing.
        `known` are entries that the caller has read, which saves a read while no other writer appends.

        A chain with a gap in its sequences accepts no entry: `BrokenChainError`. With `before_gap` it does, and the
        entries before the gap count as the whole chain. Raises `StorageError`.
        """
        entries = list(self.ledger.read(subject) if known is None else known)
        for _ in range(_MOST_RACES_LOST):
            kept = unbroken(entries)
            is_broken = kept is not entries
            if is_broken and before_gap:
                entries = list(kept)
            draft = decide(entries)
            if draft is None:
                return Appended(entries, None)
            if is_broken and not before_gap:
                raise BrokenChainError(subject, kept)
            entry = self.entry(draft, subject, entries)
            try:
                self.ledger.insert(entry)
            except SequenceTakenError:
                entries = self.ledger.read(subject)
            else:
                return Appended([*entries, entry], entry)
        raise StorageError(_ALWAYS_TAKEN)

    def oldest(self, subject: str) -> list[Entry]:
        """Return a chain's first `WINDOW` entries, in one call. Raises `StorageError`."""
        return list(islice(self.ledger.walk(subject, page=WINDOW), WINDOW))

    def newest(self, subject: str) -> list[Entry]:
        """Return a chain's last `WINDOW` entries, oldest first, in one call. Raises `StorageError`."""
        return list(islice(self.ledger.walk(subject, backwards=True, page=WINDOW), WINDOW))[::-1]

    def read_for_event(self, subject: str) -> list[Entry]:
        """Return the entries that an event needs: the whole chain, or both ends if it has no room for events.

        Events alone do not make a chain so long. Senders and batches may, and events did before they were bounded.
        Raises `StorageError`.
        """
        end = self.newest(subject)
        if len(end) < WINDOW or end[0].sequence <= 1:
            # A chain with gaps is read by the ledger, which counts it.
            return end if not end or end[-1].sequence == len(end) else self.ledger.read(subject)
        if len(deliveries_in(end)) < MOST_DELIVERIES:
            return self.ledger.read(subject)
        return [entry for entry in self.oldest(subject) if entry.sequence < end[0].sequence] + end

    def append_to_ends(self, subject: str, decide: Decide, ends: list[Entry]) -> Appended:
        """Append as `append` does, but with only the ends of a long chain; return the new ends.

        Raises `BrokenChainError` if either end has a gap, and `StorageError`.
        """
        is_reread = False
        for _ in range(_MOST_EVENT_RACES_LOST):
            draft = decide(ends)
            if draft is None:
                return Appended(ends, None)
            if _has_gap(ends):
                if is_reread:
                    raise BrokenChainError(subject, unbroken(ends))
                # A query is no snapshot, so it may show a gap that does not exist.
                ends, is_reread = self.read_for_event(subject), True
                continue
            entry = self.entry(draft, subject, ends)
            try:
                self.ledger.insert(entry)
            except SequenceTakenError:
                ends = self.read_for_event(subject)
            else:
                return Appended([*ends, entry], entry)
        raise StorageError(_ALWAYS_TAKEN)


def is_ends_only(entries: Sequence[Entry]) -> bool:
    """Whether entries are only the two ends of a chain."""
    return len(entries) >= WINDOW and entries[-1].sequence > len(entries)


def _has_gap(ends: Sequence[Entry]) -> bool:
    """Whether a sequence is missing, or repeated, in the first or the last entries of a chain."""
    first, last = ends[:WINDOW], ends[-WINDOW:]
    follow = all(entry.sequence == last[0].sequence + place for place, entry in enumerate(last))
    return not follow or unbroken(first) is not first
