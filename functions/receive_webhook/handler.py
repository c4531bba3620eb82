"""`POST /webhooks/cxone/*`: the door that is open to the internet; what comes in must prove that it is CXone's."""

from cxone_messaging.platform import startup

# isort: split
from functools import cache
from http import HTTPStatus
from typing import Annotated

from cxone_messaging.assembly import webhooks
from pydantic import BeforeValidator, Field

from cxone_messaging.domain.delivery import CXONE_ID_LIMIT, DeliveryEvent, cxone_id
from cxone_messaging.platform.bodies import WireBody
from cxone_messaging.platform.http_api import HttpApi, HttpRequest, HttpResponse
from cxone_messaging.platform.settings import ReceiveWebhookSettings
from cxone_messaging.platform.telemetry import EmbeddedMetrics
from cxone_messaging.use_cases.events.delivery import Recorded
from cxone_messaging.use_cases.events.receive_event import ReceiveEvent
from cxone_messaging.use_cases.events.subscription import SubscriptionEvent

metrics = EmbeddedMetrics("receive_webhook")


def _text_of_id(value: object) -> object:
    """Return the text of an id that is a number; all else as it is, for the model to judge."""
    return cxone_id(value) or value


_Id = Annotated[str, Field(min_length=1, max_length=CXONE_ID_LIMIT, pattern="^[ -~]+$")]
_TemplateId = Annotated[str, Field(max_length=CXONE_ID_LIMIT, pattern="^[ -~]*$")]


class DeliveryBody(WireBody):
    """A delivery event as CXone posts it; fields that we don't know are passed over.

    With an `event` it would be a subscription event. Signed as one, it must not pass as this.
    """

    # Judged by `ReceiveEvent.cxone_id`.
    message_id: Annotated[object, BeforeValidator(lambda told: told, json_schema_input_type=_Id | int)] = Field(
        alias="messageId"
    )
    event: None = None
    status: str = Field(min_length=1, max_length=64)
    to: str = Field(default="", max_length=64)
    timestamp: str = Field(max_length=64)
    error: str | None = Field(default=None, max_length=4096)

    def told(self, cxone_message_id: str) -> DeliveryEvent:
        """Give the event in the domain's words."""
        return DeliveryEvent(cxone_message_id, self.status, self.to, self.timestamp, self.error)


class SubscriptionBody(WireBody):
    """A subscription event as CXone posts it: its name, and whatever such an event may have."""

    event: str = Field(min_length=1, max_length=64)
    id: str | int | None = None
    timestamp: str | None = Field(default=None, max_length=64)
    template_id: Annotated[
        _TemplateId | None, BeforeValidator(_text_of_id, json_schema_input_type=_TemplateId | int | None)
    ] = None
    sender: str | None = Field(default=None, alias="from", max_length=64)
    to: str | None = Field(default=None, max_length=64)
    text: str | None = None

    def told(self) -> SubscriptionEvent:
        """Give the event in the domain's words."""
        return SubscriptionEvent(
            self.event,
            None if self.id is None else str(self.id),
            self.timestamp,
            self.template_id,
            self.sender,
            self.to,
            self.text,
        )


@cache
def use_case() -> ReceiveEvent:
    """Build the use case once an execution environment."""
    return webhooks.receive_event(ReceiveWebhookSettings.from_environment(), metrics)


def sms(request: HttpRequest) -> HttpResponse:
    """Take one delivery event."""
    receive = use_case()
    proof = receive.authenticate(request.query, request.headers, request.body)
    if proof.message_id:
        request.name(messageId=proof.message_id)
    body = request.parse(DeliveryBody)
    told = body.told(receive.cxone_id(body.message_id, proof))
    request.name(cxoneMessageId=told.cxone_message_id)
    return _answer(receive.record(told, proof))


def events(request: HttpRequest) -> HttpResponse:
    """Take one subscription event."""
    receive = use_case()
    receive.authenticate_body(request.headers, request.body)
    told = request.parse(SubscriptionBody).told()
    if told.template_id:
        request.name(templateId=told.template_id)
    return _answer(receive.record_subscription(told))


def _answer(recorded: Recorded) -> HttpResponse:
    return HttpResponse(HTTPStatus.OK, {"status": recorded.value})


handler = HttpApi({"POST /webhooks/cxone/sms": sms, "POST /webhooks/cxone/events": events}, metrics)

startup.finish()
