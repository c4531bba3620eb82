"""Subjects: the names of the ledger's chains, `<kind>#<id>`.

A subject's entries are one hash chain.
"""

from datetime import date
from hashlib import sha256

_MESSAGE, _DELIVERY = "message#", "delivery#"
CHECKPOINT = "checkpoint#"
_PACE = "pace#"
# DynamoDB's limit of a partition key.
_MOST_BYTES = 2048


def can_exist(subject: str) -> bool:
    """Whether a table can hold a subject: it is UTF-8 text of at most 2,048 bytes."""
    try:
        return len(subject.encode()) <= _MOST_BYTES
    except UnicodeEncodeError:
        return False


def message(message_id: str) -> str:
    """Return the subject of one message, for its sends and receipts."""
    return _MESSAGE + message_id


def id_in(subject: str) -> str:
    """Return the id in a subject, without its kind."""
    return subject.partition("#")[2]


def is_message(subject: str) -> bool:
    """Whether a subject is a message."""
    return subject.startswith(_MESSAGE)


def batch(batch_id: str) -> str:
    """Return the subject of a batch, for its submission and the progress of its queueing."""
    return f"batch#{batch_id}"


def consent(recipient_hash: str) -> str:
    """Return the subject of a recipient's consent, for every opt-in and opt-out."""
    return f"consent#{recipient_hash}"


def template(template_id: str) -> str:
    """Return the subject of a template, for the steps of its approval and the carriers' events."""
    return f"template#{template_id}"


def subscription(url: str) -> str:
    """Return the subject of a subscription, named by a hash of the URL that CXone posts events to."""
    return f"subscription#{sha256(url.encode()).hexdigest()[:32]}"


def checkpoint(day: date) -> str:
    """Return the subject of a day's checkpoint."""
    return CHECKPOINT + day.isoformat()


def delivery(cxone_message_id: str) -> str:
    """Return the subject of early receipts: receipts with a CXone id that no message has yet."""
    return _DELIVERY + cxone_message_id


def cxone_message_id_in(subject: str) -> str:
    """Return the CXone id in the subject of early receipts."""
    return subject.removeprefix(_DELIVERY)


def inbound(event_id: str) -> str:
    """Return the subject of a reply that changes no consent."""
    return f"inbound#{event_id}"


def event(event_id: str) -> str:
    """Return the subject of an event that a person must review."""
    return f"event#{event_id}"


def pace() -> str:
    """Return the subject of the account's pace, for every ceiling that an operator set."""
    return _PACE + "account"
