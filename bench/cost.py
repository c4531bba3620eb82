"""The cost on AWS of a million bulk messages with two delivery events each, our way and the naive way.

A small run is metered (calls by operation, items' sizes, log bytes, time) and multiplied by list prices. The naive way
is the naive handler, called once for each message; its events cost it a request each too, as ours do.

Not in it: the night's checkpoint, some 0.5 USD for reading a million chains and listing them (docs/decisions.md, 35),
storage, the data sent to CXone, and what is paid by the month whatever is sent (metrics, alarms, secrets, Lambda's
idle polling of the queue).
"""

import json
import tomllib
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench import ways, workers
from bench.stage import Stage, stage
from local import template

MESSAGES = 300
_MILLION = 1_000_000
# Lambda gives a whole CPU at this much memory and a share of one below.
WHOLE_CPU_MEGABYTES = 1769
_NAIVE_MEGABYTES = 512
_SUBMITTED_AT_ONCE = 10_000
# Lambda's poller receives and deletes ten at a time.
_QUEUE_CALLS_A_MESSAGE = 2 / 10
_PRICES = Path(__file__).with_name("prices.toml")
_QUEUE_CALLS = frozenset({"SendMessage", "SendMessageBatch"})
_SECRET_CALLS = frozenset({"GetSecretValue", "PutSecretValue"})


def prices() -> dict[str, Any]:
    """Return the list prices."""
    return tomllib.loads(_PRICES.read_text())


def measure(report: Callable[[str], object], messages: int = MESSAGES) -> dict[str, Any]:
    """Meter both ways, each on its own stage, and return the cost of each."""
    with stage() as here:
        here.simulate(delivery_steps=[], latency_median_seconds=0.15, latency_sigma=0.4, latency_maximum_seconds=0.4)
        report("metering our way")
        ours = metered(here, ways.ours, messages)
        report("metering the naive way")
        naive = metered(here, ways.naive, messages)
    return {
        "messages": messages,
        "pricesAsOf": prices()["as_of"],
        "ours": bill(ours, messages),
        "naive": bill(naive, messages),
        "largestItemBytes": {name: each["largestItemBytes"] for name, each in ours.items()},
        "metered": {"ours": ours, "naive": naive},
    }


def metered(here: Stage, target: Callable[..., None], messages: int) -> dict[str, Any]:
    """Run a way in its own process; return each function's figures."""
    with TemporaryDirectory() as name:
        results = Path(name) / "results"
        process = workers.start(target, here, messages, str(results))
        process.join()
        if process.exitcode != 0:
            raise RuntimeError(f"a metered run ended with {process.exitcode}")
        figures: dict[str, Any] = json.loads(results.read_text())
        return figures


def bill(functions: Mapping[str, Any], messages: int) -> dict[str, float]:
    """Return the cost of a million messages in USD, by service, from a metered run."""
    price = prices()
    total: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    for name, figures in functions.items():
        if name not in ways.BILLED:
            continue
        each = figures["invocations"] / messages
        if name == "submit_bulk":
            each = 1 / _SUBMITTED_AT_ONCE
        if name != "send_bulk":
            kind = "million_http_requests" if name == "receive_webhook" else "million_rest_requests"
            total["API Gateway"] += each * price["api_gateway"][kind]
        total["X-Ray"] += _traced_share(each) * each * price["xray"]["million_traces"]
        total["Lambda requests"] += each * price["lambda"]["million_requests"]
        gigabytes = _megabytes(name) / 1024
        seconds = _billed_seconds(name, figures, messages)
        total["Lambda time"] += _MILLION * gigabytes * seconds * price["lambda"]["gigabyte_second_arm64"]
        per_message = {key: figures[key] / messages for key in ("writeUnits", "indexWriteUnits", "readUnits")}
        total["DynamoDB writes"] += per_message["writeUnits"] * price["dynamodb"]["million_write_units"]
        total["DynamoDB index writes"] += per_message["indexWriteUnits"] * price["dynamodb"]["million_write_units"]
        total["DynamoDB reads"] += per_message["readUnits"] * price["dynamodb"]["million_read_units"]
        logged = figures["logBytes"] / figures["invocations"] * each
        total["CloudWatch logs"] += _MILLION * logged / 1e9 * price["cloudwatch"]["gigabyte_of_logs"]
        calls.update(figures["calls"])
    queued = sum(calls[name] for name in _QUEUE_CALLS) / messages
    if "send_bulk" in functions:
        queued += _QUEUE_CALLS_A_MESSAGE
    total["SQS"] = queued * price["sqs"]["million_requests"]
    secrets = sum(calls[name] for name in _SECRET_CALLS) / messages
    total["Secrets Manager"] = secrets * price["secrets_manager"]["million_calls"]
    return {**total, "total": sum(total.values())}


def _billed_seconds(name: str, figures: Mapping[str, Any], messages: int) -> float:
    """Return how long a message keeps a function busy.

    What it waits for takes as long whatever the memory, its own CPU the longer the less there is. Bulk senders share
    the account's rate, so a large campaign keeps all of them busy for as long as it lasts.
    """
    if name == "send_bulk":
        return float(template.load()["Parameters"]["BulkMaximumConcurrency"]["Default"] / _rate())
    cpu = figures["cpuSeconds"]
    share = min(1.0, _megabytes(name) / WHOLE_CPU_MEGABYTES)
    return float((figures["wallSeconds"] - cpu + cpu / share) / messages)


def _rate() -> float:
    """Return the most messages that are sent in a second."""
    defaults = template.load()["Parameters"]
    return float(defaults["CxoneRequestsPerSecond"]["Default"] * defaults["RateUtilisationPercent"]["Default"] / 100)


def _traced_share(invocations: float) -> float:
    """Return the share of a function's invocations that is traced while messages are sent at the full rate.

    Lambda traces the first in each second and 5 % of the rest (docs.aws.amazon.com/lambda: services-xray).
    """
    a_second = invocations * _rate()
    return min(1.0, (1 + 0.05 * (a_second - 1)) / a_second) if a_second > 1 else 1.0


def _megabytes(name: str) -> int:
    """Return a function's memory in the template."""
    if name in ways.NAIVE:
        return _NAIVE_MEGABYTES
    logical_id = "".join(word.title() for word in name.split("_")) + "Function"
    common = template.load()["Globals"]["Function"]["MemorySize"]
    return int(template.resources("AWS::Serverless::Function")[logical_id].get("MemorySize", common))
