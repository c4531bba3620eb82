"""What the functions really report: their handlers and use cases over fakes, their metrics as they print them."""

import contextlib
import importlib
import io
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple
from unittest.mock import MagicMock
from urllib.parse import quote

import pytest

from cxone_messaging import wiring
from cxone_messaging.adapters.dynamodb.governor import DynamoGovernor
from cxone_messaging.adapters.dynamodb.ledger import DynamoLedger
from cxone_messaging.domain.consents import ConsentStatus
from cxone_messaging.domain.entries import Draft, EntryType
from cxone_messaging.domain.errors import StorageError
from cxone_messaging.domain.ledger import CXONE_MESSAGE_KEY
from cxone_messaging.domain.schedule import FAILURES_TO_OPEN, Pace
from cxone_messaging.domain.sms import SmsRequest
from cxone_messaging.platform import aws
from cxone_messaging.platform.clock import instant
from cxone_messaging.platform.settings import Settings as BaseSettings
from cxone_messaging.platform.telemetry import EmbeddedMetrics
from cxone_messaging.use_cases.bulk.work_queue import WorkQueue
from cxone_messaging.use_cases.journal import Journal
from functions.approve_template import handler as approve_template
from functions.checkpoint_ledger import handler as checkpoint_ledger
from functions.manage_consents import handler as manage_consents
from functions.read_ledger import handler as read_ledger
from functions.receive_webhook import handler as receive_webhook
from functions.send_bulk import handler as send_bulk
from functions.send_message import handler as send_message
from functions.submit_bulk import handler as submit_bulk
from functions.sweep_ledger import handler as sweep_ledger
from local.simulator import Fault, Settings
from tests.approvals import ApprovalWorld
from tests.building import MESSAGE_ID, SUBJECT, sending
from tests.dynamo import FakeDynamo
from tests.fakes import FakeClock
from tests.schedules import SetClock, TableOfOneItem, governor
from tests.webhooks import Context, Webhook
from tests.worlds import RECIPIENT, SLOT_SECONDS, Injector, Killed, Plan, World

FUNCTIONS = sorted(path.parent.name for path in Path("functions").glob("*/handler.py"))
TIMESTAMP = "2026-11-22T14:14:00Z"


class Series(NamedTuple):
    """One time series of CloudWatch's: a metric with its dimensions, as sorted pairs of name and value."""

    namespace: str
    metric: str
    dimensions: tuple[tuple[str, str], ...]


def series(namespace: str, metric: str, dimensions: dict[str, str]) -> Series:
    """Make one, whatever the order of its dimensions."""
    return Series(namespace, metric, tuple(sorted(dimensions.items())))


def read_lines(text: str) -> Iterator[Series]:
    """Read lines in the embedded metric format as CloudWatch does; any other line is passed over."""
    for document in (json.loads(line) for line in text.splitlines() if '"_aws"' in line):
        for directive in document["_aws"]["CloudWatchMetrics"]:
            for names in directive["Dimensions"]:
                for metric in directive["Metrics"]:
                    assert document[metric["Name"]] not in ([], None)
                    yield series(directive["Namespace"], metric["Name"], {name: document[name] for name in names})


