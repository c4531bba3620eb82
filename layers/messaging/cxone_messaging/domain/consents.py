"""Consent: whether a message may be sent to a recipient, since when, and what proves it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from cxone_messaging.domain.entries import Entry, Value
from cxone_messaging.domain.errors import Code, FieldError
from cxone_messaging.domain.times import parse_time

# No message leaves the bulk queue later than this many seconds after its recipient's consent was read.
FRESH_SECONDS = 2.0
# This many seconds after an opt-out can be read, no sender uses the earlier consent any more, and every message that
# has left is with CXone.
IN_FORCE_SECONDS = FRESH_SECONDS + 0.5
# How far our clock and CXone's may differ.
_CLOCK_SKEW = timedelta(seconds=5)


class ConsentStatus(StrEnum):
    """A recipient's decision; a recipient who never made one has no consent at all."""

    OPTED_IN = "opted_in"
    OPTED_OUT = "opted_out"


@dataclass(frozen=True, slots=True)
class Consent:
    """A recipient's consent in force.

    `sequence` is its entry in the ledger under `consent#<recipient hash>`. `source` is where the recipient decided (a
    form, a keyword, a clerk), `campaign_id` for which campaign.
    """

    recipient_hash: str
    recipient: str
    status: ConsentStatus
    source: str
    campaign_id: str | None
    updated_at: str
    sequence: int

    def evidence(self) -> dict[str, Value]:
        """Return why a message was allowed, for its entry.

        `sequence` identifies the consent's own entry.
        """
        return {
            "status": self.status.value,
            "source": self.source,
            "updatedAt": self.updated_at,
            "sequence": self.sequence,
        }


def refusal(consent: Consent | None) -> FieldError | None:
    """Return why no message may be sent under this consent, or None if the recipient is opted in."""
    if consent is None:
        return FieldError.by_code(Code.NOT_OPTED_IN, "to")
    match consent.status:
        case ConsentStatus.OPTED_IN:
            return None
        case ConsentStatus.OPTED_OUT:
            return FieldError.by_code(Code.OPTED_OUT, "to")


def is_superseded(status: ConsentStatus, instant: str, entries: Sequence[Entry]) -> bool:
    """Whether another consent is newer than an event's: then the event's is recorded, but not in force.

    All events have times of one clock, CXone's. In whatever order they arrive, the latest time counts; of equal times,
    the opt-out. Consents from our API have our clock's time, and CXone's times may be of another zone. So an opt-out
    counts whatever our API recorded before. An opt-in counts only if it is not older than an opt-out from the API. In
    doubt, no message is sent.
    """

    def is_later(entry: Entry) -> bool:
        may_outdo = status is ConsentStatus.OPTED_IN and entry.data.get("status") == ConsentStatus.OPTED_OUT
        if "instant" in entry.data:
            other = str(entry.data["instant"])
            return other > instant or (may_outdo and other == instant)
        return may_outdo and parse_time(entry.timestamp) - _CLOCK_SKEW > parse_time(instant)

    return any(is_later(entry) for entry in entries if not entry.data.get("passedOver"))


def is_in_force_everywhere(entries: Sequence[Entry]) -> bool:
    """Whether an event's opt-out is already in force for every sender."""
    entry = last_in_force(entries)
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


def last_in_force(entries: Sequence[Entry]) -> Entry | None:
    """Return the last of a recipient's entries that was not superseded, or None."""
    return next((each for each in reversed(entries) if not each.data.get("passedOver")), None)
