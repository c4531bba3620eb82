"""`make up` where things are not as they should be, and an impatient Ctrl-C."""

import contextlib
import dataclasses
import json
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from cli.progress import Progress
from local.options import ROOT, Options
from local.processes import ServerError, Servers
from local.stack import down, up


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"MINISTACK_PORT": "many"}, "MINISTACK_PORT is 'many'"),
        ({"SIMULATOR_PORT": "65536"}, "SIMULATOR_PORT is '65536'"),
        ({"MINISTACK_PORT": "8090"}, "the same"),
        ({"CXONE_SMS_BASE_URL": "https://cxone.example"}, "CXONE_API_BASE_URL"),
        ({"TOKEN_STORE": "dynamodb"}, "secretsmanager or ssm"),
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


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="there is no /proc to look into")
def test_nothing_of_it_listens_but_the_two_servers_behind_the_guard(stack, stack_folder):
    """A function's own process, or a second listener of the emulator's, would be a door without the guard."""
    stack.call("GET", "/messages/none")  # functions run
    groups = {int(each["pid"]) for each in json.loads((stack_folder / "processes.json").read_text()).values()}
    listening = dict(_listening())
    ports = {listening[inode] for inode in _sockets(groups) if inode in listening}
    urls = (stack.outputs["ApiUrl"], stack.simulator_url)
    assert ports == {("127.0.0.1", urlsplit(url).port) for url in urls}


def _listening():
    """Give each listening TCP socket's inode, with its address and port."""
    for file in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(file).read_text().splitlines()[1:]:
            fields = line.split()
            address, _, port = fields[1].partition(":")
            if fields[3] == "0A":
                host = "127.0.0.1" if address == "0100007F" else address
                yield fields[9], (host, int(port, 16))


def _sockets(groups):
    """Give the inodes of all sockets that the processes of some groups have open."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            group = int(process.joinpath("stat").read_text().rpartition(")")[2].split()[2])
            if group in groups:
                for link in process.joinpath("fd").iterdir():
                    with contextlib.suppress(OSError):
                        yield str(link.readlink()).removeprefix("socket:[").removesuffix("]")


def test_the_processes_of_all_functions_share_one_unpacked_layer(stack, stack_folder):
    """As in Lambda, where it is mounted. To unpack its thousands of files takes longer than all else of a start."""
    stack.call("GET", "/messages/none")
    stack.call("POST", "/messages/preview", {})
    processes = [each for each in (stack_folder / "tmp").glob("ministack-lambda-*") if (each / "code").exists()]
    assert len(processes) >= 2
    assert [each for each in processes if list(each.glob("layer*"))] == []
    layers = list((stack_folder / "tmp").glob("ministack-layer-*"))  # the release bundle's has been there too
    built = {(each / "python" / "cxone_messaging" / "BUILT").read_text() for each in layers}
    assert len(built) == len(layers) > 0


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
