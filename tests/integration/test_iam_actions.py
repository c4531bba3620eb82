"""Each function's role allows just the actions that its handler is seen to make: none is missing, none is to spare.

So it is with the keys that it may insert under: the emulator enforces none, so the inserts' subjects are recorded.

A function's drive takes it through all of its paths, in this process, against the emulator and the simulator; a hook
on its botocore session records every call. What Lambda itself does under the role is no concern here: logs and traces,
by policies that SAM adds, and receiving from the queue.
"""

import hmac
import json
import re
import time
from collections import defaultdict
from unittest.mock import patch

import pytest
import requests

from cxone_messaging.domain.delivery import DeliveryEvent
from cxone_messaging.domain.entries import Draft, EntryType
from cxone_messaging.platform import aws
from cxone_messaging.platform.clock import SystemClock
from cxone_messaging.use_cases.journal import Journal
from cxone_messaging.wiring.events import record_delivery
from local import template
from local.simulator import MAIN_CHANNEL
from tests import events, roles
from tests.digital_client import DigitalClient
from tests.events import FUNCTIONS, WEBHOOK_SECRET
from tests.fakes import FakeClock, FakeTelemetry

# Statements of PartiQL need an action by their first word, batches of messages the single message's (Service
# Authorization Reference); any other operation the action of its own name.
PARTIQL = {"INSERT": "PartiQLInsert", "SELECT": "PartiQLSelect", "UPDATE": "PartiQLUpdate", "DELETE": "PartiQLDelete"}
# What Lambda needs of the role of a function that a queue invokes.
OF_LAMBDA = {"send_bulk": {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}}
BATCHES = {"SendMessageBatch": "SendMessage", "DeleteMessageBatch": "DeleteMessage"}


def send_message(drive):
    # At two a second, the second send has to wait for its slot, and looks at the schedule again; so it is in bulk.
    assert drive.play("one_time_password")["statusCode"] == 202
    assert drive.play("without_key")["statusCode"] == 202
    assert drive.play("one_time_password")["headers"]["Idempotency-Replayed"] == "true"
    assert drive.play("preview")["statusCode"] == 200


def send_bulk(drive):
    drive.simulator("faults", {"operation": "send", "action": "status", "status": 429})
    for name in ("same_record_twice", "other_system", "malformed_record", "other_system"):  # the last as redelivered
        assert drive.play(name) == {"batchItemFailures": []}


def submit_bulk(drive):
    assert drive.play("batch_with_bad_rows")["statusCode"] == 202


def read_ledger(drive):
    overdue = Draft(EntryType.SENDING, {"deadline": "2026-01-01T00:00:00.000Z"})
    Journal(drive.ledger, SystemClock()).append(f"message#{id_in('message', 'messageId')}", lambda _: overdue)
    assert json.loads(drive.play("message")["body"])["status"] == "unknown"
    Journal(drive.ledger, SystemClock()).append(
        f"batch#{id_in('batch', 'batchId')}",
        lambda _: Draft(EntryType.BATCH, {"total": 0}),
    )
    assert drive.play("batch")["statusCode"] == 200


def id_in(name, parameter):
    return events.read(f"read_ledger/{name}")["pathParameters"][parameter]


def manage_consents(drive):
    assert drive.play("opt_in")["statusCode"] == 200
    assert drive.play("read")["statusCode"] == 200


def manage_pace(drive):
    assert drive.play("read")["statusCode"] == 200
    assert drive.play("stop")["statusCode"] == 200


def approve_template(drive):
    for name in ("validation", "approval", "state"):
        assert drive.play(name)["statusCode"] == 200
    assert drive.play("schedule")["replies"] == "subscribed"


def receive_webhook(drive):
    for name in ("delivered", "signed_body", "inbound_stop", "template_registered"):
        assert drive.play(name)["statusCode"] == 200
    for told in ({"event": "message.inbound", "from": "+12025550142", "text": "Who is this?"}, {"event": "news"}):
        assert drive.hand(signed("receive_webhook/inbound_stop", told))["statusCode"] == 200


def signed(name, told):
    """Make an event of one in a file, with another body that is signed in its stead."""
    body = json.dumps(told)
    signature = hmac.new(WEBHOOK_SECRET.encode(), body.encode(), "sha256").hexdigest()
    event = events.read(name)
    return {**event, "body": body, "headers": {**event["headers"], "X-CXone-Signature": f"sha256={signature}"}}


def sweep_ledger(drive):
    stray = DeliveryEvent("cx", "delivered", "", "2026-11-22T14:14:00Z")
    record_delivery(drive.ledger, SystemClock(), FakeTelemetry())(stray, None)
    late = Draft(EntryType.DISPATCHED, {"cxoneMessageId": "cx"}, {"cxoneMessageId": "cx"})
    Journal(drive.ledger, SystemClock()).append("message#late", lambda _: late)
    assert drive.play("schedule")["joined"] == 1


def collect_receipts(drive):
    for text in ("STOP", "Who is this?"):
        drive.simulator("dfo/inbound", {"channel": MAIN_CHANNEL, "number": "12025550142", "text": text})
    drive.simulator("settings", {"dfo_delivery": {"delivered_after": 0}}, method="PUT")
    sent = {"cxoneMessageId": drive.client().send().json()["message"]["id"]}
    Journal(drive.ledger, SystemClock()).append("message#sent", lambda _: Draft(EntryType.DISPATCHED, sent, sent))
    with (
        clock_set_at_each_read_of_a_secret()
    ):  # or the answer that its run began with would tell the collector the time
        counts = drive.play("schedule")
    assert (counts["receipts"], counts["replies"]) == (1, 2)


