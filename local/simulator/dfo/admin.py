"""The routes under `/_simulator/dfo/`."""

from typing import TYPE_CHECKING

from local.simulator.dfo.console import DfoInbound, Rotation
from local.simulator.dfo.settings import Delivery
from local.simulator.wire import Request, Response, Route, parse

if TYPE_CHECKING:
    from local.simulator.simulator import Simulator


def _inbound(simulator: "Simulator", request: Request, _: str) -> Response:
    text = parse(DfoInbound, request.body)
    return Response(201, {"id": simulator.dfo.inbound(text.channel, text.number, text.text, text.at)})


def _rotate(simulator: "Simulator", request: Request, _: str) -> Response:
    rotation = parse(Rotation, request.body) if request.body else Rotation()
    return Response(200, {"kid": simulator.dfo.rotate_keys(keep_old=rotation.keep_old)})


def _messages(simulator: "Simulator", _: Request, __: str) -> Response:
    return Response(200, {"messages": simulator.dfo.messages()})


def _set_delivery(simulator: "Simulator", request: Request, subject: str) -> Response:
    simulator.dfo.set_delivery(subject, parse(Delivery, request.body))
    return Response(204)


def _limits(simulator: "Simulator", _: Request, __: str) -> Response:
    return Response(200, simulator.dfo.limits())


ROUTES = (
    Route("POST", "/_simulator/dfo/inbound", _inbound),
    Route("POST", "/_simulator/dfo/keys/rotate", _rotate),
    Route("GET", "/_simulator/dfo/messages", _messages),
    Route("PUT", "/_simulator/dfo/messages/([^/]+)/delivery", _set_delivery),
    Route("GET", "/_simulator/dfo/limits", _limits),
)
