"""The rivals in a scenario: side by side, since they need little CPU, each with a simulator of its own."""

import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench import workers
from bench.pace import figures
from bench.pace.conduct import conduct
from bench.pace.rivals import PROCESSES, RIVALS, Order
from bench.pace.scenarios import Scenario
from bench.stage import simulator

# They learn nothing, so less shows as much: this long, or until others have left for a while.
_SECONDS, _AFTER_SECONDS = 30, 15


def measure(scenario: Scenario, report: Callable[[str], object]) -> dict[str, dict[str, Any]]:
    """Return each rival's figures, of a shorter run."""
    seconds = scenario.others.until_second + _AFTER_SECONDS if scenario.others else min(scenario.seconds, _SECONDS)
    shorter = replace(scenario, seconds=seconds)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        stages = {name: stack.enter_context(simulator()) for name in RIVALS}
        barrier = workers.processes.Barrier(len(RIVALS) * PROCESSES + 1)
        running = []
        for name, here in stages.items():
            here.simulate(**scenario.simulated())
            order = Order(here.simulator_url, float(scenario.requests_per_second), float(seconds))
            running += [workers.start(RIVALS[name], order, barrier, str(file)) for file in _files(folder, name)]
        began = conduct(
            list(stages.values()), shorter, running, barrier, lambda second: report(f"{second:.0f} of {seconds} s")
        )
        found = {}
        for name, here in stages.items():
            log = here.log("send")
            found[name] = {
                **figures.figures(shorter, figures.Traffic.of(log, here.log("others"), began)),
                "duplicates": sum(count - 1 for count in figures.references(log, began).values()),
                "lost": sum(json.loads(file.read_text()).get("lost", 0) for file in _files(folder, name)),
            }
    return found


def _files(folder: Path, name: str) -> list[Path]:
    return [folder / f"{name}-{number}" for number in range(PROCESSES)]
