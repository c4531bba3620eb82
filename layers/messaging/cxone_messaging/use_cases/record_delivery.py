"""Record a delivery event: once, whatever the order, under the message that it belongs to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from cxone_messaging.adapters.ledger import CXONE_MESSAGE_KEY, BrokenChainError, Draft, Ledger, append
from cxone_messaging.domain.bulk import batch_index, batch_of
from cxone_messaging.domain.delivery import (
    AHEAD,
    DELIVERED_WORD,
    FINAL_WORDS,
    SIGNED_KEY,
    SKEW,
    DeliveryEvent,
    is_signed,
    plausible_instant,
    stray_subject,
)
from cxone_messaging.domain.delivery_bounds import bounded, is_entered, is_worth_an_entry
from cxone_messaging.domain.entries import Entry, EntryType, Value
from cxone_messaging.domain.messages import Status, fold, subject_of
from cxone_messaging.domain.phone_numbers import mask_numbers_in
from cxone_messaging.domain.unsettled import Unsettled
from cxone_messaging.platform.clock import Clock, instant
from cxone_messaging.platform.telemetry import Metric, Telemetry
from cxone_messaging.use_cases.chain_ends import append_to_ends, is_ends_only, oldest, read_for_event
from cxone_messaging.use_cases.counting import count_in_batches
from cxone_messaging.use_cases.cxone_ids import (
    RECIPIENT_HASH_KEY,
    bearer_of,
    given_to_claimer,
    has_id,
    index_key,
    is_anothers,
)


class Recorded(StrEnum):
    """What became of an event."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True)
