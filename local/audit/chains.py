"""A chain as the audit finds it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cxone_messaging.domain.entries import Entry, Value


@dataclass(frozen=True, slots=True)
class Stored:
    """An item of the table: all that stands in it, and how it reads as an entry."""

    attributes: Mapping[str, Value]
    entry: Entry


@dataclass(frozen=True, slots=True)
class Seen:
    """What a day's checkpoint says that a chain ended with."""

    day: str
    sequence: int
    hash: str


@dataclass(frozen=True, slots=True)
class Chain:
    """What there is of a chain, and what checkpoints saw of it; the one or the other may be nothing."""

    subject: str
    stored: Sequence[Stored]
    seen: Sequence[Seen]

    @property
    def entries(self) -> list[Entry]:
        """Give the chain's entries in the order of their numbers."""
        return [each.entry for each in self.stored]
