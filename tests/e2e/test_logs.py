"""No log line of any function, nor of what it runs on, tells a number, a text, a token, a secret or a signature."""

import json
import time
from urllib.parse import quote

import pytest

from tests.e2e.conftest import CAMPAIGN, OPTED_IN
from tests.e2e.privacy import leaks, secrets_of, signatures_of

STRANGER = "+12025550166"
MALFORMED = "+1555019"
TEXT = "A text that nobody but its reader should see 🔑"
KEY = "a-customer's-key-4711"
FORGED = "f0" * 32


@pytest.fixture(scope="module")
def traffic(client, opted_in):
    """Have a bit of everything go through, good and bad."""
    good = {"to": OPTED_IN, "text": TEXT, "campaignId": CAMPAIGN}
    sent = client.send(good, KEY)
    assert sent.status_code == 202, sent.text
    client.send(good, KEY)
    client.send({**good, "text": TEXT + "!"}, KEY)
    for changes in ({"to": STRANGER}, {"to": MALFORMED}, {"text": ""}, {"text": TEXT + "\x1b"}, {"secret": TEXT}):
        client.send(good | changes)
        client.call("POST", "/messages/preview", good | changes)
    client.call("POST", "/messages", f'{{"to": "{STRANGER}", "text": "{TEXT}'.encode())
    client.call("GET", f"/consents/{quote(STRANGER, safe='')}")
    client.call("PUT", f"/consents/{quote(STRANGER, safe='')}", {"status": TEXT})
    told = {"messageId": "cx", "status": "sent", "to": OPTED_IN, "timestamp": TEXT, "error": f"{STRANGER} {TEXT}"}
    client.post_event(told, f"?ref=msg_{'f' * 32}&sig={FORGED}")
    client.post_event(told, "?" + client.stack.callback("msg_" + "e" * 32).partition("?")[2])
    client.post_subscription({"event": "message.inbound", "from": STRANGER, "text": TEXT, "timestamp": TEXT})
    client.stack.simulator("faults", {"operation": "send", "action": "status", "status": 400})
    assert client.send({**good, "text": TEXT + " refused"}).status_code == 502
    asked = {"campaignName": "Logs", "messageClass": "T", "optInLanguage": "en", "operatorId": "op-logs"}
    client.stack.simulator("faults", {"operation": "register", "action": "status", "status": 500})
    assert [client.call("POST", "/templates/approved/approval", asked).status_code for _ in range(2)] == [502, 200]
    assert client.call("POST", "/templates/broken/approval", asked).status_code == 422
    client.settled(sent.json()["messageId"])


@pytest.fixture(scope="module")
def lines(client, traffic):
    """Read all log lines once the last event's metrics are among them."""
    give_up_at = time.monotonic() + 10
    while "DeliveryLatency" not in client.stack.metrics():
        assert time.monotonic() < give_up_at
        time.sleep(0.2)
    return client.stack.log_lines()


def test_there_is_something_to_look_at(lines):
    assert list(lines) == ["/aws/lambda/cxone-messaging"]  # of all functions
    assert sum(map(len, lines.values())) >= 80
    told = [json.loads(line) for group in lines.values() for line in group if line.startswith("{")]
    answered = {line["route"] for line in told if line.get("message") == "answered"}
    assert len(answered) >= 6
    assert {route.split("/")[1] for route in answered} >= {"messages", "consents", "templates", "webhooks"}
    metrics = {name for line in told if "_aws" in line for name in line}
    assert metrics >= {
        "DispatchLatency",
        "DeliveryLatency",
        "MessagesDispatched",
        "MessagesRejected",
        "WebhooksRefused",
        "ApprovalLatency",
        "TemplatesApproved",
    }


def test_each_metric_is_of_the_stack_and_of_nothing_else(client, lines):
    reports = [json.loads(line) for group in lines.values() for line in group if '"_aws"' in line]
    dimensions = [each["Dimensions"] for report in reports for each in report["_aws"]["CloudWatchMetrics"]]
    assert dimensions == [[["service"]]] * len(reports)
    assert {report["service"] for report in reports} == {client.stack.name}


def test_no_function_failed(lines):
    assert [
        line for group in lines.values() for line in group if "unhandled error" in line or "Traceback" in line
    ] == []


def test_no_line_tells_what_it_must_not(client, lines):
    numbers = [number.removeprefix("+") for number in (OPTED_IN, STRANGER, MALFORMED, "+15550100000")]
    forbidden = [*numbers, TEXT[:20], KEY, FORGED, *secrets_of(client.stack).values(), *signatures_of(client.stack)]
    every = [line for group in lines.values() for line in group]
    assert leaks(every, forbidden) == []
    assert leaks([*every, f"sent to {OPTED_IN}"], forbidden) == [f"sent to {OPTED_IN}"]  # it would be found


def test_neither_do_the_servers_logs(stack_folder, client, lines):
    forbidden = [OPTED_IN, STRANGER, TEXT[:20], *secrets_of(client.stack).values(), *signatures_of(client.stack)]
    files = sorted(stack_folder.glob("*.log"))
    assert {file.name for file in files} >= {"emulator.log", "simulator.log", "sam-deploy.log"}
    assert leaks([line for file in files for line in file.read_text().splitlines()], forbidden) == []
