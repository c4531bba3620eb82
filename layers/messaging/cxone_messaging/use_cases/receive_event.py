"""Let in what CXone signed, and nothing else; then record it."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta

from cxone_messaging.adapters.secret_store import WebhookSecrets
from cxone_messaging.domain.consents import ConsentStatus
from cxone_messaging.domain.delivery import FAILED_WORDS, DeliveryEvent, plausible_instant
from cxone_messaging.domain.entries import Entry
from cxone_messaging.domain.errors import Code, MessagingError
from cxone_messaging.domain.keywords import means_opted_out
from cxone_messaging.domain.phone_numbers import InvalidPhoneNumberError, PhoneNumber
from cxone_messaging.domain.signatures import (
    body_is_signed,
    carries_signature,
    is_within_limits,
    reference_is_signed,
)
from cxone_messaging.platform.clock import Clock, instant
from cxone_messaging.platform.telemetry import Metric, Telemetry
from cxone_messaging.use_cases.manage_consents import HeardConsent, ManageConsents
from cxone_messaging.use_cases.record_delivery import RecordDelivery, Recorded
from cxone_messaging.use_cases.record_event import RecordEvent, SubscriptionEvent

# Longer ones are none of ours: they are refused before anything is computed from them.
_REFERENCE_LIMIT = 100
_SIGNATURE_LIMIT = 512


class ReceiveEvent:
    """The use case. What few events need is made when it is first needed: `consents` and `record_event`."""

    def __init__(
        self,
        *,
        record_delivery: RecordDelivery,
        record_event: Callable[[], RecordEvent],
        consents: Callable[[], ManageConsents],
        secrets: WebhookSecrets,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._record_delivery = record_delivery
        self._record_event = record_event
        self._consents = consents
        self._secrets = secrets
        self._clock = clock
        self._telemetry = telemetry

    def authenticate(self, query: Mapping[str, str], headers: Mapping[str, str], body: bytes) -> str | None:
        """Check a delivery event's signatures; give the message that its URL names, None where only its body is signed.

        Whoever claims a signed body must have signed it, even when the URL is good. Raises `invalid_signature`, which
        doesn't tell why.
        """
        reference, signature = query.get("ref", ""), query.get("sig", "")
        if len(signature) > _SIGNATURE_LIMIT or len(reference) > _REFERENCE_LIMIT or not is_within_limits(headers):
            raise self._refused()
        named = bool(reference) and self._accepted(lambda keys: reference_is_signed(keys, reference, signature))
        if carries_signature(headers) or not named:
            self._insist_on_signed_body(headers, body)
        return reference if named else None

    def authenticate_body(self, headers: Mapping[str, str], body: bytes) -> None:
        """Check a subscription event's signature, which its body must have. Raises `invalid_signature`."""
        if not is_within_limits(headers):
            raise self._refused()
        self._insist_on_signed_body(headers, body)

    def record(self, event: DeliveryEvent, message_id: str | None) -> Recorded:
        """Record a delivery event that was let in. Raises `malformed_request`, and `StorageError`."""
        try:
            happened_at = plausible_instant(event.timestamp, instant(self._clock.now()), timedelta())
        except ValueError:
            raise MessagingError(Code.MALFORMED_REQUEST, "the timestamp is not RFC 3339") from None
        recording = self._record_delivery(event, message_id)
        if event.word in FAILED_WORDS and event.error and means_opted_out(event.error):
            heard = HeardConsent(ConsentStatus.OPTED_OUT, "carrier refusal", event.identity, happened_at)
            self._hear_refusal(heard, event.to, recording.entries)
        return recording.recorded

    def record_subscription(self, event: SubscriptionEvent) -> Recorded:
        """Record a subscription event that was let in. Raises `StorageError`."""
        return self._record_event()(event)

    def _hear_refusal(self, heard: HeardConsent, to: str, entries: Sequence[Entry]) -> None:
        """Opt a recipient out whom the carrier refuses for that; each time that the event comes, for it may break off.

        The message's own entry says who that is; the event is asked only where there is no message.
        """
        known = next((entry.data for entry in entries if "recipientHash" in entry.data), None)
        if known:
            self._consents().hear_of(str(known["recipientHash"]), str(known["recipient"]), heard)
            return
        with suppress(InvalidPhoneNumberError):
            self._consents().hear(PhoneNumber.parse(to), heard)

    def _insist_on_signed_body(self, headers: Mapping[str, str], body: bytes) -> None:
        if not self._accepted(lambda keys: body_is_signed(keys, headers, body, self._clock.now())):
            raise self._refused()

    def _accepted(self, is_signed: Callable[[Sequence[str]], bool]) -> bool:
        return is_signed(self._secrets.accepted()) or is_signed(self._secrets.reread())

    def _refused(self) -> MessagingError:
        self._telemetry.add(Metric.WEBHOOKS_REFUSED)
        return MessagingError(Code.INVALID_SIGNATURE, "the request is not signed as an event of CXone's")
