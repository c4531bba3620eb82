"""Each function at several memory sizes: what it takes at the share of a CPU that Lambda gives at that size.

A control group of the kernel (version 1, which needs root) throttles as Lambda does: so many microseconds of CPU in
each period of 20 ms. What is asked, the emulator and the simulator, stays outside. Memory itself is not limited: the
peak is shown, to hold beside the size. Durations contain the emulator's, and 150 ms of CXone's where it is asked.

Lambda is said to give more CPU while it initialises, so init and first answer are what they are at worst.
"""

import contextlib
import json
import os
import statistics
from collections.abc import Callable, Iterator
from multiprocessing.context import SpawnProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import requests
from rich.table import Table

from bench import bulk, cold, cost, events, layers
from bench.stage import CALLBACK_SECRET, RECIPIENTS, Stage, stage
from cxone_messaging.domain.signatures import sign_reference

SIZES = (256, 512, 768, 1024, 1769)
_WARM = 20
_BULK_MESSAGES = 2_000
_PERIOD_MICROSECONDS = 20_000
_GROUPS = Path("/sys/fs/cgroup/cpu")
_TEMPLATE = "memory"
# A shell that joins a control group and becomes the command behind it.
_JOIN = 'echo $$ > "$0" && exec "$@"'


def measure(tell: Callable[[str], object]) -> dict[str, Any]:
    """Measure every function at every size; where there are no control groups to write, say so instead."""
    try:
        with _share(SIZES[0]):
            pass
    except OSError as error:
        return {"skipped": f"control groups (version 1) can't be written here: {error.strerror}"}
    return {"functions": functions(tell), "bulk": rates(tell)}


def functions(tell: Callable[[str], object]) -> list[dict[str, Any]]:
    """Start each function at each size, and ask it some more once it is warm."""
    rows = []
    with stage() as here, TemporaryDirectory() as name:
        built = layers.build(Path(name))
        here.simulate(delivery_steps=[], latency_median_seconds=0.15)
        variables = _variables(here)
        for function, (ask, calls) in _asked(here).items():
            started = cold.Function(layers.ROOT / "functions" / function, built.ours, {}, variables)
            for size in SIZES:
                tell(f"{function} with {size} MB")
                with (
                    _share(size) as group,
                    cold.started(started, built.runtime, {}, within=["sh", "-c", _JOIN, str(group)]) as running,
                ):
                    _, first = running.ask(ask())
                    warm = sorted(running.ask(ask())[1] for _ in range(calls))
                    peak = _peak(running.process.pid)
                rows.append(_row(function, size, peak=peak, init=running.init_ms, first=first, warm=warm))
    return rows


def rates(tell: Callable[[str], object]) -> list[dict[str, Any]]:
    """Work the bulk queue off with four senders, each with a share of its own."""
    rows = []
    for size in SIZES:
        with contextlib.ExitStack() as shares:

            def confine(worker: SpawnProcess, size: int = size, shares: contextlib.ExitStack = shares) -> None:
                shares.enter_context(_share(size)).write_text(str(worker.pid))

            done = bulk.measure("functions.send_bulk.handler", _BULK_MESSAGES, tell, singles=False, confine=confine)
        kept = ("rateUsed", "throttledShare", "duplicates", "lost", "cpuMsPerMessage", "seconds")
        rows.append({"size": size, **{key: done[key] for key in kept}})
    return rows


def tables(measured: dict[str, Any]) -> list[Table | str]:
    """Show what was measured."""
    if "skipped" in measured:
        return [f"memory: SKIPPED, {measured['skipped']}"]
    each = Table("function", "MB", "peak MB", "init ms", "first ms", "warm ms", "90 %", "USD a million")
    for row in measured["functions"]:
        figures = [f"{row[key]:.0f}" for key in ("peakMegabytes", "initMs", "firstMs", "warmMs", "warmP90Ms")]
        each.add_row(row["function"], str(row["size"]), *figures, f"{row['millionCalls']:.2f}")
    rate = Table("send_bulk, 4 senders, MB", "of the rate", "429s", "CPU ms a message")
    for row in measured["bulk"]:
        figures = [f"{row['rateUsed']:.1%}", f"{row['throttledShare']:.2%}", f"{row['cpuMsPerMessage']:.1f}"]
        rate.add_row(str(row["size"]), *figures)
    return [each, rate]


