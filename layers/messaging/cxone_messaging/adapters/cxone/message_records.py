"""What the use cases may ask of CXone's records of messages, where its API shows them."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from cxone_messaging.domain.found_messages import Direction, FoundMessage, Page
from cxone_messaging.platform.deadline import Deadline


class MessageRecords(Protocol):
    """CXone's records of messages. All methods raise `MessagingError`, and `StorageError`."""

    reads: int  # the requests that were made so far
    holds_references: bool  # whether contacts hold a reference to the last message to them

    def search(
        self, channels: Sequence[str], direction: Direction, since: float, scroll: str, deadline: Deadline
    ) -> Page:
        """Return a page of the channels' messages, newest first, of the days from `since` (Unix seconds) on."""
        ...

    def message(self, message_id: str, deadline: Deadline) -> FoundMessage | None:
        """Return one message; None if CXone has none with this id."""
        ...

    def reference(self, record: FoundMessage, deadline: Deadline) -> str:
        """Return the reference that a record's contact holds; empty if it holds none."""
        ...

    def channels(self, ids: Collection[str], deadline: Deadline) -> Mapping[str, bool | None]:
        """Return which of some channels exist, and whether each tracks delivery; None if CXone does not say."""
        ...
