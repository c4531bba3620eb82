"""Measure, print the table, draw the plots, write `bench/results/latest.json`."""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from bench import bulk, cold, cost, goals, growth, plots, single, submit, tokens
from bench.pace import plots as pace_plots
from bench.pace import run as pace
from bench.pace.scenarios import SCENARIOS

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"
HISTORIES = 10_000


def main() -> int:
    """Run the measurements."""
    options = _options()
    console = Console(width=None if sys.stdout.isatty() else 120)
    measured: dict[str, Any] = {}
    with console.status("") as status:
        for name, measure in _measurements(options, status.update).items():
            if options.only and name not in options.only:
                continue
            began = time.monotonic()
            measured[name] = measure()
            console.print(f"{name}: {time.monotonic() - began:.0f} s")
    console.print(goals.table(goals.rows(measured)))
    if "pace" in measured:
        RESULTS.mkdir(exist_ok=True)
        pace_plots.draw(measured["pace"], RESULTS)
        if options.scenario:
            console.print("bench/results/latest.json stays as it was: it keeps all scenarios of one run, or none")
            del measured["pace"]
    _keep(measured)
    return 0


def _keep(measured: dict[str, Any]) -> None:
    """Write the rows, with earlier ones for measurements that were left out; draw the plots of a whole run."""
    latest = RESULTS / "latest.json"
    kept = json.loads(latest.read_text()) if latest.exists() else {}
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    rows = [each for each in kept.get("rows", []) if each["measurement"] not in measured]
    rows += [{"measurement": name, **asdict(row)} for name in measured for row in goals.rows({name: measured[name]})]
    document = {
        "measuredAt": {**kept.get("measuredAt", {}), **dict.fromkeys(measured, now)},
        "python": platform.python_version(),
        "rows": rows,
    }
    RESULTS.mkdir(exist_ok=True)
    latest.write_text(json.dumps(document, indent=1) + "\n")
    if measured.keys() >= plots.NEEDED:
        plots.draw(measured, RESULTS)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--messages", type=int, default=10_000, help="bulk messages (default 10,000)")
    parser.add_argument("--naive-messages", type=int, default=1_000, help="messages sent the naive way (default 1,000)")
    parser.add_argument("--rounds", type=int, default=cold.ROUNDS, help="cold starts of each function (default 7)")
    parser.add_argument(
        "--growth",
        type=int,
        nargs="+",
        default=growth.SIZES,
        help="sizes of the ledger (default 1000 10000 100000)",
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", help="measure just these; the rest stays as it was")
    names = [scenario.name for scenario in SCENARIOS]
    parser.add_argument("--scenario", nargs="+", choices=names, default=[], help="scenarios of `pace` (default all)")
    parser.add_argument("--runs", type=int, default=pace.RUNS, help="runs of each scenario of `pace` (default 3)")
    return parser.parse_args()


def _measurements(options: argparse.Namespace, report: Callable[[str], object]) -> dict[str, Callable[[], Any]]:
    return {
        "cold": lambda: cold.measure(report, options.rounds),
        "single": lambda: single.measure(report),
        "tokens": lambda: tokens.measure(report),
        "cost": lambda: cost.measure(report),
        "growth": lambda: growth.measure(report, options.growth),
        "bulk": lambda: {
            "ours": bulk.measure("functions.send_bulk.handler", options.messages, report, singles=True),
            "naive": bulk.measure("bench.naive.bulk", options.naive_messages, report, singles=False),
        },
        "pace": lambda: pace.measure(report, options.scenario, options.runs),
        "submit": lambda: submit.measure(report),
        "histories": lambda: _histories(report),
    }


def _histories(report: Callable[[str], object]) -> dict[str, Any]:
    """Run the random histories of faults, which fail on a duplicate or a loss."""
    report(f"{HISTORIES} random histories of faults")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--hypothesis-profile=explore", "tests/unit/test_send_histories.py"],
        cwd=ROOT,
        env={**os.environ, "HISTORIES": str(HISTORIES)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
    return {"histories": HISTORIES, "passed": done.returncode == 0}


if __name__ == "__main__":
    sys.exit(main())
