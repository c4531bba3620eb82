"""`POST /messages` and `POST /messages/preview`."""

from cxone_messaging.platform import startup

# isort: split
from functools import cache
from http import HTTPStatus

from pydantic import Field

from cxone_messaging.assembly import single
from cxone_messaging.domain.names import NAME_LIMIT
from cxone_messaging.domain.sms import SmsRequest
from cxone_messaging.platform.bodies import Body
from cxone_messaging.platform.http_api import HttpApi, HttpRequest, HttpResponse, field_errors
from cxone_messaging.platform.settings import SendMessageSettings
from cxone_messaging.platform.telemetry import EmbeddedMetrics
from cxone_messaging.use_cases.send.send_message import SendMessage

metrics = EmbeddedMetrics("send_message")


class MessageBody(Body):
    """What to send. A field left out is reported as the rule that it breaks, not as a malformed request."""

    to: str = ""
    text: str = ""
    campaign_id: str | None = Field(default=None, max_length=NAME_LIMIT)
    sender: str | None = Field(default=None, alias="from", max_length=100)

    def asked(self) -> SmsRequest:
        """Give the request in the domain's words."""
        return SmsRequest(to=self.to, text=self.text, campaign_id=self.campaign_id, sender=self.sender)


@cache
def use_case() -> SendMessage:
    """Build the use case once an execution environment."""
    return single.send_message(SendMessageSettings.from_environment(), metrics)


def send(request: HttpRequest) -> HttpResponse:
    """Send one message, at most once for each `Idempotency-Key`."""
    asked = request.parse(MessageBody).asked()
    receipt = use_case().send(
        asked, request.idempotency_key(), request.seconds_left, lambda message_id: request.name(messageId=message_id)
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
    """Say what a send would do; nothing is sent or recorded."""
    checked = use_case().preview(request.parse(MessageBody).asked())
    size = checked.size
    return HttpResponse(
        HTTPStatus.OK,
        {
            "valid": not checked.errors,
            "errors": field_errors(checked.errors),
            "encoding": size.encoding if size else None,
            "segments": size.segments if size else None,
            "units": size.units if size else None,
        },
    )


handler = HttpApi({"POST /messages": send, "POST /messages/preview": preview}, metrics)

startup.finish()
