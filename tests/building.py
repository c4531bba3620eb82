"""Ledger entries as tests need them: chained, and as short to write as what they are about."""

from datetime import UTC, datetime, timedelta

from cxone_messaging.domain.entries import Entry, EntryType
from cxone_messaging.domain.ledger import Ledger
from cxone_messaging.domain.times import format_time
from cxone_messaging.platform.clock import Clock
from cxone_messaging.platform.telemetry import Telemetry
from cxone_messaging.use_cases.journal import Journal
from cxone_messaging.use_cases.message_trail import MessageTrail

MESSAGE_ID = "msg_" + "1" * 32
SUBJECT = f"message#{MESSAGE_ID}"
START = datetime(2026, 11, 22, 13, 12, tzinfo=UTC)


def at(seconds):
    """Write the instant that many seconds after the start."""
    return format_time(START + timedelta(seconds=seconds))


def chain(*told, subject=SUBJECT):
    """Chain entries of `(type, data)`, a second apart from each other."""
    entries = []
    for second, (type_, data) in enumerate(told):
        previous = entries[-1] if entries else None
        entries.append(Entry.following(previous, subject=subject, type=type_, timestamp=at(second), data=data))
    return entries


def sending(*, deadline=30, **changes):
    data = {
        "recipient": "+*******4567",
        "recipientHash": "f" * 64,
        "campaignId": "summer",
        "encoding": "GSM-7",
        "segments": 1,
        "fingerprint": "print",
        "owner": "me",
        "deadline": at(deadline),
    }
    return EntryType.SENDING, data | changes


def dispatched(cxone_message_id="cx-1"):
    return EntryType.DISPATCHED, {"latencyMs": 42, "cxoneMessageId": cxone_message_id}


def outcome(type_, error):
    return type_, {"latencyMs": 42, "error": error}


def delivery(status, seconds=60, cxone_message_id="cx-1"):
    data = {"cxoneMessageId": cxone_message_id, "status": status, "word": status.casefold(), "instant": at(seconds)}
    return EntryType.DELIVERY, data


def message_trail(ledger: Ledger, clock: Clock, telemetry: Telemetry) -> MessageTrail:
    """Give what any writer may add to messages' chains."""
    return MessageTrail(Journal(ledger, clock), clock, telemetry)
