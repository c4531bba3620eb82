"""The ledger as use cases see it: an append-only table of chained entries.

It has no way to change or remove an entry.
"""

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum, auto
from typing import Protocol

from cxone_messaging.domain.entries import Entry, EntryType
from cxone_messaging.domain.errors import StorageError

# The index key of the entries that have a message's id at CXone.
CXONE_MESSAGE_KEY = "cxoneMessageId"


class Insertion(Enum):
    """The result of one of several inserts.

    `FAILED` means that the entry is not, or perhaps not, stored.
    """

    INSERTED = auto()
    TAKEN = auto()
    FAILED = auto()


class SequenceTakenError(Exception):
    """Another entry already has this sequence."""


class BrokenChainError(StorageError):
    """A chain has a gap in its sequences.

    Our appends leave no gaps, so no entry is appended to such a chain. `subject` is the chain's subject, `kept` its
    entries before the gap.
    """

    def __init__(self, subject: str, kept: Sequence[Entry]) -> None:
        super().__init__("a chain of the ledger has a gap")
        self.subject = subject
        self.kept = kept


class Ledger(Protocol):
    """An append-only table of chained entries."""

    def insert(self, entry: Entry) -> None:
        """Append an entry.

        Raises `SequenceTakenError`; `StorageError` if it is not, or perhaps not, stored.
        """
        ...

    def insert_many(self, entries: Sequence[Entry]) -> list[Insertion]:
        """Append entries of different subjects, and return the result of each. Never raises."""
        ...

    def read(self, subject: str) -> list[Entry]:
        """Return all of a subject's entries in their order, including the entries just written."""
        ...

    def walk(self, subject: str, *, backwards: bool = False, page: int | None = None) -> Iterator[Entry]:
        """Yield a subject's entries, in their order or the newest first, including the entries just written.

        One call reads `page` entries when the iterator reaches the first of them; `StorageError` is raised then.
        """
        ...

    def batch_entries(self, batch_id: str) -> list[Entry]:
        """Return the entries of a batch's messages, reduced to what a status needs.

        The newest may be missing.
        """
        ...

    def subject_of_cxone_message(self, cxone_message_id: str) -> str | None:
        """Return the subject whose entries contain CXone's id, or None.

        The newest may be missing for a moment. Of several subjects, the result is the one whose sender got the id from
        CXone.
        """
        ...

    def subjects_of_cxone_message(self, cxone_message_id: str) -> list[str]:
        """Return all subjects whose entries contain CXone's id, each once. The newest may be missing for a moment."""
        ...

    def subjects_of_day(self, day: str, after: str = "") -> Iterator[str]:
        """Yield the subjects after `after` with an entry of `day`, sorted, each once.

        The newest may be missing.
        """
        ...

    def flagged(self, why: str, since: str, until: str) -> Iterator[str]:
        """Yield the subjects that were flagged with `why` between `since` and `until`, the newest first.

        `why` is an `Attention`, or what `sends_of` returns.
        """
        ...


def sent_as(entries: Iterable[Entry], cxone_message_id: str) -> bool:
    """Whether the sender of a message with these entries got this id from CXone."""
    return any(
        entry.type == EntryType.DISPATCHED and entry.index.get(CXONE_MESSAGE_KEY) == cxone_message_id
        for entry in entries
    )
