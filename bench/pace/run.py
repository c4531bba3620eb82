"""The runs of each scenario: our four workers and single sends on a fresh stage; and the rivals, once."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench import workers
from bench.bulk import SINGLE_RECIPIENT, TEXT
from bench.pace import compare, figures
from bench.pace import workers as senders
from bench.pace.conduct import conduct
from bench.pace.scenarios import SCENARIOS, Scenario
from bench.stage import PEPPER, RECIPIENTS, Stage, stage
from cxone_messaging.adapters.dynamodb.schedule_item import schedule_of
from cxone_messaging.adapters.queue import SqsBulkQueue
from cxone_messaging.domain.batches import BulkRecord
from cxone_messaging.domain.pace import MICRO, AccountRate, PaceLaw
from cxone_messaging.domain.pseudonyms import Pseudonyms
from cxone_messaging.domain.sms import SmsRequest
from cxone_messaging.wiring.sending import SenderSettings

RUNS = 3
WORKERS = 4
_ALONE_SECONDS = 15.0
_SCHEDULE = {"name": {"S": "schedule"}}

type Report = Callable[[str], object]


def measure(report: Report, names: Sequence[str] = (), runs: int = RUNS) -> dict[str, Any]:
    """Run scenarios, all if none is named; return each one's medians, and its rivals' figures of the first run."""
    chosen = [scenario for scenario in SCENARIOS if not names or scenario.name in names]
    return {scenario.name: _medians(scenario, runs, report) for scenario in chosen}


def _medians(scenario: Scenario, runs: int, report: Report) -> dict[str, Any]:
    """Run one scenario, once if it has no goal; the rivals only once, since they learn nothing."""
    ours: list[dict[str, Any]] = []
    runs = runs if scenario.least else 1
    for number in range(1, runs + 1):
        with stage() as here, TemporaryDirectory() as name:
            alone = ours[0]["aloneWaits"] if ours else None
            ours.append(_ours(here, scenario, Path(name), _labelled(report, f"{scenario.name}, run {number}"), alone))
    beside = compare.measure(scenario, _labelled(report, f"{scenario.name}, rivals")) if scenario.compared else {}
    return {"ours": figures.middle(ours), **beside}


def _labelled(report: Report, label: str) -> Report:
    return lambda text: report(f"{label}: {text}")


def _pace(item: Mapping[str, Any], scenario: Scenario) -> float:
    """Return the pace that senders derive from the schedule's item at this moment, in requests a second."""
    percent: float = SenderSettings.model_fields["rate_utilisation_percent"].default
    rate = AccountRate(scenario.requests_per_second, percent / 100, scenario.requests_per_minute)
    return PaceLaw(rate).at(schedule_of(item).pace, round(time.time() * MICRO))


def _ours(here: Stage, scenario: Scenario, folder: Path, report: Report, alone: list[float] | None) -> dict[str, Any]:
    environment = {**here.environment, **scenario.configured()}
    here.simulate(**scenario.simulated())
    if alone is None:
        report("single sends alone")
        alone = _alone(environment, scenario, folder)
    report(f"queueing {scenario.messages} messages")
    _fill(here, scenario)
    barrier = workers.processes.Barrier(WORKERS + 2)
    files = [folder / f"worker-{number}" for number in range(WORKERS)]
    order = senders.Order(environment, float(scenario.seconds), scenario.aws_seconds)
    running = [workers.start(senders.work_off, order, barrier, str(file)) for file in files]
    running.append(workers.start(senders.send_singles, order, barrier, SINGLE_RECIPIENT, str(folder / "beside")))
    dynamodb = here.client("dynamodb")
    paces: list[tuple[float, float]] = []

    def sample(second: float) -> None:
        item = dynamodb.get_item(TableName=here.environment["COORDINATION_TABLE"], Key=_SCHEDULE).get("Item", {})
        paces.append((second, _pace(item, scenario)))
        report(f"{second:.0f} of {scenario.seconds} s, pace {paces[-1][1]:.1f}")

    began = conduct([here], scenario, running, barrier, sample)
    results = [json.loads(file.read_text()) for file in files]
    beside = json.loads((folder / "beside").read_text())
    log = here.log("send")
    found = figures.figures(scenario, figures.Traffic.of(log, here.log("others"), began))
    return {**found, **_account_for(log, began, results, beside), **_waits(alone, beside), "paces": paces}


def _account_for(
    log: list[dict[str, Any]], began: float, results: list[dict[str, Any]], beside: Mapping[str, Any]
) -> dict[str, Any]:
    """Compare what the workers and the single sends' caller say with what CXone took."""
    pseudonyms = Pseudonyms(PEPPER)
    taken = figures.references(log, began)
    done = {pseudonyms.message_id(reference) for result in results for reference in result["done"]}
    queued = {pseudonyms.message_id(_reference(number)) for number in range(max(each.messages for each in SCENARIOS))}
    singles = sum(reference not in queued for reference in taken)
    answered = sum(count for status, count in beside["statuses"].items() if int(status) in {200, 202})
    calls = sum(sum(result["calls"].values()) for result in results)
    return {
        "duplicates": sum(count - 1 for count in taken.values()),
        "lost": len(done - taken.keys()) + max(0, answered - singles),
        "callsPerMessage": calls / max(1, sum(result["counted"] for result in results)),
    }


def _waits(alone: list[float], beside: Mapping[str, Any]) -> dict[str, Any]:
    statuses = {int(status): count for status, count in beside["statuses"].items()}
    refused = sum(count for status, count in statuses.items() if status not in {200, 202})
    return {
        "aloneWaits": alone,
        "singleAddedP99": figures.quantile(beside["waits"], 0.99) - figures.quantile(alone, 0.99),
        "singleRefusedShare": refused / max(1, sum(statuses.values())),
    }


def _alone(environment: Mapping[str, str], scenario: Scenario, folder: Path) -> list[float]:
    order = senders.Order(environment, _ALONE_SECONDS, scenario.aws_seconds)
    barrier = workers.processes.Barrier(1)
    process = workers.start(senders.send_singles, order, barrier, SINGLE_RECIPIENT, str(folder / "alone"))
    process.join()
    waits: list[float] = json.loads((folder / "alone").read_text())["waits"]
    return waits


def _reference(number: int) -> str:
    return f"reference-{number}"


def _fill(here: Stage, scenario: Scenario) -> None:
    records = [
        BulkRecord(_reference(n), SmsRequest(RECIPIENTS[n % len(RECIPIENTS)], TEXT, sender=scenario.sender(n)))
        for n in range(scenario.messages)
    ]
    if not all(SqsBulkQueue(here.client("sqs"), here.environment["BULK_QUEUE_URL"]).put(records)):
        raise RuntimeError("the queue did not take the records")