def call(
    module: ModuleType,
    route: str,
    body: object = None,
    *,
    headers: dict[str, str] | None = None,
    path: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Hand a function a request as API Gateway does."""
    method, _, resource = route.partition(" ")
    event = {
        "httpMethod": method,
        "resource": resource,
        "pathParameters": path,
        "headers": headers or {},
        "body": None if body is None else json.dumps(body),
    }
    answer: dict[str, Any] = module.handler(event, Context())
    return answer


@cache
def all_series() -> frozenset[Series]:
    """Have every function report all that it can, and give what CloudWatch would make of it."""
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        for drive in (_single, _bulk, _read, _webhook, _sweep, _checkpoint, _approval, _defects, _broken_chains):
            drive(patch)
    return frozenset(read_lines(printed.getvalue()))


def _world(metrics: EmbeddedMetrics, *faults: dict[str, object]) -> World:
    world = World(Settings(requests_per_second=1000, delivery_steps=[]))
    world.telemetry = metrics  # type: ignore[assignment]
    world.opt(ConsentStatus.OPTED_IN)
    for fault in faults:
        world.simulator.add_fault(Fault.model_validate({"operation": "send", "action": "status", **fault}))
    return world


def _worlds(metrics: EmbeddedMetrics) -> Iterator[World]:
    """Make a world for each thing that may come of a send."""
    yield _world(metrics)
    for status in (400, 429, 500):
        yield _world(metrics, {"status": status})
    yield _world(metrics, {"operation": "token_sms", "status": 503, "times": "forever"})
    outage = _world(metrics, {"status": 503, "times": "forever"})
    outage.governor = DynamoGovernor(  # type: ignore[assignment]
        client=_OpeningSchedule(outage.clock),  # type: ignore[arg-type]
        table="",
        pace=Pace(1 / SLOT_SECONDS, 1),
        clock=outage.clock,
        telemetry=metrics,
        rng=random.Random(1),
    )
    yield outage
    wrong = _world(metrics)
    wrong.governor = governor(TableOfOneItem(wrong.clock), SetClock(wrong.clock, 600.0), metrics)  # type: ignore[assignment]
    yield wrong


class _OpeningSchedule:
    """A Coordination table in which the next failure opens the circuit; any write succeeds."""

    exceptions = SimpleNamespace(ConditionalCheckFailedException=type("Never", (Exception,), {}))

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._failures = FAILURES_TO_OPEN - 1

    def update_item(self, **update: object) -> dict[str, object]:
        self._failures += "ADD failures" in str(update["UpdateExpression"])
        next_slot = round((self._clock.now() + SLOT_SECONDS) * 1_000_000)
        return {"Attributes": {"failures": {"N": str(self._failures)}, "nextSlot": {"N": str(next_slot)}}}


def _single(patch: pytest.MonkeyPatch) -> None:
    for world in _worlds(send_message.metrics):
        patch.setattr(send_message, "use_case", _once(world.sender()))
        for _ in range(2):
            call(send_message, "POST /messages", {"to": RECIPIENT.e164, "text": "Hello."})


def _bulk(patch: pytest.MonkeyPatch) -> None:
    for world in _worlds(send_bulk.metrics):
        patch.setattr(send_bulk, "use_case", _once(WorkQueue(world.batch_sender(), world.queue)))
        for number in range(2):
            body = json.dumps({"reference": f"r{number}", "to": RECIPIENT.e164, "text": "Hello."})
            context = SimpleNamespace(get_remaining_time_in_millis=lambda: 60_000, aws_request_id="request-1")
            send_bulk.handler({"Records": [{"messageId": "1", "body": body}]}, context)


def _read(patch: pytest.MonkeyPatch) -> None:
    """Read a message whose sender died."""
    world = _dead_sender()
    world.clock.advance(60)
    patch.setattr(
        read_ledger, "use_case", _once(read_ledger.read_message(world.ledger, world.clock, read_ledger.metrics))
    )
    for subject in world.ledger.subjects():
        if subject.startswith("message#"):
            path = {"messageId": subject.removeprefix("message#")}
            call(read_ledger, "GET /messages/{messageId}", path=path)


def _checkpoint(patch: pytest.MonkeyPatch) -> None:
    """Come across a message whose sender died."""
    world = _dead_sender()
    world.clock.advance(2 * 86_400)
    use_case = checkpoint_ledger.checkpoint_ledger(world.ledger, world.clock, checkpoint_ledger.metrics)
    patch.setattr(checkpoint_ledger, "use_case", _once(use_case))
    context = SimpleNamespace(get_remaining_time_in_millis=lambda: 60_000, aws_request_id="request-1")
    assert checkpoint_ledger.handler({}, context)["made"]


def _dead_sender() -> World:
    world = World()
    world.opt(ConsentStatus.OPTED_IN)
    assert any(_dies(world, number) for number in range(1, 20))
    return world


def _dies(world: World, number: int) -> bool:
    """Let a sender die after its nth I/O; tells whether it had entered that it sends."""
    injector = Injector()
    injector.begin(Plan(at=number, kill=True, after=True))
    with contextlib.suppress(Killed):
        world.sender(injector).send(SmsRequest(RECIPIENT.e164, "Hello."), None, world.within(28))
    return any(subject.startswith("message#") for subject in world.ledger.subjects())


def _webhook(patch: pytest.MonkeyPatch) -> None:
    for number, word in enumerate(("delivered", "failed")):
        webhook = Webhook(patch, telemetry=receive_webhook.metrics)
        _write_sent(webhook, f"cx-{number}")
        told = {"messageId": f"cx-{number}", "status": word, "to": "", "timestamp": TIMESTAMP}
        assert webhook.delivery(told, MESSAGE_ID)[0] == 200
        assert webhook.post("/webhooks/cxone/sms", b"{}", query={"ref": MESSAGE_ID, "sig": "00"})[0] == 401


def _sweep(patch: pytest.MonkeyPatch) -> None:
    context = SimpleNamespace(get_remaining_time_in_millis=lambda: 60_000, aws_request_id="request-1")
    for number, word in enumerate(("delivered", "failed")):
        webhook = Webhook(patch, telemetry=receive_webhook.metrics)
        told = {"messageId": f"cx-{number}", "status": word, "to": "", "timestamp": TIMESTAMP}
        assert webhook.delivery(told)[0] == 200  # before its message
        _write_sent(webhook, f"cx-{number}")
        webhook.clock.advance(10)
        sweep = sweep_ledger.sweep(webhook.ledger, webhook.clock, sweep_ledger.metrics, 3600)
        patch.setattr(sweep_ledger, "use_case", _once(sweep))
        assert sweep_ledger.handler({}, context)["joined"] == 1


def _write_sent(webhook: Webhook, cxone_message_id: str) -> None:
    type_, data = sending()
    Journal(webhook.ledger, webhook.clock).append(SUBJECT, lambda _: Draft(type_, data))
    sent = Draft(
        EntryType.DISPATCHED,
        {"latencyMs": 42, "cxoneMessageId": cxone_message_id},
        {CXONE_MESSAGE_KEY: cxone_message_id},
    )
    Journal(webhook.ledger, webhook.clock).append(SUBJECT, lambda _: sent)


def _approval(patch: pytest.MonkeyPatch) -> None:
    asked = {"campaignName": "Welcome", "messageClass": "TRANSACTIONAL", "optInLanguage": "en"}
    for broken in (False, True):
        world = ApprovalWorld()
        world.telemetry = approve_template.metrics  # type: ignore[assignment]
        if broken:
            world.fault("token_admin", status=503, times="forever")
        patch.setattr(approve_template, "approving", _once(world.approver()))
        call(approve_template, "POST /templates/{templateId}/approval", asked, path={"templateId": "welcome"})


def _defects(patch: pytest.MonkeyPatch) -> None:
    """Let a store fail under every function that answers somebody."""

    def fail(*_: object) -> None:
        raise StorageError("down")

    for module, name, route, body, path in (
        (send_message, "use_case", "POST /messages", {"to": RECIPIENT.e164, "text": "Hello."}, None),
        (submit_bulk, "use_case", "POST /messages/bulk", {"messages": [{"to": RECIPIENT.e164}]}, None),
        (read_ledger, "use_case", "GET /messages/{messageId}", None, {"messageId": MESSAGE_ID}),
        (manage_consents, "use_case", "GET /consents/{phoneNumber}", None, {"phoneNumber": quote(RECIPIENT.e164)}),
        (approve_template, "reading", "GET /templates/{templateId}/approval", None, {"templateId": "welcome"}),
        (receive_webhook, "use_case", "POST /webhooks/cxone/sms", {}, None),
    ):
        patch.setattr(module, name, fail)
        assert call(module, route, body, headers={"Idempotency-Key": "key"}, path=path)["statusCode"] == 500


def _broken_chains(patch: pytest.MonkeyPatch) -> None:
    """Have each function's ledger, as its composition makes it, read a chain with a gap."""
    ledgers: list[DynamoLedger] = []

    class Noted(DynamoLedger):
        def __init__(self, *_: object, **options: Any) -> None:
            super().__init__(FakeDynamo(), "ledger", **options)  # type: ignore[arg-type]
            ledgers.append(self)

    secrets = MagicMock(**{"get_secret_value.return_value": {"SecretString": "p" * 64}})
    patch.setattr(aws, "dynamodb", MagicMock)
    patch.setattr(aws, "sqs", MagicMock)
    patch.setattr(aws, "secrets_manager", lambda: secrets)
    for folder in FUNCTIONS:
        function = importlib.import_module(f"functions.{folder}.handler")
        (model,) = settings_of(function)
        for name in model.variables():
            patch.setenv(name, "https://cxone.example" if name.endswith("_URL") else "12")
        place = wiring if hasattr(function, "sender_parts") else function
        patch.setattr(place, "DynamoLedger", Noted)
        build = getattr(function, "approving", None) or function.use_case
        for cached in vars(function).values():
            if hasattr(cached, "cache_clear"):
                cached.cache_clear()
        build()
        for cached in vars(function).values():
            if hasattr(cached, "cache_clear"):
                cached.cache_clear()
        ledger = ledgers.pop()
        first = Draft(EntryType.SENDING, {}).following([], SUBJECT, instant(FakeClock().now()))
        ledger.insert(first)
        ledger.insert(replace(first, sequence=3))
        ledger.read(SUBJECT)
        function.metrics.flush()


def settings_of(function: ModuleType) -> list[type[BaseSettings]]:
    """Give the settings models that a handler defines."""
    own = (each for each in vars(function).values() if isinstance(each, type) and each.__module__ == function.__name__)
    return [each for each in own if issubclass(each, BaseSettings)]


def _once(use_case: object) -> Callable[[], object]:
    return lambda: use_case
