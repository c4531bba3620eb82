"""Consent: whether a message may be sent to a recipient, since when, and what proves it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from cxone_messaging.domain.entries import Entry, Value, text_at
from cxone_messaging.domain.errors import Code, FieldError
from cxone_messaging.domain.event_times import SKEW
from cxone_messaging.domain.times import parse_time

# No message leaves the bulk queue later than this many seconds after its recipient's consent was read.
FRESH_SECONDS = 2.0
# This many seconds after an opt-out can be read, no sender uses the earlier consent any more, and every message that
# has left is with CXone.
IN_FORCE_SECONDS = FRESH_SECONDS + 0.5
# How far our clock and CXone's may differ.
_CLOCK_SKEW = timedelta(seconds=5)
# In the data of an opt-in's entry, and true there, if the event's time is certain (`domain/event_times.py`).
CERTAIN_KEY = "certain"


class ConsentStatus(StrEnum):
    """A recipient's decision; a recipient who never made one has no consent at all."""

    OPTED_IN = "opted_in"
    OPTED_OUT = "opted_out"


@dataclass(frozen=True, slots=True)
class Consent:
    """A recipient's consent in force.

    `sequence` is its entry in the ledger under `consent#<recipient hash>`. `source` is where the recipient decided (a
    form, a keyword, a clerk), `campaign_id` for which campaign. `given_at` and `evidence` are what a caller said of it.
    """

    recipient_hash: str
    recipient: str
    status: ConsentStatus
    source: str
    campaign_id: str | None
    updated_at: str
    sequence: int
    given_at: str | None = None
    evidence: str | None = None

    def for_message(self) -> dict[str, Value]:
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


def is_superseded(status: ConsentStatus, instant: str, entries: Sequence[Entry], *, is_certain: bool) -> bool:
    """Whether another consent is newer than an event's: then the event's is recorded, but not in force.

    In doubt, no message is sent. An opt-out is older only than an event's opt-in, if both times are certain and two
    clocks that are set right cannot differ so much. An opt-in is older than every later event, an opt-out of the same
    time among them, and than an opt-out from our API, whose time is our clock's.
    """
    in_force = [entry for entry in entries if not entry.data.get("passedOver")]
    if status is ConsentStatus.OPTED_OUT:
        return is_certain and any(_is_certainly_later(entry, instant) for entry in in_force)

    def is_later(entry: Entry) -> bool:
        is_opt_out = entry.data.get("status") == ConsentStatus.OPTED_OUT
        if "instant" in entry.data:
            other = str(entry.data["instant"])
            return other > instant or (is_opt_out and other == instant)
        return is_opt_out and parse_time(entry.timestamp) - _CLOCK_SKEW > parse_time(instant)

    return any(is_later(entry) for entry in in_force)


def _is_certainly_later(entry: Entry, instant: str) -> bool:
    """Whether an entry is an event's opt-in of a time that is certain, and later than `instant` beyond doubt.

    An opt-in that is dated ahead of its receipt counts as of its receipt.
    """
    if entry.data.get("status") != ConsentStatus.OPTED_IN or entry.data.get(CERTAIN_KEY) is not True:
        return False
    return parse_time(min(str(entry.data["instant"]), entry.timestamp)) > parse_time(instant) + SKEW


def is_overruled(status: ConsentStatus, given_at: str | None, entries: Sequence[Entry]) -> bool:
    """Whether a consent from the API is an opt-in, and the recipient's own opt-out in force is not older.

    `given_at` is when the recipient gave the consent; without it, an import may be older than the opt-out. With it, an
    opt-out that a caller recorded for a later time is not undone either.
    """
    if status is ConsentStatus.OPTED_OUT:
        return False
    for entry in reversed(entries):
        is_opt_out = entry.data.get("status") == ConsentStatus.OPTED_OUT
        if entry.data.get("passedOver"):
            continue
        if is_opt_out and not is_recipients_own(entry):
            if given_at is not None and given_at < (text_at(entry.data, "givenAt") or entry.timestamp):
                return True
            continue
        # The recipient's own last decision, or an opt-in that was recorded after it.
        return is_opt_out and (given_at is None or given_at <= max(str(entry.data["instant"]), entry.timestamp))
    return False


def is_override_spent(given_at: str | None, evidence: str | None, entries: Sequence[Entry]) -> bool:
    """Whether an override is of an earlier opt-out than the recipient's newest one.

    It is if its `given_at` is not later, or if its evidence stood for an earlier opt-in already.
    """
    own = [entry for entry in entries if is_recipients_own(entry) and not entry.data.get("passedOver")]
    newest = next((entry for entry in reversed(own) if entry.data.get("status") == ConsentStatus.OPTED_OUT), None)
    if newest is None:
        return False
    if given_at is not None and given_at <= min(str(newest.data["instant"]), newest.timestamp):
        return True
    earlier = (entry for entry in entries if entry.sequence < newest.sequence and "overrides" in entry.data)
    return evidence is not None and any(entry.data.get("evidence") == evidence for entry in earlier)


def is_recipients_own(entry: Entry) -> bool:
    """Whether an entry is a recipient's own decision: a reply, or a carrier's refusal for one."""
    return "eventId" in entry.data


def is_in_force_everywhere(entries: Sequence[Entry]) -> bool:
    """Whether an event's opt-out is already in force for every sender."""
    entry = last_in_force(entries)
    return entry is not None and entry.data.get("status") == ConsentStatus.OPTED_OUT and is_recipients_own(entry)


def consent_in(entry: Entry) -> Consent:
    """Return the consent that an entry records."""
    return Consent(
        recipient_hash=str(entry.data["recipientHash"]),
        recipient=str(entry.data["recipient"]),
        status=ConsentStatus(str(entry.data["status"])),
        source=str(entry.data["source"]),
        campaign_id=text_at(entry.data, "campaignId"),
        updated_at=entry.timestamp,
        sequence=entry.sequence,
        given_at=text_at(entry.data, "givenAt"),
        evidence=text_at(entry.data, "evidence"),
    )


def last_in_force(entries: Sequence[Entry]) -> Entry | None:
    """Return the last of a recipient's entries that was not superseded, or None."""
    return next((each for each in reversed(entries) if not each.data.get("passedOver")), None)
