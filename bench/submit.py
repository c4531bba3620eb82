"""How long a submit of the largest batch takes where each call of SQS takes as long as AWS says of its own."""

import importlib
import json
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench import events, workers
from bench.stage import RECIPIENTS, stage

MESSAGES = 10_000
CALL_SECONDS = 0.02
ROUNDS = 3
_TEXT = "Your appointment is tomorrow at 10:30"


def measure(report: Callable[[str], object]) -> dict[str, Any]:
    """Submit batches to the function, one after the other, and return the median of their seconds."""
    report(f"submitting {ROUNDS} times {MESSAGES} messages")
    with stage() as here, TemporaryDirectory() as name:
        results = Path(name) / "seconds"
        process = workers.start(_submit, here.environment, str(results))
        process.join()
        if process.exitcode != 0:
            raise RuntimeError(f"the function ended with {process.exitcode}")
        seconds = json.loads(results.read_text())
    return {"messages": MESSAGES, "callSeconds": CALL_SECONDS, "seconds": statistics.median(seconds)}


def _submit(environment: Mapping[str, str], results: str) -> None:
    workers.become_function(environment)
    module = importlib.import_module("functions.submit_bulk.handler")
    client = importlib.import_module("cxone_messaging.platform.aws").sqs()
    client.meta.events.register("before-send.sqs", lambda **_: time.sleep(CALL_SECONDS))
    messages = [
        {"to": RECIPIENTS[number % len(RECIPIENTS)], "reference": f"reference-{number}"} for number in range(MESSAGES)
    ]
    seconds = []
    for number in range(ROUNDS):
        event = events.post(
            "/messages/bulk", {"text": _TEXT, "messages": messages}, {"Idempotency-Key": f"batch-{number}"}
        )
        began = time.monotonic()
        answer = module.handler(event, workers.Context(28))
        seconds.append(time.monotonic() - began)
        accepted = json.loads(answer["body"]).get("accepted")
        if (answer["statusCode"], accepted) != (202, MESSAGES):
            raise RuntimeError(f"{answer['statusCode']}: {accepted} of {MESSAGES} were accepted")
    Path(results).write_text(json.dumps(seconds))
