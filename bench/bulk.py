"""Bulk sends: use of the account's rate, 429s, duplicates, losses, AWS calls, CPU, waits of single sends."""

import json
import statistics
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.context import SpawnProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench import workers
from bench.stage import RECIPIENTS, Stage, stage
from cxone_messaging.adapters.queue import SqsBulkQueue
from cxone_messaging.domain.batches import BulkRecord
from cxone_messaging.domain.sms import SmsRequest

WORKERS = 4
RATE = 100
TEXT = "Your appointment is tomorrow at 10:30"
SINGLE_RECIPIENT = RECIPIENTS[0]
# The rate is taken between these shares of the sends, away from the start and from the last, half-empty batches.
_FROM, _TO = 0.05, 0.95


def measure(
    handler: str,
    messages: int,
    report: Callable[[str], object],
    *,
    singles: bool,
    confine: Callable[[SpawnProcess], object] = lambda _: None,
) -> dict[str, Any]:
    """Send `messages` through one handler, on its own stage, and return the figures.

    `confine` is given each worker's process.
    """
    with stage() as here, TemporaryDirectory() as name:
        folder = Path(name)
        here.simulate(delivery_steps=[], latency_median_seconds=0.15, latency_sigma=0.4, latency_maximum_seconds=0.4)
        alone = _singles_alone(here, folder) if singles else []
        report(f"queueing {messages} messages")
        references = _fill(here, messages)
        started = time.time()
        running = [
            workers.start(workers.work_off, here.environment, handler, str(folder / f"worker-{number}"))
            for number in range(WORKERS)
        ]
        for process in running:
            confine(process)
        if singles:
            seconds = messages / RATE * 0.85
            running.append(
                workers.start(workers.send_singles, here.environment, SINGLE_RECIPIENT, seconds, str(folder / "beside"))
            )
        while any(process.is_alive() for process in running):
            time.sleep(2)
            report(f"{len(here.accepted())} of {messages} sent")
        for process in running:
            if process.exitcode != 0:
                raise RuntimeError(f"a worker ended with {process.exitcode}")
        beside = json.loads((folder / "beside").read_text())["waits"] if singles else []
        results = [json.loads((folder / f"worker-{number}").read_text()) for number in range(WORKERS)]
        return _figures(here, references, results, alone=alone, beside=beside, started=started)


def _singles_alone(here: Stage, folder: Path) -> list[float]:
    """Measure single sends with the account to themselves, for comparison."""
    process = workers.start(workers.send_singles, here.environment, SINGLE_RECIPIENT, 12.0, str(folder / "alone"))
    process.join()
    waits: list[float] = json.loads((folder / "alone").read_text())["waits"]
    return waits


def _fill(here: Stage, messages: int) -> list[str]:
    requests = (SmsRequest(RECIPIENTS[number % len(RECIPIENTS)], TEXT) for number in range(messages))
    records = [BulkRecord(f"reference-{number}", request) for number, request in enumerate(requests)]
    if not all(SqsBulkQueue(here.client("sqs"), here.environment["BULK_QUEUE_URL"]).put(records)):
        raise RuntimeError("the queue did not take the records")
    return [record.reference for record in records]


def _figures(
    here: Stage,
    references: list[str],
    results: list[dict[str, Any]],
    *,
    alone: list[float],
    beside: list[float],
    started: float,
) -> dict[str, Any]:
    log = [entry for entry in here.log("send") if entry["time"] >= started]
    accepted = [message for message in here.accepted() if message["time"] >= started]
    bulk = Counter(message["webhookUrl"].split("ref=")[1].split("&")[0] for message in accepted)
    times = sorted(message["time"] for message in accepted)
    steady = times[int(len(times) * _FROM) : int(len(times) * _TO)]
    calls: Counter[str] = Counter()
    for result in results:
        calls.update(result["calls"])
    messages = len(references)
    return {
        "messages": messages,
        "seconds": times[-1] - times[0],
        "rateUsed": len(steady) / (steady[-1] - steady[0]) / RATE,
        "throttledShare": sum(entry["status"] == 429 for entry in log) / len(log),  # noqa: PLR2004
        "duplicates": sum(count - 1 for count in bulk.values()),
        "lost": max(0, messages + len(beside) - len(bulk)) if beside else max(0, messages - len(bulk)),
        "callsPerMessage": {name: count / messages for name, count in sorted(calls.items())},
        "callsPerMessageInAll": sum(calls.values()) / messages,
        "cpuMsPerMessage": sum(result["cpuSeconds"] for result in results) / messages * 1000,
        "singleAloneP50": _quantile(alone, 0.5),
        "singleBesideP50": _quantile(beside, 0.5),
        "singleAddedP99": (_quantile(beside, 0.99) - _quantile(alone, 0.5)) if alone and beside else None,
        "singleAloneWaits": alone,
        "singleBesideWaits": beside,
        "sendsBySecond": _by_second(times),
    }


def _by_second(times: list[float]) -> list[int]:
    counts = Counter(int(each - times[0]) for each in times)
    return [counts[second] for second in range(int(times[-1] - times[0]) + 1)]


def _quantile(values: list[float], share: float) -> float:
    if not values:
        return float("nan")
    if share == 0.5:  # noqa: PLR2004
        return statistics.median(values)
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]
