"""The measurements as pictures, for the README."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt

mpl.use("Agg")

NEEDED = frozenset({"bulk", "single", "cost", "cold"})
_OURS, _NAIVE, _GOAL = "#1f6f8b", "#c2703d", "#777777"


def draw(results: Mapping[str, Any], folder: Path) -> None:
    """Draw the measurements of a whole run."""
    _rate(results["bulk"], folder / "rate.png")
    _latency(results, folder / "latency.png")
    _cost(results["cost"], folder / "cost.png")
    _cold(results["cold"], folder / "cold.png")


def _rate(bulk: Mapping[str, Any], path: Path) -> None:
    figure, axes = plt.subplots(figsize=(8, 3.2), layout="constrained")
    for name, colour in (("ours", _OURS), ("naive", _NAIVE)):
        counts = bulk[name]["sendsBySecond"][:-1]  # the last second is not a whole one
        axes.plot(range(len(counts)), counts, color=colour, linewidth=1.2, label=name)
    axes.axhline(100, color=_GOAL, linestyle="--", linewidth=1, label="what CXone allows")
    axes.set(xlabel="seconds", ylabel="messages taken in a second", ylim=(0, 115))
    axes.set_title(f"Bulk: {bulk['ours']['messages']:,} messages, four workers", loc="left")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False, fontsize=8)
    _save(figure, path)


def _latency(results: Mapping[str, Any], path: Path) -> None:
    figure, (alone, beside) = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained", sharey=True)
    for name, colour in (("ours", _OURS), ("naive", _NAIVE)):
        _distribution(alone, results["single"][name]["waitsMs"], colour, name)
    alone.set(xlabel="ms", ylabel="share of sends answered by then", title="A single send, CXone at 20 ms")
    ours = results["bulk"]["ours"]
    for key, colour, label in (
        ("singleAloneWaits", _OURS, "account idle"),
        ("singleBesideWaits", _NAIVE, "while bulk uses all of the rate"),
    ):
        _distribution(beside, [wait * 1000 for wait in ours[key]], colour, label)
    beside.set(xlabel="ms", title="A single send, CXone at 150 to 400 ms")
    for axes in (alone, beside):
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, frameon=False, fontsize=8)
        axes.set_xlim(left=0)
    _save(figure, path)


def _distribution(axes: Any, values: list[float], colour: str, label: str) -> None:
    axes.ecdf(values, color=colour, linewidth=1.6, label=label)


def _cost(cost: Mapping[str, Any], path: Path) -> None:
    figure, axes = plt.subplots(figsize=(8, 3.2), layout="constrained")
    services = [name for name in cost["ours"] if name != "total"]
    colours = [mpl.colormaps["tab10"](number) for number in range(len(services))]
    for row, name in enumerate(("naive", "ours")):
        left = 0.0
        for service, colour in zip(services, colours, strict=True):
            usd = cost[name].get(service, 0.0)
            axes.barh(row, usd, left=left, color=colour, label=service if row == 0 else None)
            if usd > 0.7:  # noqa: PLR2004  room for its number
                axes.text(left + usd / 2, row, f"{usd:.1f}", ha="center", va="center", color="white", fontsize=8)
            left += usd
        beside_line = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        axes.text(left + 0.2, row, f"{left:.2f} USD", va="center", bbox=beside_line)
    axes.axvline(12, color=_GOAL, linestyle="--", linewidth=1, zorder=0)
    axes.set_yticks([0, 1], ["naive", "ours"])
    axes.set_xlim(0, max(cost["naive"]["total"], cost["ours"]["total"]) * 1.15)
    axes.set(xlabel="USD for a million bulk messages with two delivery events each (dashed: the goal)")
    figure.legend(loc="outside upper center", ncols=5, frameon=False, fontsize=8)
    _save(figure, path)


def _cold(cold: Mapping[str, Any], path: Path) -> None:
    figure, axes = plt.subplots(figsize=(8, 2.8), layout="constrained")
    names = list(reversed(cold["initMs"]))
    for row, name in enumerate(names):
        colour = _NAIVE if name.startswith("naive") else _OURS
        axes.plot(cold["initMs"][name], [row] * len(cold["initMs"][name]), "|", color=colour, markersize=10)
        median = cold["initMedianMs"][name]
        axes.barh(row, median, color=colour, alpha=0.35)
        axes.text(max(cold["initMs"][name]) + 15, row, f"{median:.0f} ms", va="center")
    labels = {"naive_lean": "naive, its layer without botocore"}
    axes.set_yticks(range(len(names)), [labels.get(name, name) for name in names])
    axes.set(xlabel="init of a cold start in ms (bars: medians)")
    axes.set_xlim(0, max(max(values) for values in cold["initMs"].values()) * 1.12)
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    plt.close(figure)
