"""`POST /webhooks/cxone/*`: CXone's events.

These routes are open to the internet, and authenticate each request.
"""

from cxone_messaging.platform import startup

# isort: split
import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from hashlib import sha256
from http import HTTPStatus
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from cxone_messaging.adapters.dynamodb.consents import ConsentStore, DynamoConsentStore
from cxone_messaging.adapters.dynamodb.ledger import DynamoLedger
from cxone_messaging.adapters.secrets import SecretsManagerStore, WebhookSecrets, read_pepper
from cxone_messaging.domain.delivery import DeliveryEvent, cxone_id
from cxone_messaging.domain.ledger import Ledger
from cxone_messaging.domain.phone_numbers import DEFAULT_COUNTRY
from cxone_messaging.domain.pseudonyms import Pseudonyms
from cxone_messaging.platform import aws
from cxone_messaging.platform.bodies import WireBody
from cxone_messaging.platform.clock import Clock, SystemClock
from cxone_messaging.platform.http_api import HttpApi, HttpRequest
from cxone_messaging.platform.problems import HttpResponse
from cxone_messaging.platform.settings import Country, EventName, Settings, Words
from cxone_messaging.platform.telemetry import EmbeddedMetrics, Telemetry
from cxone_messaging.use_cases.events.delivery import Recorded
from cxone_messaging.use_cases.events.old_urls import OldUrls
from cxone_messaging.use_cases.events.receive_event import ReceiveEvent
from cxone_messaging.use_cases.events.subscription import SubscriptionEvent
from cxone_messaging.use_cases.journal import Journal
from cxone_messaging.wiring.events import record_events

metrics = EmbeddedMetrics()


def _text(value: object) -> str:
    """Return the text of any JSON value: a whole number is its digits, a list or an object is its JSON, null is empty.

    A field that an event can do without must not lose the event.
    """
    match value:
        case str():
            return value
        case None:
            return ""
        case float() if value.is_integer() and abs(value) < _EXACT:
            return str(int(value))
        case _:
            # Python refuses to write out numbers of thousands of digits.
            return "" if isinstance(value, int) and abs(value) >= _EXACT**8 else json.dumps(value, ensure_ascii=False)


def _text_or_none(value: object) -> str | None:
    return None if value is None else _text(value)


def _words(value: object) -> str | None:
    """Return the words of a reply: a text, or each text in a list or an object on a line of its own."""
    return _words_in(value, 0)


def _words_in(value: object, depth: int) -> str | None:
    if isinstance(value, list | dict):
        values = (value.values() if isinstance(value, dict) else value) if depth < _DEPTH else ()
        return "\n".join(filter(None, (_words_in(each, depth + 1) for each in values)))
    return _text_or_none(value)


def _number(value: object) -> str:
    """Return the text of a phone number: of the first text or number in a list or an object."""
    while isinstance(value, list | dict):
        values = list(value.values()) if isinstance(value, dict) else value
        value = next((each for each in values if each not in (None, "", [], {})), "")
    return _text(value)[:_NUMBER_LIMIT]


_ERROR_FIELDS = frozenset(
    {"errorcode", "errormessage", "errordescription", "errortext", "errors", "reason", "reasoncode"}
)
_EXACT, _DEPTH = 2.0**53, 20
_NUMBER_LIMIT, _WORD_LIMIT, _ERROR_LIMIT = 256, 64, 4096
_Anything = Annotated[object, Field(description="Any JSON value; whatever is no text is read as one.")]
_Text = Annotated[str, BeforeValidator(_text, json_schema_input_type=_Anything)]
_TextOrNone = Annotated[str | None, BeforeValidator(_text_or_none, json_schema_input_type=_Anything)]
_Words = Annotated[str | None, BeforeValidator(_words, json_schema_input_type=_Anything)]
_Number = Annotated[str, BeforeValidator(_number, json_schema_input_type=_Anything)]


class ReceiveWebhookSettings(Settings):
    """The settings for receiving CXone's events."""

    ledger_table: str
    consents_table: str
    pepper_secret_arn: str
    webhook_secret_arn: str
    callback_secret_arn: str
    default_country: Country = DEFAULT_COUNTRY
    inbound_event: EventName = ""
    extra_opt_out_words: Words = ""


