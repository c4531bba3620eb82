"""Messages sent from end to end under a meter, our way and the naive way, each in its own process."""

import importlib
import itertools
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

from bench import events
from bench.meter import Context, Meter
from bench.stage import RECIPIENTS, Stage

OURS = ("submit_bulk", "send_bulk", "receive_webhook", "read_ledger")
NAIVE = ("naive_send", "naive_receive")
# Reading is shown, but is nobody's duty.
BILLED = frozenset({*OURS, *NAIVE}) - {"read_ledger"}
_BATCH = 100
_DELIVERY_STEPS = ("sent", "delivered")
_READS = 20


def ours(here: Stage, messages: int, results: str) -> None:
    """Submit a batch, process it, receive each message's two events, read some; the first of each is not metered."""
    meter = Meter(here.environment)
    handlers = {name: importlib.import_module(f"functions.{name}.handler").handler for name in OURS}
    figures = {}
    batch = _messages(messages)

    submit = handlers["submit_bulk"]
    _call(submit, _submission(batch[:1]))
    with meter.invocation():
        answer = _call(submit, _submission(batch))
    figures["submit_bulk"] = meter.taken()

    batch_id = json.loads(answer["body"])["batchId"]
    records = [{"reference": f"{batch_id}#{n}", "batchId": batch_id, **each} for n, each in enumerate(batch)]
    _work_off(handlers["send_bulk"], [{**records[0], "reference": uuid4().hex}])
    before = len(here.accepted())
    for some in itertools.batched(records, _BATCH, strict=False):
        with meter.invocation():
            _work_off(handlers["send_bulk"], list(some))
    figures["send_bulk"] = meter.taken()

    taken = here.accepted()
    for message in taken[before:]:
        for event in _deliveries(message):
            with meter.invocation():
                _call(handlers["receive_webhook"], event)
    figures["receive_webhook"] = meter.taken()

    for message in taken[-_READS:]:
        event = {
            "httpMethod": "GET",
            "resource": "/messages/{messageId}",
            "pathParameters": {"messageId": _query(message)["ref"]},
        }
        with meter.invocation():
            _call(handlers["read_ledger"], event)
    figures["read_ledger"] = meter.taken()
    Path(results).write_text(json.dumps(figures))


def naive(here: Stage, messages: int, results: str) -> None:
    """Send each message, and its two events, to the naive handler."""
    meter = Meter(here.environment)
    handler = importlib.import_module("bench.naive.handler").handler
    figures = {}
    _call(handler, events.message(RECIPIENTS[0]))
    before = len(here.accepted())
    for to in itertools.islice(itertools.cycle(RECIPIENTS), messages):
        with meter.invocation():
            _call(handler, events.message(to))
    figures["naive_send"] = meter.taken()
    for message in here.accepted()[before:]:
        for event in _deliveries(message):
            with meter.invocation():
                _call(handler, event)
    figures["naive_receive"] = meter.taken()
    Path(results).write_text(json.dumps(figures))


def _messages(messages: int) -> list[dict[str, str]]:
    people = itertools.islice(itertools.cycle(RECIPIENTS), messages)
    return [{"to": to, "text": f"Your appointment is tomorrow ({uuid4().hex[:8]})"} for to in people]


def _submission(batch: list[dict[str, str]]) -> dict[str, Any]:
    return events.post("/messages/bulk", {"messages": batch}, {"Idempotency-Key": uuid4().hex})


def _work_off(handler: Any, records: list[dict[str, str]]) -> None:
    answer = handler(events.records([json.dumps(each) for each in records]), Context(60))
    if answer["batchItemFailures"]:
        raise RuntimeError("records failed")


def _deliveries(message: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the events that CXone posts to a message's callback URL."""
    return [
        events.delivery(message["id"], status, f"2026-11-22T13:12:0{second}Z", message["to"], _query(message))
        for second, status in enumerate(_DELIVERY_STEPS)
    ]


def _query(message: dict[str, Any]) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(message["webhookUrl"]).query))


def _call(handler: Any, event: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = handler(event, Context(28))
    if answer["statusCode"] not in {200, 202}:
        raise RuntimeError(f"answered with {answer}")
    return answer
