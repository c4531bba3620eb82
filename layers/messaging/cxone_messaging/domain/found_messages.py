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

    `created_at` is in Unix seconds, `written_at` the same as CXone writes it; an inbound message without a readable
    time has 0 and an empty text. `written` is the recipient's number as CXone writes it, or the author's of an inbound
    message; `number` has its digits alone and a plus sign. Both are empty if the record has none. `contact` identifies
    the conversation.
    """

    id: str
    direction: Direction
    created_at: float
    written_at: str
    written: str
    text: str
    channel: str
    contact: str
    receipts: tuple[Receipt, ...] = ()

    @property
    def number(self) -> str:
        """The number with its plus sign, as our own messages' numbers are compared."""
        digits = "".join(each for each in self.written if each in "0123456789")
        return f"+{digits}" if digits else ""

    @property
    def is_final(self) -> bool:
        """Whether the record already says that the message was delivered, or was not."""
        return any(receipt.word in {"delivered", "failed"} for receipt in self.receipts)


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a search, newest first; `next` continues it, and is empty on the last page."""

    messages: tuple[FoundMessage, ...]
    next: str
