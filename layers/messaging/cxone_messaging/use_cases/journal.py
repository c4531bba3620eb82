"""Append to a subject's chain, after what is in it already."""

from collections.abc import Callable, Sequence

from cxone_messaging.domain.entries import Draft, Entry, unbroken
from cxone_messaging.domain.errors import StorageError
from cxone_messaging.domain.ledger import BrokenChainError, Ledger, SequenceTakenError
from cxone_messaging.platform.clock import Clock, instant

# Each lost race means that somebody else's append went through, so this many in a row mean a fault, not contention.
_MAX_RACES_LOST = 100


def append(
    ledger: Ledger,
    clock: Clock,
    subject: str,
    decide: Callable[[Sequence[Entry]], Draft | None],
    *,
    known: Sequence[Entry] | None = None,
    before_gap: bool = False,
) -> list[Entry]:
    """Append what `decide` makes of the subject's entries; asked again with the newer ones whenever others were first.

    `known` are the entries that the caller has at hand, which saves a read while nobody else appends. A decision of
    None appends nothing. Gives all entries, as far as they are known afterwards. Raises `StorageError`.

    A chain with a gap in its sequences takes no entry: `BrokenChainError`. With `before_gap` it does, and then the
    entries before the gap count as the whole chain.
    """
    entries = list(ledger.read(subject) if known is None else known)
    for _ in range(_MAX_RACES_LOST):
        kept = unbroken(entries)
        is_broken = kept is not entries
        if is_broken and before_gap:
            entries = list(kept)
        draft = decide(entries)
        if draft is None:
            return entries
        if is_broken and not before_gap:
            raise BrokenChainError(subject, kept)
        entry = draft.following(entries, subject, instant(clock.now()))
        try:
            ledger.insert(entry)
        except SequenceTakenError:
            entries = ledger.read(subject)
        else:
            return [*entries, entry]
    raise StorageError("the ledger's next sequence is always taken")
