"""Record a subscription event: a recipient's reply, a template's event, or one that a person reviews."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cxone_messaging.domain import subjects
from cxone_messaging.domain.attention import Attention
from cxone_messaging.domain.consents import ConsentStatus
from cxone_messaging.domain.entries import Draft, Entry, EntryType, Value
from cxone_messaging.domain.event_names import REPLY_EVENT, TEMPLATE_EVENTS, names_opt_out, reply_events
from cxone_messaging.domain.event_times import BEHIND, COPIES, SKEW, EventTime, event_time
from cxone_messaging.domain.keywords import Keyword, Phrases, keyword_in
from cxone_messaging.domain.phone_numbers import (
    DEFAULT_COUNTRY,
    InvalidPhoneNumberError,
    PhoneNumber,
    country_of,
    readings,
)
from cxone_messaging.domain.pseudonyms import Pseudonyms
from cxone_messaging.domain.times import format_time
from cxone_messaging.domain.written_numbers import mask_numbers_in
from cxone_messaging.platform.clock import Clock, instant
from cxone_messaging.use_cases.consents import ConsentFromEvent, ManageConsents
from cxone_messaging.use_cases.events.delivery import Recorded
from cxone_messaging.use_cases.journal import Journal

_NO_IDS = frozenset({"", "null", "none", "nil", "undefined", "nan", "false", "n/a"})


@dataclass(frozen=True, slots=True)
class SubscriptionEvent:
    """One event as received; its name, `event`, decides which fields it has. `digest` is the hash of its whole body."""

    event: str
    id: str | None = None
    timestamp: str | None = None
    template_id: str | None = None
    sender: str | None = None
    recipient: str | None = None
    text: str | None = None
    digest: str = ""


class RecordEvent:
    """Records subscription events."""

    def __init__(
        self,
        journal: Journal,
        consents: ManageConsents,
        pseudonyms: Pseudonyms,
        clock: Clock,
        *,
        country: str = DEFAULT_COUNTRY,
        reply_event: str = "",
        extra_words: Phrases | None = None,
    ) -> None:
        self._reply_events = reply_events(reply_event)
        self._extra_words = extra_words
        self._country = country
        self._journal = journal
        self._consents = consents
        self._pseudonyms = pseudonyms
        self._clock = clock

    def __call__(self, event: SubscriptionEvent) -> Recorded:
        """Record an event once, however often it arrives. Raises `StorageError`.

        An event with an unknown name, or without the fields that its name requires, is kept for a person to review.
        """
        fields = [event.event, event.id, event.timestamp, event.template_id, event.sender, event.recipient, event.text]
        is_of_template = event.event in TEMPLATE_EVENTS and event.template_id
        if not is_of_template and not (event.sender and event.text):
            # What distinguishes two such events may be in a field that is not read.
            fields.append(event.digest)
        event_id = self._pseudonyms.event_id(fields)
        if event.event in TEMPLATE_EVENTS and event.template_id:
            data = self._data(event, event_id)
            return self._append(subjects.template(event.template_id), EntryType.TEMPLATE_EVENT, data)
        # No document names the event of replies. So a plain opt-out counts under any name.
        if event.event in self._reply_events or self._is_opt_out(event):
            return self._record_reply(event, event_id)
        return self._append(subjects.event(event_id), EntryType.EVENT, self._data(event, event_id), Attention.REVIEW)

    def _record_reply(self, event: SubscriptionEvent, event_id: str) -> Recorded:
        data = self._data(event, event_id)
        keyword = self._keyword(event)
        data |= {"keyword": keyword.value, "textHash": self._pseudonyms.text_hash(event.text or "")}
        numbers = readings(event.sender or "", country_of(event.recipient, self._country))
        if not numbers:
            return self._append(subjects.inbound(event_id), EntryType.INBOUND, data, Attention.REVIEW)
        time = self._time(event)
        if keyword is Keyword.OPT_OUT:
            is_known = _identifies(event.id or "") or time.is_precise
            consent = ConsentFromEvent(
                ConsentStatus.OPTED_OUT,
                REPLY_EVENT,
                event_id,
                # In doubt, it counts as of its receipt, and so do its copies: no earlier opt-in outdoes it.
                time.instant if time.is_certain else format_time(instant(self._clock.now()) + COPIES),
                is_certain=time.is_certain,
                is_recognisable=is_known,
            )
            return _answer(is_new=self._consents.record_opt_out(numbers, consent))
        number = self._certain(event.sender or "")
        if keyword is Keyword.OPT_IN and number and self._counts(time, event_id):
            consent = ConsentFromEvent(
                ConsentStatus.OPTED_IN, REPLY_EVENT, event_id, time.instant, is_certain=time.is_certain
            )
            return _answer(is_new=self._consents.record_opt_in(number, consent))
        if number:
            data |= {"recipient": number.masked, "recipientHash": self._pseudonyms.recipient_hash(number)}
        why = None if keyword is Keyword.HELP and number else Attention.REVIEW
        return self._append(subjects.inbound(event_id), EntryType.INBOUND, data, why)

    def _is_opt_out(self, event: SubscriptionEvent) -> bool:
        return bool(event.sender) and event.event not in TEMPLATE_EVENTS and self._keyword(event) is Keyword.OPT_OUT

    def _keyword(self, event: SubscriptionEvent) -> Keyword:
        if not (event.text or "").strip() and names_opt_out(event.event):
            return Keyword.OPT_OUT
        return keyword_in(event.text or "", self._extra_words)

    def _certain(self, sender: str) -> PhoneNumber | None:
        """Return the sender's number if it is written as requests must write it, else None."""
        try:
            return PhoneNumber.parse(sender, self._country)
        except InvalidPhoneNumberError:
            return None

    def _counts(self, time: EventTime, event_id: str) -> bool:
        """Whether an opt-in's time is certain, and was so when it first arrived."""
        return time.is_certain and not self._journal.oldest(subjects.inbound(event_id))

    def _time(self, event: SubscriptionEvent) -> EventTime:
        return event_time(event.timestamp, instant(self._clock.now()), SKEW, BEHIND)

    def _data(self, event: SubscriptionEvent, event_id: str) -> dict[str, Value]:
        return {"eventId": event_id, "event": mask_numbers_in(event.event), "instant": self._time(event).instant}

    def _append(
        self, subject: str, type_: EntryType, data: Mapping[str, Value], why: Attention | None = None
    ) -> Recorded:
        draft = Draft(type_, data, why.as_index() if why else None)

        def unless_known(known: Sequence[Entry]) -> Draft | None:
            return None if any(entry.data.get("eventId") == data["eventId"] for entry in known) else draft

        return Recorded.of(self._journal.append(subject, unless_known))


def _identifies(id_: str) -> bool:
    """Whether an id distinguishes events: zeros, the nil UUID and the words for nothing stand where there is none."""
    return id_.strip(" \t\r\n0-{}[]\"'").casefold() not in _NO_IDS


def _answer(*, is_new: bool) -> Recorded:
    return Recorded.ACCEPTED if is_new else Recorded.DUPLICATE
