"""Each function's role allows just the actions that its handler is seen to make: none is missing, none is to spare.

A function's drive takes it through all of its paths, in this process, against the emulator and the simulator; a hook
on its botocore session records every call. What Lambda itself does under the role (logs, traces, receiving from the
queue) is granted by policies that SAM adds, and no concern here.
"""

import importlib
import json
import re
import uuid
from types import SimpleNamespace

import pytest
import requests

from cxone_messaging.adapters.ledger import Draft, append
from cxone_messaging.domain.delivery import DeliveryEvent
from cxone_messaging.domain.entries import EntryType
from cxone_messaging.domain.signatures import sign_reference
from cxone_messaging.platform import aws
from cxone_messaging.platform.clock import SystemClock
from cxone_messaging.use_cases.record_delivery import RecordDelivery
from local import template
from tests.fakes import FakeClock, FakeTelemetry
from tests.integration.conftest import RECIPIENT

FUNCTIONS = template.resources("AWS::Serverless::Function")
SECRET = "ab" * 32  # the webhook secret in the environment
# Statements of PartiQL need an action by their first word, batches of messages the single message's (Service
# Authorization Reference); any other operation the action of its own name.
PARTIQL = {"INSERT": "PartiQLInsert", "SELECT": "PartiQLSelect", "UPDATE": "PartiQLUpdate", "DELETE": "PartiQLDelete"}
BATCHES = {"SendMessageBatch": "SendMessage", "DeleteMessageBatch": "DeleteMessage"}


def send_message(drive):
    # At two a second, the second send has to wait for its slot, and looks at the schedule again; so it is in bulk.
    body = {"to": RECIPIENT, "text": "Hello."}
    sent = drive.call("POST /messages", body=body, headers={"Idempotency-Key": "key"})
    assert sent["statusCode"] == 202, sent
    assert drive.call("POST /messages", body=body)["statusCode"] == 202
    replayed = drive.call("POST /messages", body=body, headers={"Idempotency-Key": "key"})
    assert replayed["headers"]["Idempotency-Replayed"] == "true"
    assert drive.call("POST /messages/preview", body=body)["statusCode"] == 200


def send_bulk(drive):
    records = [{"reference": f"{number}", "to": RECIPIENT, "text": "Hello."} for number in range(3)]
    drive.simulator("faults", {"operation": "send", "action": "status", "status": 429})
    assert drive.hand_over(*records, "malformed") == []
    assert drive.hand_over(records[1]) == []  # as redelivered


def submit_bulk(drive):
    batch = {"messages": [{"to": RECIPIENT, "text": "Hello."}]}
    answer = drive.call("POST /messages/bulk", body=batch, headers={"Idempotency-Key": "key"})
    assert json.loads(answer["body"])["accepted"] == 1


def read_ledger(drive):
    overdue = Draft(EntryType.SENDING, {"deadline": "2026-01-01T00:00:00.000Z"})
    append(drive.ledger, SystemClock(), "message#dead", lambda _: overdue)
    read = drive.call("GET /messages/{messageId}", path={"messageId": "dead"})
    assert json.loads(read["body"])["status"] == "unknown"
    append(drive.ledger, SystemClock(), "batch#some", lambda _: Draft(EntryType.BATCH, {"total": 0}))
    assert drive.call("GET /batches/{batchId}", path={"batchId": "some"})["statusCode"] == 200


def manage_consents(drive):
    path = {"phoneNumber": RECIPIENT}
    body = {"status": "opted_in", "source": "test"}
    assert drive.call("PUT /consents/{phoneNumber}", path=path, body=body)["statusCode"] == 200
    assert drive.call("GET /consents/{phoneNumber}", path=path)["statusCode"] == 200


def approve_template(drive):
    drive.simulator("templates/tpl", {"content": "Hello. Reply STOP to opt out.", "from_address": "24680"})
    path = {"templateId": "tpl"}
    body = {"campaignName": "Welcome", "messageClass": "TRANSACTIONAL", "optInLanguage": "en", "operatorId": "op"}
    assert drive.call("POST /templates/{templateId}/validation", path=path)["statusCode"] == 200
    assert drive.call("POST /templates/{templateId}/approval", path=path, body=body)["statusCode"] == 200
    assert drive.call("GET /templates/{templateId}/approval", path=path)["statusCode"] == 200


def receive_webhook(drive):
    event = {"messageId": "cx", "status": "sent", "timestamp": "2026-11-22T14:14:00Z"}
    named = {"ref": "msg_1", "sig": sign_reference(SECRET, "msg_1")}
    assert drive.call("POST /webhooks/cxone/sms", body=event, query=named)["statusCode"] == 200
    signature = f"sha256={sign_reference(SECRET, json.dumps(event))}"
    signed = drive.call("POST /webhooks/cxone/sms", body=event, headers={"X-CXone-Signature": signature})
    assert signed["statusCode"] == 200
    stop = {
        "event": "message.inbound",
        "from": RECIPIENT,
        "to": "12345",
        "text": "STOP",
        "timestamp": event["timestamp"],
    }
    signature = f"sha256={sign_reference(SECRET, json.dumps(stop))}"
    told = drive.call("POST /webhooks/cxone/events", body=stop, headers={"X-CXone-Signature": signature})
    assert told["statusCode"] == 200


