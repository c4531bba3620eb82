"""A whole sender in memory: real use cases and the real client over the simulator, on a clock that tests turn.

Every I/O goes through `Injector`, which can kill the sender before or after it, or let somebody else act meanwhile.
"""

import json
import random
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from cxone_messaging.adapters.cxone.http import CxoneSession
from cxone_messaging.adapters.cxone.sms_gateway import SmsGateway
from cxone_messaging.adapters.cxone.sms_v2.token import TokenEndpoint
from cxone_messaging.adapters.cxone.token_cache import TokenCache
from cxone_messaging.domain import subjects
from cxone_messaging.domain.batches import BulkRecord
from cxone_messaging.domain.consents import FRESH_SECONDS, ConsentStatus
from cxone_messaging.domain.delivery import DeliveryEvent
from cxone_messaging.domain.entries import Entry, EntryType, first_broken
from cxone_messaging.domain.errors import MessagingError, StorageError
from cxone_messaging.domain.messages import Message as SentMessage
from cxone_messaging.domain.messages import Status
from cxone_messaging.domain.phone_numbers import PhoneNumber
from cxone_messaging.domain.pseudonyms import Pseudonyms
from cxone_messaging.domain.sender_rates import SenderRates
from cxone_messaging.domain.sms import SmsRequest, SmsRules
from cxone_messaging.domain.times import parse_time
from cxone_messaging.platform.deadline import Deadline
from cxone_messaging.use_cases.bulk.in_flight import Disposition
from cxone_messaging.use_cases.bulk.read_batch import ReadBatch
from cxone_messaging.use_cases.bulk.send_records import SendRecords
from cxone_messaging.use_cases.bulk.submit_batch import SubmitBatch
from cxone_messaging.use_cases.consents import ConsentFromApi
from cxone_messaging.use_cases.send.answers import Receipt
from cxone_messaging.use_cases.send.send_message import SendMessage
from cxone_messaging.use_cases.send.sender_schedules import SenderSchedules
from cxone_messaging.wiring.events import record_delivery
from cxone_messaging.wiring.sending import SenderParts
from functions.manage_consents.handler import manage_consents
from functions.read_ledger.handler import read_message
from functions.send_bulk.handler import read, send_records, work_queue
from functions.send_message.handler import send_message
from functions.submit_bulk.handler import submit_batch
from local.simulator import Message, Settings, Simulator
from local.simulator.transport import SimulatorAdapter
from local.simulator.wire import Request
from tests.fakes import (
    FakeClock,
    FakeConsentStore,
    FakeGovernor,
    FakeLedger,
    FakeRefreshLease,
    FakeSecretStore,
    FakeSqs,
    FakeTelemetry,
    InlineExecutor,
    cxone_sms,
)
from tests.wire import Trouble, Wire

BASE_URL = "http://simulator.test"
RECIPIENT = PhoneNumber.parse("+15551234567")
CLIENT = ("client", "secret&=")
RULES = SmsRules("campaign", "12345", 10)
SLOT_SECONDS = 1 / 97
BATCH_SIZE, TIMEOUT_SECONDS = 100, 60.0


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


