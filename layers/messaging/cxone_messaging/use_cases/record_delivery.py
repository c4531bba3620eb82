"""Record a delivery event: once, whatever the order, under the message that it belongs to."""

from collections.abc import Sequence
from enum import StrEnum

from cxone_messaging.adapters.ledger import Draft, Ledger, append
from cxone_messaging.domain.bulk import batch_index, batch_of
from cxone_messaging.domain.delivery import DELIVERED_WORD, FINAL_WORDS, DeliveryEvent
from cxone_messaging.domain.entries import Entry, EntryType, Value
from cxone_messaging.domain.messages import fold, subject_of
from cxone_messaging.domain.phone_numbers import mask_numbers_in
from cxone_messaging.platform.clock import Clock
from cxone_messaging.platform.telemetry import Metric, Telemetry

_ERROR_LIMIT = 200


class Recorded(StrEnum):
    """What became of an event."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"


class RecordDelivery:
    """The use case."""

    def __init__(self, ledger: Ledger, clock: Clock, telemetry: Telemetry) -> None:
        self._ledger = ledger
        self._clock = clock
        self._telemetry = telemetry

    def __call__(self, event: DeliveryEvent, message_id: str | None) -> Recorded:
        """Record an event under the message that its callback URL names, else under the one with CXone's id.

        An event of a message that we don't know is kept under `delivery#<CXone's id>`. Raises `StorageError`.
        """
        subject = self._subject(event, message_id)
        data: dict[str, Value] = {
            "eventId": event.identity,
            "cxoneMessageId": event.cxone_message_id,
            "status": mask_numbers_in(event.status),
            "word": event.word,
            "instant": event.instant,
        }
        if event.error:
            data["error"] = mask_numbers_in(event.error)[:_ERROR_LIMIT]
        seen = False

        def decide(known: Sequence[Entry]) -> Draft | None:
            nonlocal seen
            seen = any(entry.data.get("eventId") == event.identity for entry in known)
            if seen:
                return None
            return Draft(EntryType.DELIVERY, data, batch_index(batch_of(known), EntryType.DELIVERY, data))

        entries = append(self._ledger, self._clock, subject, decide)
        if seen:
            return Recorded.DUPLICATE
        self._measure(event, entries)
        return Recorded.ACCEPTED

    def _subject(self, event: DeliveryEvent, message_id: str | None) -> str:
        if message_id is not None:
            return subject_of(message_id)
        known = self._ledger.subject_of_cxone_message(event.cxone_message_id)
        return known or f"delivery#{event.cxone_message_id}"

    def _measure(self, event: DeliveryEvent, entries: Sequence[Entry]) -> None:
        """Count a message when it first becomes final."""
        if event.word not in FINAL_WORDS:
            return
        if sum(entry.data.get("word") in FINAL_WORDS for entry in entries) > 1:
            return
        delivered = event.word == DELIVERED_WORD
        self._telemetry.add(Metric.MESSAGES_DELIVERED if delivered else Metric.MESSAGES_FAILED)
        latency_ms = fold("", entries).delivery_latency_ms
        if latency_ms is not None:
            self._telemetry.add(Metric.DELIVERY_LATENCY, latency_ms)
