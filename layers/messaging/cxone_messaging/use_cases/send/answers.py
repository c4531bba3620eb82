"""What the caller of a send is told: a receipt, or the error that says whether, and when, to ask again."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cxone_messaging.domain.entries import Entry, EntryType
from cxone_messaging.domain.errors import Code, FieldError, MessagingError
from cxone_messaging.domain.messages import Message, Status
from cxone_messaging.domain.outcomes import NotAccepted

# Which field of a request breaks a rule.
_FIELDS = {
    Code.INVALID_RECIPIENT: "to",
    Code.NOT_OPTED_IN: "to",
    Code.OPTED_OUT: "to",
    Code.CAMPAIGN_REQUIRED: "campaignId",
    Code.SENDER_REQUIRED: "from",
    Code.TEXT_REQUIRED: "text",
    Code.INVALID_CHARACTERS: "text",
    Code.TOO_MANY_SEGMENTS: "text",
}


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the caller of a dispatched message gets; `replayed` when it was dispatched by an earlier request."""

    message: Message
    replayed: bool = False


def refused(errors: Sequence[FieldError]) -> MessagingError:
    """Make the answer to a request that breaks rules; nothing is known of it in the ledger."""
    return MessagingError(Code.VALIDATION_FAILED, "nothing was sent", errors=errors)


def not_now(outcome: NotAccepted, message_id: str | None = None) -> MessagingError:
    """Make the answer to a send that may simply be asked for again; its id, where the ledger has heard of it."""
    told = f"the message was not taken and may be sent again ({outcome.reason})"
    wait = max(1, math.ceil(outcome.retry_after or 0))
    return MessagingError(Code(outcome.code), told, message_id=message_id, retry_after=wait)


def rejected(message_id: str, codes: Sequence[str], reason: str, *, replayed: bool = False) -> MessagingError:
    """Make the answer to a send that CXone refused for good, or that we did, when its turn came on the bulk queue.

    `codes` are CXone's one, or those of all rules that were broken.
    """
    code, *_ = known = [Code(each) for each in codes]
    errors = [FieldError(each, _FIELDS[each], reason) for each in known if each in _FIELDS]
    if errors:
        code, reason = Code.VALIDATION_FAILED, "nothing was sent"
    return MessagingError(code, reason, errors=errors, message_id=message_id, replayed=replayed)


def unknown(message_id: str, *, replayed: bool = False) -> MessagingError:
    """Make the answer to a send whose outcome nobody knows."""
    told = "the message may have gone out and must not be sent again; a delivery event will settle it"
    return MessagingError(Code.OUTCOME_UNKNOWN, told, message_id=message_id, replayed=replayed)


def stored(message: Message, entries: Sequence[Entry]) -> Receipt:
    """Answer once more, as a message's entries say. Raises the answer where it is a `MessagingError`."""
    match message.status:
        case Status.QUEUED | Status.SENDING | Status.RETRYING:
            told = "ask again in a moment"
            raise MessagingError(Code.IN_PROGRESS, told, message_id=message.message_id, retry_after=1)
        case Status.UNKNOWN:
            raise unknown(message.message_id, replayed=True)
        case Status.REJECTED:
            known = next(entry.data for entry in reversed(entries) if entry.type == EntryType.REJECTED)
            several = known.get("codes")
            codes = several if isinstance(several, list) else [known["error"]]
            raise rejected(message.message_id, [str(each) for each in codes], str(known["reason"]), replayed=True)
        case Status.DISPATCHED | Status.DELIVERED | Status.FAILED:
            return Receipt(message, replayed=True)
