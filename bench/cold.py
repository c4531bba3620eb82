"""Cold starts, in the AWS runtime under the Runtime Interface Emulator: the init phase, and the first answer.

Each start is a new process with nothing but the function's folder, its layer and the runtime's packages on its path,
and it can't write bytecode, as on Lambda, where a layer is read-only.
"""

import contextlib
import json
import math
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import requests
import samcli

from bench import events, layers
from bench.stage import CALLBACK_SECRET, RECIPIENTS, Stage, stage
from cxone_messaging.domain.signatures import sign_reference
from local import sam, template
from local.processes import answers, free_port

ROUNDS = 7
_INIT = re.compile(r"INIT REPORT\(durationMs: ([0-9.]+)")
_FROM_SOURCE = re.compile(r"^# code object from '?([^'\n]+\.py)'?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Function:
    """A function to start: its folder, its layer, the first event that it gets, and variables of its own."""

    folder: Path
    layer: Path | None
    event: dict[str, Any]
    variables: dict[str, str] = field(default_factory=dict)


def measure(report: Callable[[str], object], rounds: int = ROUNDS) -> dict[str, Any]:
    """Start every function `rounds` times, in turn; return medians and all values, in milliseconds."""
    with stage() as here, TemporaryDirectory() as name:
        report("building the layers")
        built = layers.build(Path(name))
        empty = Path(name) / "empty"
        empty.mkdir()
        (empty / "handler.py").write_text("def handler(event, context):\n    return {}\n")
        functions = _functions(built, empty)
        here.simulate(delivery_steps=[], latency_median_seconds=0.02)
        init: dict[str, list[float]] = {each: [] for each in functions}
        first: dict[str, list[float]] = {each: [] for each in functions}
        for number in range(rounds):
            for each, function in functions.items():
                report(f"cold start {number + 1} of {rounds}: {each}")
                started, answered = _start(function, built.runtime, here)
                init[each].append(started)
                first[each].append(answered)
        return {
            "initMs": init,
            "initMedianMs": {each: statistics.median(values) for each, values in init.items()},
            "firstAnswerMs": first,
            "firstAnswerMedianMs": {each: statistics.median(values) for each, values in first.items()},
            "compiledFromSource": {
                each: _compiled(function, built.runtime) for each, function in functions.items() if function.layer
            },
            "layerMegabytes": layers.megabytes(built.ours),
            "naiveLayerMegabytes": layers.megabytes(built.naive),
        }


def _functions(built: layers.Layers, empty: Path) -> dict[str, Function]:
    ours, bench = layers.ROOT / "functions", layers.ROOT / "bench"
    message = events.message(RECIPIENTS[0])
    reference = "msg_" + "0" * 32
    query = {"ref": reference, "sig": sign_reference(CALLBACK_SECRET, reference)}
    delivery = events.delivery("cx-1", "delivered", "2026-11-22T13:12:00Z", RECIPIENTS[0], query)
    record = json.dumps({"reference": "cold", "to": RECIPIENTS[0], "text": "Your appointment is tomorrow at 10:30"})
    common = common_variables()
    return {
        "empty": Function(empty, None, {}),
        "send_message": Function(ours / "send_message", built.ours, message, common),
        "send_bulk": Function(ours / "send_bulk", built.ours, events.records([record]), common),
        "receive_webhook": Function(ours / "receive_webhook", built.ours, delivery, common),
        "naive": Function(bench / "naive", built.naive, message),
        "naive_lean": Function(bench / "naive", built.lean, message),
    }


@dataclass(slots=True)
class Started:
    """A function in its runtime, started but not invoked yet; `init_ms` is known once it is stopped."""

    process: subprocess.Popen[str]
    url: str
    init_ms: float = math.nan

    def ask(self, event: dict[str, Any]) -> tuple[dict[str, Any], float]:
        """Return the answer to an event, and its milliseconds. The first one includes init."""
        began = time.monotonic()
        answer: dict[str, Any] = requests.post(self.url, json=event, timeout=60).json()
        took = (time.monotonic() - began) * 1000
        if "errorType" in answer or answer.get("statusCode", 200) not in {200, 202}:
            raise RuntimeError(f"answered with {answer}")
        return answer, took


@contextlib.contextmanager
def started(
    function: Function, runtime: Path, variables: Mapping[str, str], *, within: Sequence[str] = ()
) -> Iterator[Started]:
    """Start a function in AWS's runtime, by a command that runs the one behind it, and stop it again."""
    port = free_port()
    emulator = Path(samcli.__file__).parent / "local" / "rapid" / f"aws-lambda-rie-{sam.architecture()}"
    addresses = ["--runtime-interface-emulator-address", f"127.0.0.1:{port}"]
    addresses += ["--runtime-api-address", f"127.0.0.1:{free_port()}"]
    program = [*_python(), "-m", "awslambdaric", "handler.handler"]
    process = subprocess.Popen(  # noqa: S603
        [*within, str(emulator), *addresses, *program],
        env=_environment(function, runtime, variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    running = Started(process, f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations")
    try:
        _wait_for(port)
        yield running
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            log = process.communicate(timeout=5)[0]
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            log = process.communicate()[0]
        init = _INIT.search(log)
        if init is None:
            raise RuntimeError(f"{function.folder.name} did not start:\n{log[-2000:]}")
        running.init_ms = float(init[1])


def _start(function: Function, runtime: Path, here: Stage) -> tuple[float, float]:
    """Start a function cold; return the time of its init, and the time from then to its first answer."""
    with started(function, runtime, here.environment) as running:
        answered = running.ask(with_fresh_key(function.event))[1]
    return running.init_ms, answered


def common_variables() -> dict[str, str]:
    """Return the variables that the template sets for all functions, as far as they are literal."""
    variables = template.load()["Globals"]["Function"]["Environment"]["Variables"]
    return {name: value for name, value in variables.items() if isinstance(value, str)}


def with_fresh_key(event: dict[str, Any]) -> dict[str, Any]:
    """Return the event with a new message; a repeated message would be answered from the ledger."""
    unique = f"cold-{time.time_ns()}"
    if "Records" in event:
        body = {**json.loads(event["Records"][0]["body"]), "reference": unique}
        return {"Records": [{**event["Records"][0], "body": json.dumps(body)}]}
    if event.get("resource") == "/messages":
        body = {**json.loads(event["body"]), "text": f"Your appointment is tomorrow ({unique})"}
        return {**event, "body": json.dumps(body), "headers": {**event["headers"], "Idempotency-Key": unique}}
    return event


def _compiled(function: Function, runtime: Path) -> int:
    """Return the number of a layer's modules that are compiled from source at a cold start."""
    done = subprocess.run(  # noqa: S603
        [*_python(), "-v", "-c", "import handler"],
        env=_environment(function, runtime, {"LEDGER_TABLE": "table", "IDEMPOTENCY_TABLE": "table"}),
        capture_output=True,
        text=True,
        check=True,
    )
    return sum(path.startswith(str(function.layer)) for path in _FROM_SOURCE.findall(done.stderr))


def _python() -> list[str]:
    # The interpreter below the virtual environment, without any packages of its own.
    return [sys._base_executable, "-S"]  # type: ignore[attr-defined]


def _environment(function: Function, runtime: Path, more: Mapping[str, str]) -> dict[str, str]:
    paths = [function.folder, *([function.layer] if function.layer else []), runtime]
    return {
        "PATH": os.defpath,
        "PYTHONPATH": ":".join(map(str, paths)),
        "PYTHONDONTWRITEBYTECODE": "1",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_LAMBDA_FUNCTION_NAME": function.folder.name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        "LAMBDA_TASK_ROOT": str(function.folder),
        "AWS_XRAY_CONTEXT_MISSING": "IGNORE_ERROR",
        **function.variables,
        **more,
    }


def _wait_for(port: int) -> None:
    give_up_at = time.monotonic() + 10
    while not answers(port):
        if time.monotonic() > give_up_at:
            raise RuntimeError("the Runtime Interface Emulator did not start")
        time.sleep(0.02)
