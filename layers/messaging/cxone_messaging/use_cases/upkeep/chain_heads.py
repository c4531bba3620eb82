"""Find the last entries of chains on a day.

Chains are read from their ends, so any length takes bounded memory.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import date
from itertools import chain, islice

from cxone_messaging.domain import subjects
from cxone_messaging.domain.checkpoints import Head, is_head
from cxone_messaging.domain.entries import Entry
from cxone_messaging.domain.errors import StorageError
from cxone_messaging.domain.messages import Message
from cxone_messaging.platform.deadline import Deadline
from cxone_messaging.use_cases.message_trail import MessageTrail

# A chain with more entries since the day's end is too long.
MOST_ENTRIES = 2_000
# More unreadable chains in one part mean that the store fails, not the chains.
MOST_UNREADABLE = 20
# With less time left, the run begins no further chain.
SPARE_SECONDS = 30.0

_PAGE = 100
# A longer message is not marked unknown here: its sender has tried it hundreds of times.
_MOST_MARKED = 1_000


class TooLongError(Exception):
    """A chain has too many entries after the day's end."""


class NoTimeError(Exception):
    """A run has no time left to read a long chain."""


@dataclass(frozen=True, slots=True)
class Named:
    """A chain to read, of the checkpoint's own day or only of the day before.

    `seen` is the head that the previous day's checkpoint lists; `was_skipped` means that it skipped the chain.
    """

    subject: str
    is_of_day: bool
    seen: Head | None = None
    was_skipped: bool = False


@dataclass(frozen=True, slots=True)
class Looked:
    """The result of reading a chain: its head, or the error.

    `dead` is the whole chain if its sender died. `has_gap` means that a sequence is missing among the entries that were
    read.
    """

    head: Head | None = None
    trouble: Exception | None = None
    dead: list[Entry] | None = None
    has_gap: bool = False

    @property
    def is_broken(self) -> bool:
        """Whether the chain itself is damaged; an error of the store is no proof of that."""
        return self.has_gap or (self.trouble is not None and not isinstance(self.trouble, StorageError))


class ChainHeads:
    """Reads chains, in parallel in an executor."""

    def __init__(self, trail: MessageTrail, executor: Executor) -> None:
        self._trail = trail
        self._ledger = trail.journal.ledger
        self._executor = executor

    def __call__(self, part: Sequence[Named], day: date, deadline: Deadline) -> Iterator[tuple[Named, Looked]]:
        """Read chains in parallel; read unreadable chains, and chains with a gap, a second time.

        Raises `StorageError` if so many chains are unreadable that the store must be failing.
        """

        def look(named: Named) -> Looked:
            try:
                return self._look(named, day, deadline)
            except Exception as error:
                return Looked(trouble=error)  # an error of one chain must not stop the other chains

        looked = list(self._executor.map(look, part))
        # A query is no snapshot, so it may show a gap that does not exist.
        again = [
            look(each) if _is_unreadable(found) or found.has_gap else found
            for each, found in zip(part, looked, strict=True)
        ]
        unreadable = [found.trouble for found in again if _is_unreadable(found)]
        if len(unreadable) > MOST_UNREADABLE or len(unreadable) == len(part) > 1:
            raise StorageError("many chains could not be read") from unreadable[0]
        return zip(part, again, strict=True)

    def _look(self, named: Named, day: date, deadline: Deadline) -> Looked:
        """Return a chain's head, read from its end in bounded memory. Raises any error of reading."""
        entries = self._ledger.walk(named.subject, backwards=True, page=_PAGE)
        end = list(islice(entries, _PAGE))
        head: Head | None = None
        number = 0
        has_gap = _has_gap(end)
        for number, entry in enumerate(chain(end, entries), start=1):
            has_gap = has_gap or entry.sequence != end[0].sequence - number + 1
            if is_head(entry, day, named.seen, was_skipped=named.was_skipped):
                head = Head(entry.subject, entry.sequence, entry.hash)
                break
            is_passed = named.seen is not None and entry.sequence <= named.seen.sequence
            if is_passed and not named.is_of_day and not named.was_skipped:
                break  # the previous day's checkpoint covers all earlier entries
            if number >= MOST_ENTRIES:
                raise TooLongError
            if number % _PAGE == 0 and number >= len(end) and deadline.left < SPARE_SECONDS:
                raise NoTimeError
        return Looked(head, dead=self._dead(named.subject, end[::-1]), has_gap=has_gap)

    def _dead(self, subject: str, end: list[Entry]) -> list[Entry] | None:
        """Return all entries of a message whose sender died, judged by the end of its chain; otherwise None."""
        if not end or not subjects.is_message(subject) or not self._trail.is_overdue(Message.of(end)):
            return None
        if end[0].sequence <= 1:
            return end
        return self._ledger.read(subject) if end[-1].sequence <= _MOST_MARKED else None


def _has_gap(end: Sequence[Entry]) -> bool:
    """Whether a sequence is missing among a chain's last entries, which begin with the newest."""
    is_whole = len(end) < _PAGE
    follow = all(entry.sequence == end[0].sequence - place for place, entry in enumerate(end))
    return bool(end) and (not follow or (is_whole and end[-1].sequence != 1))


def _is_unreadable(looked: Looked) -> bool:
    return looked.trouble is not None and not isinstance(looked.trouble, TooLongError | NoTimeError)
