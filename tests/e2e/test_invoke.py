"""`make invoke`, with events of `events/`, against the deployed stack."""

import json

import pytest

from cli import invoke
from local.options import ROOT
from local.processes import free_port


@pytest.fixture
def run(capsys, stack, stack_folder):
    def run(event, stack_file=stack_folder / "stack.json"):
        code = invoke.run(event, str(stack_file))
        printed = capsys.readouterr()
        return code, printed.err if code else printed.out

    return run


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("send_message/preview", ["200 OK", "Content-Type: application/json", '  "encoding": "GSM-7",']),
        ("read_ledger/no_such_message", ["404 Not Found", '  "code": "message_not_found",']),
        ("sweep_ledger/schedule", ['  "unknown": ']),
        # Good signatures under a secret that no stack has.
        ("receive_webhook/delivered", ["401 Unauthorized"]),
    ],
)
def test_an_answer_is_printed(run, name, told):
    code, output = run(ROOT / "events" / f"{name}.json")
    assert code == 0, output
    for line in told:
        assert f"\n{line}" in f"\n{output}"


def test_a_stack_that_is_down_is_told_of(run, stack_folder, tmp_path):
    description = json.loads((stack_folder / "stack.json").read_text())
    description["awsEndpointUrl"] = f"http://127.0.0.1:{free_port()}"
    (tmp_path / "stack.json").write_text(json.dumps(description))
    code, output = run(ROOT / "events" / "send_message" / "preview.json", tmp_path / "stack.json")
    assert code == 1
    assert "Could not connect" in output
