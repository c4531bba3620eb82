"""The simulator's requests, answers, refusals and table of routes. No I/O."""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from enum import Enum, auto

from pydantic import BaseModel, ValidationError


class Behaviour(Enum):
    """The way in which the transport treats an answer."""

    ANSWER = auto()
    HOLD = auto()  # say nothing until the client gives up
    RESET = auto()  # break the connection after the request was read
    REFUSE = auto()  # refuse the connection; only the in-process transport can
    CONNECT_TIMEOUT = auto()  # never accept the connection; only the in-process transport can


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request; `path` is percent-decoded, header names are in any letter case.

    `pairs` has the whole query, for a name that may stand in it several times. `base_url` ends with the port.
    `write_body` is called once there is a connection, before the request counts; it may raise.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    query: Mapping[str, str] = field(default_factory=dict)
    write_body: Callable[[], object] = lambda: None
    pairs: Sequence[tuple[str, str]] = ()
    base_url: str = ""

    def header(self, name: str) -> str | None:
        """The value of a header, or None."""
        return next((value for key, value in self.headers.items() if key.lower() == name.lower()), None)


@dataclass(frozen=True, slots=True)
class Response:
    """One answer: `json`, or `content` for raw bytes. The transport waits `latency_seconds` first."""

    status: int
    json: object = None
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    latency_seconds: float = 0.0
    behaviour: Behaviour = Behaviour.ANSWER

    @property
    def body(self) -> bytes:
        """The bytes that go out."""
        if self.content is not None:
            return self.content
        return b"" if self.json is None else json.dumps(self.json, separators=(",", ":")).encode()


type Refusal = Callable[[int, str, Mapping[str, str]], Response]


def problem(status: int, detail: str, headers: Mapping[str, str], **extra: object) -> Response:
    """Return a refusal in the shape of RFC 9457."""
    body = {"type": "about:blank", "status": status, "detail": detail, **extra}
    return Response(status, body, {"Content-Type": "application/problem+json", **headers})


class RefusedError(Exception):
    """A request is refused; `response` says why, in the shape of RFC 9457."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None, **extra: object) -> None:
        super().__init__(detail)
        self.response = problem(status, detail, headers or {}, **extra)
        self.details: dict[str, object] = {}  # for the log


def parse[M: BaseModel](model: type[M], body: bytes) -> M:
    """Return a JSON body's model; a missing, unknown or mistyped field is refused with 400."""
    try:
        return model.model_validate_json(body, strict=True)
    except ValidationError as error:
        raise malformed(error) from error


def malformed(error: ValidationError) -> RefusedError:
    """The 400 that lists everything wrong with a body."""
    found = [{"field": ".".join(map(str, item["loc"])), "message": item["msg"]} for item in error.errors()]
    return RefusedError(400, "; ".join(f"{item['field'] or 'body'}: {item['message']}" for item in found), errors=found)


@dataclass(frozen=True, slots=True)
class Route[T]:
    """A method and a path whose groups are the parameters."""

    method: str
    path: str
    target: T


def find[T](routes: Sequence[Route[T]], request: Request) -> tuple[T, tuple[str, ...]]:
    """The route of a request and its path parameters; 404 for an unknown path, 405 for a wrong method."""
    matches = [(route, match) for route in routes if (match := re.fullmatch(route.path, request.path))]
    for route, match in matches:
        if route.method == request.method:
            return route.target, match.groups()
    if matches:
        allowed = ", ".join(sorted({route.method for route, _ in matches}))
        raise RefusedError(405, f"{request.path} takes {allowed}", {"Allow": allowed})
    raise RefusedError(404, f"nothing at {request.path}")


def rfc3339(seconds: float) -> str:
    """UTC with milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def retry_after(form: str, seconds: float, now: float) -> dict[str, str]:
    """The Retry-After header as whole `seconds`, as an HTTP `date`, or `absent`."""
    if form == "absent":
        return {}
    if form == "date":
        return {"Retry-After": formatdate(math.ceil(now + seconds), usegmt=True)}
    return {"Retry-After": str(math.ceil(seconds))}
