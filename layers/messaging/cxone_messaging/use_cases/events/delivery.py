"""Record a delivery event: once, whatever the order, under the message that it belongs to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from cxone_messaging.domain import subjects
from cxone_messaging.domain.attention import Attention
from cxone_messaging.domain.batches import batch_index, batch_of
from cxone_messaging.domain.delivery import DELIVERED_WORD, FINAL_WORDS, DeliveryEvent, plausible_instant
from cxone_messaging.domain.delivery_bounds import bounded, is_worth_an_entry
from cxone_messaging.domain.entries import Draft, Entry, EntryType, Value, text_at
from cxone_messaging.domain.ledger import CXONE_MESSAGE_KEY, Ledger
from cxone_messaging.domain.messages import Message, Status
from cxone_messaging.domain.written_numbers import mask_numbers_in
from cxone_messaging.platform.clock import Clock, instant
from cxone_messaging.platform.telemetry import Metric, Telemetry
from cxone_messaging.use_cases.chain_ends import append_to_ends, is_ends_only, oldest, read_for_event
from cxone_messaging.use_cases.counting import count_in_batches
from cxone_messaging.use_cases.events.cxone_ids import bearer_of, belongs, index_key, sending_of
from cxone_messaging.use_cases.journal import append

# Of the recipient that an event names, where it is kept until its message is known.
_RECIPIENT_HASH = "recipientHash"


class Recorded(StrEnum):
    """What became of an event."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True)
class Recording:
    """What became of an event, and the entries of its subject: all of them, or those at both ends of a very long chain.

    `certain` is False where nothing but somebody's claim says that it belongs there.
    """

    recorded: Recorded
    entries: list[Entry]
    certain: bool = True


def record_once(
    ledger: Ledger,
    clock: Clock,
    subject: str,
    draft: Callable[[Sequence[Entry]], Draft],
    event_id: Value,
) -> Recording:
    """Append what is to be said of an event, given a subject's entries, unless one of them is about that event.

    Raises `StorageError`.
    """
    seen = False

    def decide(known: Sequence[Entry]) -> Draft | None:
        nonlocal seen
        seen = _has(known, event_id)
        return None if seen else draft(known)

    entries = append(ledger, clock, subject, decide)
    return Recording(Recorded.DUPLICATE if seen else Recorded.ACCEPTED, entries)


