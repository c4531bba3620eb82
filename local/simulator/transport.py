"""The simulator behind `requests`, in process: mount a `SimulatorAdapter` on a Session and no socket is opened."""

import io
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPResponse
from urllib3.connection import HTTPConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    MaxRetryError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
)
from urllib3.util import Timeout

from local.simulator.simulator import Simulator
from local.simulator.wire import Behaviour, Request

_HTTP = HTTPAdapter()


class SimulatorAdapter(BaseAdapter):
    """Raises the errors that the HTTP adapter of `requests` raises for the same fault, wrapped alike."""

    def __init__(self, simulator: Simulator, sleep: Callable[[float], object] = time.sleep) -> None:
        """`sleep` is called with the seconds that an answer, or a timeout, takes."""
        super().__init__()
        self._simulator = simulator
        self._sleep = sleep

    def send(  # noqa: PLR0917
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: ARG002
        timeout: float | tuple[float | None, float | None] | Any | None = None,
        verify: bool | str = True,  # noqa: ARG002
        cert: object = None,  # noqa: ARG002
        proxies: Mapping[str, str] | None = None,  # noqa: ARG002
    ) -> requests.Response:
        """Hand the request to the simulator and its answer, or its fault, to the caller."""
        connect, read = _seconds(timeout)
        url = urlsplit(request.url or "")
        sent = core_request(request)
        if way := self._simulator.arrival_seconds(sent):
            self._sleep(way)
        answer = self._simulator.handle(sent)
        if answer.behaviour not in {Behaviour.REFUSE, Behaviour.CONNECT_TIMEOUT}:
            _write_body(request)
        match answer.behaviour:
            case Behaviour.REFUSE:
                cause = NewConnectionError(HTTPConnection(_pool(url).host), "[Errno 111] Connection refused")
                raise requests.ConnectionError(MaxRetryError(_pool(url), url.path, cause), request=request)
            case Behaviour.CONNECT_TIMEOUT:
                self._sleep(connect or 0)
                late = ConnectTimeoutError(None, f"Connection timed out. (connect timeout={connect})")
                raise requests.ConnectTimeout(MaxRetryError(_pool(url), url.path, late), request=request)
        hold = self._simulator.settings.hold_seconds if answer.behaviour is Behaviour.HOLD else 0.0
        takes = answer.latency_seconds + hold
        if read is not None and takes > read:
            self._sleep(read)
            timed_out = ReadTimeoutError(_pool(url), url.path, f"Read timed out. (read timeout={read})")
            raise requests.ReadTimeout(timed_out, request=request)
        if takes:
            self._sleep(takes)
        if answer.behaviour is not Behaviour.ANSWER:
            reset = ConnectionResetError(104, "Connection reset by peer")
            raise requests.ConnectionError(ProtocolError("Connection aborted.", reset), request=request)
        headers = {"Content-Type": "application/json", **answer.headers}
        raw = HTTPResponse(io.BytesIO(answer.body), headers, answer.status, preload_content=False)
        return _HTTP.build_response(request, raw)

    def close(self) -> None:
        """Nothing is open."""


def _pool(url: SplitResult) -> HTTPConnectionPool:
    return HTTPConnectionPool(url.hostname or "simulator", url.port)


def _write_body(request: requests.PreparedRequest) -> None:
    """Return a request's body, read as a connection would read it; the sender may hold it back there."""
    if isinstance(request.body, io.BytesIO) and not request.body.tell():
        request.body.read()


def _seconds(timeout: Any) -> tuple[float | None, float | None]:
    match timeout:
        case Timeout():
            return timeout.connect_timeout, timeout.total  # type: ignore[return-value]
        case tuple():
            return timeout
    return timeout, timeout


def core_request(request: requests.PreparedRequest) -> Request:
    """Return a request of `requests` as one of the simulator's."""
    url = urlsplit(request.url or "")
    given: Any = request.body or b""
    body = given.getvalue() if isinstance(given, io.BytesIO) else given
    return Request(
        method=request.method or "GET",
        path=unquote(url.path),
        headers=dict(request.headers),
        body=body.encode() if isinstance(body, str) else bytes(body),
        query=dict(parse_qsl(url.query)),
        write_body=lambda: _write_body(request),
        pairs=parse_qsl(url.query),
        base_url=f"{url.scheme}://{url.netloc}",
    )
