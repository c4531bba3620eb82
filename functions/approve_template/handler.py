"""`POST /templates/{templateId}/validation`, `POST` and `GET /templates/{templateId}/approval`.

On a schedule, and at an operator's word: keep the subscription to CXone's events.
"""

from cxone_messaging.platform import startup

# isort: split
import os
import random
import re
from collections.abc import Callable, Sequence
from functools import cache
from http import HTTPStatus
from importlib import import_module
from typing import Any

from pydantic import Field

from cxone_messaging.adapters.cxone.template_gateway import TemplateGateway
from cxone_messaging.adapters.dynamodb.ledger import DynamoLedger
from cxone_messaging.adapters.secrets import SecretsManagerStore, WebhookSecrets
from cxone_messaging.domain.approvals import Approval, Registration
from cxone_messaging.domain.audit_pages import audit_page, page_after
from cxone_messaging.domain.cxone_apis import DFO, SMS_V2, CxoneApi
from cxone_messaging.domain.errors import Code, MessagingError
from cxone_messaging.domain.event_names import REPLY_EVENT
from cxone_messaging.domain.ledger import Ledger
from cxone_messaging.domain.names import NAME_LIMIT
from cxone_messaging.domain.subscriptions import Replies
from cxone_messaging.domain.templates import Advice
from cxone_messaging.platform import aws
from cxone_messaging.platform.bodies import Body
from cxone_messaging.platform.clock import Clock, SystemClock
from cxone_messaging.platform.deadline import Deadline
from cxone_messaging.platform.http_api import HttpApi, HttpRequest
from cxone_messaging.platform.problems import HttpResponse
from cxone_messaging.platform.settings import BaseUrl, EventName, Identifier
from cxone_messaging.platform.subscribe_event import SUBSCRIBE_NOW_EVENT, is_subscribe_event
from cxone_messaging.platform.telemetry import EmbeddedMetrics, Metric, Telemetry, make_logger
from cxone_messaging.use_cases.approvals.approve import ApprovalRequest, ApproveTemplate
from cxone_messaging.use_cases.approvals.keep_subscription import KeepSubscription, Kept
from cxone_messaging.use_cases.approvals.once import Once
from cxone_messaging.use_cases.approvals.read import ReadApproval
from cxone_messaging.use_cases.approvals.registration import Register
from cxone_messaging.use_cases.approvals.subscription import Subscribe
from cxone_messaging.use_cases.approvals.validate import ValidateTemplate
from cxone_messaging.use_cases.journal import Journal
from cxone_messaging.wiring.tokens import TokenSettings

metrics = EmbeddedMetrics()
logger = make_logger()

# A registration cannot be changed, so a blank one must be refused. The characters are listed, because `\s` differs
# between Python, pydantic's Rust and the ECMAScript of docs/openapi.yaml, which has the same pattern.
_NOT_BLANK = r"[^\s\u001c-\u001f\u0085\ufeff]"
_PLAIN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_EVENTS_PATH = "/webhooks/cxone/events"
# Who answers for a subscription that no approval makes, where the stack names nobody.
_SCHEDULE = "schedule"


class ApproveTemplateSettings(TokenSettings):
    """The settings for validating and approving templates."""

    ledger_table: str
    cxone_api: CxoneApi = SMS_V2
    admin_token_name: str
    webhook_secret_arn: str
    cxone_api_base_url: BaseUrl
    cxone_operator_id: Identifier = ""
    webhook_base_url: BaseUrl
    inbound_event: EventName = ""  # as a variable that is not set: nobody subscribes to replies here


class NothingBody(Body):
    """A body without fields; the body itself may be left out."""


class ApprovalBody(Body):
    """The registration with the carriers' gateway, and the operator that answers for the approval."""

    campaign_name: str = Field(pattern=_NOT_BLANK, max_length=200)
    message_class: str = Field(pattern=_NOT_BLANK, max_length=100)
    opt_in_language: str = Field(pattern=_NOT_BLANK, max_length=100)
    operator_id: str | None = Field(default=None, pattern=_NOT_BLANK, max_length=NAME_LIMIT)

    def to_domain(self) -> ApprovalRequest:
        """Return the request as a domain object."""
        registration = Registration(self.campaign_name, self.message_class, self.opt_in_language)
        return ApprovalRequest(registration, self.operator_id)


def template_gateway(settings: ApproveTemplateSettings, telemetry: Telemetry) -> TemplateGateway:
    """Return the client of CXone's messaging administration API."""
    from cxone_messaging.wiring import sms_v2_admin  # noqa: PLC0415  no other API's functions import it

    return sms_v2_admin.template_gateway(settings, settings.admin_token_name, settings.cxone_api_base_url, telemetry)