class RecordDelivery:
    """The use case."""

    def __init__(self, ledger: Ledger, clock: Clock, telemetry: Telemetry) -> None:
        self._ledger = ledger
        self._clock = clock
        self._telemetry = telemetry

    def __call__(
        self,
        event: DeliveryEvent,
        message_id: str | None,
        *,
        signed: bool = False,
        recipient_hash: Callable[[], str | None] = lambda: None,
    ) -> Recording:
        """Record an event under the message that its callback URL names, else under the one with CXone's id.

        An event that says nothing new, or that there is no room for, is a duplicate and no entry.
        An event of a message that we don't know is kept under `delivery#<CXone's id>` until `join` finds it there.
        `signed` says whether the body is signed beside the URL; `recipient_hash` gives that of the event's recipient.
        Raises `ValueError` where the event's timestamp is no instant, and `StorageError`.
        """
        data = self._data(event)
        if message_id is None:
            return self._record_by_id(event.cxone_message_id, data, recipient_hash)
        subject = subjects.message(message_id)
        under = self._record(subject, data, signed=signed)
        entered = next((entry for entry in under.entries if entry.data.get("eventId") == event.identity), None)
        if entered and CXONE_MESSAGE_KEY in entered.index:
            # This event is the first to name CXone's id for this message: events without our own id may wait for it.
            return Recording(under.recorded, self.join(subject, event.cxone_message_id, under.entries))
        return under

    def _record_by_id(
        self, cxone_message_id: str, data: Mapping[str, Value], recipient_hash: Callable[[], str | None]
    ) -> Recording:
        bearer = bearer_of(self._ledger, cxone_message_id)
        if bearer and bearer.certain:
            under = self._record(bearer.subject, data)
            return Recording(under.recorded, self.join(bearer.subject, cxone_message_id, under.entries))
        told = recipient_hash()
        known = read_for_event(self._ledger, bearer.subject) if bearer else []
        if bearer and belongs(known, cxone_message_id, told):
            under = self._record(bearer.subject, data, known=known)
            entries = self.join(bearer.subject, cxone_message_id, under.entries)
            return Recording(under.recorded, entries, certain=told is not None)
        return self._keep(cxone_message_id, {**data, _RECIPIENT_HASH: told} if told else data)

    def sending(self, message_id: str) -> Entry | None:
        """Return the entry of a message's first sender; None where the ledger has none. Raises `StorageError`."""
        return sending_of(self._ledger.read(subjects.message(message_id)))

    def lacks_id(self, message_id: str) -> bool:
        """Whether a message was sent and its sender got no id of CXone's for it. Raises `StorageError`."""
        types = {entry.type for entry in oldest(self._ledger, subjects.message(message_id))}
        return EntryType.UNKNOWN in types and EntryType.DISPATCHED not in types

    def join(self, subject: str, cxone_message_id: str, entries: list[Entry]) -> list[Entry]:
        """Enter under a message what was kept of CXone's id for it; gives the message's entries as they are then.

        Those that were kept stay where they are, too, and so do those that can't be the message's. Raises
        `StorageError`.
        """
        for stray in oldest(self._ledger, subjects.delivery(cxone_message_id)):
            is_ours = belongs(entries, cxone_message_id, text_at(stray.data, _RECIPIENT_HASH))
            if is_ours and not _has(entries, stray.data["eventId"]):
                data = {name: value for name, value in stray.data.items() if name != _RECIPIENT_HASH}
                entries = self._record(subject, data, known=entries).entries
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
            data["told"] = mask_numbers_in(event.timestamp)
        if event.error:
            data["error"] = mask_numbers_in(event.error)
        return bounded(data)

    def _record(
        self,
        subject: str,
        data: Mapping[str, Value],
        *,
        known: Sequence[Entry] | None = None,
        signed: bool | None = None,
    ) -> Recording:
        """Enter an event under a message; `signed` is None where its callback URL did not name the message."""

        def draft(known: Sequence[Entry]) -> Draft | None:
            index = batch_index(batch_of(known), EntryType.DELIVERY, data) if known and _may_move(known, data) else {}
            key = {}
            if signed is not None:
                # The message's sender may be dead, or never have got the answer with this id.
                key = index_key(self._ledger, subject, known, str(data["cxoneMessageId"]), signed=signed)
            # What comes without a URL has a signed body.
            if not is_worth_an_entry(known, data, is_signed=signed is not False, brings_id=bool(key)):
                return None
            return Draft(EntryType.DELIVERY, data, index | key)

        recording = self._enter(subject, draft, data, known)
        if recording.recorded is Recorded.ACCEPTED:
            self._measure(str(data["word"]), recording.entries)
        if is_ends_only(recording.entries):
            return recording  # batches count its final words by the entries themselves
        # For a duplicate too: its first receipt may have broken off here.
        counted = count_in_batches(self._ledger, self._clock, subject, recording.entries)
        return Recording(recording.recorded, counted)

    def _keep(self, cxone_message_id: str, data: Mapping[str, Value]) -> Recording:
        def draft(known: Sequence[Entry]) -> Draft | None:
            if not is_worth_an_entry(known, data, is_signed=True):
                return None
            return Draft(EntryType.DELIVERY, data, None if known else Attention.UNMATCHED.as_index())

        return self._enter(subjects.delivery(cxone_message_id), draft, data)

    def _enter(
        self,
        subject: str,
        draft: Callable[[Sequence[Entry]], Draft | None],
        data: Mapping[str, Value],
        known: Sequence[Entry] | None = None,
    ) -> Recording:
        """Append what is to be said of an event, if anything, unless an entry is about that event."""
        entries = read_for_event(self._ledger, subject) if known is None else list(known)
        entered = False

        def decide(known: Sequence[Entry]) -> Draft | None:
            nonlocal entered
            told = None if _has(known, data["eventId"]) else draft(known)
            entered = told is not None
            return told

        if is_ends_only(entries):
            entries = append_to_ends(self._ledger, self._clock, subject, decide, entries)
        else:
            entries = append(self._ledger, self._clock, subject, decide, known=entries)
        return Recording(Recorded.ACCEPTED if entered else Recorded.DUPLICATE, entries)

    def _measure(self, word: str, entries: Sequence[Entry]) -> None:
        """Count a message when it first becomes final."""
        if word not in FINAL_WORDS:
            return
        if sum(entry.data.get("word") in FINAL_WORDS for entry in entries) > 1:
            return
        delivered = word == DELIVERED_WORD
        self._telemetry.add(Metric.MESSAGES_DELIVERED if delivered else Metric.MESSAGES_FAILED)
        latency_ms = Message.of(entries).delivery_latency_ms
        if latency_ms is not None:
            self._telemetry.add(Metric.DELIVERY_LATENCY, latency_ms)


def _may_move(known: Sequence[Entry], data: Mapping[str, Value]) -> bool:
    """Whether an event moves its message, or may outrank another later; no batch needs to count what doesn't."""
    settled = {Status.DISPATCHED, Status.DELIVERED, Status.FAILED}
    return data["word"] in FINAL_WORDS or Message.of(known).status not in settled


def _has(entries: Sequence[Entry], event_id: Value) -> bool:
    return any(entry.data.get("eventId") == event_id for entry in entries)
