"""A chain as the audit finds it."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from cxone_messaging.domain.entries import Entry, Value


@dataclass(frozen=True, slots=True)
class Stored:
    """An item of the table: all that stands in it, and how it reads as an entry."""

    attributes: Mapping[str, Value]
    entry: Entry


@dataclass(frozen=True, slots=True)
class Seen:
    """What a day's checkpoint says that a chain ended with; without a hash, that it could not be read."""

    day: str
    sequence: int
    hash: str

    @property
    def is_skipped(self) -> bool:
        """Whether the checkpoint says that the chain could not be read."""
        return not self.hash


class Reread[T](Collection[T]):
    """What is too much for memory: `read` gives all of it anew, each time that it is looked through."""

    def __init__(self, read: Callable[[], Iterator[T]], number: int) -> None:
        self._read = read
        self._number = number

    def __iter__(self) -> Iterator[T]:
        """Read all of it."""
        return self._read()

    def __len__(self) -> int:
        """Give how much there is."""
        return self._number

    def __contains__(self, sought: object) -> bool:
        """Look for one."""
        return any(each == sought for each in self)


@dataclass(frozen=True, slots=True)
class Chain:
    """What there is of a chain, and what checkpoints saw of it; the one or the other may be nothing."""

    subject: str
    stored: Collection[Stored]
    seen: Sequence[Seen]

    @property
    def entries(self) -> Collection[Entry]:
        """Give the chain's entries in the order of their numbers."""
        if isinstance(self.stored, Reread):
            return Reread(lambda: (each.entry for each in self.stored), len(self.stored))
        return [each.entry for each in self.stored]
