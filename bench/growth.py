"""Whether a message costs the same in a ledger of any size, and whether a read only costs its entries."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from boto3.dynamodb.types import TypeSerializer

from bench import cost, ways
from bench.stage import Stage, stage

SIZES = (1_000, 10_000, 100_000)
_MESSAGES = 100
_WRITE_LIMIT = 25
_TYPES = ("sending", "dispatched", "delivery", "delivery")


def measure(report: Callable[[str], object], sizes: Sequence[int] = SIZES) -> list[dict[str, Any]]:
    """Grow one ledger, and meter the same hundred messages at each size of it."""
    results = []
    with stage() as here:
        here.simulate(delivery_steps=[], latency_median_seconds=0.02)
        there = 0
        for size in sizes:
            report(f"growing the ledger to {size} messages")
            _grow(here, there, size)
            there = size
            report(f"metering beside {size} messages")
            functions = cost.metered(here, ways.ours, _MESSAGES)
            read = functions["read_ledger"]
            billed = [figures for name, figures in functions.items() if name in ways.BILLED]
            results.append(
                {
                    "messages": size,
                    "usdAMillion": cost.bill(functions, _MESSAGES)["total"],
                    "calls": sum(sum(figures["calls"].values()) for figures in billed) / _MESSAGES,
                    "cpuMs": sum(figures["cpuSeconds"] for figures in billed) / _MESSAGES * 1000,
                    "itemsARead": read["itemsRead"] / read["invocations"],
                    "unitsARead": read["readUnits"] / read["invocations"],
                }
            )
    return results


def _grow(here: Stage, first: int, last: int) -> None:
    """Put delivered messages into the table as a campaign would leave them, without the functions."""
    client = here.client("dynamodb")
    table = here.environment["LEDGER_TABLE"]
    filler = [_entry(sequence, type_) for sequence, type_ in enumerate(_TYPES, start=1)]
    requests = (
        {"PutRequest": {"Item": {**entry, "subject": {"S": f"message#grown-{number}"}}}}
        for number in range(first, last)
        for entry in filler
    )
    for some in itertools.batched(requests, _WRITE_LIMIT, strict=False):
        client.batch_write_item(RequestItems={table: list(some)})


def _entry(sequence: int, type_: str) -> dict[str, Any]:
    entry = {
        "sequence": sequence,
        "type": type_,
        "timestamp": "2026-11-22T13:12:00.000Z",
        "data": {"recipient": "+*******4567", "recipientHash": "f" * 64, "textHash": "f" * 64, "fingerprint": "f" * 64},
        "previousHash": "0" * 64,
        "hash": "f" * 64,
        "batchId": "bat_grown",
        "batchState": type_,
    }
    return {name: TypeSerializer().serialize(value) for name, value in entry.items()}
