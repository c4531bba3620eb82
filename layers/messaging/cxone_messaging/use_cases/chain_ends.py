"""The ends of a chain: what of a long chain is read where somebody else decides how often it is read."""

from collections.abc import Callable, Sequence
from itertools import islice

from cxone_messaging.adapters.ledger import BrokenChainError, Draft, Ledger, SequenceTakenError
from cxone_messaging.domain.delivery_bounds import MOST_DELIVERIES, deliveries_in
from cxone_messaging.domain.entries import Entry, unbroken
from cxone_messaging.domain.errors import StorageError
from cxone_messaging.platform.clock import Clock

# All entries of a message, as a rule: its deliveries, and as many of its senders and batches.
WINDOW = 2 * MOST_DELIVERIES
# An event that races with others is tried again so often; then CXone posts it again.
_MOST_TRIES = 20


def oldest(ledger: Ledger, subject: str) -> list[Entry]:
    """Read a chain's first `WINDOW` entries, in one call. Raises `StorageError`."""
    return list(islice(ledger.walk(subject, page=WINDOW), WINDOW))


def newest(ledger: Ledger, subject: str) -> list[Entry]:
    """Read a chain's last `WINDOW` entries, in their order, in one call. Raises `StorageError`."""
    return list(islice(ledger.walk(subject, backwards=True, page=WINDOW), WINDOW))[::-1]


def read_for_event(ledger: Ledger, subject: str) -> list[Entry]:
    """Read as much of a chain as an event needs: all of it, or both ends where it has no room for more events.

    Posting events does not make a chain so long: senders and batches may, and events did before they were bounded.
    Raises `StorageError`.
    """
    end = newest(ledger, subject)
    if len(end) < WINDOW or end[0].sequence <= 1:
        # What is wrong with a chain that has gaps is for the ledger to say.
        return end if not end or end[-1].sequence == len(end) else ledger.read(subject)
    if len(deliveries_in(end)) < MOST_DELIVERIES:
        return ledger.read(subject)
    return [entry for entry in oldest(ledger, subject) if entry.sequence < end[0].sequence] + end


def is_ends_only(entries: Sequence[Entry]) -> bool:
    """Whether entries are but the two ends of a chain."""
    return len(entries) >= WINDOW and entries[-1].sequence > len(entries)


def append_to_ends(
    ledger: Ledger,
    clock: Clock,
    subject: str,
    decide: Callable[[Sequence[Entry]], Draft | None],
    ends: list[Entry],
) -> list[Entry]:
    """Do as `append`, with no more than the ends of a chain; gives the ends as they are then.

    Raises `StorageError`; a chain with a gap at either end takes no entry: `BrokenChainError`.
    """
    is_reread = False
    for _ in range(_MOST_TRIES):
        draft = decide(ends)
        if draft is None:
            return ends
        if _has_gap(ends):
            if is_reread:
                raise BrokenChainError(subject, unbroken(ends))
            # A query is no snapshot, so that a gap may only seem to be there.
            ends, is_reread = read_for_event(ledger, subject), True
            continue
        entry = draft.following(ends, subject, clock)
        try:
            ledger.insert(entry)
        except SequenceTakenError:
            ends = read_for_event(ledger, subject)
        else:
            return [*ends, entry]
    raise StorageError("the ledger's next sequence is always taken")


def _has_gap(ends: Sequence[Entry]) -> bool:
    """Whether a sequence is missing, or there twice, in the first or in the last entries of a chain."""
    first, last = ends[:WINDOW], ends[-WINDOW:]
    follow = all(entry.sequence == last[0].sequence + place for place, entry in enumerate(last))
    return not follow or unbroken(first) is not first
