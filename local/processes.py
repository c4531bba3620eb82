"""Servers that outlive the command that started them; a file lists them, so that only they are stopped."""

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

_START_SECONDS = 60
_STOP_SECONDS = 10
# Where Linux tells one start of the machine from another.
_BOOT = Path("/proc/sys/kernel/random/boot_id")
# The states of a process that has ended, though nobody has looked yet. (No state at all is a process that is gone.)
_ENDED = ("Z", "X", "")


class ServerError(Exception):
    """A server could not be started, or it is not known which ones run; the text says what to do."""


class Servers:
    """Background servers of one folder: each in a process group of its own, with a log file there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / "processes.json"

    def running(self) -> list[str]:
        """Return the names of the servers that were started and still run. Raises `ServerError`."""
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
        """Stop every server that was started here, and return the names of those that still ran.

        Raises `ServerError`.
        """
        stopped = []
        for name, process in reversed(self._recorded().items()):
            if _is_same(process):
                _stop_group(int(process["pid"]))
                stopped.append(name)
        self._file.unlink(missing_ok=True)
        return stopped

    def _recorded(self) -> dict[str, dict[str, str]]:
        if not self._file.exists():
            return {}
        recorded: Any = read_state(self._file)
        processes = recorded.values() if isinstance(recorded, dict) else [None]
        if not all(
            isinstance(each, dict) and str(each.get("pid")).isdecimal() and "started" in each for each in processes
        ):
            raise ServerError(
                f"{self._file} is broken, so nobody knows which servers run;"
                " end those that `ps -ef | grep local[.]` shows, remove the file, and repeat this"
            )
        return dict(recorded)

    def _record(self, name: str, pid: int) -> None:
        write_state(self._file, {**self._recorded(), name: {"pid": str(pid), "started": _started(pid)}})


def write_state(file: Path, state: object) -> None:
    """Write a state file as JSON: beside it, and renamed, so that it is never there in part."""
    new = file.with_name(file.name + ".new")
    new.write_text(json.dumps(state, indent=2) + "\n", "utf-8")
    new.replace(file)


def read_state(file: Path) -> Any:
    """Return the JSON of a state file, or None where it is broken."""
    try:
        return json.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


@contextlib.contextmanager
def alone_in(folder: Path, otherwise: str) -> Iterator[None]:
    """Lock a folder for one command. Raises `ServerError` with a text if another command has it.

    The lock ends with its process, however that ends, and no server inherits it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise ServerError(f"{folder} can't be written: {error.strerror}") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ServerError(otherwise) from None
        yield


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
    """Return a text for the start time of a process, empty if it does not run; a pid alone may be reused.

    The text is the same in every time zone and language, and whatever programs there are.
    """
    if _BOOT.exists():
        with contextlib.suppress(OSError):
            # Fields 3 and 22 (proc_pid_stat(5)), counted after the second, a name that may contain blanks.
            fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
            return "" if fields[0] in _ENDED else f"{_BOOT.read_text().strip()} {fields[19]}"
        return ""
    command = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
    environment = {**os.environ, "TZ": "UTC0", "LC_ALL": "C"}
    listed = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    state, _, started = listed.stdout.strip().partition(" ")
    return "" if state[:1] in _ENDED else started.strip()


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
