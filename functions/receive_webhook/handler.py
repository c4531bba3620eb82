"""`POST /webhooks/cxone/*`: CXone's events.

These routes are open to the internet, and authenticate each request.
"""

from cxone_messaging.platform import startup

# isort: split
from collections.abc import Callable
from functools import cache
from http import HTTPStatus
from typing import Annotated

from pydantic import BeforeValidator, Field

from cxone_messaging.adapters.dynamodb.consents import ConsentStore, DynamoConsentStore
from cxone_messaging.adapters.dynamodb.ledger import DynamoLedger
from cxone_messaging.adapters.secrets import SecretsManagerStore, WebhookSecrets, read_pepper
from cxone_messaging.domain.delivery import CXONE_ID_LIMIT, DeliveryEvent, cxone_id
from cxone_messaging.domain.ledger import Ledger
from cxone_messaging.domain.pseudonyms import Pseudonyms
from cxone_messaging.platform import aws
from cxone_messaging.platform.bodies import WireBody
from cxone_messaging.platform.clock import Clock, SystemClock
from cxone_messaging.platform.http_api import HttpApi, HttpRequest
from cxone_messaging.platform.problems import HttpResponse
from cxone_messaging.platform.settings import Settings
from cxone_messaging.platform.telemetry import EmbeddedMetrics, Telemetry
from cxone_messaging.use_cases.consents import ManageConsents
from cxone_messaging.use_cases.events.delivery import RecordDelivery, Recorded
from cxone_messaging.use_cases.events.old_urls import OldUrls
from cxone_messaging.use_cases.events.receive_event import ReceiveEvent
from cxone_messaging.use_cases.events.subscription import RecordEvent, SubscriptionEvent
from cxone_messaging.use_cases.journal import Journal
from cxone_messaging.use_cases.message_trail import MessageTrail

metrics = EmbeddedMetrics()


def _text_of_id(value: object) -> object:
    """Return the text of an id that is a number.

    Other values are returned unchanged, for the model to validate.
    """
    return cxone_id(value) or value


def _text_of_recipient(value: object) -> object:
    """Return the text of a recipient that is a number or missing.

    Other values are returned unchanged, for the model to validate.
    """
    return "" if value is None else cxone_id(value) or value


_Id = Annotated[str, Field(min_length=1, max_length=CXONE_ID_LIMIT, pattern="^[ -~]+$")]
_Recipient = Annotated[str, Field(max_length=64)]
_TemplateId = Annotated[str, Field(max_length=CXONE_ID_LIMIT, pattern="^[ -~]*$")]


class ReceiveWebhookSettings(Settings):
    """The settings for receiving CXone's events."""

    ledger_table: str
    consents_table: str
    pepper_secret_arn: str
    webhook_secret_arn: str
    callback_secret_arn: str


class DeliveryBody(WireBody):
    """A delivery event as CXone posts it; unknown fields are ignored.

    A body with an `event` is a subscription event, and its signature is not valid for this route.
    """

    # Validated by `ReceiveEvent.cxone_id`.
    message_id: Annotated[object, BeforeValidator(lambda value: value, json_schema_input_type=_Id | int)] = Field(
        alias="messageId"
    )
    event: None = None
    status: str = Field(min_length=1, max_length=64)
    to: Annotated[_Recipient, BeforeValidator(_text_of_recipient, json_schema_input_type=_Recipient | int | None)] = ""
    timestamp: str = Field(max_length=64)
    error: str | None = Field(default=None, max_length=4096)

    def to_domain(self, cxone_message_id: str) -> DeliveryEvent:
        """Return the event as a domain object."""
        return DeliveryEvent(cxone_message_id, self.status, self.to, self.timestamp, self.error)


