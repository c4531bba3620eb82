"""Measure, print the table, write `bench/results/latest.json`."""

import argparse
import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import bulk

RESULTS = Path(__file__).parent / "results" / "latest.json"


def main() -> int:
    """Run the measurements."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--messages", type=int, default=10_000, help="bulk messages (default 10,000)")
    parser.add_argument("--naive-messages", type=int, default=1_500, help="messages sent the naive way (default 1,500)")
    options = parser.parse_args()
    console = Console()
    with console.status("bulk") as status:
        ours = bulk.measure("functions.send_bulk.handler", options.messages, status.update, singles=True)
        naive = bulk.measure("bench.naive.bulk", options.naive_messages, status.update, singles=False)
    console.print(_table(ours, naive))
    results = {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "python": platform.python_version()}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({**results, "bulk": ours, "naiveBulk": naive}, indent=2) + "\n")
    return 0


def _table(ours: dict[str, Any], naive: dict[str, Any]) -> Table:
    table = Table("bulk", "goal", "ours", "naive", title=f"{ours['messages']} messages, {bulk.WORKERS} workers")
    rows = [
        ("use of the rate", ">= 94.5 %", "rateUsed", "{:.1%}"),
        ("429s", "<= 0.1 %", "throttledShare", "{:.2%}"),
        ("duplicates", "0", "duplicates", "{}"),
        ("lost", "0", "lost", "{}"),
        ("AWS calls a message", "<= 0.3", "callsPerMessageInAll", "{:.3f}"),
        ("own CPU a message, ms", "<= 3", "cpuMsPerMessage", "{:.2f}"),
        ("single send beside it, p99 added, s", "<= 1.5", "singleAddedP99", "{:.2f}"),
    ]
    for name, goal, key, form in rows:
        table.add_row(name, goal, *("-" if each[key] is None else form.format(each[key]) for each in (ours, naive)))
    for operation, calls in ours["callsPerMessage"].items():
        other = naive["callsPerMessage"].get(operation)
        table.add_row(f"  {operation}", "", f"{calls:.3f}", "-" if other is None else f"{other:.3f}")
    return table


if __name__ == "__main__":
    sys.exit(main())
