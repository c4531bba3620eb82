"""Record a subscription event: a recipient's reply, a template's event, or one that a person reviews."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cxone_messaging.domain import subjects
from cxone_messaging.domain.attention import Attention
from cxone_messaging.domain.consents import ConsentStatus
from cxone_messaging.domain.delivery import SKEW, plausible_instant
from cxone_messaging.domain.entries import Draft, Entry, EntryType, Value
from cxone_messaging.domain.keywords import Keyword, keyword_in
from cxone_messaging.domain.phone_numbers import InvalidPhoneNumberError, PhoneNumber
from cxone_messaging.domain.pseudonyms import Pseudonyms
from cxone_messaging.domain.times import format_time, parse_time
from cxone_messaging.domain.written_numbers import mask_numbers_in
from cxone_messaging.platform.clock import Clock, instant
from cxone_messaging.use_cases.consents import ConsentFromEvent, ManageConsents
from cxone_messaging.use_cases.events.delivery import Recorded
from cxone_messaging.use_cases.journal import Journal

INBOUND = "message.inbound"
TEMPLATE_EVENTS = frozenset({"template.approved", "a2p.registered"})

_STATUSES: Mapping[Keyword, ConsentStatus] = {
    Keyword.OPT_OUT: ConsentStatus.OPTED_OUT,
    Keyword.OPT_IN: ConsentStatus.OPTED_IN,
}


@dataclass(frozen=True, slots=True)
class SubscriptionEvent:
    """One event as received; its name, `event`, decides which fields it has."""

    event: str
    id: str | None = None
    timestamp: str | None = None
    template_id: str | None = None
    sender: str | None = None
    recipient: str | None = None
    text: str | None = None


class RecordEvent:
    """Records subscription events."""

    def __init__(self, journal: Journal, consents: ManageConsents, pseudonyms: Pseudonyms, clock: Clock) -> None:
        self._journal = journal
        self._consents = consents
        self._pseudonyms = pseudonyms
        self._clock = clock

    def __call__(self, event: SubscriptionEvent) -> Recorded:
        """Record an event once, however often it arrives. Raises `StorageError`.

        An event with an unknown name, or without the fields that its name requires, is kept for a person to review.
        """
        fields = [event.event, event.id, event.timestamp, event.template_id, event.sender, event.recipient, event.text]
        event_id = self._pseudonyms.event_id(fields)
        if event.event == INBOUND:
            return self._record_reply(event, event_id)
        if event.event in TEMPLATE_EVENTS and event.template_id:
            data = self._data(event, event_id)
            return self._append(subjects.template(event.template_id), EntryType.TEMPLATE_EVENT, data)
        return self._append(subjects.event(event_id), EntryType.EVENT, self._data(event, event_id), Attention.REVIEW)

    def _record_reply(self, event: SubscriptionEvent, event_id: str) -> Recorded:
        data = self._data(event, event_id)
        keyword = keyword_in(event.text or "")
        data |= {"keyword": keyword.value, "textHash": self._pseudonyms.text_hash(event.text or "")}
        try:
            number = PhoneNumber.parse(event.sender or "")
        except InvalidPhoneNumberError:
            return self._append(subjects.inbound(event_id), EntryType.INBOUND, data, Attention.REVIEW)
        status = _STATUSES.get(keyword)
        if status is ConsentStatus.OPTED_OUT or (status is ConsentStatus.OPTED_IN and self._counts(event, event_id)):
            consent = ConsentFromEvent(status, INBOUND, event_id, str(data["instant"]))
            return Recorded.ACCEPTED if self._consents.record_event(number, consent) else Recorded.DUPLICATE
        data |= {"recipient": number.masked, "recipientHash": self._pseudonyms.recipient_hash(number)}
        why = None if keyword is Keyword.HELP else Attention.REVIEW
        return self._append(subjects.inbound(event_id), EntryType.INBOUND, data, why)

    def _counts(self, event: SubscriptionEvent, event_id: str) -> bool:
        """Whether an opt-in has a time that is not in the future, and had one when it first arrived."""
        try:
            is_plausible = parse_time(event.timestamp or "") <= instant(self._clock.now()) + SKEW
        except ValueError:
            return False
        return is_plausible and not self._journal.oldest(subjects.inbound(event_id))

    def _data(self, event: SubscriptionEvent, event_id: str) -> dict[str, Value]:
        received_at = instant(self._clock.now())
        try:
            happened_at = plausible_instant(event.timestamp or "", received_at, SKEW)
        except ValueError:
            happened_at = format_time(received_at)
        return {"eventId": event_id, "event": mask_numbers_in(event.event), "instant": happened_at}

    def _append(
        self, subject: str, type_: EntryType, data: Mapping[str, Value], why: Attention | None = None
    ) -> Recorded:
        draft = Draft(type_, data, why.as_index() if why else None)

        def unless_known(known: Sequence[Entry]) -> Draft | None:
            return None if any(entry.data.get("eventId") == data["eventId"] for entry in known) else draft

        return Recorded.of(self._journal.append(subject, unless_known))