class AfterThePost(Injector):
    """Lets something happen once CXone has taken the message, before the sender can say so."""

    def __init__(self, world: "World", act: "Callable[[AfterThePost], None]", accepted: int = 0) -> None:
        super().__init__()
        self._world = world
        self._accepted = accepted
        self._act: Callable[[AfterThePost], None] | None = act

    def call(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        answer = super().call(function, *args, **options)
        if self._act and len(self._world.simulator.accepted_messages()) > self._accepted:
            act, self._act = self._act, None
            act(self)
        return answer

    def die(self) -> None:
        self._dead = True
        raise Killed


# What a store's stand-in answers from what it knows.
_WITHOUT_CALLS = {"refuse_held"}


class Injected:
    """Puts an injector between a sender and one of its stores."""

    def __init__(self, store: Any, injector: Injector) -> None:
        self._store = store
        self._injector = injector

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if not callable(method) or name in _WITHOUT_CALLS:
            return method
        return lambda *args, **options: self._injector.call(method, *args, **options)


class InjectedQueue:
    """Puts an injector between a worker and the queue; what is lost here is not certainly on the queue."""

    def __init__(self, queue: Any, injector: Injector) -> None:
        self._queue = queue
        self._injector = injector

    def put(self, records: Sequence[BulkRecord], delays: Sequence[float] = ()) -> list[bool]:
        try:
            there: list[bool] = self._injector.call(self._queue.put, records, delays)
        except StorageError:
            return [False] * len(records)
        return there

    def send_to_dead_letters(self, body: str, reason: str) -> bool:
        try:
            return bool(self._injector.call(self._queue.send_to_dead_letters, body, reason))
        except StorageError:
            return False


class InjectedTransport(requests.adapters.BaseAdapter):
    """Puts an injector between a sender and CXone; what is lost here is lost on the wire."""

    def __init__(self, inner: Any, injector: Injector) -> None:
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

    def __init__(self, settings: Settings | None = None, seed: int = 0, clock: FakeClock | None = None) -> None:
        self.clock = clock or FakeClock()
        self.rng = random.Random(seed)
        client_id, client_secret = CLIENT
        chosen = (settings or Settings()).changed({"client_id": client_id, "client_secret": client_secret})
        self.simulator = Simulator(chosen, self.clock.now, random.Random(seed))
        self.ledger = FakeLedger()
        self.consents = FakeConsentStore()
        self.secrets = FakeSecretStore(token=json.dumps({}))
        self.lease = FakeRefreshLease()
        self.governor = FakeGovernor(self.clock, SLOT_SECONDS)
        self.sender_rates = SenderRates()
        self.own_schedules: dict[str, FakeGovernor] = {}
        self.queue = FakeSqs(self.clock)
        self.telemetry = FakeTelemetry()
        self.pseudonyms = Pseudonyms("pepper")
        self.read = read_message(self.ledger, self.clock, self.telemetry)
        self.record = record_delivery(self.ledger, self.clock, self.telemetry)
        self.read_batch = ReadBatch(self.ledger)
        self._manage = manage_consents(self.ledger, self.consents, self.pseudonyms, self.clock)
        # Each word of `RECIPIENT`: when it was stored, its number in the ledger, and what it is.
        self.words: list[tuple[float, int, ConsentStatus]] = []
        self.troubles: list[Trouble] = []
        self.held: list[tuple[float, Request]] = []
        self._let_through: dict[str, float] = {}

    def opt(self, status: ConsentStatus, number: PhoneNumber = RECIPIENT) -> None:
        stored = self._manage.record(number, ConsentFromApi(status, "test", None, overrides_reply=True))
        if number == RECIPIENT:
            self.words.append((self.clock.now(), stored.sequence, status))

    def let_through(self) -> None:
        """Have the proxy pass on all requests that it held back."""
        held, self.held = self.held, []
        for written_at, request in held:
            self.simulator.handle(replace(request, write_body=lambda: None))
            self._let_through[self.message_in(request)] = written_at

    def check_posts(self) -> None:
        """Hold what left a sender against the entry before it: its deadline, and a consent that was fresh."""
        for message_id, messages in self.accepted().items():
            claims = [each for each in self.ledger.read(subjects.message(message_id)) if each.type == EntryType.SENDING]
            for message in messages:
                written_at = self._let_through.get(message_id, message.time)
                claim = [each for each in claims if parse_time(each.timestamp).timestamp() <= written_at + 0.001][-1]
                assert written_at <= parse_time(str(claim.data["deadline"])).timestamp(), "posted after its deadline"
                begin = self._word_at(written_at - FRESH_SECONDS) or self.words[0]
                words = [word for word in self.words if begin[0] <= word[0] <= written_at and word >= begin]
                assert any(word[2] is ConsentStatus.OPTED_IN for word in words), "posted after an opt-out was in force"
        for subject in self.ledger.subjects():
            for entry in self.ledger.read(subject):
                if entry.type == EntryType.SENDING and entry.data["recipient"] == RECIPIENT.masked:
                    word = self._word_at(parse_time(entry.timestamp).timestamp() - FRESH_SECONDS)
                    assert word is None or entry.data["consent"]["sequence"] >= word[1], "cites a consent that is old"

    def _word_at(self, instant: float) -> tuple[float, int, ConsentStatus] | None:
        return next((word for word in reversed(self.words) if word[0] <= instant), None)

    def within(self, seconds: float) -> Deadline:
        """Give the deadline so many seconds from now."""
        return Deadline.after(self.clock, seconds)

    def parts(self, injector: Injector | None = None) -> SenderParts:
        """Give the parts of a new process that sends: it remembers nothing."""
        injector = injector or Injector()
        return SenderParts(
            ledger=Injected(self.ledger, injector),
            consents=Injected(self.consents, injector),
            gateway=self._gateway(injector),
            governor=Injected(self.governor, injector),
            schedules=SenderSchedules(self.sender_rates, self._own_schedule, self.clock, self.rng),
            pseudonyms=self.pseudonyms,
            rules=RULES,
            clock=self.clock,
            telemetry=self.telemetry,
            rng=self.rng,
        )

    def _own_schedule(self, name: str, requests_per_second: float) -> FakeGovernor:
        return self.own_schedules.setdefault(name, FakeGovernor(self.clock, 1 / requests_per_second))

    def sender(self, injector: Injector | None = None) -> SendMessage:
        """Start a new process that sends one message at a time."""
        return send_message(self.parts(injector), horizon_seconds=5)

    def batch_sender(self, injector: Injector | None = None, executor: Executor | None = None) -> SendRecords:
        """Start a new process that sends in bulk; its sends are made one after the other unless told otherwise."""
        return send_records(self.parts(injector), executor or InlineExecutor(), InlineExecutor())

    def send(
        self, request: SmsRequest, key: str | None = "r", *, seconds: float = 28.0, injector: Injector | None = None
    ) -> Receipt:
        """Have a new process send one message."""
        return self.sender(injector).send(request, key, self.within(seconds))

    def refusal(self, request: SmsRequest, key: str | None = "r", **options: Any) -> MessagingError:
        """Send what must be refused, and give the error."""
        with pytest.raises(MessagingError) as caught:
            self.send(request, key, **options)
        return caught.value

    def offer(
        self,
        records: Sequence[BulkRecord],
        *,
        seconds: float = 60.0,
        sender: SendRecords | None = None,
        injector: Injector | None = None,
        executor: Executor | None = None,
    ) -> list[Disposition]:
        """Hand records to a sender, by default a new process; give what happens to each."""
        return (sender or self.batch_sender(injector, executor))(records, self.within(seconds))

    def entries_of(self, key: str = "r") -> list[Entry]:
        """Give a message's entries, whose chain must hold."""
        subject = subjects.message(self.pseudonyms.message_id(key))
        entries = self.ledger.read(subject)
        assert first_broken(subject, entries) is None
        return entries

    def trail(self, key: str = "r") -> list[str]:
        """Give the types of a message's entries."""
        return [entry.type for entry in self.entries_of(key)]

    def status(self, key: str = "r") -> Status:
        """Give a message's status."""
        return SentMessage.of(self.entries_of(key)).status

    def posts(self) -> int:
        """Count the requests that CXone received."""
        return len(self.simulator.log("send"))

    def taken(self) -> list[int]:
        """Count what CXone took of each of our messages."""
        return sorted(len(messages) for messages in self.accepted().values())

    def submitter(self, injector: Injector | None = None, queue: Any = None) -> SubmitBatch:
        """Start a new process that takes batches."""
        injector = injector or Injector()
        return submit_batch(
            ledger=Injected(self.ledger, injector),
            consents=Injected(self.consents, injector),
            queue=InjectedQueue(self.queue if queue is None else queue, injector),
            pseudonyms=self.pseudonyms,
            rules=RULES,
            clock=self.clock,
        )

    def poll(self, injector: Injector | None = None, seconds: float = TIMEOUT_SECONDS) -> int:
        """Hand a batch of records to a new process, as the queue's event source does; gives how many there were.

        What was failed, or handed to a process that is killed, is seen again when its visibility ends.
        """
        bodies = self.queue.receive(BATCH_SIZE)
        if bodies:
            injector = injector or Injector()
            work = work_queue(
                self.parts(injector), InjectedQueue(self.queue, injector), InlineExecutor(), InlineExecutor()
            )
            failed = work(bodies, self.queue.queued_at(bodies), read, Deadline.after(self.clock, seconds))
            self.queue.delete(set(bodies) - set(failed))
        return len(bodies)

    def work_off(self, until: float = float("inf")) -> None:
        """Let time pass, and poll whenever a record can be seen, until there is none or the time has come."""
        while (visible_at := self.queue.next_visible()) is not None and max(visible_at, self.clock.now()) < until:
            self.clock.advance(visible_at - self.clock.now())
            self.poll()

    def _gateway(self, injector: Injector) -> SmsGateway:
        session = CxoneSession(self.clock)
        wire = Wire(self, SimulatorAdapter(self.simulator, self.clock.sleep))
        session.mount("http://", InjectedTransport(wire, injector))
        tokens = TokenCache(
            fetch=TokenEndpoint(session, BASE_URL + "/api/v2/oauth/token", lambda: CLIENT, (), self.clock),
            store=Injected(self.secrets, injector),
            name="token",
            lease=Injected(self.lease, injector),
            clock=self.clock,
            telemetry=self.telemetry,
            rng=self.rng,
        )
        return cxone_sms(BASE_URL, tokens, session, self.clock)

    def deliver(self, limit: int | None = None) -> None:
        """Bring the delivery events that are due, as the webhook would."""
        for event in self.simulator.due_events(limit=limit):
            body = json.loads(event.body)
            told = DeliveryEvent(body["messageId"], body["status"], body["to"], body["timestamp"], body.get("error"))
            self.record(told, reference(event.url))
            self.simulator.event_answered(event, 200)

    def deadline_of(self, key: str) -> float:
        """Give the last deadline that a message's entries name, in Unix seconds."""
        deadline = SentMessage.of(self.ledger.read(subjects.message(self.pseudonyms.message_id(key)))).deadline
        return parse_time(deadline or "").timestamp()

    def written_at(self, subject: str, number: int) -> float:
        """Give when one of a subject's entries was written, in Unix seconds."""
        return parse_time(self.ledger.read(subject)[number].timestamp).timestamp()

    def message_in(self, request: Request) -> str:
        """Give our id of the message that a request to CXone sends."""
        return reference(json.loads(request.body)["webhookUrl"])

    def accepted(self) -> dict[str, list[Message]]:
        """Give what CXone took, by our own message id."""
        taken: dict[str, list[Message]] = {}
        for message in self.simulator.accepted_messages():
            taken.setdefault(reference(message.webhook_url or ""), []).append(message)
        return taken


def reference(url: str) -> str:
    """Read our message id off a callback URL."""
    return parse_qs(urlsplit(url).query)["ref"][0]
