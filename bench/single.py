"""Single sends on a warm function, ours and the naive one in turn: AWS calls and CPU, block by block."""

import importlib
import statistics
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any

from bench import events, workers
from bench.meter import Context, Meter
from bench.stage import RECIPIENTS, stage

BLOCKS = 9
SENDS_IN_A_BLOCK = 40
HANDLERS = {"ours": "functions.send_message.handler", "naive": "bench.naive.handler"}


def measure(report: Callable[[str], object], blocks: int = BLOCKS) -> dict[str, Any]:
    """Send that many blocks with each handler."""
    with stage() as here:
        here.simulate(delivery_steps=[], latency_median_seconds=0.02)
        running = {}
        for name, handler in HANDLERS.items():
            near, far = workers.processes.Pipe()
            workers.start(_send, here.environment, handler, far)
            running[name] = near
            near.recv()
        results: dict[str, list[dict[str, Any]]] = {name: [] for name in running}
        for block in range(blocks):
            report(f"single sends, block {block + 1} of {blocks}")
            for name, near in running.items():
                near.send(SENDS_IN_A_BLOCK)
                results[name].append(near.recv())
        for near in running.values():
            near.send(0)
    return {name: _figures(each) for name, each in results.items()}


def _figures(blocks: list[dict[str, Any]]) -> dict[str, Any]:
    cpu = [block["cpuSeconds"] / SENDS_IN_A_BLOCK * 1000 for block in blocks]
    # Medians: now and then a send has to wait for its slot, and looks at the schedule once more.
    operations = {operation for block in blocks for operation in block["calls"]}
    calls = {
        operation: statistics.median(block["calls"].get(operation, 0) / SENDS_IN_A_BLOCK for block in blocks)
        for operation in sorted(operations)
    }
    waits = [wait for block in blocks for wait in block["waits"]]
    return {
        "calls": calls,
        "callsPerSend": sum(calls.values()),
        "cpuMs": statistics.median(cpu),
        "cpuMsOfBlocks": cpu,
        "waitsMs": [wait * 1000 for wait in waits],
    }


def _send(environment: Mapping[str, str], handler: str, far: "Connection[Any, Any]") -> None:
    """Send blocks on request; the first few sends of the process are not metered."""
    meter = Meter(environment)
    handle = importlib.import_module(handler).handler
    _block(handle, meter, 10)
    far.send("ready")
    while count := far.recv():
        meter.reset()
        waits = _block(handle, meter, count)
        far.send({**meter.taken(), "waits": waits})


def _block(handle: Any, meter: Meter, count: int) -> list[float]:
    waits = []
    for number in range(count):
        event = events.message(RECIPIENTS[number % len(RECIPIENTS)])
        before = meter.wall_seconds
        with meter.invocation():
            answer = handle(event, Context(28))
        waits.append(meter.wall_seconds - before)
        if answer["statusCode"] not in {200, 202}:
            raise RuntimeError(f"a send was answered with {answer}")
    return waits
