"""`make audit` vouches for a ledger only where it has verified an entry, never for nothing or for another table."""

import json
import os
import subprocess
import sys

import pytest

from cxone_messaging.adapters.dynamodb.ledger import DynamoLedger
from cxone_messaging.domain.entries import Draft, EntryType
from cxone_messaging.use_cases.journal import Journal
from local.options import ROOT
from tests.fakes import FakeClock

NOTHING_SAID = 3
NOON = 1_795_348_800.0  # 2026-11-22T12:00:00Z


@pytest.fixture
def audit(emulator, ledger_table, tmp_path):
    stack = tmp_path / "stack.json"
    outputs = {"LedgerTableName": ledger_table}
    described = {"apiUrl": "", "simulatorUrl": None, "awsEndpointUrl": emulator, "region": "us-east-1"}
    stack.write_text(json.dumps({**described, "outputs": outputs}))

    def run(*arguments):
        command = [sys.executable, "-m", "cli", "audit", "--stack", str(stack), *arguments]
        done = subprocess.run(command, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, check=False)  # noqa: S603
        return done.returncode, done.stdout + done.stderr

    return run


def holds(output):
    return "the ledger holds" in output


def test_a_ledger_with_an_entry_is_vouched_for(audit, dynamodb, ledger_table):
    Journal(DynamoLedger(dynamodb, ledger_table), FakeClock(NOON)).append(
        "message#1", lambda _: Draft(EntryType.DELIVERY, {})
    )
    code, output = audit("--as-of", "2026-11-22T12:00:00Z")
    assert (code, holds(output)) == (0, True), output


def test_an_empty_ledger_is_not(audit, tmp_path):
    code, output = audit("--out", str(tmp_path / "out"))
    assert (code, holds(output), "has no entry" in output) == (NOTHING_SAID, False, True), output


def test_a_ledger_emptied_after_a_checkpoint_was_noted_does_not_hold(audit):
    code, output = audit("--noted", f"2026-11-22:{'a' * 64}")
    assert (code, holds(output)) == (1, False), output


@pytest.mark.parametrize("kind", ["consents_table", "coordination_table"])
@pytest.mark.parametrize("is_empty", [True, False])
def test_another_table_is_not(audit, dynamodb, request, kind, is_empty):
    table = request.getfixturevalue(kind)
    keys = dynamodb.describe_table(TableName=table)["Table"]["KeySchema"]
    if not is_empty:
        dynamodb.put_item(TableName=table, Item={each["AttributeName"]: {"S": "a"} for each in keys})
    code, output = audit("--table", table)
    assert (code, holds(output)) == (NOTHING_SAID, False), output
    assert ("has no entry" if is_empty else "is no ledger") in output


def test_an_entry_whose_number_has_decimals_is_a_fault_and_no_other_table(audit, dynamodb, ledger_table):
    dynamodb.put_item(TableName=ledger_table, Item={"subject": {"S": "message#1"}, "sequence": {"N": "1.5"}})
    code, output = audit()
    assert (code, holds(output)) == (1, False), output
