"""Find what chains ended with on a day, from their ends: the same for a chain of any length, in bounded memory."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import date
from itertools import chain, islice

from cxone_messaging.adapters.ledger import Ledger
from cxone_messaging.domain.checkpoints import Head, is_head
from cxone_messaging.domain.entries import Entry
from cxone_messaging.domain.errors import StorageError
from cxone_messaging.domain.messages import fold, is_message
from cxone_messaging.platform.clock import Clock
from cxone_messaging.use_cases.settle import is_overdue

# So many entries of a chain are looked at before it is called too long: entries that came since the day's end.
MOST_ENTRIES = 2_000
# So many chains of one part may be unreadable before that is taken for a trouble of the store, not of chains.
MOST_UNREADABLE = 20
# Left of an invocation's time when nothing more is begun.
SPARE_SECONDS = 30.0

_PAGE = 100
# A longer message is not settled here: its sender has tried it hundreds of times.
_MOST_SETTLED = 1_000


class TooLongError(Exception):
    """A chain has too many entries behind the day's end."""


class NoTimeError(Exception):
    """A run has no time left to look at a long chain."""


@dataclass(frozen=True, slots=True)
class Named:
    """A chain to look at, of the checkpoint's own day or of the day before only.

    `seen` is the head that the checkpoint of the day before lists; it may have skipped the chain.
    """

    subject: str
    is_of_day: bool
    seen: Head | None = None
    was_skipped: bool = False


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look at a chain found: its head, or what kept it from being found; all entries if its sender died.

    `has_gap` says that a sequence is missing among the entries that were looked at.
    """

    head: Head | None = None
    trouble: Exception | None = None
    dead: list[Entry] | None = None
    has_gap: bool = False

    @property
    def is_broken(self) -> bool:
        """Whether the chain itself is not as our appends leave it; a store that gives no answer shows nothing."""
        return self.has_gap or (self.trouble is not None and not isinstance(self.trouble, StorageError))


class ChainHeads:
    """Looks at chains, side by side in an executor."""

    def __init__(self, ledger: Ledger, clock: Clock, executor: Executor) -> None:
        self._ledger = ledger
        self._clock = clock
        self._executor = executor

    def __call__(
        self, part: Sequence[Named], day: date, seconds_left: Callable[[], float]
    ) -> Iterator[tuple[Named, Looked]]:
        """Look at chains side by side, once more at those that can't be read or have a gap. Raises `StorageError`.

        It does where so many can't be read that the store must be out of order.
        """

        def look(named: Named) -> Looked:
            try:
                return self._look(named, day, seconds_left)
            except Exception as error:
                return Looked(trouble=error)  # whatever is wrong with one chain, the others are looked at

        looked = list(self._executor.map(look, part))
        # A query is no snapshot, so that a gap may only seem to be there.
        again = [
            look(each) if _is_unreadable(found) or found.has_gap else found
            for each, found in zip(part, looked, strict=True)
        ]
        unreadable = [found.trouble for found in again if _is_unreadable(found)]
        if len(unreadable) > MOST_UNREADABLE or len(unreadable) == len(part) > 1:
            raise StorageError("many chains could not be read") from unreadable[0]
        return zip(part, again, strict=True)

    def _look(self, named: Named, day: date, seconds_left: Callable[[], float]) -> Looked:
        """Find a chain's head from its end, in bounded memory. Raises what keeps it from being found."""
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
                break  # whatever stands before it was seen
            if number >= MOST_ENTRIES:
                raise TooLongError
            if number % _PAGE == 0 and number >= len(end) and seconds_left() < SPARE_SECONDS:
                raise NoTimeError
        return Looked(head, dead=self._dead(named.subject, end[::-1]), has_gap=has_gap)

    def _dead(self, subject: str, end: list[Entry]) -> list[Entry] | None:
        """Return all entries of a message whose sender died, as the end of its chain tells; otherwise None."""
        if not end or not is_message(subject) or not is_overdue(fold("", end), self._clock):
            return None
        if end[0].sequence <= 1:
            return end
        return self._ledger.read(subject) if end[-1].sequence <= _MOST_SETTLED else None


def _has_gap(end: Sequence[Entry]) -> bool:
    """Whether a sequence is missing among a chain's last entries, which begin with the newest."""
    is_whole = len(end) < _PAGE
    follow = all(entry.sequence == end[0].sequence - place for place, entry in enumerate(end))
    return bool(end) and (not follow or (is_whole and end[-1].sequence != 1))


def _is_unreadable(looked: Looked) -> bool:
    return looked.trouble is not None and not isinstance(looked.trouble, TooLongError | NoTimeError)
