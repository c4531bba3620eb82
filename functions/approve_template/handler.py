"""`POST /templates/{templateId}/validation`, `POST` and `GET /templates/{templateId}/approval`."""

from cxone_messaging.platform import startup

# isort: split
import re
from collections.abc import Sequence
from functools import cache
from http import HTTPStatus
from typing import Any

from pydantic import Field

from cxone_messaging.adapters.cxone.admin import CxoneAdmin
from cxone_messaging.assembly import templates
from cxone_messaging.domain.approvals import Approval, Registration
from cxone_messaging.domain.names import NAME_LIMIT
from cxone_messaging.domain.templates import Advice
from cxone_messaging.platform.bodies import Body
from cxone_messaging.platform.http_api import HttpApi, HttpRequest, HttpResponse
from cxone_messaging.platform.settings import ApproveTemplateSettings
from cxone_messaging.platform.telemetry import EmbeddedMetrics
from cxone_messaging.use_cases.approvals.approve import ApprovalRequest, ApproveTemplate
from cxone_messaging.use_cases.approvals.read import ReadApproval
from cxone_messaging.use_cases.approvals.validate import ValidateTemplate
from cxone_messaging.use_cases.audit_pages import audit_page, page_after

metrics = EmbeddedMetrics("approve_template")

# A registration stays as it is, so a slip of the keyboard must not become one. Spelt out, since what `\s` leaves out
# differs between Python, pydantic's Rust and the ECMAScript of docs/openapi.yaml, where the same pattern stands.
_NOT_BLANK = r"[^\s\u001c-\u001f\u0085\ufeff]"
_PLAIN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class NothingBody(Body):
    """No fields; the body itself may be left out."""


class ApprovalBody(Body):
    """What the carriers' gateway is told, and who answers for the approval."""

    campaign_name: str = Field(pattern=_NOT_BLANK, max_length=200)
    message_class: str = Field(pattern=_NOT_BLANK, max_length=100)
    opt_in_language: str = Field(pattern=_NOT_BLANK, max_length=100)
    operator_id: str | None = Field(default=None, pattern=_NOT_BLANK, max_length=NAME_LIMIT)

    def asked(self) -> ApprovalRequest:
        """Give the request in the domain's words."""
        registration = Registration(self.campaign_name, self.message_class, self.opt_in_language)
        return ApprovalRequest(registration, self.operator_id)


@cache
def settings() -> ApproveTemplateSettings:
    """Read the settings once an execution environment."""
    return ApproveTemplateSettings.from_environment()


@cache
def gateway() -> CxoneAdmin:
    """Build what speaks to CXone once an execution environment, with the one token in memory."""
    return templates.template_gateway(settings(), metrics)


@cache
def approving() -> ApproveTemplate:
    """Build the use case once an execution environment."""
    return templates.approve_template(settings(), gateway(), metrics)


@cache
def validating() -> ValidateTemplate:
    """Build the use case once an execution environment."""
    return templates.validate_template(gateway())


@cache
def reading() -> ReadApproval:
    """Build the use case once an execution environment."""
    return templates.read_approval(settings())


def validate(request: HttpRequest) -> HttpResponse:
    """Say all that keeps a template from being approved; nothing is changed or recorded."""
    if request.body:
        request.parse(NothingBody)
    template_id = _template_id(request)
    found = validating()(template_id, request.seconds_left)
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
    """Approve a template, or do what an earlier request left to do."""
    asked = request.parse(ApprovalBody).asked()
    approved = approving()(_template_id(request), asked, request.seconds_left)
    return HttpResponse(HTTPStatus.OK, {**_state(approved.approval), "warnings": _warnings(approved.warnings)})


def get(request: HttpRequest) -> HttpResponse:
    """Show how far an approval has come, with its audit trail."""
    read = reading()(_template_id(request), page_after(request.query.get("after")), request.seconds_left)
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
    """Give the id in the path, and have it logged where it looks like one; any other once the template is found."""
    template_id = request.path["templateId"]
    if _PLAIN_ID.fullmatch(template_id):
        request.name(templateId=template_id)
    return template_id


def _state(approval: Approval) -> dict[str, Any]:
    known = {"registrationId": approval.registration_id} if approval.registration_id else {}
    return {
        "templateId": approval.template_id,
        "status": approval.status.value,
        "carrierReady": approval.carrier_ready,
        **known,
        "webhookSubscribed": approval.subscribed,
        "auditPublished": approval.published,
        "latencyMs": approval.latency_ms,
    }


def _warnings(advice: Sequence[Advice]) -> list[dict[str, str]]:
    return [{"code": each.code, "message": each.message} for each in advice]


handler = HttpApi(
    {
        "POST /templates/{templateId}/validation": validate,
        "POST /templates/{templateId}/approval": approve,
        "GET /templates/{templateId}/approval": get,
    },
    metrics,
)

startup.finish()
