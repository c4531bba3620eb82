"""The ledger as use cases see it: an append-only table of chained entries. There is no way to change or remove one."""

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum, auto
from typing import Protocol

from cxone_messaging.domain.attention import Attention
from cxone_messaging.domain.entries import Entry, EntryType
from cxone_messaging.domain.errors import StorageError

# The index key of the entries that have a message's id at CXone.
CXONE_MESSAGE_KEY = "cxoneMessageId"


class Insertion(Enum):
    """What became of one of several inserts; `FAILED` where the entry is not in, or nobody can find out."""

    INSERTED = auto()
    TAKEN = auto()
    FAILED = auto()


class SequenceTakenError(Exception):
    """Another entry stands at this sequence already."""


class BrokenChainError(StorageError):
    """A chain has a gap in its sequences, which no append of ours leaves: nothing is appended to it.

    `subject` is the chain's, `kept` its entries before the gap.
    """

    def __init__(self, subject: str, kept: Sequence[Entry]) -> None:
        super().__init__("a chain of the ledger has a gap")
        self.subject = subject
        self.kept = kept


class Ledger(Protocol):
    """An append-only table of chained entries."""

    def insert(self, entry: Entry) -> None:
        """Append an entry. Raises `SequenceTakenError`, or `StorageError` where it is not in or nobody can find out."""
        ...

    def insert_many(self, entries: Sequence[Entry]) -> list[Insertion]:
        """Append entries of different subjects, and return what became of each. Never raises."""
        ...

    def read(self, subject: str) -> list[Entry]:
        """Read all of a subject's entries in their order, those just written included."""
        ...

    def walk(self, subject: str, *, backwards: bool = False, page: int | None = None) -> Iterator[Entry]:
        """Give a subject's entries one by one, in their order or the newest first, those just written included.

        So many as a `page` has are read at once, when the first of them is asked for. Raises `StorageError` then.
        """
        ...

    def batch_entries(self, batch_id: str) -> list[Entry]:
        """Read a batch's messages' entries, as much of each as their status takes; the newest may be missing."""
        ...

    def subject_of_cxone_message(self, cxone_message_id: str) -> str | None:
        """Find the subject whose entries bear CXone's id; the newest may not be found for a moment.

        Of several, it is the one whose sender got the id from CXone.
        """
        ...

    def subjects_of_day(self, day: str, after: str = "") -> Iterator[str]:
        """Name in their order, each once, the subjects with an entry of a day, those after one; the newest may miss."""
        ...

    def flagged(self, why: Attention, since: str, until: str) -> Iterator[str]:
        """Name the subjects of entries that are in the index for that reason, of an interval, the newest first."""
        ...


def sent_as(entries: Iterable[Entry], cxone_message_id: str) -> bool:
    """Whether the sender of a message with these entries got this id from CXone."""
    return any(
        entry.type == EntryType.DISPATCHED and entry.index.get(CXONE_MESSAGE_KEY) == cxone_message_id
        for entry in entries
    )
