"""`POST /messages` and `POST /messages/preview`."""

from cxone_messaging.platform import startup

# isort: split
from functools import cache
from http import HTTPStatus

from pydantic import Field

from cxone_messaging.domain.names import NAME_LIMIT
from cxone_messaging.domain.sms import SmsRequest
from cxone_messaging.platform.bodies import Body
from cxone_messaging.platform.http_api import HttpApi, HttpRequest
from cxone_messaging.platform.problems import HttpResponse, field_errors
from cxone_messaging.platform.telemetry import EmbeddedMetrics
from cxone_messaging.use_cases.send.send_message import SendMessage
from cxone_messaging.wiring.sending import SenderParts, SenderSettings, sender_parts

metrics = EmbeddedMetrics()


class SendMessageSettings(SenderSettings):
    """The settings for sending one message.

    The horizon is how long it may wait for its slot, in seconds.
    """

    slot_horizon_seconds: float = Field(default=5.0, gt=0)


class MessageBody(Body):
    """A message to send.

    A missing field is reported as the rule that it breaks, not as a malformed request.
    """

    to: str = ""
    text: str = ""
    campaign_id: str | None = Field(default=None, max_length=NAME_LIMIT)
    sender: str | None = Field(default=None, alias="from", max_length=100)

    def to_domain(self) -> SmsRequest:
        """Return the request as a domain object."""
        return SmsRequest(to=self.to, text=self.text, campaign_id=self.campaign_id, sender=self.sender)


class PreviewBody(MessageBody):
    """A message to check; the reference is the idempotency key with which it would be sent."""

    reference: str | None = Field(default=None, min_length=1, max_length=255)


def send_message(parts: SenderParts, horizon_seconds: float) -> SendMessage:
    """Compose the use case from its parts."""
    return SendMessage(
        trail=parts.trail,
        consents=parts.consents,
        dispatcher=parts.dispatcher,
        horizon_seconds=horizon_seconds,
        pseudonyms=parts.pseudonyms,
        rules=parts.rules,
        clock=parts.clock,
        rng=parts.rng,
    )


@cache
def use_case() -> SendMessage:
    """Return the use case, built once an execution environment."""
    settings = SendMessageSettings.from_environment()
    return send_message(sender_parts(settings, metrics), settings.slot_horizon_seconds)


def send(request: HttpRequest) -> HttpResponse:
    """Send one message, at most once for each `Idempotency-Key`."""
    sms = request.parse(MessageBody).to_domain()
    receipt = use_case().send(
        sms, request.idempotency_key(), request.deadline, lambda message_id: request.log_ids(messageId=message_id)
    )
    message = receipt.message
    return HttpResponse(
        HTTPStatus.ACCEPTED,
        {
            "messageId": message.message_id,
            "status": "dispatched",
            "cxoneMessageId": message.cxone_message_id,
            "encoding": message.encoding,
            "segments": message.segments,
            "dispatchLatencyMs": message.dispatch_latency_ms,
        },
        {"Idempotency-Replayed": "true"} if receipt.replayed else {},
    )


def preview(request: HttpRequest) -> HttpResponse:
    """Return the result of checking a send; nothing is sent or recorded."""
    body = request.parse(PreviewBody)
    previewed = use_case().preview(body.to_domain(), body.reference)
    checked, size = previewed.checked, previewed.checked.size
    return HttpResponse(
        HTTPStatus.OK,
        {
            "valid": not checked.errors,
            "errors": field_errors(checked.errors),
            "encoding": size.encoding if size else None,
            "segments": size.segments if size else None,
            "units": size.units if size else None,
            "earlier": previewed.earlier.value if previewed.earlier else None,
        },
    )


handler = HttpApi({"POST /messages": send, "POST /messages/preview": preview}, metrics)

startup.finish()
