"""Whose an id of CXone's is: what the ledger's index says, and how far that can be believed.

A sender that got CXone's answer knows the id of its message, and an event with a signed body says so in CXone's name.
Both are indexed under the id itself. Whoever has a message's callback URL can only claim that an id is the message's;
such a claim is indexed apart, and gives way to what is certain, whichever of the two came first.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from cxone_messaging.domain.entries import Entry, EntryType, text_at
from cxone_messaging.domain.ledger import CXONE_MESSAGE_KEY, Ledger

# Ids of CXone's are ASCII, so no id begins with either.
_CLAIMED, _CONTESTED = "≈", "≠"


@dataclass(frozen=True, slots=True)
class Bearer:
    """The subject that an id belongs to; where that is not `certain`, only a callback URL's holder has said so."""

    subject: str
    certain: bool


def bearer_of(ledger: Ledger, cxone_message_id: str) -> Bearer | None:
    """Find the subject that an id belongs to; None where nobody has it, or two claim it. Raises `StorageError`.

    The index may be a moment behind.
    """
    certain = ledger.subject_of_cxone_message(cxone_message_id)
    if certain is not None:
        return Bearer(certain, certain=True)
    claimed = ledger.subject_of_cxone_message(_CLAIMED + cxone_message_id)
    if claimed is None or ledger.subject_of_cxone_message(_CONTESTED + cxone_message_id) is not None:
        return None
    return Bearer(claimed, certain=False)


def index_key(
    ledger: Ledger, subject: str, known: Sequence[Entry], cxone_message_id: str, *, signed: bool
) -> dict[str, str]:
    """Return the index key of an event's entry under the message that its callback URL names; none where none is due.

    `signed` says whether the event's body is. Raises `StorageError`.
    """
    keys = {entry.index.get(CXONE_MESSAGE_KEY, "") for entry in known}
    if cxone_message_id in keys:
        return {}
    if signed:
        return {CXONE_MESSAGE_KEY: cxone_message_id}
    # A message has one id. Where its sender knows it, or an event has claimed one already, there is nothing to claim.
    has_one = any(entry.type == EntryType.DISPATCHED for entry in known) or any(keys)
    if has_one or sending_of(known) is None or ledger.subject_of_cxone_message(cxone_message_id) is not None:
        return {}
    other = ledger.subject_of_cxone_message(_CLAIMED + cxone_message_id)
    return {CXONE_MESSAGE_KEY: (_CLAIMED if other in {None, subject} else _CONTESTED) + cxone_message_id}


def belongs(entries: Sequence[Entry], cxone_message_id: str, recipient_hash: str | None) -> bool:
    """Whether an event with this id, that came without a callback URL, belongs to a message with these entries.

    Where the message does no more than claim the id, the event's recipient must be the message's, if the event names
    one: `recipient_hash`.
    """
    keys = {entry.index.get(CXONE_MESSAGE_KEY) for entry in entries}
    dispatched = next((entry for entry in entries if entry.type == EntryType.DISPATCHED), None)
    if cxone_message_id in keys or (dispatched and text_at(dispatched.data, CXONE_MESSAGE_KEY) == cxone_message_id):
        return True
    sending = sending_of(entries)
    if _CLAIMED + cxone_message_id not in keys or sending is None:
        return False
    return recipient_hash in {None, text_at(sending.data, "recipientHash")}


def sending_of(entries: Sequence[Entry]) -> Entry | None:
    """Return the entry that says to whom a message was sent; None where there is none, so that nothing was sent."""
    return next((entry for entry in entries if entry.type == EntryType.SENDING), None)
