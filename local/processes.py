"""Servers that outlive the command that started them, remembered in a file so that only they are ever stopped."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_STOP_SECONDS = 10


class ServerError(Exception):
    """A server could not be started."""


class Servers:
    """Background servers of one folder: each in a process group of its own, with a log file there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / "processes.json"

    def running(self) -> list[str]:
        """Name the servers that were started and still run."""
        return [name for name, process in self._recorded().items() if _is_same(process)]

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str], port: int) -> None:
        """Start a server and wait until its port on 127.0.0.1 takes connections. Raises `ServerError`."""
        if _answers(port):
            raise ServerError(f"port {port}, which the {name} needs, is in use by another program")
        log = self._folder / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._record(name, process.pid)
        give_up_at = time.monotonic() + 60
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > give_up_at:
                raise ServerError(f"the {name} did not start:\n{tail(log)}")
            time.sleep(0.05)

    def stop(self) -> list[str]:
        """Stop every server that was started here, and name those that still ran."""
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


def tail(log: Path, lines: int = 15) -> str:
    """Give a log's last lines."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def _started(pid: int) -> str:
    """Tell when a process was started, in words; empty where there is none: a pid alone may be another's by now."""
    told = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return told.stdout.strip()


def _is_same(process: Mapping[str, str]) -> bool:
    return process["started"] != "" and _started(int(process["pid"])) == process["started"]


def _stop_group(pid: int) -> None:
    os.killpg(pid, signal.SIGTERM)
    give_up_at = time.monotonic() + _STOP_SECONDS
    while time.monotonic() < give_up_at:
        with contextlib.suppress(ChildProcessError):  # unless the server is our own child
            os.waitpid(pid, os.WNOHANG)
        try:
            os.killpg(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    os.killpg(pid, signal.SIGKILL)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