def clock_set_at_each_read_of_a_secret():
    steps = []
    for service in ("secretsmanager", "ssm"):
        aws._session().register(f"before-parameter-build.{service}", lambda **_: steps.append(2))
    return patch.object(SystemClock, "now", lambda _: time.time() + sum(steps))


def checkpoint_ledger(drive):
    two_days_ago = FakeClock(SystemClock().now() - 2 * 86_400)
    Journal(drive.ledger, two_days_ago).append("message#old", lambda _: Draft(EntryType.SENDING, {}))
    assert drive.play("schedule")["made"] > 0
    assert [entry.type for entry in drive.ledger.read("message#old")] == ["sending", "unknown"]


LOGICAL_IDS = {
    each["CodeUri"].removeprefix("functions/"): id_
    for id_, each in template.resources("AWS::Serverless::Function").items()
}
DRIVES = {
    each.__name__: each
    for each in (
        checkpoint_ledger,
        collect_receipts,
        approve_template,
        send_message,
        send_bulk,
        submit_bulk,
        read_ledger,
        manage_consents,
        manage_pace,
        receive_webhook,
        sweep_ledger,
    )
}


def test_each_function_has_a_drive():
    assert set(DRIVES) == set(FUNCTIONS)


# A function that calls CXone has a token, in the one store or in the other.
CASES = [
    (function, token_store)
    for function in FUNCTIONS
    for token_store in roles.TOKEN_STORES
    if token_store == "secretsmanager" or "TOKEN_STORE" in template.variables(LOGICAL_IDS[function])
]


@pytest.mark.usefixtures("opted_in")
@pytest.mark.parametrize(("function", "token_store"), CASES)
def test_a_role_allows_just_what_its_function_does(
    function, token_store, functions, environment, ledger, simulator, monkeypatch
):
    monkeypatch.setenv("CXONE_REQUESTS_PER_SECOND", "2")
    recorded, subjects = set(), set()
    names = resources_in(template.variables(LOGICAL_IDS[function]), environment)

    def record(params, model, **_):
        recorded.update(needed(model, params, names))
        subjects.update(inserted(params))

    aws._session().register("before-parameter-build", record)
    DRIVES[function](Drive(function, functions, ledger, simulator))
    assert recorded == allowed(function, token_store)
    used = defaultdict(list)
    for subject in subjects:
        used[f"{subject.partition('#')[0]}#*"].append(subject)
    assert {
        key for key in used if not all(roles.may_insert(LOGICAL_IDS[function], each) for each in used[key])
    } == set()
    assert set(used) == set(roles.insert_keys(LOGICAL_IDS[function]))


class Drive:
    """What a function is driven with: events, and what CXone and the ledger have ready for it."""

    def __init__(self, function, functions, ledger, simulator):
        self._function = function
        self._functions = functions
        self.ledger = ledger
        self._simulator = simulator

    def play(self, name):
        return self._functions.play(f"{self._function}/{name}")

    def hand(self, event):
        return self._functions.hand(self._function, event)

    def simulator(self, path, body, method="POST"):
        requests.request(method, f"{self._simulator}/_simulator/{path}", json=body, timeout=10).raise_for_status()

    def client(self):
        return DigitalClient(self._simulator)


def resources_in(variables, environment):
    """Name the template's resources by what a function finds of them in its environment."""
    names = {
        environment[name]: value["Ref"]
        for name, value in variables.items()
        if isinstance(value, dict) and value.get("Ref") in template.load()["Resources"]
    }
    for name in {"SMS_TOKEN_NAME", "ADMIN_TOKEN_NAME"} & variables.keys():
        _, parameter, secret = variables[name]["Fn::If"]
        path = parameter["Fn::Sub"].rpartition("/")[2]
        names[environment[name]] = roles.PARAMETER + path if environment["TOKEN_STORE"] == "ssm" else secret["Ref"]
    return names


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
            (named,) = (params[key] for key in ("TableName", "SecretId", "QueueUrl", "Name") if key in params)
            index = f"/index/{params['IndexName']}" if "IndexName" in params else ""
            return [(f"{service}:{BATCHES.get(name, name)}", names[named] + index)]


def _of_statement(statement, names):
    verb, table = re.match(r'(\w+) .*?"([^"]+)"', statement["Statement"]).groups()
    return f"dynamodb:{PARTIQL[verb]}", names[table]


def inserted(params):
    """Give the subjects that a call inserts entries of."""
    statements = params.get("Statements", [params] if "Statement" in params else [])
    for each in statements:
        names = re.findall(r"'(\w+)': \?", each["Statement"])
        if each["Statement"].startswith("INSERT"):
            yield dict(zip(names, each["Parameters"], strict=True))["subject"]["S"]


def allowed(function, token_store):
    """Read a role off the template, as needed() tells it, without what Lambda itself does."""
    return {
        (action, roles.resource_name(resource))
        for statement in roles.statements(LOGICAL_IDS[function], token_store)
        for action in roles.as_list(statement["Action"])
        if action not in OF_LAMBDA.get(function, set())
        for resource in roles.as_list(statement["Resource"])
    }
