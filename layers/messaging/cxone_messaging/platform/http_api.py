"""API Gateway's proxy events in, a REST API's or an HTTP API's (format 2.0), answers out.

Routing, size limits, JSON bodies, and problems (RFC 9457).

Deliberately not a web framework: a function has two routes or three, and a resolver's import is a tenth of a cold
start's work (docs/decisions.md).
"""

import base64
import binascii
import json
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from pydantic import BaseModel, ValidationError

from cxone_messaging.domain.errors import Code, FieldError, MessagingError, StorageError
from cxone_messaging.domain.names import loggable
from cxone_messaging.platform.telemetry import EmbeddedMetrics, Metric, make_logger

KIBIBYTE = 1024
DEFAULT_BODY_LIMIT = 64 * KIBIBYTE
KEY_LIMIT = 255
# What an answer may name of what it is about, and its log line does.
_IDS = ("messageId", "cxoneMessageId", "batchId", "templateId")

_PROBLEMS: Mapping[Code, tuple[HTTPStatus, str]] = {
    Code.MALFORMED_REQUEST: (HTTPStatus.BAD_REQUEST, "The request can't be read"),
    Code.IDEMPOTENCY_KEY_REQUIRED: (HTTPStatus.BAD_REQUEST, "An Idempotency-Key is required"),
    Code.INVALID_SIGNATURE: (HTTPStatus.UNAUTHORIZED, "The signature is not valid"),
    Code.ROUTE_NOT_FOUND: (HTTPStatus.NOT_FOUND, "There is no such route"),
    Code.MESSAGE_NOT_FOUND: (HTTPStatus.NOT_FOUND, "There is no such message"),
    Code.BATCH_NOT_FOUND: (HTTPStatus.NOT_FOUND, "There is no such batch"),
    Code.CONSENT_NOT_FOUND: (HTTPStatus.NOT_FOUND, "There is no consent for this number"),
    Code.TEMPLATE_NOT_FOUND: (HTTPStatus.NOT_FOUND, "There is no such template"),
    Code.IN_PROGRESS: (HTTPStatus.CONFLICT, "An earlier request for the same is still in flight"),
    Code.TEMPLATE_CONFLICT: (HTTPStatus.CONFLICT, "Somebody else holds or changes the template"),
    Code.REQUEST_TOO_LARGE: (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The request is too large"),
    Code.IDEMPOTENCY_KEY_REUSED: (HTTPStatus.UNPROCESSABLE_ENTITY, "The key was used for another request"),
    Code.AUDIT_TOO_LONG: (HTTPStatus.UNPROCESSABLE_ENTITY, "The audit trail is too long to be shown"),
    Code.VALIDATION_FAILED: (HTTPStatus.UNPROCESSABLE_ENTITY, "The request breaks a rule"),
    Code.RATE_LIMITED: (HTTPStatus.TOO_MANY_REQUESTS, "The account's rate is used up"),
    Code.CXONE_REJECTED: (HTTPStatus.BAD_GATEWAY, "CXone rejected what was asked"),
    Code.CXONE_AUTH_FAILED: (HTTPStatus.BAD_GATEWAY, "CXone refused our credentials"),
    Code.CXONE_UNAVAILABLE: (HTTPStatus.SERVICE_UNAVAILABLE, "CXone is unavailable"),
    Code.REGISTRATION_FAILED: (HTTPStatus.BAD_GATEWAY, "The template is approved, but not registered"),
    Code.OUTCOME_UNKNOWN: (HTTPStatus.GATEWAY_TIMEOUT, "It is not known whether the message went out"),
    Code.INTERNAL_ERROR: (HTTPStatus.INTERNAL_SERVER_ERROR, "Something went wrong on our side"),
}


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request; header names are in lower case, path parameters are percent-decoded."""

    route: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    seconds_left: Callable[[], float]
    ids: dict[str, str] = field(default_factory=dict)

    def name(self, **ids: str) -> None:
        """Have the request's log line name what it is about; what does not look like an id is named by a short hash."""
        self.ids.update({name: loggable(id_) for name, id_ in ids.items()})

    def idempotency_key(self) -> str | None:
        """Give the caller's key for this request. Raises `malformed_request` for one that is empty or too long."""
        key = self.headers.get("idempotency-key")
        if key is not None and not 0 < len(key) <= KEY_LIMIT:
            raise MessagingError(Code.MALFORMED_REQUEST, f"an Idempotency-Key has 1 to {KEY_LIMIT} characters")
        return key

    def parse[B: BaseModel](self, model: type[B]) -> B:
        """Read the body. Raises `malformed_request`, naming each field but quoting none."""
        try:
            document = json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise MessagingError(Code.MALFORMED_REQUEST, "the body is not JSON") from error
        if not isinstance(document, dict):
            raise MessagingError(Code.MALFORMED_REQUEST, "the body is not a JSON object")
        try:
            return model.model_validate(document)
        except ValidationError as error:
            raise _malformed(error) from None


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """One answer; the body is written as JSON."""

    status: HTTPStatus
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"

    def as_event(self) -> dict[str, Any]:
        """Shape the answer as API Gateway takes it."""
        return {
            "statusCode": int(self.status),
            "headers": {"Content-Type": self.content_type, "Cache-Control": "no-store", **self.headers},
            "body": json.dumps(self.body, ensure_ascii=False),
            "isBase64Encoded": False,
        }


type Route = Callable[[HttpRequest], HttpResponse]


class HttpApi:
    """A Lambda handler made of a function's routes, keyed `METHOD /resource/{parameter}` as the template has them."""

    def __init__(
        self,
        routes: Mapping[str, Route],
        metrics: EmbeddedMetrics,
        *,
        body_limit: int = DEFAULT_BODY_LIMIT,
    ) -> None:
        self._routes = routes
        self._metrics = metrics
        self._body_limit = body_limit
        self._logger = make_logger()

    @property
    def routes(self) -> frozenset[str]:
        """Name every route that is answered."""
        return frozenset(self._routes)

    def __call__(self, event: dict[str, Any], context: Any) -> dict[str, Any]:
        """Answer one proxy event; whatever goes wrong becomes a problem, never an exception."""
        route = event.get("routeKey") or f"{event.get('httpMethod')} {event.get('resource')}"
        ids: dict[str, Any] = {}
        try:
            response = self._answer(route, event, context, ids)
        except MessagingError as error:
            response = problem(error)
        except Exception as error:
            # The error's own text may quote personal data, so its type and its frames must do. Ours quote nothing.
            frames = traceback.format_tb(error.__traceback__)
            why: dict[str, Any] = {"why": str(error)} if isinstance(error, StorageError) else {}
            self._logger.error("unhandled error", error=type(error).__name__, frames=frames, **why, **ids)  # noqa: TRY400
            self._metrics.add(Metric.INTERNAL_ERRORS)
            response = problem(MessagingError(Code.INTERNAL_ERROR, "the error is in the function's log"))
        finally:
            self._metrics.flush()
        ids |= {name: loggable(str(response.body[name])) for name in _IDS if response.body.get(name)}
        self._logger.info(
            "answered",
            route=route,
            status=int(response.status),
            code=response.body.get("code"),
            requestId=getattr(context, "aws_request_id", None),
            **ids,
        )
        return response.as_event()

    def _answer(self, route: str, event: dict[str, Any], context: Any, ids: dict[str, str]) -> HttpResponse:
        handle = self._routes.get(route)
        if handle is None:
            raise MessagingError(Code.ROUTE_NOT_FOUND, "no route of this function")
        parameters = event.get("pathParameters") or {}
        return handle(
            HttpRequest(
                route=route,
                path={name: unquote(value) for name, value in parameters.items()},
                query=event.get("queryStringParameters") or {},
                headers={name.lower(): value for name, value in (event.get("headers") or {}).items()},
                body=_body(event, self._body_limit),
                seconds_left=lambda: context.get_remaining_time_in_millis() / 1000,
                ids=ids,
            )
        )


def problem(error: MessagingError) -> HttpResponse:
    """Shape an error as `application/problem+json`."""
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
    """Shape violations as our API lists them."""
    return [{"code": each.code.value, "field": each.field, "message": each.message} for each in errors]


def _body(event: dict[str, Any], limit: int) -> bytes:
    text = event.get("body") or ""
    # Base64 takes four characters for three bytes: what is longer is over the limit before it is decoded.
    if len(text) > limit * 4 // 3 + 4:
        raise _too_large(limit)
    if event.get("isBase64Encoded"):
        try:
            body = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as error:
            raise MessagingError(Code.MALFORMED_REQUEST, "the body is not base64") from error
    else:
        body = text.encode("utf-8", "surrogatepass")
    if len(body) > limit:
        raise _too_large(limit)
    return body


def _too_large(limit: int) -> MessagingError:
    return MessagingError(Code.REQUEST_TOO_LARGE, f"a body here has at most {limit // KIBIBYTE} KiB")


def _malformed(error: ValidationError) -> MessagingError:
    errors = [
        FieldError(Code.MALFORMED_REQUEST, ".".join(str(part) for part in each["loc"]), each["msg"])
        for each in error.errors(include_url=False, include_input=False, include_context=False)
    ]
    return MessagingError(Code.MALFORMED_REQUEST, "a field is missing, unknown or of another type", errors=errors[:20])