def _row(function: str, size: int, *, peak: float, init: float, first: float, warm: list[float]) -> dict[str, Any]:
    price = cost.prices()["lambda"]
    median = statistics.median(warm)
    gigabyte_seconds = size / 1024 * median * 1000
    return {
        "function": function,
        "size": size,
        "peakMegabytes": peak,
        "initMs": init,
        "firstMs": first - init,
        "warmMs": median,
        "warmP90Ms": warm[int(len(warm) * 0.9)],
        "millionCalls": gigabyte_seconds * price["gigabyte_second_arm64"] + price["million_requests"],
    }


def _asked(here: Stage) -> dict[str, tuple[Callable[[], dict[str, Any]], int]]:
    """Say what each function is asked, and how often; submit_bulk and send_bulk get as much as they may at once."""
    requests.post(f"{here.simulator_url}/_simulator/templates/{_TEMPLATE}", json={"content": "x"}, timeout=10)
    message_id = "msg_" + "0" * 32
    people = [{"to": RECIPIENTS[n % len(RECIPIENTS)], "text": f"Your appointment is at {n}"} for n in range(10_000)]

    def one(method: str, resource: str, body: object = None, **path: str) -> dict[str, Any]:
        event = events.post(resource, body, {"Idempotency-Key": uuid4().hex})
        return {**event, "httpMethod": method, "pathParameters": path or None, "body": json.dumps(body) if body else ""}

    def records() -> dict[str, Any]:
        return events.records([json.dumps({"reference": uuid4().hex, **each}) for each in people[:100]])

    def told() -> dict[str, Any]:
        query = {"ref": message_id, "sig": sign_reference(CALLBACK_SECRET, message_id)}
        return events.delivery(uuid4().hex, "delivered", "2026-11-22T13:12:00Z", RECIPIENTS[0], query)

    consent = {"status": "opted_in", "source": "bench"}
    return {
        "send_message": (lambda: events.message(RECIPIENTS[0]), _WARM),
        "send_bulk": (records, 4),
        "submit_bulk": (lambda: one("POST", "/messages/bulk", {"messages": people}), 2),
        "receive_webhook": (told, _WARM),
        "read_ledger": (lambda: one("GET", "/messages/{messageId}", messageId=message_id), _WARM),
        "manage_consents": (lambda: one("PUT", "/consents/{phoneNumber}", consent, phoneNumber=RECIPIENTS[0]), _WARM),
        "approve_template": (
            lambda: one("POST", "/templates/{templateId}/validation", templateId=_TEMPLATE),
            _WARM,
        ),
        "sweep_ledger": (dict, _WARM),
        "checkpoint_ledger": (dict, _WARM),
    }


def _variables(here: Stage) -> dict[str, str]:
    """Give all functions' variables, those of `approve_template` too, which no other measurement starts."""
    secret = here.client("secretsmanager").create_secret(Name="ADMIN_TOKEN_SECRET_ARN", SecretString="{}")
    admin = {"ADMIN_TOKEN_SECRET_ARN": secret["ARN"], "CXONE_API_BASE_URL": here.simulator_url}
    return {**here.environment, **cold.common_variables(), **admin, "CXONE_OPERATOR_ID": "bench"}


@contextlib.contextmanager
def _share(megabytes: int) -> Iterator[Path]:
    """Make a control group with the share of that much memory; gives the file that processes join it by."""
    group = _GROUPS / f"bench-{os.getpid()}-{uuid4().hex[:8]}"
    group.mkdir()
    try:
        (group / "cpu.cfs_period_us").write_text(str(_PERIOD_MICROSECONDS))
        quota = round(_PERIOD_MICROSECONDS * megabytes / cost.WHOLE_CPU_MEGABYTES)
        (group / "cpu.cfs_quota_us").write_text(str(quota))
        yield group / "cgroup.procs"
    finally:
        group.rmdir()


def _peak(process: int) -> float:
    """Give the most memory that the emulator's child has had, in MB."""
    [child] = " ".join(each.read_text() for each in Path(f"/proc/{process}/task").glob("*/children")).split()
    line = next(each for each in Path(f"/proc/{child}/status").read_text().splitlines() if each.startswith("VmHWM"))
    return int(line.split()[1]) / 1024
