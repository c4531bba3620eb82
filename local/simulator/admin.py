"""The simulator's own HTTP interface under `/_simulator/`, by which tests and people steer it."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from pydantic import ValidationError

from local.simulator.dfo.admin import ROUTES as dfo_routes  # noqa: N811
from local.simulator.faults import Fault
from local.simulator.subscriptions import Inbound
from local.simulator.templates import Edit
from local.simulator.wire import RefusedError, Request, Response, Route, find, malformed, parse

if TYPE_CHECKING:
    from local.simulator.simulator import Simulator

PREFIX = "/_simulator/"

type _Handler = Callable[[Simulator, Request, str], Response]


def handle(simulator: "Simulator", request: Request) -> Response:
    """Answer one administration request; these are neither logged nor slowed down."""
    handler, subjects = find(_ROUTES, request)
    return handler(simulator, request, "".join(subjects))


def _health(simulator: "Simulator", _: Request, __: str) -> Response:
    messages, events = len(simulator.accepted_messages()), simulator.open_events()
    return Response(200, {"status": "ok", "time": simulator.now, "messages": messages, "openEvents": events})


def _log(simulator: "Simulator", request: Request, _: str) -> Response:
    try:
        since = int(request.query.get("since", "0"))
    except ValueError as error:
        raise RefusedError(400, "since: not the number of an entry") from error
    entries = simulator.log(request.query.get("operation"), since)
    return Response(200, {"counts": simulator.counts(), "entries": [entry.as_json() for entry in entries]})


def _messages(simulator: "Simulator", _: Request, __: str) -> Response:
    return Response(200, {"messages": [message.as_json() for message in simulator.accepted_messages()]})


def _carrier(simulator: "Simulator", _: Request, __: str) -> Response:
    texts = [{"to": to, "text": text, "count": len(ids), "ids": ids} for (to, text), ids in simulator.texts().items()]
    return Response(200, {"texts": texts})


def _events(simulator: "Simulator", _: Request, __: str) -> Response:
    return Response(200, {"events": simulator.events()})


def _get_settings(simulator: "Simulator", _: Request, __: str) -> Response:
    return Response(200, simulator.settings.model_dump(mode="json"))


def _put_settings(simulator: "Simulator", request: Request, _: str) -> Response:
    try:
        changes = json.loads(request.body)
    except ValueError as error:
        raise RefusedError(400, "body: not JSON") from error
    if not isinstance(changes, dict):
        raise RefusedError(400, "body: not an object")
    try:
        simulator.settings = simulator.settings.changed(changes)
    except ValidationError as error:
        raise malformed(error) from error
    return _get_settings(simulator, request, "")


def _get_faults(simulator: "Simulator", _: Request, __: str) -> Response:
    return Response(200, {"faults": simulator.faults.as_json()})


def _add_fault(simulator: "Simulator", request: Request, _: str) -> Response:
    return Response(201, {"id": simulator.add_fault(parse(Fault, request.body))})


def _clear_faults(simulator: "Simulator", _: Request, __: str) -> Response:
    simulator.faults.clear()
    return Response(204)


def _remove_fault(simulator: "Simulator", _: Request, subject: str) -> Response:
    if not simulator.faults.remove(int(subject)):
        raise RefusedError(404, "no such fault")
    return Response(204)


def _edit_template(simulator: "Simulator", request: Request, subject: str) -> Response:
    template = simulator.edit_template(subject, parse(Edit, request.body))
    return Response(200, {**template.as_json(), "locked": template.locked, "etag": template.etag})


def _revoke(simulator: "Simulator", _: Request, __: str) -> Response:
    return Response(200, {"revoked": simulator.revoke_tokens()})


def _inbound(simulator: "Simulator", request: Request, _: str) -> Response:
    return Response(202, {"urls": simulator.receive_inbound(parse(Inbound, request.body))})


def _reset(simulator: "Simulator", _: Request, __: str) -> Response:
    simulator.reset()
    return Response(204)


_ROUTES: tuple[Route[_Handler], ...] = (
    Route("GET", "/_simulator/health", _health),
    Route("GET", "/_simulator/log", _log),
    Route("GET", "/_simulator/messages", _messages),
    Route("GET", "/_simulator/carrier", _carrier),
    Route("GET", "/_simulator/events", _events),
    Route("GET", "/_simulator/settings", _get_settings),
    Route("PUT", "/_simulator/settings", _put_settings),
    Route("GET", "/_simulator/faults", _get_faults),
    Route("POST", "/_simulator/faults", _add_fault),
    Route("DELETE", "/_simulator/faults", _clear_faults),
    Route("DELETE", "/_simulator/faults/([0-9]{1,9})", _remove_fault),
    Route("POST", "/_simulator/templates/([^/]+)", _edit_template),
    Route("POST", "/_simulator/tokens/revoke", _revoke),
    Route("POST", "/_simulator/inbound", _inbound),
    Route("POST", "/_simulator/reset", _reset),
    *dfo_routes,
)
