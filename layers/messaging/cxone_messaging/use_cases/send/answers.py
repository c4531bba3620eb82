"""The answer to the caller of a send: a receipt, or an error that shows whether and when to retry."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cxone_messaging.domain.entries import Entry, EntryType
from cxone_messaging.domain.errors import Code, FieldError, MessagingError
from cxone_messaging.domain.messages import Message, Status
from cxone_messaging.domain.outcomes import NotAccepted
from cxone_messaging.domain.sms import Checked

# The field of a request that breaks the rule.
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
    """A dispatched message, for its caller; `replayed` if an earlier request dispatched it."""

    message: Message
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Preview:
    """The check of a request; `earlier` is the status of a message that was sent with its idempotency key before."""

    checked: Checked
    earlier: Status | None = None


def validation_failed(errors: Sequence[FieldError]) -> MessagingError:
    """Return the answer to a request that breaks rules; the ledger has no entry of it."""
    return MessagingError(Code.VALIDATION_FAILED, "nothing was sent", errors=errors)


def retry_later(outcome: NotAccepted, message_id: str | None = None) -> MessagingError:
    """Return the answer to a send that may be repeated.

    `message_id` is set if the ledger has entries of it.
    """
    detail = f"CXone did not accept the message; it may be sent again ({outcome.reason})"
    wait = max(1, math.ceil(outcome.retry_after or 0))
    return MessagingError(Code(outcome.code), detail, message_id=message_id, retry_after=wait)


def rejected(message_id: str, codes: Sequence[str], reason: str, *, replayed: bool = False) -> MessagingError:
    """Return the answer to a send that CXone, or our own rules, rejected permanently.

    `codes` are the codes of all broken rules, or the one code of CXone's rejection.
    """
    code, *_ = all_codes = [Code(each) for each in codes]
    errors = [FieldError(each, _FIELDS[each], reason) for each in all_codes if each in _FIELDS]
    if errors:
        code, reason = Code.VALIDATION_FAILED, "nothing was sent"
    return MessagingError(code, reason, errors=errors, message_id=message_id, replayed=replayed)


def outcome_unknown(message_id: str, *, replayed: bool = False) -> MessagingError:
    """Return the answer to a send whose outcome is unknown."""
    detail = (
        "the message may have been sent and must not be sent again;"
        " a delivery event, or CXone's own record of it, may show its outcome later"
    )
    return MessagingError(Code.OUTCOME_UNKNOWN, detail, message_id=message_id, replayed=replayed)


def replay(message: Message, entries: Sequence[Entry]) -> Receipt:
    """Return the answer that a message's entries record; raise it if it is a `MessagingError`."""
    match message.status:
        case Status.QUEUED | Status.SENDING | Status.RETRYING:
            detail = "an earlier request with this key is still being sent; try again in a second"
            raise MessagingError(Code.IN_PROGRESS, detail, message_id=message.message_id, retry_after=1)
        case Status.UNKNOWN:
            raise outcome_unknown(message.message_id, replayed=True)
        case Status.REJECTED:
            data = next(entry.data for entry in reversed(entries) if entry.type == EntryType.REJECTED)
            several = data.get("codes")
            codes = several if isinstance(several, list) else [data["error"]]
            raise rejected(message.message_id, [str(each) for each in codes], str(data["reason"]), replayed=True)
        case Status.DISPATCHED | Status.DELIVERED | Status.FAILED:
            return Receipt(message, replayed=True)
