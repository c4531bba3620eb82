"""Accept only events that CXone signed, and record them."""

from collections.abc import Mapping, Sequence

from cxone_messaging.adapters.secrets import WebhookSecrets
from cxone_messaging.domain.delivery import DeliveryEvent, cxone_id
from cxone_messaging.domain.errors import Code, FieldError, MessagingError
from cxone_messaging.domain.signatures import (
    body_is_signed,
    carries_signature,
    could_be_signed,
    is_within_limits,
    reference_and_signature,
    reference_is_signed,
)
from cxone_messaging.platform.clock import Clock
from cxone_messaging.platform.telemetry import Metric, Telemetry
from cxone_messaging.use_cases.events.delivery import Recorded
from cxone_messaging.use_cases.events.old_urls import OldUrls
from cxone_messaging.use_cases.events.record_events import Proof, RecordEvents
from cxone_messaging.use_cases.events.subscription import SubscriptionEvent


class ReceiveEvent:
    """Authenticates CXone's events, and has them recorded.

    `secrets` sign bodies, `callback_secrets` sign callback URLs.
    """

    def __init__(
        self,
        *,
        events: RecordEvents,
        secrets: WebhookSecrets,
        callback_secrets: WebhookSecrets,
        clock: Clock,
        telemetry: Telemetry,
        old_urls: OldUrls | None = None,
    ) -> None:
        self._events = events
        self._secrets = secrets
        self._callback_secrets = callback_secrets
        self._old_urls = old_urls
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
            own = self._events.id_of(proof.message_id)
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
        """Record an authenticated delivery event. Raises `StorageError`."""
        return self._events.record(event, proof)

    def record_subscription(self, event: SubscriptionEvent) -> Recorded:
        """Record an authenticated subscription event. Raises `StorageError`."""
        return self._events.record_subscription(event)

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
