"""Which message has a CXone id: what the ledger's index records, and how certain that is.

A sender that got CXone's answer knows its message's id, and an event with a signed body proves it. Both are indexed
under the id itself. The holder of a message's callback URL can only claim that an id is the message's. A claim has its
own index key, and yields to a certain record, whichever is first. So an event with a claimed id is kept until the id's
true sender must have recorded it (`WAIT`). Then the message that claims the id gets the event.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cxone_messaging.domain.entries import Entry, EntryType, text_at
from cxone_messaging.domain.ledger import CXONE_MESSAGE_KEY, Ledger
from cxone_messaging.domain.times import format_time

# In a message's `sending` entry, and in an early event that names its recipient.
RECIPIENT_HASH_KEY = "recipientHash"
# A sender records CXone's id within a minute of CXone's answer, or never. The rest allows for clocks and the index.
WAIT = timedelta(minutes=5)

# CXone's ids are ASCII, so no id begins with either of these.
_CLAIMED, _CONTESTED = "≈", "≠"


@dataclass(frozen=True, slots=True)
class Owner:
    """The subject that an id belongs to; if not `certain`, only the holder of a callback URL claims it."""

    subject: str
    certain: bool


def owner_of(ledger: Ledger, cxone_message_id: str) -> Owner | None:
    """Return the subject that an id belongs to; None if no subject has it, or two claim it.

    The index may be a moment behind. Raises `StorageError`.
    """
    certain = ledger.subject_of_cxone_message(cxone_message_id)
    if certain is not None:
        return Owner(certain, certain=True)
    claimed = ledger.subject_of_cxone_message(_CLAIMED + cxone_message_id)
    if claimed is None or ledger.subject_of_cxone_message(_CONTESTED + cxone_message_id) is not None:
        return None
    return Owner(claimed, certain=False)


def index_key(
    ledger: Ledger, subject: str, entries: Sequence[Entry], cxone_message_id: str, *, signed: bool
) -> dict[str, str]:
    """Return the index key for an event's entry under the message of its callback URL.

    It is empty if the entry needs none. `signed` is whether the event's body is signed. Raises `StorageError`.
    """
    keys = {entry.index.get(CXONE_MESSAGE_KEY, "") for entry in entries}
    if cxone_message_id in keys:
        return {}
    if signed:
        return {CXONE_MESSAGE_KEY: cxone_message_id}
    # A message has one id. If its sender knows the id, or an event has claimed one already, no claim is possible.
    has_one = any(entry.type == EntryType.DISPATCHED for entry in entries) or any(keys)
    if has_one or sending_of(entries) is None or ledger.subject_of_cxone_message(cxone_message_id) is not None:
        return {}
    other = ledger.subject_of_cxone_message(_CLAIMED + cxone_message_id)
    return {CXONE_MESSAGE_KEY: (_CLAIMED if other in {None, subject} else _CONTESTED) + cxone_message_id}


def has_id(entries: Sequence[Entry], cxone_message_id: str) -> bool:
    """Whether a message with these entries has this id for certain."""
    return _own_id(entries) == cxone_message_id or any(
        entry.index.get(CXONE_MESSAGE_KEY) == cxone_message_id for entry in entries
    )


def strays_for_claimer(
    ledger: Ledger,
    now: datetime,
    entries: Sequence[Entry],
    cxone_message_id: str,
    strays: Sequence[Entry],
) -> Sequence[Entry]:
    """Return the early events of an id that belong to a message which only claims the id.

    There are none until `WAIT` after the first event, or if another message has or claims the id. If an event names a
    recipient, it must be the message's. Raises `StorageError`.
    """
    if not strays or strays[0].timestamp > format_time(now - WAIT):
        return []
    sending = sending_of(entries)
    claims = any(entry.index.get(CXONE_MESSAGE_KEY) == _CLAIMED + cxone_message_id for entry in entries)
    if not claims or sending is None or _own_id(entries) is not None:
        return []
    fitting = {None, text_at(sending.data, RECIPIENT_HASH_KEY)}
    matching = [stray for stray in strays if text_at(stray.data, RECIPIENT_HASH_KEY) in fitting]
    is_ours = bool(matching) and owner_of(ledger, cxone_message_id) == Owner(sending.subject, certain=False)
    return matching if is_ours else []


def is_of_another(
    ledger: Ledger,
    subject: str,
    entries: Sequence[Entry],
    cxone_message_id: str,
    recipient_hash: Callable[[], str | None],
) -> bool:
    """Whether a signed event at a message's callback URL is another message's, by id or recipient.

    Otherwise a holder of both could use one message's events for the other. `entries` are those of the URL's
    message. Raises `StorageError`.
    """
    own = _own_id(entries)
    if own is not None and own != cxone_message_id:
        return True
    sending = sending_of(entries)
    named = recipient_hash() if sending else None
    if sending and named and named != sending.data.get(RECIPIENT_HASH_KEY):
        return True
    # The true message's sender may have recorded the id.
    return not has_id(entries, cxone_message_id) and ledger.subject_of_cxone_message(cxone_message_id) not in {
        None,
        subject,
    }


def _own_id(entries: Sequence[Entry]) -> str | None:
    """Return the id that a message's sender got from CXone, or None."""
    dispatched = next((entry for entry in entries if entry.type == EntryType.DISPATCHED), None)
    return text_at(dispatched.data, CXONE_MESSAGE_KEY) if dispatched else None


def sending_of(entries: Sequence[Entry]) -> Entry | None:
    """Return the entry that names a message's recipient, or None if the message was never sent."""
    return next((entry for entry in entries if entry.type == EntryType.SENDING), None)
