"""Accept only events that CXone signed, and record them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from hashlib import sha256

from cxone_messaging.adapters.secrets import WebhookSecrets
from cxone_messaging.domain import subjects
from cxone_messaging.domain.consents import ConsentStatus
from cxone_messaging.domain.cxone_ids import named_recipient, sending_of
from cxone_messaging.domain.delivery import DeliveryEvent, cxone_id
from cxone_messaging.domain.errors import Code, FieldError, MessagingError
from cxone_messaging.domain.event_times import event_time
from cxone_messaging.domain.ledger import BrokenChainError
from cxone_messaging.domain.phone_numbers import DEFAULT_COUNTRY, PhoneNumber, readings
from cxone_messaging.domain.refusals import is_refusal
from cxone_messaging.domain.signatures import (
    body_is_signed,
    carries_signature,
    could_be_signed,
    is_within_limits,
    reference_and_signature,
    reference_is_signed,
)
from cxone_messaging.platform.clock import Clock, instant
from cxone_messaging.platform.telemetry import Metric, Telemetry
from cxone_messaging.use_cases.consents import ConsentFromEvent, ManageConsents
from cxone_messaging.use_cases.events.delivery import RecordDelivery, Recorded, Recording
from cxone_messaging.use_cases.events.old_urls import OldUrls
from cxone_messaging.use_cases.events.subscription import RecordEvent, SubscriptionEvent


@dataclass(frozen=True, slots=True)
class Proof:
    """The proof of a delivery event: the message that its signed URL names, or None.

    And a signed body.
    """

    message_id: str | None
    body_is_signed: bool


class ReceiveEvent:
    """Authenticates and records CXone's events.

    `secrets` sign bodies, `callback_secrets` sign callback URLs. Few events need `consents` and `record_event`, so
    these are made when an event first needs them.
    """

    def __init__(
        self,
        *,
        record_delivery: RecordDelivery,
        record_event: Callable[[], RecordEvent],
        consents: Callable[[], ManageConsents],
        secrets: WebhookSecrets,
        callback_secrets: WebhookSecrets,
        clock: Clock,
        telemetry: Telemetry,
        old_urls: OldUrls | None = None,
        country: str = DEFAULT_COUNTRY,
    ) -> None:
        self._record_delivery = record_delivery
        self._record_event = record_event
        self._consents = consents
        self._secrets = secrets
        self._callback_secrets = callback_secrets
        self._old_urls = old_urls
        self._country = country
        self._clock = clock
        self._telemetry = telemetry

    def authenticate(self, query: Mapping[str, str], headers: Mapping[str, str], body: bytes) -> Proof:
        """Check a delivery event's signatures, and return the proof that they are.

        A signature of the body must be valid, even if the URL is. Raises `invalid_signature`, without a reason, and
        `StorageError`.
        """
        if not is_within_limits(headers):
            raise self._refused()
        message_id = self._message_named(query)
        claims_signed_body = carries_signature(headers)
        if claims_signed_body or message_id is None:
            self._require_signed_body(headers, body)
        return Proof(message_id, claims_signed_body)

    def cxone_id(self, value: object, proof: Proof) -> str:
        """Return an event's CXone id in the form that is stored.

        An event at a message's URL needs no id: without one that can be stored, it has the message's own, or one made
        of the message's. Raises `malformed_request` for any other event, and `StorageError`.
        """
        id_ = cxone_id(value)
        if id_ is not None:
            return id_
        if proof.message_id:
            own = self._record_delivery.id_of(proof.message_id)
            return own or "none:" + proof.message_id
        fault = FieldError(
            Code.MALFORMED_REQUEST, "messageId", "an id is a whole number or 1 to 128 characters of ASCII"
        )
        raise MessagingError(Code.MALFORMED_REQUEST, "the event names no message", errors=[fault])

    def authenticate_body(self, headers: Mapping[str, str], body: bytes) -> None:
        """Check a subscription event's signature, which its body must have.

        Raises `invalid_signature`.
        """
        if not is_within_limits(headers):
            raise self._refused()
        self._require_signed_body(headers, body)

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

    def _message_named(self, query: Mapping[str, str]) -> str | None:
        """Return the message that a signed callback URL names; None if the URL is not signed."""
        reference, signature = reference_and_signature(query)

        def is_signed(values: Sequence[str]) -> bool:
            return reference_is_signed(values, reference, signature)

        if not could_be_signed(reference, signature):
            return None
        if is_signed(self._callback_secrets.accepted()):
            return reference
        is_old = self._old_urls is not None and self._old_urls.count(reference, signature)
        return reference if is_old or is_signed(self._callback_secrets.reread()) else None

    def _require_signed_body(self, headers: Mapping[str, str], body: bytes) -> None:
        def is_signed(values: Sequence[str]) -> bool:
            return body_is_signed(values, headers, body, self._clock.now())

        # A request without a signature costs no read of a secret.
        claims = carries_signature(headers)
        if not claims or not (is_signed(self._secrets.accepted()) or is_signed(self._secrets.reread())):
            raise self._refused()

    def _refused(self) -> MessagingError:
        self._telemetry.add(Metric.WEBHOOKS_REFUSED)
        return MessagingError(Code.INVALID_SIGNATURE, "the request has no valid signature from CXone")


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
