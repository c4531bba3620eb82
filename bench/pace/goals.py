"""The rows of the scenarios: use of what is allowed, refusals and single sends of each; the rest together."""

import math
from collections.abc import Mapping
from typing import Any

from bench.pace.scenarios import LEARNT_SECONDS, SCENARIOS, Scenario
from bench.row import Row

_MOST_ADDED_SECONDS = 1.5


def rows(measured: Mapping[str, Any]) -> list[Row]:
    """Return the rows of the scenarios that were run, and of all of them together."""
    ran = [scenario for scenario in SCENARIOS if scenario.name in measured]
    judged = [row for scenario in ran for row in _of_one(scenario, measured[scenario.name])]
    return judged + _of_all({scenario.title: measured[scenario.name]["ours"] for scenario in ran})


def _of_one(scenario: Scenario, measured: Mapping[str, Any]) -> list[Row]:
    ours = measured["ours"]
    judged = []
    for part, use in ours["use"].items():
        least = scenario.least.get(part)
        what = scenario.title if part == "all" else f"{scenario.title}: {part}"
        goal = "" if least is None else f">= {least:.1%}"
        beside = _rivals(measured, lambda rival, part=part: _percent(rival["use"].get(part)))
        judged.append(Row(what, goal, f"{use:.1%}", beside, None if least is None else use >= least))
    if scenario.requests_per_minute:
        most, allowed = ours["mostInAMinute"], scenario.requests_per_minute
        judged.append(Row("  most requests in any minute", f"<= {allowed:,}", f"{most:,}", "-", most <= allowed))
    if scenario.others:
        beside = _rivals(measured, lambda rival: f"{rival['othersRefusedShare']:.1%}")
        judged.append(Row("  429s that the others get", "", f"{ours['othersRefusedShare']:.1%}", beside, None))
    calls, most_calls = ours["callsPerMessage"], scenario.most_calls
    share, added = ours["throttledShare"], ours["singleAddedP99"]
    beside = _rivals(measured, lambda rival: f"{rival['throttledShare']:.1%}, {rival['lost']} lost")
    return [
        *judged,
        Row(
            f"  429s after {LEARNT_SECONDS} s",
            "" if scenario.most_throttled is None else f"<= {scenario.most_throttled:.1%}",
            f"{share:.2%}, {ours['throttled']} in all",
            beside,
            None if scenario.most_throttled is None else share <= scenario.most_throttled,
        ),
        Row(
            "  single send beside bulk, p99 added",
            f"<= {_MOST_ADDED_SECONDS} s",
            f"{added:.2f} s, {ours['singleRefusedShare']:.0%} refused",
            "-",
            math.isfinite(added) and added <= _MOST_ADDED_SECONDS,
        ),
        Row(
            "  AWS calls a bulk message",
            "" if most_calls is None else f"<= {most_calls}",
            f"{calls:.3f}",
            "-",
            None if most_calls is None else calls <= most_calls,
        ),
    ]


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _rivals(measured: Mapping[str, Any], say: Any) -> str:
    return "; ".join(f"{name} {say(rival)}" for name, rival in measured.items() if name != "ours") or "-"


def _of_all(ours: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """Return the rows in which the worst scenario counts."""
    duplicates, lost = (sum(each[name] for each in ours.values()) for name in ("duplicates", "lost"))
    return [
        Row("duplicates; lost, in all scenarios", "0; 0", f"{duplicates}; {lost}", "-", not duplicates and not lost)
    ]
