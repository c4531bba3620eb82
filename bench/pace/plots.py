"""A picture of each scenario: requests a second over time, with the pace as a line."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt

from bench.pace.scenarios import SCENARIOS, Scenario

mpl.use("Agg")

_COLOURS = {"ours": "#1f6f8b", "pool": "#c2703d", "bucket": "#8a6fae"}
_LABELS = {"ours": "ours", "pool": "pool, semaphore, doubling back-off", "bucket": "fixed token bucket at 96 %"}
_PACE, _LIMIT, _OTHERS, _REFUSED, _SLOW = "#333333", "#777777", "#bbbbbb", "#c0392b", "#5b8c3e"


def draw(measured: Mapping[str, Any], folder: Path) -> None:
    """Draw each scenario that was run into a file of its own, `pace-<name>.png`."""
    for scenario in SCENARIOS:
        if scenario.name in measured:
            _draw(scenario, measured[scenario.name], folder / f"pace-{scenario.name}.png")


def _draw(scenario: Scenario, measured: Mapping[str, Any], path: Path) -> None:
    figure, axes = plt.subplots(figsize=(8, 3.4), layout="constrained")
    ours, seconds = measured["ours"], range(scenario.seconds)
    if any(ours["othersBySecond"]):
        axes.fill_between(seconds, ours["othersBySecond"], step="post", color=_OTHERS, linewidth=0, label="other users")
    for name in reversed(_COLOURS):
        if name in measured:
            counts = measured[name]["acceptedBySecond"]
            width, alpha = (1.3, 1.0) if name == "ours" else (0.9, 0.7)
            look: dict[str, Any] = {"color": _COLOURS[name], "linewidth": width, "alpha": alpha, "label": _LABELS[name]}
            axes.step(range(len(counts)), counts, where="post", **look)
    if any(ours["slowBySecond"]):
        axes.step(seconds, ours["slowBySecond"], where="post", color=_SLOW, linewidth=1.1, label="of the slow sender")
    times, paces = zip(*ours["paces"], strict=True)
    axes.plot(times, paces, color=_PACE, linewidth=1, linestyle=":", label="our pace")
    limit = scenario.requests_per_second
    axes.axhline(limit, color=_LIMIT, linestyle="--", linewidth=1, label="what CXone allows")
    if scenario.requests_per_minute:
        axes.axhline(scenario.requests_per_minute / 60, color=_LIMIT, linestyle="-.", linewidth=1, label="a minute's")
    refused = [(second, count) for second, count in enumerate(ours["refusedBySecond"]) if count]
    if refused:
        axes.plot(*zip(*refused, strict=True), "x", color=_REFUSED, markersize=5, label="our 429s")
    axes.set(
        xlabel="seconds", ylabel="requests accepted in a second", ylim=(0, limit * 1.2), xlim=(0, scenario.seconds)
    )
    axes.set_title(scenario.title, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)
