"""A message as CXone's own records have it, found by a search or by its id."""

from dataclasses import dataclass
from enum import StrEnum


class Direction(StrEnum):
    """Who wrote a message: we, or the recipient."""

    OUTBOUND = "outbound"
    INBOUND = "inbound"


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a record says about a message's delivery: the word, its time as written, and a failure's reason."""

    word: str
    timestamp: str
    error: str | None = None


@dataclass(frozen=True, slots=True)
class FoundMessage:
    """One record.

    `created_at` is in Unix seconds, `written_at` the same as CXone writes it. `number` is the recipient's, or the
    author's of an inbound message, with its plus sign; empty if the record has none. `contact` identifies the
    conversation.
    """

    id: str
    direction: Direction
    created_at: float
    written_at: str
    number: str
    text: str
    channel: str
    contact: str
    receipts: tuple[Receipt, ...] = ()

    @property
    def is_final(self) -> bool:
        """Whether the record already says that the message was delivered, or was not."""
        return any(receipt.word in {"delivered", "failed"} for receipt in self.receipts)


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a search, newest first; `next` continues it, and is empty on the last page."""

    messages: tuple[FoundMessage, ...]
    next: str
