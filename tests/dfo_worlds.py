"""Everything there is where the stack speaks Digital Engagement: senders, and the collector of receipts and replies."""

import json
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import replace
from typing import override

from cxone_messaging.adapters.cxone.dfo.messages import DfoMessages
from cxone_messaging.adapters.cxone.dfo.sms import DfoSms
from cxone_messaging.adapters.cxone.dfo.token import AccessKey, DfoTokenEndpoint
from cxone_messaging.adapters.cxone.http import CxoneSession
from cxone_messaging.adapters.cxone.sms_gateway import SmsGateway
from cxone_messaging.adapters.cxone.token_cache import TokenCache
from cxone_messaging.domain.collection import Collection
from cxone_messaging.domain.errors import MessagingError
from cxone_messaging.domain.subjects import id_in
from cxone_messaging.use_cases.events.collect import Collect, Collected
from cxone_messaging.wiring.events import record_events
from cxone_messaging.wiring.sending import SenderParts
from functions.collect_receipts.handler import collect
from local.simulator import MAIN_CHANNEL, Settings
from local.simulator.journal import Message
from local.simulator.transport import SimulatorAdapter
from local.simulator.wire import Request, Response
from tests.fakes import FakeClock, InlineExecutor
from tests.wire import Wire
from tests.worlds import CLIENT, RULES, Injected, InjectedTransport, Injector, World

DFO_RULES = replace(RULES, default_sender=MAIN_CHANNEL, needs_campaign=False, is_looked_up=True)
ISSUER = "https://cxone.niceincontact.com"
KEY = AccessKey(*CLIENT, "local-access-key", "local-key-secret&+==")
COLLECTOR_SECONDS = 300.0


class FakeCollectionStore:
    """The collector's state in memory, stored as its text."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.text: str | None = None
        self.held_until = 0.0

    def begin(self, until: float) -> Collection | None:
        now = self._clock.now()
        if self.held_until > now:
            return None
        self.held_until = until
        return Collection.begun(now) if self.text is None else Collection.parse(self.text, now)

    def end(self, state: Collection) -> None:
        self.text, self.held_until = state.text(), 0.0


class DfoWorld(World):
    """A world whose senders speak Digital Engagement."""

    def __init__(self, settings: Settings | None = None, seed: int = 0, clock: FakeClock | None = None) -> None:
        super().__init__((settings or Settings()).changed({"dfo_contact_burst": 100_000}), seed, clock)
        handle, self._taken = self.simulator.handle, dict[str, list[Message]]()

        def handled(request: Request) -> Response:
            before = len(self.simulator.accepted_messages())
            answer = handle(request)
            for message in self.simulator.accepted_messages()[before:]:
                self._taken.setdefault(self.message_in(request), []).append(message)
            return answer

        self.simulator.handle = handled  # type: ignore[method-assign]
        self.collection = FakeCollectionStore(self.clock)
        self.reference_field, self.channels = "reference", {MAIN_CHANNEL}
        self.runs: list[Collected] = []
        self._collector: Collect | None = None

    @override
    def parts(self, injector: Injector | None = None) -> SenderParts:
        return replace(super().parts(injector), rules=DFO_RULES)

    @override
    def _gateway(self, injector: Injector) -> SmsGateway:
        session = CxoneSession(self.clock)
        wire = Wire(self, SimulatorAdapter(self.simulator, self.clock.sleep))
        session.mount("https://", InjectedTransport(wire, injector))
        return DfoSms(
            self._tokens(session, injector),
            session,
            self.clock,
            timeout_seconds=20,
            reference_field=self.reference_field,
            on_channel=self.channels.add,
        )

    def _tokens(self, session: CxoneSession, injector: Injector) -> TokenCache:
        return TokenCache(
            fetch=DfoTokenEndpoint(session, ISSUER, lambda: KEY, self.clock),
            store=Injected(self.secrets, injector),
            name="token",
            lease=Injected(self.lease, injector),
            clock=self.clock,
            telemetry=self.telemetry,
            rng=self.rng,
            located=True,
        )

    def collector(self, executor: Executor | None = None) -> Collect:
        """Start a new process that collects: it remembers nothing."""
        session = CxoneSession(self.clock)
        session.mount("https://", SimulatorAdapter(self.simulator, self.clock.sleep))
        return collect(
            ledger=self.ledger,
            records=DfoMessages(self._tokens(session, Injector()), session, self.reference_field),
            events=record_events(
                ledger=self.ledger,
                consents=self.consents,
                pseudonyms=lambda: self.pseudonyms,
                clock=self.clock,
                telemetry=self.telemetry,
            ),
            store=self.collection,
            pseudonyms=lambda: self.pseudonyms,
            channels=lambda: self.channels,
            executor=executor or InlineExecutor(),
            clock=self.clock,
            telemetry=self.telemetry,
        )

    def collect(self) -> Collected:
        """Have the collector do one run, in the process that did the last."""
        self._collector = self._collector or self.collector()
        self.runs.append(self._collector(self.within(COLLECTOR_SECONDS)))
        return self.runs[-1]

    def collect_for(self, seconds: float) -> None:
        """Let time pass, with a run every minute."""
        until = self.clock.now() + seconds
        while self.clock.now() < until:
            self.clock.advance(min(60.0, until - self.clock.now()))
            self.collect()

    @override
    def deliver(self, limit: int | None = None) -> None:
        with suppress(MessagingError):  # CXone gives no token now; the next run collects
            self.collect()

    @override
    def message_in(self, request: Request) -> str:
        contact = json.loads(request.body).get("contact")
        if not contact:
            return "message#of any"
        (field,) = contact["customFields"]
        ours = (each for each in self.ledger.subjects() if each.startswith(f"message#msg_{field['value']}"))
        return id_in(next(ours, "message#of another stack"))

    @override
    def posts(self) -> int:
        return len(self.simulator.log("dfo.send"))

    @override
    def accepted(self) -> dict[str, list[Message]]:
        return self._taken

    def reply(self, text: str, number: str = "15551234567") -> str:
        """Have a recipient write to the channel."""
        return str(self.simulator.dfo.inbound(MAIN_CHANNEL, number, text))
