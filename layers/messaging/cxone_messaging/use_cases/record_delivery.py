"""Record a delivery event: once, whatever the order, under the message that it belongs to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from cxone_messaging.adapters.ledger import CXONE_MESSAGE_KEY, Draft, Ledger, append
from cxone_messaging.domain.bulk import batch_index, batch_of
from cxone_messaging.domain.delivery import DELIVERED_WORD, FINAL_WORDS, DeliveryEvent, plausible_instant, stray_subject
from cxone_messaging.domain.entries import Entry, EntryType, Value
from cxone_messaging.domain.messages import Status, fold, subject_of
from cxone_messaging.domain.phone_numbers import mask_numbers_in
from cxone_messaging.domain.unsettled import Unsettled
from cxone_messaging.platform.clock import Clock, instant
from cxone_messaging.platform.telemetry import Metric, Telemetry
from cxone_messaging.use_cases.counting import count_in_batches

_ERROR_LIMIT = 200


class Recorded(StrEnum):
    """What became of an event."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True)
class Recording:
    """What became of an event, and all entries of the subject that it is under."""

    recorded: Recorded
    entries: list[Entry]


def record_once(
    ledger: Ledger,
    clock: Clock,
    subject: str,
    draft: Callable[[Sequence[Entry]], Draft],
    event_id: Value,
    *,
    known: Sequence[Entry] | None = None,
) -> Recording:
    """Append what is to be said of an event, given a subject's entries, unless one of them is about that event.

    `known` are the entries that the caller has at hand. Raises `StorageError`.
    """
    seen = False

    def decide(known: Sequence[Entry]) -> Draft | None:
        nonlocal seen
        seen = _has(known, event_id)
        return None if seen else draft(known)

    entries = append(ledger, clock, subject, decide, known=known)
    return Recording(Recorded.DUPLICATE if seen else Recorded.ACCEPTED, entries)


class RecordDelivery:
    """The use case."""

    def __init__(self, ledger: Ledger, clock: Clock, telemetry: Telemetry) -> None:
        self._ledger = ledger
        self._clock = clock
        self._telemetry = telemetry

    def __call__(self, event: DeliveryEvent, message_id: str | None) -> Recording:
        """Record an event under the message that its callback URL names, else under the one with CXone's id.

        An event of a message that we don't know is kept under `delivery#<CXone's id>` until `join` finds it there.
        Raises `ValueError` where the event's timestamp is no instant, and `StorageError`.
        """
        data = self._data(event)
        if message_id is None:
            subject = self._ledger.subject_of_cxone_message(event.cxone_message_id)
            if subject is None:
                return self._keep(event.cxone_message_id, data)
            under = self._record(subject, data)
            return Recording(under.recorded, self.join(subject, event.cxone_message_id, under.entries))
        subject = subject_of(message_id)
        under = self._record(subject, data)
        entered = next(entry for entry in under.entries if entry.data.get("eventId") == event.identity)
        if entered.index.get(CXONE_MESSAGE_KEY) == event.cxone_message_id:
            # This event is the first to name CXone's id for this message: events without our own id may wait for it.
            return Recording(under.recorded, self.join(subject, event.cxone_message_id, under.entries))
        return under

    def join(self, subject: str, cxone_message_id: str, entries: list[Entry]) -> list[Entry]:
        """Enter under a message what was kept of CXone's id for it; gives the message's entries as they are then.

        Those that were kept stay where they are, too. Raises `StorageError`.
        """
        for stray in self._ledger.read(stray_subject(cxone_message_id)):
            if not _has(entries, stray.data["eventId"]):
                entries = self._record(subject, stray.data, known=entries).entries
        # Where all are in, whoever entered the last one may have broken off before batches counted it.
        return count_in_batches(self._ledger, self._clock, subject, entries)

    def _data(self, event: DeliveryEvent) -> dict[str, Value]:
        status = mask_numbers_in(event.status)
        happened_at = plausible_instant(event.timestamp, instant(self._clock.now()))
        data: dict[str, Value] = {
            "eventId": event.identity,
            "cxoneMessageId": event.cxone_message_id,
            "status": status,
            "word": status.casefold(),
            "instant": happened_at,
        }
        if event.timestamp != happened_at:
            data["told"] = event.timestamp
        if event.error:
            data["error"] = mask_numbers_in(event.error)[:_ERROR_LIMIT]
        return data

    def _record(self, subject: str, data: Mapping[str, Value], *, known: Sequence[Entry] | None = None) -> Recording:
        def draft(known: Sequence[Entry]) -> Draft:
            index = batch_index(batch_of(known), EntryType.DELIVERY, data) if known and _may_move(known, data) else {}
            # Its sender may be dead, or never have got the answer with this id; no later entry needs to bear it.
            if not any(entry.index.get(CXONE_MESSAGE_KEY) == data["cxoneMessageId"] for entry in known):
                index[CXONE_MESSAGE_KEY] = str(data["cxoneMessageId"])
            return Draft(EntryType.DELIVERY, data, index)

        recording = record_once(self._ledger, self._clock, subject, draft, data["eventId"], known=known)
        if recording.recorded is Recorded.ACCEPTED:
            self._measure(str(data["word"]), recording.entries)
        # For a duplicate too: its first receipt may have broken off here.
        counted = count_in_batches(self._ledger, self._clock, subject, recording.entries)
        return Recording(recording.recorded, counted)

    def _keep(self, cxone_message_id: str, data: Mapping[str, Value]) -> Recording:
        def draft(known: Sequence[Entry]) -> Draft:
            return Draft(EntryType.DELIVERY, data, None if known else Unsettled.UNMATCHED.as_index())

        return record_once(self._ledger, self._clock, stray_subject(cxone_message_id), draft, data["eventId"])

    def _measure(self, word: str, entries: Sequence[Entry]) -> None:
        """Count a message when it first becomes final."""
        if word not in FINAL_WORDS:
            return
        if sum(entry.data.get("word") in FINAL_WORDS for entry in entries) > 1:
            return
        delivered = word == DELIVERED_WORD
        self._telemetry.add(Metric.MESSAGES_DELIVERED if delivered else Metric.MESSAGES_FAILED)
        latency_ms = fold("", entries).delivery_latency_ms
        if latency_ms is not None:
            self._telemetry.add(Metric.DELIVERY_LATENCY, latency_ms)


def _may_move(known: Sequence[Entry], data: Mapping[str, Value]) -> bool:
    """Whether an event moves its message, or may outrank another later; no batch needs to count what doesn't."""
    settled = {Status.DISPATCHED, Status.DELIVERED, Status.FAILED}
    return data["word"] in FINAL_WORDS or fold("", known).status not in settled


def _has(entries: Sequence[Entry], event_id: Value) -> bool:
    return any(entry.data.get("eventId") == event_id for entry in entries)
