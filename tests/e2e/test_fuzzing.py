"""Schemathesis plays docs/openapi.yaml against the deployed stack: nothing answers but as it tells, and nothing fails.

It has numbers and keys of its own, so that no other test meets what it leaves in the ledger and at the simulator.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from string import Template

import pytest

from local.options import ROOT
from tests.api_description import operations
from tests.e2e.conftest import CAMPAIGN

# By number, so that a busy machine plays no less, and always the same; `make fuzzapi` goes by time, and explores.
SECONDS = os.environ.get("FUZZ_SECONDS")
AMOUNT = ("--max-time", SECONDS) if SECONDS else ("--max-examples", "8", "--seed", "1")
NUMBERS = ("+12025550171", "+12025550172")
TEMPLATE = "fuzzed"


@pytest.fixture
def known(client):
    """Give what there is to be found: a message, a batch, a template, and the secrets that sign."""
    for number in NUMBERS:
        client.opt_in(number)
    body = {"to": NUMBERS[0], "text": "To be read by a fuzzer.", "campaignId": CAMPAIGN}
    message = client.send(body).json()
    batch = client.call("POST", "/messages/bulk", {"messages": [{"to": "?"}]}, {"Idempotency-Key": "fuzzing"}).json()
    client.stack.simulator(f"templates/{TEMPLATE}", {"content": "Reply STOP to opt out.", "from_address": "24680"})
    return {
        "FUZZ_MESSAGE_ID": message["messageId"],
        "FUZZ_BATCH_ID": batch["batchId"],
        "FUZZ_TEMPLATE_ID": TEMPLATE,
        "FUZZ_WEBHOOK_SECRET": client.stack.secret("WebhookSecretArn"),
        "FUZZ_CALLBACK_SECRET": client.stack.secret("CallbackSecretArn"),
    }


@pytest.fixture
def _drained(client):
    """Leave once the bulk queue is worked off, so that no fault of another test's is met by a message from here."""
    yield
    client.call("PUT", "/pace", {"ceiling": 100})
    counts = ["", "NotVisible", "Delayed"]
    give_up_at = time.monotonic() + 60
    while True:
        attributes = client.stack.client("sqs").get_queue_attributes(
            QueueUrl=client.stack.outputs["BulkQueueUrl"],
            AttributeNames=[f"ApproximateNumberOfMessages{each}" for each in counts],
        )["Attributes"]
        if set(attributes.values()) == {"0"}:
            return
        assert time.monotonic() < give_up_at, attributes
        time.sleep(0.5)


@pytest.mark.usefixtures("_drained")
@pytest.mark.parametrize(
    ("output", "chosen"),
    [
        ("ApiUrl", ("--exclude-path-regex", "^/webhooks/")),
        # No answer of CXone's two routes leads to another request, which would be the fourth phase.
        ("WebhookUrl", ("--include-path-regex", "^/webhooks/", "--phases", "examples,coverage,fuzzing")),
    ],
    ids=["ours", "cxones"],
)
def test_nothing_answers_but_as_the_document_tells(client, known, tmp_path, output, chosen):
    """A run for each address: our callers', and CXone's."""
    report, config = tmp_path / "report.json", tmp_path / "schemathesis.toml"
    config.write_text(Template((ROOT / "tests/e2e/fuzzing/schemathesis.toml").read_text()).substitute(known))
    there = {route for route in operations() if ("/webhooks/" in route) == (output == "WebhookUrl")}
    command = [
        *(Path(sys.executable).with_name("schemathesis"), "--no-color", "--config-file", config),
        *("run", ROOT / "docs" / "openapi.yaml", "--url", client.stack.outputs[output]),
        *(*chosen, *AMOUNT),
        *("--report", "json", "--report-json-path", str(report)),
    ]
    environment = {**os.environ, **known, "PYTHONPATH": str(ROOT), "NO_PROXY": "127.0.0.1"}
    run = subprocess.run(  # noqa: S603  it leaves a folder where it runs
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    print(run.stdout)
    if run.returncode != 0:
        pytest.fail(run.stdout + run.stderr, pytrace=False)
    told = json.loads(report.read_text())
    rates = told["valid_rates"].items()
    accepted = {route: sum(phase["accepted"] for phase in phases.values()) for route, phases in rates}
    assert {route for route, count in accepted.items() if count} == there
