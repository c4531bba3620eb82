"""Show a message: its state, and every entry that the state was read from, verified."""

from collections.abc import Sequence
from dataclasses import dataclass

from cxone_messaging.adapters.ledger import Ledger
from cxone_messaging.domain.entries import Entry, first_broken
from cxone_messaging.domain.errors import Code, MessagingError
from cxone_messaging.domain.messages import Message, fold, subject_of
from cxone_messaging.platform.clock import Clock
from cxone_messaging.platform.telemetry import Telemetry
from cxone_messaging.use_cases.record_delivery import RecordDelivery
from cxone_messaging.use_cases.settle import settle_overdue


@dataclass(frozen=True, slots=True)
class AuditedMessage:
    """A message with its audit trail; `verified` says that no entry was changed, put in, moved or taken out between."""

    message: Message
    entries: Sequence[Entry]
    verified: bool


class ReadMessage:
    """The use case."""

    def __init__(self, ledger: Ledger, clock: Clock, telemetry: Telemetry) -> None:
        self._ledger = ledger
        self._clock = clock
        self._telemetry = telemetry
        self._deliveries = RecordDelivery(ledger, clock, telemetry)

    def __call__(self, message_id: str) -> AuditedMessage:
        """Read a message. Raises `message_not_found`, and `StorageError`."""
        subject = subject_of(message_id)
        entries = self._ledger.read(subject)
        if not entries:
            raise MessagingError(Code.MESSAGE_NOT_FOUND, "no message has this id")
        # A chain that doesn't hold is shown as it is: nothing is appended to what somebody has tampered with.
        verified = first_broken(subject, entries) is None
        if verified:
            entries = settle_overdue(self._ledger, self._clock, self._telemetry, subject, entries)
        message = fold(message_id, entries)
        if verified and message.cxone_message_id:
            entries = self._deliveries.join(subject, message.cxone_message_id, entries)
            message = fold(message_id, entries)
        return AuditedMessage(message, entries, verified)
