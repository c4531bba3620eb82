"""Let in what CXone signed, and nothing else; then record it."""

from collections.abc import Callable, Mapping, Sequence

from cxone_messaging.adapters.secret_store import WebhookSecrets
from cxone_messaging.domain.delivery import DeliveryEvent
from cxone_messaging.domain.errors import Code, MessagingError
from cxone_messaging.domain.signatures import body_is_signed, carries_signature, reference_is_signed
from cxone_messaging.platform.clock import Clock
from cxone_messaging.platform.telemetry import Metric, Telemetry
from cxone_messaging.use_cases.record_delivery import RecordDelivery, Recorded

# Longer ones are none of ours: they are refused before anything is computed from them.
_REFERENCE_LIMIT = 100
_HEADER_LIMIT = 512


class ReceiveEvent:
    """The use case."""

    def __init__(self, record: RecordDelivery, secrets: WebhookSecrets, clock: Clock, telemetry: Telemetry) -> None:
        self._record = record
        self._secrets = secrets
        self._clock = clock
        self._telemetry = telemetry

    def authenticate(self, query: Mapping[str, str], headers: Mapping[str, str], body: bytes) -> str | None:
        """Check an event's signatures; give the message that its URL names, or None where only its body is signed.

        Whoever claims a signed body must have signed it, even when the URL is good. Raises `invalid_signature`, which
        doesn't tell why.
        """
        reference, signature = query.get("ref", ""), query.get("sig", "")
        lengths = [
            len(reference),
            len(signature),
            *(len(value) for name, value in headers.items() if "x-cxone" in name),
        ]
        if max(lengths) > _HEADER_LIMIT or len(reference) > _REFERENCE_LIMIT:
            raise self._refused()
        named = bool(reference) and self._accepted(lambda keys: reference_is_signed(keys, reference, signature))
        if carries_signature(headers):
            if not self._accepted(lambda keys: body_is_signed(keys, headers, body, self._clock.now())):
                raise self._refused()
        elif not named:
            raise self._refused()
        return reference if named else None

    def record(self, event: DeliveryEvent, message_id: str | None) -> Recorded:
        """Record an event that was let in. Raises `malformed_request`, and `StorageError`."""
        try:
            event.instant  # noqa: B018
        except ValueError:
            raise MessagingError(Code.MALFORMED_REQUEST, "the timestamp is not RFC 3339") from None
        return self._record(event, message_id)

    def _accepted(self, is_signed: Callable[[Sequence[str]], bool]) -> bool:
        return is_signed(self._secrets.accepted()) or is_signed(self._secrets.reread())

    def _refused(self) -> MessagingError:
        self._telemetry.add(Metric.WEBHOOKS_REFUSED)
        return MessagingError(Code.INVALID_SIGNATURE, "the request is not signed as an event of CXone's")
