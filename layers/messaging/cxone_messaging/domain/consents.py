"""Consent: whether a recipient may be sent to, since when, and on whose word."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from cxone_messaging.domain.entries import Entry, Value
from cxone_messaging.domain.errors import Code, FieldError
from cxone_messaging.domain.times import parse_time

# No message leaves the bulk queue later than so many seconds after its recipient's consent was read.
FRESH_SECONDS = 2.0
# So many seconds after an opt-out can be read, no message that goes by the consent before it leaves any more, and those
# that have left are with CXone.
IN_FORCE_SECONDS = FRESH_SECONDS + 0.5
# How far our clock and CXone's may be apart.
_CLOCK_SKEW = timedelta(seconds=5)


class ConsentStatus(StrEnum):
    """A recipient's word; who never gave one has no consent at all."""

    OPTED_IN = "opted_in"
    OPTED_OUT = "opted_out"


@dataclass(frozen=True, slots=True)
class Consent:
    """A recipient's word in force. `sequence` is its entry in the ledger under `consent#<recipient hash>`.

    `source` says where it was given (a form, a keyword, a clerk), `campaign_id` for which campaign it was asked.
    """

    recipient_hash: str
    recipient: str
    status: ConsentStatus
    source: str
    campaign_id: str | None
    updated_at: str
    sequence: int

    def evidence(self) -> dict[str, Value]:
        """Say on a message's entry why it was allowed; `sequence` finds the consent's own entry."""
        return {
            "status": self.status.value,
            "source": self.source,
            "updatedAt": self.updated_at,
            "sequence": self.sequence,
        }


def refusal(consent: Consent | None) -> FieldError | None:
    """Say why nothing may be sent under this consent, or None when it may (documents: the recipient is opted in)."""
    if consent is None:
        return FieldError.by_code(Code.NOT_OPTED_IN, "to")
    match consent.status:
        case ConsentStatus.OPTED_IN:
            return None
        case ConsentStatus.OPTED_OUT:
            return FieldError.by_code(Code.OPTED_OUT, "to")


def is_passed_over(status: ConsentStatus, instant: str, known: Sequence[Entry]) -> bool:
    """Whether a word that an event brings is older than what was said since: then it is recorded and not obeyed.

    Events are of one clock, CXone's: whatever the order they come in, the word with the latest time counts; of two with
    the same time, the opt-out. Words recorded through our API have our clock's time, and CXone may tell its own zone's:
    so an opt-out counts whatever our API was told before, and an opt-in only where it is not older than an opt-out
    through the API. All doubt ends in not sending.
    """

    def is_later(entry: Entry) -> bool:
        may_outdo = status is ConsentStatus.OPTED_IN and entry.data.get("status") == ConsentStatus.OPTED_OUT
        if "instant" in entry.data:
            told = str(entry.data["instant"])
            return told > instant or (may_outdo and told == instant)
        return may_outdo and parse_time(entry.timestamp) - _CLOCK_SKEW > parse_time(instant)

    return any(is_later(entry) for entry in known if not entry.data.get("passedOver"))


def is_in_force_everywhere(known: Sequence[Entry]) -> bool:
    """Whether the last word is an opt-out that an event brought: it was stored when nobody went by another any more."""
    entry = last_word(known)
    return entry is not None and entry.data.get("status") == ConsentStatus.OPTED_OUT and "eventId" in entry.data


def consent_in(entry: Entry) -> Consent:
    """Return the consent that an entry records."""
    campaign_id = entry.data.get("campaignId")
    return Consent(
        recipient_hash=str(entry.data["recipientHash"]),
        recipient=str(entry.data["recipient"]),
        status=ConsentStatus(str(entry.data["status"])),
        source=str(entry.data["source"]),
        campaign_id=None if campaign_id is None else str(campaign_id),
        updated_at=entry.timestamp,
        sequence=entry.sequence,
    )


def last_word(known: Sequence[Entry]) -> Entry | None:
    """Return the last of a recipient's entries that was not passed over; None where there is none."""
    return next((each for each in reversed(known) if not each.data.get("passedOver")), None)
