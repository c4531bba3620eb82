"""Record a delivery event once, in any order of arrival, under the message that it belongs to."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache

from cxone_messaging.domain import subjects
from cxone_messaging.domain.attention import Attention
from cxone_messaging.domain.cxone_ids import RECIPIENT_HASH_KEY, is_proved, is_readable, names_another, own_id
from cxone_messaging.domain.delivery import SIGNED_KEY, DeliveryEvent
from cxone_messaging.domain.delivery_bounds import bounded, is_worth_an_entry
from cxone_messaging.domain.entries import Draft, Entry, EntryType, Value
from cxone_messaging.domain.event_times import AHEAD, SKEW, event_time
from cxone_messaging.domain.ledger import CXONE_MESSAGE_KEY, BrokenChainError
from cxone_messaging.domain.written_numbers import mask_numbers_in
from cxone_messaging.platform.clock import Clock, instant
from cxone_messaging.use_cases.journal import Appended
from cxone_messaging.use_cases.message_trail import MessageTrail


class Recorded(StrEnum):
    """The answer to an event."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"

    @classmethod
    def of(cls, appended: Appended) -> "Recorded":
        """Return the answer to an event that was, or was not, appended."""
        return cls.ACCEPTED if appended.new else cls.DUPLICATE


@dataclass(frozen=True, slots=True)
class Recording:
    """The answer to an event, and its subject's entries: all of them, or both ends of a very long chain.

    `is_proved` means that CXone's signature proves the event for this subject.
    """

    recorded: Recorded
    entries: list[Entry]
    is_proved: bool = False


class RecordDelivery:
    """Records delivery events."""

    def __init__(self, trail: MessageTrail, clock: Clock) -> None:
        self._trail = trail
        self._clock = clock

    def __call__(
        self,
        event: DeliveryEvent,
        message_id: str | None,
        *,
        signed: bool = False,
        recipient_hash: Callable[[], str | None] = lambda: None,
    ) -> Recording:
        """Record an event under the message of its callback URL, else under the message with CXone's id.

        An event without new content, or without room in its chain, is a duplicate and no entry. An event of an unknown
        message is kept under `delivery#<CXone's id>` until the message appears.

        `signed` means that the body is signed beside the URL; it counts only if the event is certainly of the URL's
        message. `recipient_hash` returns the recipient that the body names (`named_recipient`), `UNREADABLE` if that is
        no phone number, or None if it names nobody; it is called only for signed bodies.
        Raises `StorageError`.
        """
        named = cache(recipient_hash)
        if message_id is None:
            kept = self._record_by_id(event.cxone_message_id, self._data(event, signed=True), named())
            return replace(kept, is_proved=True)
        subject = subjects.message(message_id)
        known = self._trail.journal.read_for_event(subject)
        proved = signed and is_proved(known, event.cxone_message_id, named)
        appended = self._trail.record_receipt(subject, self._data(event, signed=proved), known=known, at_url=True)
        if signed and not proved and own_id(known) is None and not is_readable(named()):
            # The sender may still record this id. Then the event counts as signed, for that sender's message. If a
            # chain of early events has a gap, an alarm rings, and the event has its entry under the URL's message.
            with suppress(BrokenChainError):
                self._keep(event.cxone_message_id, self._data(event, signed=True), named())
        entries = appended.entries
        if any(each.data.get("eventId") == event.identity and CXONE_MESSAGE_KEY in each.index for each in entries):
            # This event is the first with CXone's id for this message: events without our own id may wait for it.
            entries = self._trail.join_early_receipts(subject, event.cxone_message_id, entries)
        return Recording(Recorded.of(appended), entries, is_proved=proved)

    def id_of(self, message_id: str) -> str | None:
        """Return the id that a message's sender got from CXone, or None. Raises `StorageError`."""
        return own_id(self._trail.journal.oldest(subjects.message(message_id)))

    def _record_by_id(self, cxone_message_id: str, data: Mapping[str, Value], named: str | None) -> Recording:
        owner = self._trail.journal.ledger.subject_of_cxone_message(cxone_message_id)
        if owner is not None:
            known = self._trail.journal.read_for_event(owner)
            if not names_another(known, named):
                appended = self._trail.record_receipt(owner, data, known=known)
                entries = self._trail.join_early_receipts(owner, cxone_message_id, appended.entries)
                return Recording(Recorded.of(appended), entries)
        kept = self._keep(cxone_message_id, data, named)
        # The event is kept. A gap in the chain of a message that gets other events is not this event's fault.
        with suppress(BrokenChainError):
            self._trail.join_strays(cxone_message_id)
        return kept

    def _keep(self, cxone_message_id: str, data: Mapping[str, Value], named: str | None) -> Recording:
        """Record an event whose message is unknown, under CXone's id."""
        kept = {**data, RECIPIENT_HASH_KEY: named} if named else data

        def draft(known: Sequence[Entry]) -> Draft | None:
            if not is_worth_an_entry(known, kept):
                return None
            return Draft(EntryType.DELIVERY, kept, None if known else Attention.UNMATCHED.as_index())

        appended = self._trail.append_receipt(subjects.delivery(cxone_message_id), draft, kept)
        return Recording(Recorded.of(appended), appended.entries)

    def _data(self, event: DeliveryEvent, *, signed: bool) -> dict[str, Value]:
        status = mask_numbers_in(event.status)
        time = event_time(event.timestamp, instant(self._clock.now()), AHEAD if signed else SKEW)
        data: dict[str, Value] = {
            "eventId": event.identity,
            "cxoneMessageId": event.cxone_message_id,
            "status": status,
            "word": status.casefold(),
            "instant": time.instant,
        }
        # The instant and not the text, which may contain more than an instant.
        if time.written and time.written != time.instant:
            data["told"] = time.written
        if signed:
            data[SIGNED_KEY] = True
        if event.error:
            data["error"] = mask_numbers_in(event.error)
        return bounded(data)
