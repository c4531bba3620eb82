"""`make up` where things are not as they should be, and an impatient Ctrl-C."""

import dataclasses
import signal
import subprocess
import sys

import pytest

from local.options import ROOT, Options
from local.processes import ServerError, Servers
from local.progress import Progress
from local.stack import down, up


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"MINISTACK_PORT": "many"}, "MINISTACK_PORT is 'many'"),
        ({"SIMULATOR_PORT": "65536"}, "SIMULATOR_PORT is '65536'"),
        ({"MINISTACK_PORT": "8090"}, "the same"),
        ({"CXONE_SMS_BASE_URL": "https://cxone.example"}, "CXONE_API_BASE_URL"),
    ],
)
def test_options_that_make_no_sense_are_explained(environment, told):
    with pytest.raises(ServerError, match=told):
        Options.from_environment(environment)


def test_a_port_in_use_is_named_and_its_owner_left_alone(stack, stack_folder, tmp_path):
    taken = int(stack.simulator_url.rpartition(":")[2])
    options = dataclasses.replace(Options.apart(tmp_path), simulator_port=taken)
    with pytest.raises(ServerError, match=f"port {taken}.*set SIMULATOR_PORT"):
        up(options, Progress())
    assert Servers(tmp_path).running() == []
    assert set(Servers(stack_folder).running()) == {"emulator", "simulator"}


def test_a_running_stack_is_not_moved_elsewhere(stack, stack_folder):
    with pytest.raises(ServerError, match="a stack runs already"):
        up(Options.apart(stack_folder), Progress())
    assert stack.call("GET", "/messages/none").status_code == 404


def test_down_twice_is_no_matter(tmp_path):
    assert down(tmp_path) == down(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_nothing_running(tmp_path, number):
    command = [sys.executable, "-m", "local.demo", "--folder", str(tmp_path)]
    with subprocess.Popen(  # noqa: S603
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        while "started the CXone simulator" not in (line := process.stdout.readline()):
            assert line, "ended by itself"
        assert set(Servers(tmp_path).running()) == {"emulator", "simulator"}
        process.send_signal(number)
        rest = process.stdout.read()
    assert process.returncode == 130, rest
    assert "interrupted" in rest
    assert Servers(tmp_path).running() == []
