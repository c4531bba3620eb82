"""Let in what CXone signed, and nothing else; then record it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256

from cxone_messaging.adapters.ledger import BrokenChainError
from cxone_messaging.adapters.secret_store import WebhookSecrets
from cxone_messaging.domain.consents import ConsentStatus
from cxone_messaging.domain.delivery import FAILED_WORDS, DeliveryEvent, cxone_id, plausible_instant
from cxone_messaging.domain.entries import Entry
from cxone_messaging.domain.errors import Code, FieldError, MessagingError
from cxone_messaging.domain.keywords import means_opted_out
from cxone_messaging.domain.messages import subject_of
from cxone_messaging.domain.phone_numbers import InvalidPhoneNumberError, PhoneNumber
from cxone_messaging.domain.signatures import (
    body_is_signed,
    carries_signature,
    could_be_signed,
    is_within_limits,
    reference_is_signed,
)
from cxone_messaging.platform.clock import Clock, instant
from cxone_messaging.platform.telemetry import Metric, Telemetry
from cxone_messaging.use_cases.cxone_ids import sending_of
from cxone_messaging.use_cases.manage_consents import HeardConsent, ManageConsents
from cxone_messaging.use_cases.old_urls import OldUrls
from cxone_messaging.use_cases.record_delivery import RecordDelivery, Recorded, Recording
from cxone_messaging.use_cases.record_event import RecordEvent, SubscriptionEvent


@dataclass(frozen=True, slots=True)
class Proof:
    """What a delivery event has proven: which message its URL names, None where it names none; and its body."""

    message_id: str | None
    body_is_signed: bool


class ReceiveEvent:
    """The use case. What few events need is made when it is first needed: `consents` and `record_event`.

    `secrets` sign bodies, `callback_secrets` sign callback URLs.
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
    ) -> None:
        self._record_delivery = record_delivery
        self._record_event = record_event
        self._consents = consents
        self._secrets = secrets
        self._callback_secrets = callback_secrets
        self._old_urls = old_urls
        self._clock = clock
        self._telemetry = telemetry

    def authenticate(self, query: Mapping[str, str], headers: Mapping[str, str], body: bytes) -> Proof:
        """Check a delivery event's signatures, and return what they prove.

        A body that claims to be signed must be signed, even when the URL is good. Raises `invalid_signature`, which
        doesn't tell why, and `StorageError`.
        """
        if not is_within_limits(headers):
            raise self._refused()
        message_id = self._named(query)
        claims_signed_body = carries_signature(headers)
        if claims_signed_body or message_id is None:
            self._insist_on_signed_body(headers, body)
        return Proof(message_id, claims_signed_body)

    def cxone_id(self, told: object, proof: Proof) -> str:
        """Return CXone's id of an event's message, as it is kept. Raises `malformed_request`, and `StorageError`.

        Where CXone accepted a message under an id that can't be kept, its events bear that id, and nothing but them
        settles the message. For those alone, a hash stands in for it.
        """
        id_ = cxone_id(told)
        if id_ is not None:
            return id_
        if isinstance(told, str) and told and proof.message_id and self._record_delivery.lacks_id(proof.message_id):
            return "sha256:" + sha256(told.encode("utf-8", "surrogatepass")).hexdigest()
        what = FieldError(
            Code.MALFORMED_REQUEST, "messageId", "an id is a whole number or 1 to 128 characters of ASCII"
        )
        raise MessagingError(Code.MALFORMED_REQUEST, "the event names no message", errors=[what])

    def authenticate_body(self, headers: Mapping[str, str], body: bytes) -> None:
        """Check a subscription event's signature, which its body must have. Raises `invalid_signature`."""
        if not is_within_limits(headers):
            raise self._refused()
        self._insist_on_signed_body(headers, body)

    def record(self, event: DeliveryEvent, proof: Proof) -> Recorded:
        """Record a delivery event that was let in. Raises `malformed_request`, and `StorageError`.

        A URL alone proves a status of its own message, and a carrier's refusal of that message's recipient. What else
        the event says counts only where its body is signed.
        """
        try:
            happened_at = plausible_instant(event.timestamp, instant(self._clock.now()), timedelta())
        except ValueError:
            raise MessagingError(Code.MALFORMED_REQUEST, "the timestamp is not RFC 3339") from None

        def recipient_hash() -> str | None:
            number = _number(event.to)
            return self._consents().recipient_hash(number) if number else None

        def obey(recording: Recording) -> None:
            if event.word in FAILED_WORDS and event.error and means_opted_out(event.error):
                refusal = _name_of_refusal(event, proof, recording)
                heard = HeardConsent(ConsentStatus.OPTED_OUT, "carrier refusal", refusal, happened_at)
                # Without a signed body, the recipient that the event names is anybody's word.
                self._record_refusal(heard, _number(event.to) if recording.signed else None, recording)

        try:
            recording = self._record_delivery(
                event, proof.message_id, signed=proof.body_is_signed, recipient_hash=recipient_hash
            )
        except BrokenChainError as error:
            # The event can't be recorded; an opt-out is not lost for that.
            kept: list[Entry] = []
            signed = proof.body_is_signed
            if proof.message_id is not None and error.subject == subject_of(proof.message_id):
                kept = list(error.kept)
                signed = signed and self._record_delivery.proves(event, proof.message_id, kept, recipient_hash)
            obey(Recording(Recorded.ACCEPTED, kept, signed))
            raise
        obey(recording)
        return recording.recorded

    def record_subscription(self, event: SubscriptionEvent) -> Recorded:
        """Record a subscription event that was let in. Raises `StorageError`."""
        return self._record_event()(event)

    def _record_refusal(self, heard: HeardConsent, told: PhoneNumber | None, recording: Recording) -> None:
        """Opt a recipient out whom the carrier refuses for that; each time that the event comes, for it may break off.

        The message's own entry says who that is. Where the message is not known for certain, `told` is opted out: whom
        the event named in a signed body. If the event names nobody, nobody is.
        """
        sending = sending_of(recording.entries)
        if sending:
            self._consents().hear_of(str(sending.data["recipientHash"]), str(sending.data["recipient"]), heard)
        elif told:
            self._consents().hear(told, heard)

    def _named(self, query: Mapping[str, str]) -> str | None:
        """Return the message that a signed callback URL names."""
        reference, signature = query.get("ref", ""), query.get("sig", "")

        def is_signed(values: Sequence[str]) -> bool:
            return reference_is_signed(values, reference, signature)

        if not could_be_signed(reference, signature):
            return None
        if is_signed(self._callback_secrets.accepted()):
            return reference
        is_old = self._old_urls is not None and self._old_urls.count(reference, signature)
        return reference if is_old or is_signed(self._callback_secrets.reread()) else None

    def _insist_on_signed_body(self, headers: Mapping[str, str], body: bytes) -> None:
        def is_signed(values: Sequence[str]) -> bool:
            return body_is_signed(values, headers, body, self._clock.now())

        # What claims no signature costs no read of a secret.
        claims = carries_signature(headers)
        if not claims or not (is_signed(self._secrets.accepted()) or is_signed(self._secrets.reread())):
            raise self._refused()

    def _refused(self) -> MessagingError:
        self._telemetry.add(Metric.WEBHOOKS_REFUSED)
        return MessagingError(Code.INVALID_SIGNATURE, "the request is not signed as an event of CXone's")


def _name_of_refusal(event: DeliveryEvent, proof: Proof, recording: Recording) -> str:
    """Name a refusal: as its event where its body is signed or it has an entry, else all of one message alike.

    So what a callback URL's holder sends becomes no more consent entries than delivery entries, but for one, and
    takes no name that a signed refusal needs.
    """
    if recording.signed or any(entry.data.get("eventId") == event.identity for entry in recording.entries):
        return event.identity
    return sha256(f"refusals of {proof.message_id or event.cxone_message_id}".encode()).hexdigest()


def _number(text: str) -> PhoneNumber | None:
    try:
        return PhoneNumber.parse(text)
    except InvalidPhoneNumberError:
        return None