class DeliveryBody(WireBody):
    """A delivery event as CXone posts it; unknown fields are ignored.

    A body with an `event` is a subscription event, and its signature is not valid for this route.
    """

    # Validated by `ReceiveEvent.cxone_id`.
    message_id: _Anything = Field(alias="messageId", default=None)
    event: None = None
    status: _Text = Field(min_length=1)
    to: _Number = ""
    timestamp: _Text = ""
    error: _TextOrNone = None

    @model_validator(mode="before")
    @classmethod
    def _find_error(cls, body: object) -> object:
        """Take what other suppliers' events name in other fields for the error, where there is none."""
        if not isinstance(body, dict) or body.get("error") not in (None, "", {}, []):
            return body
        found = {name: value for name, value in body.items() if str(name).replace("_", "").lower() in _ERROR_FIELDS}
        return {**body, "error": found} if found else body

    def to_domain(self, cxone_message_id: str) -> DeliveryEvent:
        """Return the event as a domain object."""
        error = None if self.error is None else self.error[:_ERROR_LIMIT]
        return DeliveryEvent(
            cxone_message_id, self.status.strip()[:_WORD_LIMIT], self.to, self.timestamp[:_WORD_LIMIT], error
        )


class SubscriptionBody(WireBody):
    """A subscription event as CXone posts it: its name, and the fields that such an event may have.

    A body without a name is a ping. With a status it is a delivery event, whose signature is not valid here.
    """

    event: _Text = ""
    status: object = None
    id: _TextOrNone = None
    timestamp: _TextOrNone = None
    template_id: Annotated[object, BeforeValidator(cxone_id, json_schema_input_type=_Anything)] = None
    sender: _Number = Field(default="", alias="from")
    to: _Number = ""
    text: _Words = None

    @model_validator(mode="after")
    def _is_no_delivery_event(self) -> Self:
        if not self.event.strip() and self.status is not None:
            raise ValueError("a delivery event has another address")
        return self

    def to_domain(self) -> SubscriptionEvent:
        """Return the event as a domain object."""
        return SubscriptionEvent(
            self.event.strip()[:_WORD_LIMIT].casefold(),
            self.id,
            self.timestamp,
            str(self.template_id) if self.template_id else None,
            self.sender,
            self.to,
            self.text,
        )


def receive_event(
    *,
    ledger: Ledger,
    consents: ConsentStore,
    pseudonyms: Callable[[], Pseudonyms],
    secrets: WebhookSecrets,
    callback_secrets: WebhookSecrets,
    clock: Clock,
    telemetry: Telemetry,
    country: str = DEFAULT_COUNTRY,
    reply_event: str = "",
    extra_opt_out_words: str = "",
) -> ReceiveEvent:
    """Compose the use case from its parts; see `record_events`."""
    return ReceiveEvent(
        events=record_events(
            ledger=ledger,
            consents=consents,
            pseudonyms=pseudonyms,
            clock=clock,
            telemetry=telemetry,
            country=country,
            reply_event=reply_event,
            extra_opt_out_words=extra_opt_out_words,
        ),
        secrets=secrets,
        callback_secrets=callback_secrets,
        clock=clock,
        telemetry=telemetry,
        old_urls=OldUrls(secrets, Journal(ledger, clock), clock),
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
        country=settings.default_country,
        reply_event=settings.inbound_event,
        extra_opt_out_words=settings.extra_opt_out_words,
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
    event = replace(request.parse(SubscriptionBody).to_domain(), digest=sha256(request.body).hexdigest())
    if event.template_id:
        request.log_ids(templateId=event.template_id)
    return _answer(receive.record_subscription(event))


def _answer(recorded: Recorded) -> HttpResponse:
    return HttpResponse(HTTPStatus.OK, {"status": recorded.value})


handler = HttpApi({"POST /webhooks/cxone/sms": sms, "POST /webhooks/cxone/events": events}, metrics)

startup.finish()