def approve_template(
    *,
    ledger: Ledger,
    gateway: TemplateGateway,
    events_url: str,
    secret: Callable[[], str],
    default_operator: str,
    clock: Clock,
    telemetry: Telemetry,
    rng: random.Random,
    reply_event: str = REPLY_EVENT,
) -> ApproveTemplate:
    """Compose the use case from its parts.

    `secret` returns the secret with which CXone signs events.
    """
    journal = Journal(ledger, clock)
    once = Once(journal, clock)
    return ApproveTemplate(
        journal=journal,
        gateway=gateway,
        once=once,
        register=Register(once, gateway, clock, telemetry),
        subscribe=Subscribe(
            journal=journal,
            once=once,
            gateway=gateway,
            url=events_url,
            secret=secret,
            reply_event=reply_event,
            clock=clock,
        ),
        default_operator=default_operator,
        clock=clock,
        rng=rng,
    )


def keep_subscription(
    *,
    ledger: Ledger,
    gateway: TemplateGateway,
    events_url: str,
    secrets: Callable[[], Sequence[str]],
    default_operator: str,
    clock: Clock,
    telemetry: Telemetry,
    reply_event: str = REPLY_EVENT,
) -> KeepSubscription:
    """Compose the use case from its parts.

    `secrets` returns the secrets with which CXone may sign events, the current one first.
    """
    journal = Journal(ledger, clock)
    return KeepSubscription(
        journal=journal,
        subscribe=Subscribe(
            journal=journal,
            once=Once(journal, clock),
            gateway=gateway,
            url=events_url,
            secret=lambda: secrets()[0],
            reply_event=reply_event,
            clock=clock,
        ),
        url=events_url,
        secrets=secrets,
        reply_event=reply_event,
        operator=default_operator or _SCHEDULE,
        clock=clock,
        telemetry=telemetry,
    )


def approvals_on_aws(
    settings: ApproveTemplateSettings, gateway: TemplateGateway, telemetry: Telemetry
) -> ApproveTemplate:
    """Compose the use case with AWS's stores."""
    secrets = webhook_secrets(settings)
    return approve_template(
        ledger=DynamoLedger(aws.dynamodb(), settings.ledger_table, telemetry=telemetry),
        gateway=gateway,
        events_url=settings.webhook_base_url + _EVENTS_PATH,
        secret=lambda: secrets.reread()[0],
        default_operator=settings.cxone_operator_id,
        clock=SystemClock(),
        telemetry=telemetry,
        rng=random.Random(),  # noqa: S311  jitter is no secret
        reply_event=settings.inbound_event,
    )


def webhook_secrets(settings: ApproveTemplateSettings) -> WebhookSecrets:
    """Return the values of the secret that CXone signs with."""
    return WebhookSecrets(SecretsManagerStore(aws.secrets_manager()), settings.webhook_secret_arn, SystemClock())


@cache
def settings() -> ApproveTemplateSettings:
    """Return the settings, read once an execution environment.

    Raises `not_supported` if the stack's API approves no templates.
    """
    if os.environ.get("CXONE_API") == DFO:
        raise MessagingError(Code.NOT_SUPPORTED, "Digital Engagement approves no templates; CXone's own pages do")
    return ApproveTemplateSettings.from_environment()


@cache
def gateway() -> TemplateGateway:
    """Return the client of CXone's administration API with its token, built once an environment."""
    return template_gateway(settings(), metrics)


@cache
def approving() -> ApproveTemplate:
    """Return the use case, built once an execution environment."""
    return approvals_on_aws(settings(), gateway(), metrics)


@cache
def keeping() -> KeepSubscription:
    """Return the use case, built once an execution environment."""
    return keep_subscription(
        ledger=DynamoLedger(aws.dynamodb(), settings().ledger_table, telemetry=metrics),
        gateway=gateway(),
        events_url=settings().webhook_base_url + _EVENTS_PATH,
        secrets=webhook_secrets(settings()).reread,
        default_operator=settings().cxone_operator_id,
        clock=SystemClock(),
        telemetry=metrics,
        reply_event=settings().inbound_event,
    )


@cache
def validating() -> ValidateTemplate:
    """Return the use case, built once an execution environment."""
    return ValidateTemplate(gateway())


@cache
def reading() -> ReadApproval:
    """Return the use case, built once an execution environment."""
    return ReadApproval(DynamoLedger(aws.dynamodb(), os.environ["LEDGER_TABLE"], telemetry=metrics))


