"""Servers that outlive the command that started them; a file lists them, so that only they are stopped."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

_START_SECONDS = 60
_STOP_SECONDS = 10


class ServerError(Exception):
    """A server could not be started."""


class Servers:
    """Background servers of one folder: each in a process group of its own, with a log file there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / "processes.json"

    def running(self) -> list[str]:
        """Return the names of the servers that were started and still run."""
        return [name for name, process in self._recorded().items() if _is_same(process)]

    def start(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        port: int,
        folder: Path | None = None,
    ) -> None:
        """Start a server in a working folder, and wait until its port on 127.0.0.1 accepts connections.

        Raises `ServerError`.
        """
        if answers(port):
            raise ServerError(f"port {port}, which the {name} needs, is in use by another program")
        log = self._folder / f"{name}.log"
        process = _start(command, environment, folder, log)
        try:
            self._record(name, process.pid)
        except BaseException:
            _stop_group(process.pid)  # what is not on record would never be stopped
            raise
        give_up_at = time.monotonic() + _START_SECONDS
        while not answers(port):
            if process.poll() is not None or time.monotonic() > give_up_at:
                raise ServerError(f"the {name} did not start:\n{tail(log)}")
            time.sleep(0.05)

    def stop(self) -> list[str]:
        """Stop every server that was started here, and return the names of those that still ran."""
        stopped = []
        for name, process in reversed(self._recorded().items()):
            if _is_same(process):
                _stop_group(int(process["pid"]))
                stopped.append(name)
        self._file.unlink(missing_ok=True)
        return stopped

    def _recorded(self) -> dict[str, dict[str, str]]:
        return json.loads(self._file.read_text()) if self._file.exists() else {}

    def _record(self, name: str, pid: int) -> None:
        self._file.write_text(json.dumps({**self._recorded(), name: {"pid": str(pid), "started": _started(pid)}}))


def answers(port: int) -> bool:
    """Whether a server accepts connections at a port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """Return a free port of 127.0.0.1."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def tail(log: Path, lines: int = 15) -> str:
    """Return a log's last lines."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def run(command: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path) -> int:
    """Run a command to its end, write its output to a log, and return its exit code.

    An interruption of this process ends the command and all processes that it started.
    """
    process = _start(command, environment, folder, log)
    try:
        return process.wait()
    except BaseException:
        _stop_group(process.pid)
        raise


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Ignore signals that would end this process, so that its cleanup is completed."""
    before = {
        number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _start(
    command: Sequence[str], environment: Mapping[str, str], folder: Path | None, log: Path
) -> subprocess.Popen[bytes]:
    """Start a process in its own group, with its output in a log."""
    with log.open("wb") as output:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _started(pid: int) -> str:
    """Return a text for the start time of a process, empty if there is none; a pid alone may be reused."""
    if shutil.which("ps"):
        command = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
        listed = subprocess.run(command, capture_output=True, text=True, check=False)
        state, _, started = listed.stdout.strip().partition(" ")
        return "" if state.startswith("Z") else started.strip()  # Z: dead, and nobody has looked yet
    # Slim containers have no ps. Field 22 (proc_pid_stat(5)), counted after the second, a name that may hold spaces.
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return ""


def _is_same(process: Mapping[str, str]) -> bool:
    return process["started"] != "" and _started(int(process["pid"])) == process["started"]


def _stop_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGTERM)
        give_up_at = time.monotonic() + _STOP_SECONDS
        while time.monotonic() < give_up_at:
            with contextlib.suppress(ChildProcessError):  # unless the server is our own child
                os.waitpid(pid, os.WNOHANG)
            os.killpg(pid, 0)
            time.sleep(0.05)
        os.killpg(pid, signal.SIGKILL)
