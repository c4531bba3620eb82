"""The deployed checkpoint function, and `make audit` against the deployed stack."""

import json
import os
import subprocess
import time

from cxone_messaging.adapters.dynamodb.ledger import DynamoLedger
from cxone_messaging.domain import subjects
from cxone_messaging.domain.checkpoints import Checkpoint
from cxone_messaging.domain.entries import Draft, EntryType
from cxone_messaging.platform.clock import instant
from cxone_messaging.use_cases.journal import Journal
from local.options import ROOT
from tests.e2e.conftest import OPTED_IN
from tests.fakes import FakeClock

TWO_DAYS = 2 * 86_400


def test_past_days_are_checkpointed_and_the_ledger_is_exported(client, opted_in, stack_folder, tmp_path):
    stack = client.stack
    ledger = DynamoLedger(stack.client("dynamodb"), stack.outputs["LedgerTableName"])
    past = FakeClock(time.time() - TWO_DAYS)
    Journal(ledger, past).append("message#past", lambda _: Draft(EntryType.DELIVERY, {}))
    answer = stack.client("lambda").invoke(FunctionName="cxone-messaging-checkpoint-ledger", Payload=b"{}")
    assert "FunctionError" not in answer, answer["Payload"].read()
    assert json.load(answer["Payload"]).keys() == {"made"}
    day = instant(past.now()).date()
    checkpoint = Checkpoint.read(day, ledger.read(subjects.checkpoint(day)))
    assert [head.subject for head in checkpoint.heads] == ["message#past"]

    out = tmp_path / "out"
    command = ["make", "audit", f"STACK={stack_folder / 'stack.json'}", f"OUT={out}", f"RECIPIENT={opted_in}"]
    done = subprocess.run(  # noqa: S603
        command, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, check=False
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    assert "the ledger holds" in output
    assert "NOTED=" in output
    exported = [json.loads(line) for line in (out / "entries.jsonl").read_text("utf-8").splitlines()]
    assert {line["data"].get("recipient") for line in exported if line["type"] == "consent"} == {"+*******0111"}
    assert OPTED_IN.removeprefix("+") not in output + str(exported)