class SubscriptionBody(WireBody):
    """A subscription event as CXone posts it: its name, and the fields that such an event may have."""

    event: str = Field(min_length=1, max_length=64)
    id: str | int | None = None
    timestamp: str | None = Field(default=None, max_length=64)
    template_id: Annotated[
        _TemplateId | None, BeforeValidator(_text_of_id, json_schema_input_type=_TemplateId | int | None)
    ] = None
    sender: str | None = Field(default=None, alias="from", max_length=64)
    to: str | None = Field(default=None, max_length=64)
    text: str | None = None

    def to_domain(self) -> SubscriptionEvent:
        """Return the event as a domain object."""
        return SubscriptionEvent(
            self.event,
            None if self.id is None else str(self.id),
            self.timestamp,
            self.template_id,
            self.sender,
            self.to,
            self.text,
        )


def record_delivery(ledger: Ledger, clock: Clock, telemetry: Telemetry) -> RecordDelivery:
    """Compose the recorder of delivery events from its parts."""
    return RecordDelivery(MessageTrail(Journal(ledger, clock), clock, telemetry), clock)


def receive_event(
    *,
    ledger: Ledger,
    consents: ConsentStore,
    pseudonyms: Callable[[], Pseudonyms],
    secrets: WebhookSecrets,
    callback_secrets: WebhookSecrets,
    clock: Clock,
    telemetry: Telemetry,
) -> ReceiveEvent:
    """Compose the use case from its parts.

    Few events need `pseudonyms`, so its secret is read only for those.
    """
    journal = Journal(ledger, clock)

    @cache
    def manage_consents() -> ManageConsents:
        return ManageConsents(journal=journal, consents=consents, pseudonyms=pseudonyms(), clock=clock)

    return ReceiveEvent(
        record_delivery=record_delivery(ledger, clock, telemetry),
        record_event=cache(lambda: RecordEvent(journal, manage_consents(), pseudonyms(), clock)),
        consents=manage_consents,
        secrets=secrets,
        callback_secrets=callback_secrets,
        clock=clock,
        telemetry=telemetry,
        old_urls=OldUrls(secrets, journal, clock),
    )


@cache
def use_case() -> ReceiveEvent:
    """Return the use case, built once an execution environment."""
    settings, clock = ReceiveWebhookSettings.from_environment(), SystemClock()
    store = SecretsManagerStore(aws.secrets_manager())
    return receive_event(
        ledger=DynamoLedger(aws.dynamodb(), settings.ledger_table, telemetry=metrics),
        consents=DynamoConsentStore(aws.dynamodb(), settings.consents_table),
        pseudonyms=cache(lambda: Pseudonyms(read_pepper(store, settings.pepper_secret_arn))),
        secrets=WebhookSecrets(store, settings.webhook_secret_arn, clock),
        callback_secrets=WebhookSecrets(store, settings.callback_secret_arn, clock),
        clock=clock,
        telemetry=metrics,
    )


def sms(request: HttpRequest) -> HttpResponse:
    """Receive one delivery event."""
    receive = use_case()
    proof = receive.authenticate(request.query, request.headers, request.body)
    if proof.message_id:
        request.log_ids(messageId=proof.message_id)
    body = request.parse(DeliveryBody)
    event = body.to_domain(receive.cxone_id(body.message_id, proof))
    request.log_ids(cxoneMessageId=event.cxone_message_id)
    return _answer(receive.record(event, proof))


def events(request: HttpRequest) -> HttpResponse:
    """Receive one subscription event."""
    receive = use_case()
    receive.authenticate_body(request.headers, request.body)
    event = request.parse(SubscriptionBody).to_domain()
    if event.template_id:
        request.log_ids(templateId=event.template_id)
    return _answer(receive.record_subscription(event))


def _answer(recorded: Recorded) -> HttpResponse:
    return HttpResponse(HTTPStatus.OK, {"status": recorded.value})


handler = HttpApi({"POST /webhooks/cxone/sms": sms, "POST /webhooks/cxone/events": events}, metrics)

startup.finish()
