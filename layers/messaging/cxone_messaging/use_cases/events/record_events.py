"""Record an event that is certainly CXone's, and obey the opt-outs in it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from hashlib import sha256

from cxone_messaging.domain import subjects
from cxone_messaging.domain.consents import ConsentStatus
from cxone_messaging.domain.cxone_ids import named_recipient, sending_of
from cxone_messaging.domain.delivery import DeliveryEvent
from cxone_messaging.domain.event_times import event_time
from cxone_messaging.domain.ledger import BrokenChainError
from cxone_messaging.domain.phone_numbers import DEFAULT_COUNTRY, PhoneNumber, readings
from cxone_messaging.domain.refusals import is_refusal
from cxone_messaging.platform.clock import Clock, instant
from cxone_messaging.use_cases.consents import ConsentFromEvent, ManageConsents
from cxone_messaging.use_cases.events.delivery import RecordDelivery, Recorded, Recording
from cxone_messaging.use_cases.events.subscription import RecordEvent, SubscriptionEvent


@dataclass(frozen=True, slots=True)
class Proof:
    """The proof of a delivery event: the message that its signed URL names, or None.

    And a signed body.
    """

    message_id: str | None
    body_is_signed: bool


class RecordEvents:
    """Records delivery events and subscription events.

    Few events need `consents` and `record_event`, so these are made when an event first needs them.
    """

    def __init__(
        self,
        *,
        record_delivery: RecordDelivery,
        record_event: Callable[[], RecordEvent],
        consents: Callable[[], ManageConsents],
        clock: Clock,
        country: str = DEFAULT_COUNTRY,
    ) -> None:
        self._record_delivery = record_delivery
        self._record_event = record_event
        self._consents = consents
        self._clock = clock
        self._country = country

    def id_of(self, message_id: str) -> str | None:
        """Return the id that a message's sender got from CXone, or None. Raises `StorageError`."""
        return self._record_delivery.id_of(message_id)

    def record(self, event: DeliveryEvent, proof: Proof) -> Recorded:
        """Record an authenticated delivery event. Raises `StorageError`.

        A URL alone proves a status of its own message, and a carrier's refusal of that message's recipient. Any other
        content counts only if the body is signed.
        """
        time = event_time(event.timestamp, instant(self._clock.now()), timedelta())
        numbers = cache(lambda: readings(event.to, self._country))

        def recipient_hash() -> str | None:
            if not event.to.strip():
                return None
            hashes = [self._consents().recipient_hash(each) for each in numbers()]
            return named_recipient(hashes, is_certain="+" in event.to)

        def opt_out_if_refused(recording: Recording) -> None:
            if is_refusal(event.word, event.error):
                refusal = _id_of_refusal(event, proof, recording)
                consent = ConsentFromEvent(ConsentStatus.OPTED_OUT, "carrier refusal", refusal, time.instant)
                # Without a signed body, the holder of the URL chose the recipient that the event names.
                self._record_refusal(consent, numbers() if proof.body_is_signed else [], recording)

        try:
            recording = self._record_delivery(
                event, proof.message_id, signed=proof.body_is_signed, recipient_hash=recipient_hash
            )
        except BrokenChainError as error:
            # The event cannot be recorded, but that must not lose its opt-out.
            # Its subject is the message of the callback URL, or the one with the event's id.
            kept = list(error.kept) if subjects.is_message(error.subject) else []
            opt_out_if_refused(Recording(Recorded.ACCEPTED, kept))
            raise
        opt_out_if_refused(recording)
        return recording.recorded

    def record_subscription(self, event: SubscriptionEvent) -> Recorded:
        """Record an authenticated subscription event. Raises `StorageError`."""
        return self._record_event()(event)

    def _record_refusal(self, consent: ConsentFromEvent, named: Sequence[PhoneNumber], recording: Recording) -> None:
        """Opt out a recipient that the carrier refuses, also for a repeated event, since a run may break off.

        The message's own entry identifies the recipient. If the message is not known for certain, `named` are opted
        out: the numbers that the signed body may mean.
        """
        sending = sending_of(recording.entries)
        if sending:
            recipient_hash, masked = str(sending.data["recipientHash"]), str(sending.data["recipient"])
            self._consents().record_event_by_hash(recipient_hash, masked, consent)
        elif named:
            self._consents().record_opt_out(named, consent)


def _id_of_refusal(event: DeliveryEvent, proof: Proof, recording: Recording) -> str:
    """Return a refusal's id: the event's own only if its body is signed, and certainly of this message.

    The holder of a callback URL can use no id that a signed refusal needs. It can make only one consent entry more than
    delivery entries: all refusals of the message that have no entry share one id.
    """
    if recording.is_proved:
        return event.identity
    has_entry = any(entry.data.get("eventId") == event.identity for entry in recording.entries)
    named = f"refusal {event.identity} at a URL" if has_entry else f"refusals of {proof.message_id}"
    return sha256(named.encode()).hexdigest()
