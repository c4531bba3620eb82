"""A chain in the table that is audited."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from cxone_messaging.domain.entries import Entry, Value


@dataclass(frozen=True, slots=True)
class Stored:
    """An item of the table: its attributes, and the entry that they make."""

    attributes: Mapping[str, Value]
    entry: Entry


@dataclass(frozen=True, slots=True)
class Seen:
    """The end of a chain according to a day's checkpoint; without a hash, the chain could not be read."""

    day: str
    sequence: int
    hash: str

    @property
    def is_skipped(self) -> bool:
        """Whether the checkpoint says that the chain could not be read."""
        return not self.hash


class Reread[T](Collection[T]):
    """A collection too large for memory: each iteration calls `read`, which returns all items anew."""

    def __init__(self, read: Callable[[], Iterator[T]], number: int) -> None:
        self._read = read
        self._number = number

    def __iter__(self) -> Iterator[T]:
        """Return an iterator over all items."""
        return self._read()

    def __len__(self) -> int:
        """Return the number of items."""
        return self._number

    def __contains__(self, sought: object) -> bool:
        """Return whether an item is in the collection."""
        return any(each == sought for each in self)


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain's stored entries, and its ends according to checkpoints; either may be empty."""

    subject: str
    stored: Collection[Stored]
    seen: Sequence[Seen]

    @property
    def entries(self) -> Collection[Entry]:
        """The chain's entries, in the order of their sequences."""
        if isinstance(self.stored, Reread):
            return Reread(lambda: (each.entry for each in self.stored), len(self.stored))
        return [each.entry for each in self.stored]