class Recording:
    """What became of an event, and the entries of its subject: all of them, or those at both ends of a very long chain.

    `signed` is False where nothing but a callback URL proves what the event says.
    """

    recorded: Recorded
    entries: list[Entry]
    signed: bool = True


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
        seen = any(entry.data.get("eventId") == event_id for entry in known)
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
        `signed` says whether the body is signed beside the URL; it counts as signed only where both can be of one
        message. `recipient_hash` gives that of the recipient whom the body names; it is called only where the body is
        signed. Raises `ValueError` where the event's timestamp is no instant, and `StorageError`.
        """
        if message_id is None:
            return self._record_by_id(event.cxone_message_id, self._data(event, signed=True), recipient_hash)
        subject = subject_of(message_id)
        known = read_for_event(self._ledger, subject)
        signed = signed and self.proves(event, message_id, known, recipient_hash)
        under = self._record(subject, self._data(event, signed=signed), known=known, at_url=True)
        entries = under.entries
        if any(each.data.get("eventId") == event.identity and CXONE_MESSAGE_KEY in each.index for each in entries):
            # This event is the first to name CXone's id for this message: events without our own id may wait for it.
            entries = self.join(subject, event.cxone_message_id, entries)
        return Recording(under.recorded, entries, signed)

    def proves(
        self,
        event: DeliveryEvent,
        message_id: str,
        known: Sequence[Entry],
        recipient_hash: Callable[[], str | None],
    ) -> bool:
        """Whether an event with a signed body can be of the message that its URL names. Raises `StorageError`."""
        return not is_anothers(self._ledger, subject_of(message_id), known, event.cxone_message_id, recipient_hash)

    def _record_by_id(
        self, cxone_message_id: str, data: Mapping[str, Value], recipient_hash: Callable[[], str | None]
    ) -> Recording:
        bearer = bearer_of(self._ledger, cxone_message_id)
        if bearer and bearer.certain:
            under = self._record(bearer.subject, data)
            return Recording(under.recorded, self.join(bearer.subject, cxone_message_id, under.entries))
        named = recipient_hash()
        kept = self._keep(cxone_message_id, {**data, RECIPIENT_HASH_KEY: named} if named else data)
        if bearer:
            self.join(bearer.subject, cxone_message_id, read_for_event(self._ledger, bearer.subject))
        return kept

    def lacks_id(self, message_id: str) -> bool:
        """Whether a message was sent and its sender got no id of CXone's for it. Raises `StorageError`."""
        types = {entry.type for entry in oldest(self._ledger, subject_of(message_id))}
        return EntryType.UNKNOWN in types and EntryType.DISPATCHED not in types

    def join(self, subject: str, cxone_message_id: str, entries: list[Entry]) -> list[Entry]:
        """Enter under a message what was kept of CXone's id for it; gives the message's entries as they are then.

        Those that were kept stay where they are, too, and so do those that can't be the message's. A message that only
        claims the id gets them after `WAIT`, and as no more than its URL's word. Raises `StorageError`.
        """
        strays: Sequence[Entry] = oldest(self._ledger, stray_subject(cxone_message_id))
        left_out = {RECIPIENT_HASH_KEY}
        if not has_id(entries, cxone_message_id):
            now = instant(self._clock.now())
            strays = given_to_claimer(self._ledger, now, entries, cxone_message_id, strays)
            left_out.add(SIGNED_KEY)
        for stray in strays:
            data = {name: value for name, value in stray.data.items() if name not in left_out}
            if not is_entered(entries, data):
                entries = self._record(subject, data, known=entries).entries
        # Where all are in, whoever entered the last one may have broken off before batches counted it.
        return count_in_batches(self._ledger, self._clock, subject, entries)

    def _data(self, event: DeliveryEvent, *, signed: bool) -> dict[str, Value]:
        status = mask_numbers_in(event.status)
        happened_at = plausible_instant(event.timestamp, instant(self._clock.now()), AHEAD if signed else SKEW)
        data: dict[str, Value] = {
            "eventId": event.identity,
            "cxoneMessageId": event.cxone_message_id,
            "status": status,
            "word": status.casefold(),
            "instant": happened_at,
        }
        if event.timestamp != happened_at:
            data["told"] = event.timestamp
        if signed:
            data[SIGNED_KEY] = True
        if event.error:
            data["error"] = mask_numbers_in(event.error)
        return bounded(data)

    def _record(
        self,
        subject: str,
        data: Mapping[str, Value],
        *,
        known: Sequence[Entry] | None = None,
        at_url: bool = False,
    ) -> Recording:
        """Enter an event under a message; `at_url` says that its callback URL names the message."""

        def draft(known: Sequence[Entry]) -> Draft | None:
            index = batch_index(batch_of(known), EntryType.DELIVERY, data) if known and _may_move(known, data) else {}
            key = {}
            if at_url:
                # The message's sender may be dead, or never have got the answer with this id.
                key = index_key(self._ledger, subject, known, str(data["cxoneMessageId"]), signed=is_signed(data))
            if not is_worth_an_entry(known, data, brings_id=bool(key)):
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
            if not is_worth_an_entry(known, data):
                return None
            return Draft(EntryType.DELIVERY, data, None if known else Unsettled.UNMATCHED.as_index())

        return self._enter(stray_subject(cxone_message_id), draft, data)

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
            told = None if is_entered(known, data) else draft(known)
            entered = told is not None
            return told

        if is_ends_only(entries):
            try:
                entries = append_to_ends(self._ledger, self._clock, subject, decide, entries)
            except BrokenChainError:
                # `Ledger.read` counts the gaps that it sees, and the ends are not read by it.
                self._telemetry.add(Metric.BROKEN_CHAINS)
                raise
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
        latency_ms = fold("", entries).delivery_latency_ms
        if latency_ms is not None:
            self._telemetry.add(Metric.DELIVERY_LATENCY, latency_ms)


def _may_move(known: Sequence[Entry], data: Mapping[str, Value]) -> bool:
    """Whether an event moves its message, or may outrank another later; no batch needs to count what doesn't."""
    settled = {Status.DISPATCHED, Status.DELIVERED, Status.FAILED}
    return data["word"] in FINAL_WORDS or fold("", known).status not in settled
