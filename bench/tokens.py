"""How often a token is fetched if a thousand callers in eight processes need one at the same instant."""

import json
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing.context import SpawnProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench import workers
from bench.meter import Meter
from bench.stage import Stage, stage
from cxone_messaging.adapters.cxone.http import CxoneSession
from cxone_messaging.domain.errors import MessagingError
from cxone_messaging.platform.clock import SystemClock
from cxone_messaging.platform.telemetry import EmbeddedMetrics
from cxone_messaging.wiring import sending
from functions.send_message.handler import SendMessageSettings

CALLERS, PROCESSES = 1_000, 8
ENDPOINT_SECONDS = 0.4
# For the processes to import and to start their threads.
_READY_SECONDS = 6.0


def measure(report: Callable[[str], object]) -> dict[str, Any]:
    """Measure without a fault, and once more after the first fetcher was killed while it held the lease."""
    results = {}
    for name, holder_dies in (("undisturbed", False), ("holderDies", True)):
        report(f"{CALLERS} callers without a token, {name}")
        with stage() as here, TemporaryDirectory() as folder:
            here.simulate(token_latency_seconds=ENDPOINT_SECONDS)
            if holder_dies:
                _die_fetching(here, folder)
            results[name] = _ask(here, folder)
    return results


def _ask(here: Stage, folder: str) -> dict[str, Any]:
    start_at = time.time() + _READY_SECONDS
    logs = [str(Path(folder) / f"asker-{number}") for number in range(PROCESSES)]
    running = [_start(here, CALLERS // PROCESSES, start_at, log) for log in logs]
    for process in running:
        process.join()
    waits = [wait for log in logs for wait in json.loads(Path(log).read_text())]
    return {"callers": len(waits), "fetches": len(here.log("token_sms")), "waitsSeconds": waits}


def _die_fetching(here: Stage, folder: str) -> None:
    """Start a process that fetches, and kill it as soon as it holds the lease."""
    process = _start(here, 1, time.time(), str(Path(folder) / "dead"))
    client, table = here.client("dynamodb"), here.environment["COORDINATION_TABLE"]
    while not client.get_item(TableName=table, Key={"name": {"S": "token#sms"}}, ConsistentRead=True).get("Item"):
        time.sleep(0.01)
    process.kill()
    process.join()


def _start(here: Stage, threads: int, start_at: float, log: str) -> SpawnProcess:
    return workers.start(_get_tokens, here.environment, threads, start_at, log)


def _get_tokens(environment: Mapping[str, str], threads: int, start_at: float, log: str) -> None:
    Meter(environment)
    settings = SendMessageSettings.from_environment()
    tokens = sending.sms_tokens(settings, CxoneSession(SystemClock()), EmbeddedMetrics())
    waits: list[float] = []

    def ask() -> None:
        time.sleep(max(0.0, start_at - time.time()))
        began = time.monotonic()
        with suppress(MessagingError):
            tokens.get()
            waits.append(time.monotonic() - began)

    callers = [threading.Thread(target=ask) for _ in range(threads)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    Path(log).write_text(json.dumps(waits))
