"""Let processes send for a scenario's time, and switch the account's other users on and off meanwhile."""

import time
from collections.abc import Callable, Sequence
from multiprocessing.context import SpawnProcess
from multiprocessing.synchronize import Barrier

from bench.pace.scenarios import Scenario
from bench.pace.workers import PATIENCE_SECONDS
from bench.stage import Stage

_TICK_SECONDS = 0.5


def conduct(
    stages: Sequence[Stage],
    scenario: Scenario,
    running: Sequence[SpawnProcess],
    barrier: Barrier,
    tick: Callable[[float], object],
) -> float:
    """Let all processes begin, and wait until all have ended; return when they began, in Unix seconds.

    `tick` is called twice a second with the seconds since then. Raises `RuntimeError` if a process fails.
    """
    switches: list[tuple[float, float]] = []
    if scenario.others:
        others = scenario.others
        switches = [(others.from_second, others.requests_per_second), (others.until_second, 0.0)]
    barrier.wait(PATIENCE_SECONDS)
    began, started = time.time(), time.monotonic()
    for number in range(1, round(scenario.seconds / _TICK_SECONDS) + 1):
        second = number * _TICK_SECONDS
        time.sleep(max(0.0, started + second - time.monotonic()))
        if switches and switches[0][0] <= second:
            _, rate = switches.pop(0)
            for stage in stages:
                stage.simulate(others_per_second=rate)
        tick(second)
    for process in running:
        process.join()
        if process.exitcode != 0:
            raise RuntimeError(f"a process ended with {process.exitcode}")
    return began
