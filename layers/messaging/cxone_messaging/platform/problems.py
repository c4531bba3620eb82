"""Answers, and errors as `application/problem+json` (RFC 9457): each code's status and title."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from cxone_messaging.domain.errors import Code, FieldError, MessagingError

_PROBLEMS: Mapping[Code, tuple[HTTPStatus, str]] = {
    Code.MALFORMED_REQUEST: (HTTPStatus.BAD_REQUEST, "The request cannot be read"),
    Code.IDEMPOTENCY_KEY_REQUIRED: (HTTPStatus.BAD_REQUEST, "An Idempotency-Key is required"),
    Code.INVALID_SIGNATURE: (HTTPStatus.UNAUTHORIZED, "The signature is not valid"),
    Code.ROUTE_NOT_FOUND: (HTTPStatus.NOT_FOUND, "There is no such route"),
    Code.MESSAGE_NOT_FOUND: (HTTPStatus.NOT_FOUND, "There is no such message"),
    Code.BATCH_NOT_FOUND: (HTTPStatus.NOT_FOUND, "There is no such batch"),
    Code.CONSENT_NOT_FOUND: (HTTPStatus.NOT_FOUND, "There is no consent for this number"),
    Code.TEMPLATE_NOT_FOUND: (HTTPStatus.NOT_FOUND, "There is no such template"),
    Code.IN_PROGRESS: (HTTPStatus.CONFLICT, "An earlier request for the same is still in flight"),
    Code.TEMPLATE_CONFLICT: (HTTPStatus.CONFLICT, "Another user holds or changes the template"),
    Code.REQUEST_TOO_LARGE: (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The request is too large"),
    Code.IDEMPOTENCY_KEY_REUSED: (HTTPStatus.UNPROCESSABLE_ENTITY, "The key was used for another request"),
    Code.OPTED_OUT_BY_RECIPIENT: (HTTPStatus.UNPROCESSABLE_ENTITY, "The recipient has opted out"),
    Code.AUDIT_TOO_LONG: (HTTPStatus.UNPROCESSABLE_ENTITY, "The audit trail is too long to be shown"),
    Code.VALIDATION_FAILED: (HTTPStatus.UNPROCESSABLE_ENTITY, "The request breaks a rule"),
    Code.RATE_LIMITED: (HTTPStatus.TOO_MANY_REQUESTS, "The account's rate is used up"),
    Code.NOT_SUPPORTED: (HTTPStatus.NOT_IMPLEMENTED, "The API of CXone in use cannot do this"),
    Code.CXONE_REJECTED: (HTTPStatus.BAD_GATEWAY, "CXone rejected the request"),
    Code.CXONE_AUTH_FAILED: (HTTPStatus.BAD_GATEWAY, "CXone refused our credentials"),
    Code.CXONE_UNAVAILABLE: (HTTPStatus.SERVICE_UNAVAILABLE, "CXone is unavailable"),
    Code.REGISTRATION_FAILED: (HTTPStatus.BAD_GATEWAY, "The template is approved, but not registered"),
    Code.OUTCOME_UNKNOWN: (HTTPStatus.GATEWAY_TIMEOUT, "It is unknown whether the message went out"),
    Code.INTERNAL_ERROR: (HTTPStatus.INTERNAL_SERVER_ERROR, "Something went wrong on our side"),
}


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """One answer; the body is written as JSON."""

    status: HTTPStatus
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"

    def as_event(self) -> dict[str, Any]:
        """Return the answer in the form that API Gateway expects."""
        return {
            "statusCode": int(self.status),
            "headers": {"Content-Type": self.content_type, "Cache-Control": "no-store", **self.headers},
            "body": json.dumps(self.body, ensure_ascii=False),
            "isBase64Encoded": False,
        }


def problem(error: MessagingError) -> HttpResponse:
    """Return an error as `application/problem+json`."""
    status, title = _PROBLEMS[error.code]
    body: dict[str, Any] = {
        "type": f"urn:cxone-messaging:problem:{error.code}",
        "title": title,
        "status": int(status),
        "detail": error.detail,
        "code": error.code.value,
        "errors": field_errors(error.errors),
    }
    if error.message_id:
        body["messageId"] = error.message_id
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if error.replayed:
        headers["Idempotency-Replayed"] = "true"
    return HttpResponse(status, body, headers, content_type="application/problem+json")


def field_errors(errors: Sequence[FieldError]) -> list[dict[str, str]]:
    """Return violations in the form of our API."""
    return [{"code": each.code.value, "field": each.field, "message": each.message} for each in errors]