def validate(request: HttpRequest) -> HttpResponse:
    """Return everything that prevents a template's approval; nothing is changed or recorded."""
    if request.body:
        request.parse(NothingBody)
    template_id = _template_id(request)
    found = validating()(template_id, request.deadline)
    return HttpResponse(
        HTTPStatus.OK,
        {
            "templateId": template_id,
            "valid": not found.violations,
            "violations": [{"code": each.code.value, "message": each.message} for each in found.violations],
            "warnings": _warnings(found.advice),
            "encoding": found.size.encoding if found.size else None,
            "units": found.size.units if found.size else None,
        },
    )


def approve(request: HttpRequest) -> HttpResponse:
    """Approve a template, or do the steps that an earlier request did not finish."""
    approval = request.parse(ApprovalBody).to_domain()
    approved = approving()(_template_id(request), approval, request.deadline)
    return HttpResponse(HTTPStatus.OK, {**_state(approved.approval), "warnings": _warnings(approved.warnings)})


def get(request: HttpRequest) -> HttpResponse:
    """Return an approval's state, with its audit trail."""
    read = reading()(_template_id(request), page_after(request.query.get("after")), request.deadline)
    approval = read.approval
    return HttpResponse(
        HTTPStatus.OK,
        {
            **_state(approval),
            "carrierConfirmed": approval.carrier_confirmed,
            "operatorId": approval.operator_id,
            "violations": list(approval.violations),
            "createdAt": approval.created_at,
            "updatedAt": approval.updated_at,
            "auditVerified": read.verified,
            **audit_page(read.entries, read.next_after),
        },
    )


def _template_id(request: HttpRequest) -> str:
    """Return the id in the path.

    A text that looks like an id is logged now, any other once the template is found.
    """
    template_id = request.path["templateId"]
    if _PLAIN_ID.fullmatch(template_id):
        request.log_ids(templateId=template_id)
    return template_id


def _state(approval: Approval) -> dict[str, Any]:
    registration = {"registrationId": approval.registration_id} if approval.registration_id else {}
    return {
        "templateId": approval.template_id,
        "status": approval.status.value,
        "carrierReady": approval.carrier_ready,
        **registration,
        "webhookSubscribed": approval.subscribed,
        "auditPublished": approval.published,
        "latencyMs": approval.latency_ms,
    }


def _warnings(advice: Sequence[Advice]) -> list[dict[str, str]]:
    return [{"code": each.code, "message": each.message} for each in advice]


def keep(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Keep the subscription, and return whether CXone posts replies; without them no STOP arrives."""
    try:
        kept = (
            _collected()
            or _unreachable()
            or keeping()(Deadline.of_invocation(context, SystemClock()), at_once=event == SUBSCRIBE_NOW_EVENT)
        )
    finally:
        metrics.flush()
    answer = {
        "replies": kept.replies.value,
        "event": kept.reply_event,
        "arrive": kept.arrive,
        "since": kept.since,
        "reason": kept.reason,
        "httpStatus": kept.http_status,
    }
    log = logger.info if kept.arrive else logger.warning
    log("subscription", replies=kept.replies.value, reason=kept.reason, requestId=context.aws_request_id)
    return answer


def _collected() -> Kept | None:
    """Return the result where the stack's API posts no replies; None if it does."""
    if os.environ.get("CXONE_API") != DFO:
        return None
    metrics.add(Metric.REPLIES_NOT_SUBSCRIBED, 0)
    return Kept(Replies.COLLECTED, "", arrive=True)


def _unreachable() -> Kept | None:
    """Return the result where there is no CXone to ask, or none that reaches us.

    Without an organisation, its URL has no host's name. An address of ours with plain HTTP is on this machine.
    """
    api, own = os.environ.get("CXONE_API_BASE_URL", ""), os.environ.get("WEBHOOK_BASE_URL", "")
    if api.startswith("https://."):
        reason = "CxoneOrg is not set"
    elif api.startswith("https://") and own.startswith("http://"):
        reason = "CXone can't reach this machine"
    else:
        return None
    event = os.environ.get("INBOUND_EVENT", "")
    metrics.add(Metric.REPLIES_NOT_SUBSCRIBED, 1 if event else 0)
    replies = Replies.FAILED if event else Replies.BY_HAND
    return Kept(replies, event, arrive=not event, reason=reason)


class ApproveTemplateHandler(HttpApi):
    """The routes, and the event of the schedule."""

    def __call__(self, event: dict[str, Any], context: Any) -> dict[str, Any]:
        """Answer one event."""
        return keep(event, context) if is_subscribe_event(event) else super().__call__(event, context)


handler = ApproveTemplateHandler(
    {
        "POST /templates/{templateId}/validation": validate,
        "POST /templates/{templateId}/approval": approve,
        "GET /templates/{templateId}/approval": get,
    },
    metrics,
)

if os.environ.get("CXONE_API") != DFO:
    import_module("cxone_messaging.wiring.sms_v2_admin")  # while the function starts

startup.finish()
