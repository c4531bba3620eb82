"""The pure core: requests in, answers and due events out. No I/O; the clock and randomness are given."""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from local.simulator import admin
from local.simulator.api import REPLAYED, SEND_PATH, Answer, Api, Call, Endpoint
from local.simulator.dfo.api import SEND_PATH_END, DfoApi, DfoEndpoint
from local.simulator.dfo.console import Console
from local.simulator.dfo.discovery import without_area
from local.simulator.events import Event, EventQueue
from local.simulator.faults import UNCONNECTED, Fault, Faults
from local.simulator.journal import Entry, Journal, Message, Outcome
from local.simulator.settings import Settings
from local.simulator.subscriptions import Inbound
from local.simulator.templates import Edit, Template
from local.simulator.wire import Behaviour, RefusedError, Request, Response, Route, find

MAXIMUM_BODY_BYTES = 1_000_000
_ROUTES: tuple[Route[Endpoint | DfoEndpoint], ...] = (*Api.ROUTES, *DfoApi.ROUTES)


class Simulator:
    """CXone as one account and one organisation see it. Every public method may be called from any thread."""

    def __init__(
        self,
        settings: Settings | None = None,
        clock: Callable[[], float] = time.time,
        rng: random.Random | None = None,
    ) -> None:
        """`clock` returns epoch seconds; a seeded `rng` and a virtual clock make every run the same."""
        self._lock = threading.RLock()
        self._initial = settings or Settings()
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311
        self.reset()

    def reset(self) -> None:
        """Everything as at the start, settings included."""
        with self._lock:
            self._settings = self._initial
            self.faults = Faults()
            self._journal = Journal()
            self._events = EventQueue()
            self._handed: list[Message] = []
            self._api = Api(self._handed, self._events, self._clock(), self._rng)
            self._dfo = DfoApi(self._handed, self._rng)
            self.dfo = Console(self._dfo, self._lock, self._clock, lambda: self._settings)

    @property
    def now(self) -> float:
        """The simulator's time, epoch seconds."""
        return self._clock()

    @property
    def settings(self) -> Settings:
        """What is in force."""
        return self._settings

    @settings.setter
    def settings(self, changed: Settings) -> None:
        with self._lock:
            self._let_others_in()  # by the settings that were in force until now
            self._settings = changed

    def arrival_seconds(self, request: Request) -> float:
        """Draw how long a request is on its way: the transport hands it to `handle` so much later."""
        is_send = request.path == SEND_PATH or request.path.endswith(SEND_PATH_END)
        longest = self._settings.arrival_jitter_seconds if is_send else 0.0
        return self._rng.uniform(0, longest) if longest else 0.0

    def handle(self, request: Request) -> Response:
        """Answer one request, of the API or of the administration under `/_simulator/`."""
        with self._lock:
            if request.path.startswith(admin.PREFIX):
                return self._administer(request)
            try:
                _check_size(request)
                endpoint, subjects = find(_ROUTES, replace(request, path=without_area(request.path)))
            except RefusedError as refused:
                status = refused.response.status
                self._journal.add(self._clock(), "unknown", "refused", status, details={"path": request.path})
                return refused.response
            return self._answer(endpoint, Call(request, "".join(subjects), self.settings, self._clock()))

    def _administer(self, request: Request) -> Response:
        try:
            _check_size(request)
            return admin.handle(self, request)
        except RefusedError as refused:
            return refused.response

    def _let_others_in(self) -> None:
        for at, excess in self._api.others(self._clock(), self._settings):
            status = 429 if excess else 202
            self._journal.add(at, "others", _outcome(excess is None, status, {}), status, details={})

    def _take(self, endpoint: Endpoint | DfoEndpoint, call: Call) -> Answer:
        if isinstance(endpoint, DfoEndpoint):
            return self._dfo.take(endpoint, call)
        return self._api.take(endpoint, call)

    def _answer(self, endpoint: Endpoint | DfoEndpoint, call: Call) -> Response:
        self._let_others_in()
        latency = self.settings.token_latency_seconds if endpoint.is_token else self.settings.latency_seconds(self._rng)
        details: dict[str, object] = {}
        accepted = False
        fault = self.faults.take(endpoint.operation, self._rng, accepted=False)
        if fault is None or fault.action not in UNCONNECTED:
            call.request.write_body()
        if fault is not None and fault.action != "delay":
            response = fault.spoil(Response(503), call.now, endpoint.fault)
        else:
            try:
                response, details = self._take(endpoint, call)
            except RefusedError as refused:
                response, details = refused.response, {"refusal": str(refused), **refused.details}
            else:
                accepted = True
                latency += fault.delay_seconds if fault else 0.0
                if spoiler := self.faults.take(endpoint.operation, self._rng, accepted=True):
                    fault, response = spoiler, spoiler.spoil(response, call.now, endpoint.fault)
                    if spoiler.action == "edit_template":
                        self._edit_behind(call, spoiler)
                    if spoiler.action == "send_without_record":
                        self._dfo.store.erase(self._handed[-1].id)
        if isinstance(endpoint, DfoEndpoint):
            response = self._dfo.traced(endpoint, call.request, response)
        status = response.status if response.behaviour is Behaviour.ANSWER else None
        name = fault.action if fault else None
        self._journal.add(
            call.now,
            endpoint.operation,
            _outcome(accepted, status, details),
            status,
            fault=name,
            details=details,
        )
        return replace(response, latency_seconds=latency)

    def _edit_behind(self, call: Call, fault: Fault) -> None:
        content = fault.content
        if content is None and fault.template_status is None:
            content = self._api.templates.get(call.subject).content + "!"
        edit = Edit(content=content, status=fault.template_status)
        self._api.templates.edit(call.subject, edit, call.now)

    def add_fault(self, fault: Fault) -> int:
        """Arm a fault; returns its number."""
        with self._lock:
            return self.faults.add(fault)

    def accepted_messages(self) -> list[Message]:
        """Every message that was really taken, by either API, in order: what was handed to the carrier.

        One of the Digital Engagement API has its recipient's digits with a plus as `to` and its channel as `sender`.
        """
        with self._lock:
            return list(self._handed)

    def texts(self) -> dict[tuple[str, str], list[str]]:
        """What was handed to the carrier: by the recipient's digits and the text, the ids of its messages."""
        found: dict[tuple[str, str], list[str]] = {}
        for message in self.accepted_messages():
            found.setdefault((message.to.removeprefix("+"), message.text), []).append(message.id)
        return found

    def log(self, operation: str | None = None, since: int = 0) -> list[Entry]:
        """The requests after entry number `since`, of one operation or of all."""
        with self._lock:
            self._let_others_in()
            return self._journal.since(since, operation)

    def counts(self) -> dict[str, dict[str, int]]:
        """`{operation: {outcome: n}}` of all requests."""
        with self._lock:
            self._let_others_in()
            return self._journal.counts()

    def due_events(self, now: float | None = None, limit: int | None = None) -> list[Event]:
        """Hand out the events to be POSTed by `now`; report each back through `event_answered`."""
        with self._lock:
            return self._events.due(self._clock() if now is None else now, limit)

    def event_answered(self, event: Event, status: int | None) -> None:
        """Report an event's answer (None: there was none); anything but 2xx is redelivered later."""
        with self._lock:
            self._events.answered(event, status, self.settings, self._clock())

    def next_due(self) -> float | None:
        """When the next event is due, or None: where a virtual clock may jump to."""
        with self._lock:
            return self._events.next_due()

    def open_events(self) -> int:
        """How many events are not yet delivered or abandoned."""
        with self._lock:
            return self._events.open

    def events(self) -> list[dict[str, object]]:
        """Every event with its state and attempts."""
        with self._lock:
            return self._events.as_json()

    def template(self, template_id: str) -> Template:
        """One stored template; raises RefusedError where there is none."""
        with self._lock:
            return self._api.templates.get(template_id)

    def edit_template(self, template_id: str, edit: Edit) -> Template:
        """Create or change a template, as a user of the console would."""
        with self._lock:
            return self._api.templates.edit(template_id, edit, self._clock())

    def revoke_tokens(self) -> int:
        """Make every token invalid; returns how many there were."""
        with self._lock:
            return self._api.tokens.revoke_all() + self._dfo.tokens.revoke_all()

    def receive_inbound(self, inbound: Inbound) -> list[str]:
        """Queue an inbound message for every URL that is subscribed to such events; returns the URLs."""
        with self._lock:
            return self._api.subscriptions.inbound(inbound, self._api.new_id(), self.settings, self._clock())


def _check_size(request: Request) -> None:
    if len(request.body) > MAXIMUM_BODY_BYTES:
        raise RefusedError(413, f"a body has at most {MAXIMUM_BODY_BYTES} bytes")


def _outcome(accepted: bool, status: int | None, details: dict[str, object]) -> Outcome:
    if accepted:
        return "replayed" if details.get(REPLAYED) else "accepted"
    return "fault" if status is None else "refused"
