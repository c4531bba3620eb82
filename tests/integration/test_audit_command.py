"""`make audit` on a table that somebody tampers with through DynamoDB's own API."""

import csv
import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from hashlib import sha256

import pytest
from boto3.dynamodb.types import TypeSerializer

from cxone_messaging.domain.entries import Draft, EntryType
from cxone_messaging.domain.phone_numbers import PhoneNumber
from cxone_messaging.domain.pseudonyms import Pseudonyms
from cxone_messaging.platform.deadline import Deadline
from cxone_messaging.use_cases.journal import Journal
from functions.checkpoint_ledger.handler import checkpoint_ledger
from local.options import ROOT
from tests.fakes import FakeClock, FakeTelemetry
from tests.integration.conftest import PEPPER, RECIPIENT

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
OTHER = "+12025550123"


def hash_of(number):
    return Pseudonyms(PEPPER).recipient_hash(PhoneNumber.parse(number))


@pytest.fixture
def written(ledger):
    """Write two days of messages with their checkpoints; gives the instant after it all."""
    clock = FakeClock(NOON.timestamp())

    def add(subject, **data):
        Journal(ledger, clock).append(subject, lambda _: Draft(EntryType.DELIVERY, data))

    add("message#changed", campaignId="summer", recipientHash=hash_of(RECIPIENT))
    add("message#cut", campaignId="winter", recipientHash=hash_of(RECIPIENT))
    add("message#removed", campaignId="summer", recipientHash=hash_of(OTHER))
    add("message#changed", status="Grüße")
    clock.advance(86_400)
    add("message#cut", status="delivered")
    clock.advance(86_400)
    checkpoint_ledger(ledger, clock, FakeTelemetry())(Deadline.after(clock, 900))
    return datetime.fromtimestamp(clock.now(), UTC)


@pytest.fixture
def audit(written, emulator, ledger_table, secrets_manager, tmp_path):
    pepper = secrets_manager.create_secret(Name=f"pepper-{ledger_table}", SecretString=PEPPER)["ARN"]
    stack = tmp_path / "stack.json"
    outputs = {"LedgerTableName": ledger_table, "PepperSecretArn": pepper}
    described = {"apiUrl": "", "simulatorUrl": None, "awsEndpointUrl": emulator, "region": "us-east-1"}
    stack.write_text(json.dumps({**described, "outputs": outputs}))

    def run(*arguments, recipient=""):
        command = [sys.executable, "-m", "cli", "audit", "--stack", str(stack), "--as-of", written.isoformat()]
        environment = {**os.environ, "AUDIT_RECIPIENT": recipient}
        done = subprocess.run(  # noqa: S603
            [*command, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout + done.stderr

    return run


def rows(file):
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def test_the_ledger_is_exported_and_holds_until_somebody_tampers_with_it(
    audit, ledger, dynamodb, ledger_table, tmp_path
):
    code, output = audit("--out", str(tmp_path / "all"))
    assert (code, "the ledger holds" in output) == (0, True), output
    assert "checkpoints of 2 days" in output
    lines = [json.loads(line) for line in (tmp_path / "all" / "entries.jsonl").read_text("utf-8").splitlines()]
    assert [(line["subject"], line["sequence"]) for line in lines] == [
        *[(f"checkpoint#2026-11-{day}", number) for day in (22, 23) for number in (1, 2)],
        *[
            ("message#changed", 1),
            ("message#changed", 2),
            ("message#cut", 1),
            ("message#cut", 2),
            ("message#removed", 1),
        ],
    ]
    for line in lines:  # as anybody can
        sealed = {name: value for name, value in line.items() if name != "hash"}
        text = json.dumps(sealed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert sha256(text.encode()).hexdigest() == line["hash"]
    exported = rows(tmp_path / "all" / "entries.csv")
    assert [(row["subject"], int(row["sequence"]), json.loads(row["data"])) for row in exported] == [
        (line["subject"], line["sequence"], line["data"]) for line in lines
    ]
    assert rows(tmp_path / "all" / "faults.csv") == []

    changed = ledger.read("message#changed")[1]
    item = {**changed.attributes(), "data": {"status": "never"}}
    written = {name: TypeSerializer().serialize(value) for name, value in item.items()}
    dynamodb.put_item(TableName=ledger_table, Item=written)
    for subject, number in (("message#cut", "2"), ("message#removed", "1")):
        dynamodb.delete_item(TableName=ledger_table, Key={"subject": {"S": subject}, "sequence": {"N": number}})
    code, output = audit("--out", str(tmp_path / "some"), "--campaign", "summer", recipient=RECIPIENT)
    assert (code, "the ledger does not hold: 3 faults" in output) == (1, True), output
    found = [(row["subject"], row["sequence"], row["kind"]) for row in rows(tmp_path / "some" / "faults.csv")]
    assert found == [
        ("message#changed", "2", "changed"),
        ("message#cut", "2", "cut off"),
        ("message#removed", "", "whole chain missing"),
    ]
    assert all(f"{subject}" in output for subject, _, _ in found)
    exported = rows(tmp_path / "some" / "entries.csv")
    assert [(row["subject"], row["sequence"], row["fault"]) for row in exported] == [
        ("message#changed", "1", ""),
        ("message#changed", "2", "changed"),
    ]
    assert RECIPIENT.removeprefix("+") not in output


@pytest.mark.parametrize(
    ("arguments", "recipient", "told"),
    [(["--table", "nowhere"], "", "nowhere can't be read"), ([], "+1555019", "RECIPIENT is no phone number")],
)
def test_what_can_not_be_audited_is_told_apart(audit, arguments, recipient, told):
    code, output = audit(*arguments, recipient=recipient)
    assert (code, told in output) == (3, True), output
    assert not recipient or recipient not in output


def test_a_script_reads_the_verdict(audit):
    code, output = audit("--json")
    document = json.loads(next(line for line in output.splitlines() if line.startswith("{")))
    assert (code, document["holds"], document["faults"], document["checkpoints"]) == (0, True, [], 2)
    assert re.fullmatch("2026-11-23:[0-9a-f]{64}", document["newest"])
