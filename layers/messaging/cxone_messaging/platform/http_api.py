"""From API Gateway's proxy events to answers: routing, size limits, JSON bodies.

The events are those of a REST API, and of an HTTP API in format 2.0.

There is no web framework: a function has up to three routes, and the import of a resolver is a tenth of a cold start's
work (docs/decisions.md).
"""

import base64
import binascii
import json
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from pydantic import BaseModel, ValidationError

from cxone_messaging.domain.errors import Code, FieldError, MessagingError, StorageError
from cxone_messaging.domain.names import loggable
from cxone_messaging.platform.clock import Clock, SystemClock
from cxone_messaging.platform.deadline import Deadline
from cxone_messaging.platform.problems import HttpResponse, problem
from cxone_messaging.platform.telemetry import EmbeddedMetrics, Metric, make_logger
from cxone_messaging.platform.version_event import ANSWER, VERSION_EVENT

KIBIBYTE = 1024
DEFAULT_BODY_LIMIT = 64 * KIBIBYTE
KEY_LIMIT = 255
# Ids copied from an answer's body into its log line.
_IDS = ("messageId", "cxoneMessageId", "batchId", "templateId")


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request; header names are in lower case, path parameters are percent-decoded.

    `caller` is the ARN of the IAM principal that signed it, or None.
    """

    route: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    deadline: Deadline
    caller: str | None = None
    ids: dict[str, str] = field(default_factory=dict)

    def log_ids(self, **ids: str) -> None:
        """Add ids to the request's log line.

        A text that does not look like an id is replaced by a short hash.
        """
        self.ids.update({name: loggable(id_) for name, id_ in ids.items()})

    def idempotency_key(self) -> str | None:
        """Return the caller's key for this request, or None.

        Raises `malformed_request` if it is empty or too long.
        """
        key = self.headers.get("idempotency-key")
        if key is not None and not 0 < len(key) <= KEY_LIMIT:
            raise MessagingError(Code.MALFORMED_REQUEST, f"an Idempotency-Key has 1 to {KEY_LIMIT} characters")
        return key

    def parse[B: BaseModel](self, model: type[B]) -> B:
        """Return the body as a model.

        Raises `malformed_request`, which names each field but quotes none.
        """
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


type Route = Callable[[HttpRequest], HttpResponse]


class HttpApi:
    """A Lambda handler of a function's routes; their keys are `METHOD /resource/{parameter}`."""

    def __init__(
        self,
        routes: Mapping[str, Route],
        metrics: EmbeddedMetrics,
        *,
        body_limit: int = DEFAULT_BODY_LIMIT,
        clock: Clock | None = None,
    ) -> None:
        self._routes = routes
        self._metrics = metrics
        self._body_limit = body_limit
        self._clock = clock or SystemClock()
        self._logger = make_logger()

    @property
    def routes(self) -> frozenset[str]:
        """The routes that this function answers."""
        return frozenset(self._routes)

    def __call__(self, event: Any, context: Any) -> dict[str, Any]:
        """Answer one proxy event; every failure becomes a problem, never an exception.

        Any other event, such as a warm-up or a test event of the console, is answered as a request to an unknown route.
        """
        if event == VERSION_EVENT:
            return ANSWER
        if not isinstance(event, dict):
            event = {}
        route = event.get("routeKey") or f"{event.get('httpMethod')} {event.get('resource')}"
        ids: dict[str, Any] = {}
        try:
            response = self._answer(route, event, context, ids)
        except MessagingError as error:
            response = problem(error)
        except Exception as error:
            # The error's own text may quote personal data, so only its type and frames are logged. The texts of our own
            # `StorageError` quote none.
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
            raise MessagingError(Code.ROUTE_NOT_FOUND, "this function does not serve the route")
        parameters = event.get("pathParameters") or {}
        return handle(
            HttpRequest(
                route=route,
                path={name: unquote(value) for name, value in parameters.items()},
                query=event.get("queryStringParameters") or {},
                headers={name.lower(): value for name, value in (event.get("headers") or {}).items()},
                body=_body(event, self._body_limit),
                deadline=Deadline.of_invocation(context, self._clock),
                caller=_caller(event),
                ids=ids,
            )
        )


def _body(event: dict[str, Any], limit: int) -> bytes:
    text = event.get("body") or ""
    # Base64 takes four characters for three bytes: a longer text exceeds the limit before it is decoded.
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


def _caller(event: dict[str, Any]) -> str | None:
    """Return the IAM principal that API Gateway has authenticated; None for an HTTP API, which authenticates nobody."""
    context = event.get("requestContext")
    identity = context.get("identity") if isinstance(context, dict) else None
    arn = identity.get("userArn") if isinstance(identity, dict) else None
    return arn if isinstance(arn, str) and arn else None


def _too_large(limit: int) -> MessagingError:
    return MessagingError(Code.REQUEST_TOO_LARGE, f"a body here has at most {limit // KIBIBYTE} KiB")


def _in_words(kind: str, message: str) -> str:
    """Return pydantic's message, but for one that quotes a regular expression."""
    return "is blank, or has characters that are not allowed here" if kind == "string_pattern_mismatch" else message


def _malformed(error: ValidationError) -> MessagingError:
    errors = [
        FieldError(
            Code.MALFORMED_REQUEST, ".".join(str(part) for part in each["loc"]), _in_words(each["type"], each["msg"])
        )
        for each in error.errors(include_url=False, include_input=False, include_context=False)
    ]
    return MessagingError(Code.MALFORMED_REQUEST, "a field is missing, unknown or of another type", errors=errors[:20])