def sweep_ledger(drive):
    stray = DeliveryEvent("cx", "delivered", "", "2026-11-22T14:14:00Z")
    RecordDelivery(drive.ledger, SystemClock(), FakeTelemetry())(stray, None)
    late = Draft(EntryType.DISPATCHED, {"cxoneMessageId": "cx"}, {"cxoneMessageId": "cx"})
    append(drive.ledger, SystemClock(), "message#late", lambda _: late)
    assert drive.run()["joined"] == 1


def checkpoint_ledger(drive):
    two_days_ago = FakeClock(SystemClock().now() - 2 * 86_400)
    append(drive.ledger, two_days_ago, "message#old", lambda _: Draft(EntryType.SENDING, {}))
    assert drive.run()["made"] > 0


DRIVES = {
    each.__name__: each
    for each in (
        checkpoint_ledger,
        approve_template,
        send_message,
        send_bulk,
        submit_bulk,
        read_ledger,
        manage_consents,
        receive_webhook,
        sweep_ledger,
    )
}


def folder(function):
    return FUNCTIONS[function]["CodeUri"].removeprefix("functions/")


def test_each_function_has_a_drive():
    assert set(DRIVES) == {folder(function) for function in FUNCTIONS}


@pytest.mark.usefixtures("opted_in")
@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_role_allows_just_what_its_function_does(function, environment, ledger, simulator, monkeypatch):
    for name, value in {**environment, "CXONE_REQUESTS_PER_SECOND": "2"}.items():
        monkeypatch.setenv(name, value)
    _forget(aws)
    handler = importlib.import_module(f"functions.{folder(function)}.handler")
    _forget(handler)
    recorded = set()
    names = resources_in(FUNCTIONS[function]["Environment"]["Variables"], environment)

    def record(params, model, **_):
        recorded.update(needed(model, params, names))

    aws._session().register("before-parameter-build", record)
    try:
        DRIVES[folder(function)](Drive(handler.handler, FUNCTIONS[function]["Timeout"], ledger, simulator))
    finally:
        _forget(aws)
        _forget(handler)
    assert recorded == allowed(function)


class Drive:
    """What hands a function its events, as API Gateway and the bulk queue do."""

    def __init__(self, handler, seconds, ledger, simulator):
        self._handler = handler
        self.ledger = ledger
        self._simulator = simulator
        self._context = SimpleNamespace(get_remaining_time_in_millis=lambda: seconds * 1000, aws_request_id="test")

    def call(self, route, *, path=None, query=None, headers=None, body=None):
        method, _, resource = route.partition(" ")
        event = {
            "httpMethod": method,
            "resource": resource,
            "pathParameters": path,
            "queryStringParameters": query,
            "headers": headers,
            "body": None if body is None else json.dumps(body),
        }
        return self._handler(event, self._context)

    def run(self):
        return self._handler({}, self._context)

    def hand_over(self, *bodies):
        records = [
            {"messageId": uuid.uuid4().hex, "body": body if isinstance(body, str) else json.dumps(body)}
            for body in bodies
        ]
        return self._handler({"Records": records}, self._context)["batchItemFailures"]

    def simulator(self, path, body):
        requests.post(f"{self._simulator}/_simulator/{path}", json=body, timeout=10).raise_for_status()


def _forget(module):
    """Let a module build anew whatever it keeps for an execution environment's life."""
    for each in vars(module).values():
        if hasattr(each, "cache_clear") and each.__module__ == module.__name__:
            each.cache_clear()


def resources_in(variables, environment):
    """Name the template's resources by what a function finds of them in its environment."""
    return {
        environment[name]: value["Ref"]
        for name, value in variables.items()
        if isinstance(value, dict) and value.get("Ref") in template.load()["Resources"]
    }


def needed(model, params, names):
    """Give each action that a call needs, with the resource that it needs it on."""
    service = model.service_model.service_name
    match model.name:
        case "ExecuteStatement":
            return [_of_statement(params, names)]
        case "BatchExecuteStatement":
            return [_of_statement(each, names) for each in params["Statements"]]
        case "BatchGetItem":
            return [("dynamodb:BatchGetItem", names[table]) for table in params["RequestItems"]]
        case name:
            (named,) = (params[key] for key in ("TableName", "SecretId", "QueueUrl") if key in params)
            index = f"/index/{params['IndexName']}" if "IndexName" in params else ""
            return [(f"{service}:{BATCHES.get(name, name)}", names[named] + index)]


def _of_statement(statement, names):
    verb, table = re.match(r'(\w+) .*?"([^"]+)"', statement["Statement"]).groups()
    return f"dynamodb:{PARTIQL[verb]}", names[table]


def allowed(function):
    """Read a role off the template, as needed() tells it."""
    return {
        (action, _resource(resource))
        for policy in FUNCTIONS[function]["Policies"]
        for statement in policy["Statement"]
        for action in _as_list(statement["Action"])
        for resource in _as_list(statement["Resource"])
    }


def _as_list(value):
    return value if isinstance(value, list) else [value]


def _resource(resource):
    match resource:
        case {"Ref": id_}:
            return id_
        case {"Fn::GetAtt": [id_, "Arn"]}:
            return id_
        case {"Fn::Sub": text}:
            return re.sub(r"\$\{(\w+)\.Arn\}", r"\1", text)
        case _:
            raise ValueError(f"{resource} is no resource of the template's")
