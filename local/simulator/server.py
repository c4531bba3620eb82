"""The simulator over HTTP on 127.0.0.1: Starlette and uvicorn around the core, and a thread that POSTs its events."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import starlette.responses
import urllib3
import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from local.guard import Application, Guard
from local.simulator.events import Event
from local.simulator.settings import MAXIMUM_EVENT_WORKERS
from local.simulator.simulator import MAXIMUM_BODY_BYTES, Simulator
from local.simulator.wire import Behaviour, Request

HOST = "127.0.0.1"
_POLL_SECONDS = 0.02


class _Protocol(H11Protocol):
    """Lets an endpoint reach its connection, to break it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


class _Endpoint:
    """One ASGI endpoint for all paths: the core does the routing."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        http = HttpRequest(scope, receive)
        try:
            body = await _read(http)
        except ClientDisconnect:
            return
        request = Request(
            http.method,
            scope["path"],
            dict(http.headers),
            body,
            dict(http.query_params),
            pairs=http.query_params.multi_items(),
            base_url=f"{http.url.scheme}://{http.url.netloc}",
        )
        if way := self._simulator.arrival_seconds(request):
            await asyncio.sleep(way)
        answer = self._simulator.handle(request)
        if answer.latency_seconds:
            await asyncio.sleep(answer.latency_seconds)
        if answer.behaviour is Behaviour.ANSWER:
            headers = {"Content-Type": "application/json", **answer.headers}
            await starlette.responses.Response(answer.body, answer.status, headers)(scope, receive, send)
            return
        if answer.behaviour is Behaviour.HOLD:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(receive(), self._simulator.settings.hold_seconds)
        _reset(http.state.transport)
        await receive()  # until uvicorn has noticed that the connection is gone


async def _read(request: HttpRequest) -> bytes:
    """The body, or as much of it as shows that it is too large."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAXIMUM_BODY_BYTES:
            break
    return bytes(body)


def _reset(transport: asyncio.Transport) -> None:
    if transport.is_closing():  # the client went first
        return
    connection: socket.socket = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close with RST, not FIN
    transport.abort()


class EventPoster:
    """POSTs due events, `event_workers` of them at the same time, from `start` to `stop`."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._posting = 0
        self._posted = threading.Condition()
        self._stopping = threading.Event()
        self._http = urllib3.PoolManager(maxsize=MAXIMUM_EVENT_WORKERS, retries=False)
        self._pool = ThreadPoolExecutor(MAXIMUM_EVENT_WORKERS, thread_name_prefix="event")
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)

    def start(self) -> None:
        """Begin posting."""
        self._thread.start()

    def stop(self) -> None:
        """Post no more; POSTs under way end by themselves or by their timeout."""
        self._stopping.set()
        self._thread.join()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._http.clear()

    def _run(self) -> None:
        while not self._stopping.wait(_POLL_SECONDS):
            for event in self._take():
                self._pool.submit(self._post, event)

    def _take(self) -> Iterator[Event]:
        """Due events, each taken only when it may be posted at once."""
        while not self._stopping.is_set() and self._may_post():
            events = self._simulator.due_events(limit=1)
            if not events:
                return
            with self._posted:
                self._posting += 1
            yield events[0]

    def _may_post(self) -> bool:
        """Wait a moment for a post to end where too many are under way."""
        with self._posted:
            return self._posted.wait_for(lambda: self._posting < self._simulator.settings.event_workers, _POLL_SECONDS)

    def _post(self, event: Event) -> None:
        try:
            headers = event.headers(self._simulator.now)
            timeout = self._simulator.settings.event_timeout_seconds
            answer = self._http.request(
                "POST", event.url, body=event.body, headers=headers, timeout=timeout, redirect=False
            )
            status: int | None = answer.status
        except (urllib3.exceptions.HTTPError, OSError, ValueError):  # the last for a URL that is none
            status = None
        finally:
            with self._posted:
                self._posting -= 1
                self._posted.notify()
        self._simulator.event_answered(event, status)


def application(simulator: Simulator) -> Application:
    """The ASGI application behind the guard; its lifespan is that of the events' thread."""

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        poster = EventPoster(simulator)
        poster.start()
        try:
            yield
        finally:
            await asyncio.to_thread(poster.stop)

    return Guard(Starlette(routes=[Route("/{path:path}", _Endpoint(simulator))], lifespan=lifespan))


class Server(uvicorn.Server):
    """A uvicorn server on 127.0.0.1 that says when it answers; port 0 takes a free one."""

    def __init__(self, simulator: Simulator, port: int, on_ready: Callable[[str], object]) -> None:
        config = uvicorn.Config(
            application(simulator),
            http=_Protocol,
            lifespan="on",
            log_level="warning",
            access_log=False,
            timeout_keep_alive=75,  # a pooled connection that closes under its client would look like a fault
            timeout_graceful_shutdown=1,
        )
        super().__init__(config)
        self._on_ready = on_ready
        self._socket = socket.create_server((HOST, port), backlog=1024)
        # An answer goes out in two packets; without this, the second waits 40 ms for the first one's acknowledgement.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.url = f"http://{HOST}:{self._socket.getsockname()[1]}"

    def serve_until_stopped(self) -> None:
        """Serve until a signal comes or `should_exit` is set."""
        self.run(sockets=[self._socket])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open for requests."""
        await super().startup(sockets)
        if self.started:
            self._on_ready(self.url)


@contextlib.contextmanager
def running(simulator: Simulator, port: int = 0) -> Iterator[str]:
    """Serve from a thread of this process; yields the base URL once it answers."""
    ready = threading.Event()
    server = Server(simulator, port, lambda _: ready.set())
    thread = threading.Thread(target=server.serve_until_stopped, name="simulator", daemon=True)
    thread.start()
    try:
        if not ready.wait(10):
            raise RuntimeError("the simulator did not start")
        yield server.url
    finally:
        server.should_exit = True
        thread.join()
