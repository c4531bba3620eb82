"""`make demo`, run as somebody would run it, beside whatever else runs on the machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from local.demo import approval, steps
from local.local_target import LocalTarget
from local.options import ROOT
from local.processes import Servers
from tests.e2e.privacy import leaks, secrets_of, signatures_of

APIS = [
    "sms-v2",
    pytest.param("dfo-3.0", marks=pytest.mark.skipif(not os.environ.get("PROOF"), reason="a minute more: make proof")),
]


@pytest.fixture(scope="module", params=APIS)
def api(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def folder(tmp_path_factory, api) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def demo(folder, api):
    """Run the demo; its secrets are read while it waits for the first delivery, for they end with its stack."""
    command = [sys.executable, "-m", "local.demo", "--folder", str(folder)]
    forbidden: list[str] = []
    output = ""
    with subprocess.Popen(  # noqa: S603
        command,
        cwd=ROOT,
        env={**os.environ, "CXONE_API": api},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        for line in process.stdout:
            output += line
            if "sent it to" in line:
                stack = LocalTarget.at(folder)
                forbidden = [*secrets_of(stack).values(), *signatures_of(stack)]
    return process.returncode, output, forbidden


def test_every_step_holds(demo):
    code, output, _ = demo
    assert code == 0, output
    assert "every step held" in output
    assert "✗" not in output


def test_it_shows_what_it_is_for(demo, api):
    _, output, _ = demo
    for shown in ("both messages delivered", "422 not_opted_in", "422 invalid_recipient", "replayed", "GSM-7", "UCS-2"):
        assert shown in output
    for entry in ("sending", "dispatched", "delivery"):
        assert entry in output
    assert "verified the audit trail of the English message" in output
    if api == "sms-v2":
        assert "approved the template “welcome”" in output
        assert "refused, for all reasons at once" in output
        for code in approval.VIOLATIONS:
            assert code in output
        assert "verified the audit trail of the approval" in output
        assert "carrier ready" in output
    else:
        assert "approving a template is not supported by this API" in output
    assert "sent 200 messages in bulk" in output
    assert "200 delivered; CXone took each once" in output
    assert "━" * 72 in output
    assert "refused a forged delivery event" in output
    assert "honoured the STOP" in output
    assert all(metric in output for metric in ("DispatchLatency", "DeliveryLatency", "median", "max"))
    assert max(map(len, output.splitlines())) <= 80


def test_it_leaves_nothing_running(demo, folder):
    assert Servers(folder).running() == []
    assert not (folder / "stack.json").exists()


def test_its_log_lines_tell_nothing(demo, folder):
    _, _, forbidden = demo
    lines = (folder / "functions.log").read_text().splitlines()
    assert len(lines) >= 50
    assert any("DeliveryLatency" in line for line in lines)
    numbers = [number.removeprefix("+") for number in (*steps.GUESTS, *steps.REGULARS, steps.STRANGER)]
    assert len(forbidden) >= 5
    assert leaks(lines, [*numbers, steps.ENGLISH[:20], steps.JAPANESE[:8], steps.REMINDER[-20:], *forbidden]) == []
