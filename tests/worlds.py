"""A whole sender in memory: real use cases and the real client over the simulator, on a clock that tests turn.

Every I/O goes through `Injector`, which can kill the sender before or after it, or let somebody else act meanwhile.
"""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests

from cxone_messaging.adapters.cxone_http import CxoneSession
from cxone_messaging.adapters.cxone_sms import CxoneSms
from cxone_messaging.adapters.cxone_token import TokenEndpoint
from cxone_messaging.adapters.token_cache import TokenCache
from cxone_messaging.domain.consents import ConsentStatus
from cxone_messaging.domain.delivery import DeliveryEvent
from cxone_messaging.domain.errors import StorageError
from cxone_messaging.domain.messages import SmsRules
from cxone_messaging.domain.phone_numbers import PhoneNumber
from cxone_messaging.domain.pseudonyms import Pseudonyms
from cxone_messaging.use_cases.manage_consents import GivenConsent, ManageConsents
from cxone_messaging.use_cases.read_message import ReadMessage
from cxone_messaging.use_cases.record_delivery import RecordDelivery
from cxone_messaging.use_cases.send_message import SendMessage
from local.simulator import Message, Settings, Simulator
from local.simulator.transport import SimulatorAdapter
from tests.fakes import (
    FakeClock,
    FakeConsentStore,
    FakeGovernor,
    FakeLedger,
    FakeRefreshLease,
    FakeSecretStore,
    FakeTelemetry,
)

BASE_URL = "http://simulator.test"
RECIPIENT = PhoneNumber.parse("+15551234567")
CLIENT = ("client", "secret&=")


class Killed(BaseException):
    """The sender's process is gone: nothing of it may act any more, no handler, no `finally`."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens at a sender's nth I/O: `kill` before or after it, a lost answer after it, or somebody's `act`."""

    at: int
    kill: bool = False
    lose_answer: bool = False
    after: bool = False
    act: Callable[[], object] | None = None


class Injector:
    """Counts the I/O of one sender, and does to it what the plan says."""

    def __init__(self) -> None:
        self._plan: Plan | None = None
        self._count = 0
        self._dead = False

    def begin(self, plan: Plan | None) -> None:
        self._plan, self._count, self._dead = plan, 0, False

    def call(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        if self._dead:
            raise Killed
        plan, self._count = self._plan, self._count + 1
        here = plan is not None and plan.at == self._count
        if not here or plan is None:
            return function(*args, **options)
        if plan.act is not None and not plan.after:
            plan.act()
        if plan.kill and not plan.after:
            self._dead = True
            raise Killed
        if plan.lose_answer and not plan.after:
            raise StorageError("the request was lost")
        answer = function(*args, **options)
        if plan.act is not None and plan.after:
            plan.act()
        if plan.kill:
            self._dead = True
            raise Killed
        if plan.lose_answer:
            raise StorageError("the answer was lost")
        return answer


class Injected:
    """Puts an injector between a sender and one of its stores."""

    def __init__(self, store: Any, injector: Injector) -> None:
        self._store = store
        self._injector = injector

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        return lambda *args, **options: self._injector.call(method, *args, **options)


class InjectedTransport(requests.adapters.BaseAdapter):
    """Puts an injector between a sender and CXone; what is lost here is lost on the wire."""

    def __init__(self, inner: SimulatorAdapter, injector: Injector) -> None:
        super().__init__()
        self._inner = inner
        self._injector = injector

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        try:
            response: requests.Response = self._injector.call(self._inner.send, request, *args, **options)
        except StorageError:
            raise requests.ConnectionError("the answer was lost") from None
        return response

    def close(self) -> None:
        pass


class World:
    """Everything there is, and senders that share it."""

    def __init__(self, settings: Settings | None = None, seed: int = 0) -> None:
        self.clock = FakeClock()
        self.rng = random.Random(seed)
        client_id, client_secret = CLIENT
        chosen = (settings or Settings()).changed({"client_id": client_id, "client_secret": client_secret})
        self.simulator = Simulator(chosen, self.clock.now, random.Random(seed))
        self.ledger = FakeLedger()
        self.consents = FakeConsentStore()
        self.secrets = FakeSecretStore(token=json.dumps({}))
        self.lease = FakeRefreshLease()
        self.governor = FakeGovernor(self.clock)
        self.telemetry = FakeTelemetry()
        self.pseudonyms = Pseudonyms("pepper")
        self.read = ReadMessage(self.ledger, self.clock, self.telemetry)
        self.record = RecordDelivery(self.ledger, self.clock, self.telemetry)
        self._manage = ManageConsents(
            ledger=self.ledger, consents=self.consents, pseudonyms=self.pseudonyms, clock=self.clock
        )

    def opt(self, status: ConsentStatus, number: PhoneNumber = RECIPIENT) -> None:
        self._manage.record(number, GivenConsent(status, "test", None))

    def sender(self, injector: Injector | None = None) -> SendMessage:
        """Start a new process: it remembers nothing."""
        injector = injector or Injector()
        session = CxoneSession(self.clock)
        session.mount("http://", InjectedTransport(SimulatorAdapter(self.simulator, self.clock.sleep), injector))
        tokens = TokenCache(
            fetch=TokenEndpoint(session, BASE_URL + "/api/v2/oauth/token", lambda: CLIENT, self.clock),
            secrets=Injected(self.secrets, injector),
            secret_arn="token",
            lease=Injected(self.lease, injector),
            clock=self.clock,
            telemetry=self.telemetry,
            rng=self.rng,
        )
        return SendMessage(
            ledger=Injected(self.ledger, injector),
            consents=Injected(self.consents, injector),
            gateway=CxoneSms(BASE_URL, tokens, session, self.clock, 20),
            governor=Injected(self.governor, injector),
            horizon_seconds=5,
            pseudonyms=self.pseudonyms,
            rules=SmsRules("campaign", "12345", 10),
            callback_url=lambda message_id: f"http://us.test/webhooks/cxone/sms?ref={message_id}",
            clock=self.clock,
            telemetry=self.telemetry,
            rng=self.rng,
        )

    def deliver(self, limit: int | None = None) -> None:
        """Bring the delivery events that are due, as the webhook would."""
        for event in self.simulator.due_events(limit=limit):
            body = json.loads(event.body)
            told = DeliveryEvent(body["messageId"], body["status"], body["to"], body["timestamp"], body.get("error"))
            self.record(told, reference(event.url))
            self.simulator.event_answered(event, 200)

    def accepted(self) -> dict[str, list[Message]]:
        """Give what CXone took, by our own message id."""
        taken: dict[str, list[Message]] = {}
        for message in self.simulator.accepted_messages():
            taken.setdefault(reference(message.webhook_url or ""), []).append(message)
        return taken


def reference(url: str) -> str:
    """Read our message id off a callback URL."""
    return parse_qs(urlsplit(url).query)["ref"][0]
