"""The goals, one row each, compared with the measurements."""

from collections.abc import Callable, Mapping
from typing import Any

from rich.table import Table

from bench.pace.goals import rows as _pace
from bench.row import Row

_MAX_LAYER_MEGABYTES = 30
_MAX_SINGLE_CALLS = 4
_MAX_USD = 12
_MAX_SUBMIT_SECONDS = 6
# How far the dearest size of a ledger may be from the cheapest, for a cost that is called flat.
_FLAT = 1.05


def rows(results: Mapping[str, Any]) -> list[Row]:
    """Return the rows of all measurements."""
    judged: list[Row] = []
    for name, judge in _JUDGES.items():
        if name in results:
            judged += judge(results[name])
    return judged


def table(judged: list[Row]) -> Table:
    """Lay the rows out."""
    laid = Table("what", "goal", "ours", "beside", "verdict")
    for row in judged:
        verdict = {True: "[green]holds[/]", False: "[red]falls short[/]", None: ""}[row.holds]
        laid.add_row(row.what, row.goal, row.ours, row.naive, verdict)
    return laid


def _bulk(measured: Mapping[str, Any]) -> list[Row]:
    ours, naive = measured["ours"], measured["naive"]
    judged = []
    for what, goal, key, form, holds in (
        ("use of the rate", ">= 94.5 %", "rateUsed", "{:.1%}", ours["rateUsed"] >= 0.945),  # noqa: PLR2004
        ("429s", "<= 0.1 %", "throttledShare", "{:.2%}", ours["throttledShare"] <= 0.001),  # noqa: PLR2004
        ("duplicates in bulk", "0", "duplicates", "{}", ours["duplicates"] == 0),
        ("lost in bulk", "0", "lost", "{}", ours["lost"] == 0),
        ("AWS calls a bulk message", "<= 0.3", "callsPerMessageInAll", "{:.3f}", ours["callsPerMessageInAll"] <= 0.3),  # noqa: PLR2004
        ("own CPU a bulk message", "<= 3 ms", "cpuMsPerMessage", "{:.2f} ms", ours["cpuMsPerMessage"] <= 3),  # noqa: PLR2004
        ("single send beside bulk, p99 added", "<= 1.5 s", "singleAddedP99", "{:.2f} s", ours["singleAddedP99"] <= 1.5),  # noqa: PLR2004
    ):
        texts = ["-" if each[key] is None else form.format(each[key]) for each in (ours, naive)]
        judged.append(Row(what, goal, texts[0], texts[1], holds))
    return judged


def _histories(measured: Mapping[str, Any]) -> list[Row]:
    found = f"{measured['histories']:,}, none with either" if measured["passed"] else "see the output above"
    return [Row("random histories, duplicates and losses", ">= 10,000, 0 and 0", found, "-", measured["passed"])]


def _cold(measured: Mapping[str, Any]) -> list[Row]:
    init, first = measured["initMedianMs"], measured["firstAnswerMedianMs"]
    judged = []
    for name, most in (("send_message", 0.30), ("send_bulk", 0.25), ("receive_webhook", 0.25)):
        share = init[name] / init["naive"]
        ours = f"{init[name]:.0f} ms, {share:.2f} x"
        judged.append(
            Row(f"cold start, init of {name}", f"<= {most:.2f} x", ours, f"{init['naive']:.0f} ms", share <= most)
        )
        lean = f"{init[name] / init['naive_lean']:.2f} x"
        judged.append(Row("  beside a naive layer without botocore", "", lean, f"{init['naive_lean']:.0f} ms", None))
    answer = f"{first['send_message']:.0f} ms"
    judged.append(Row("  init and the first answer of send_message", "", answer, f"{first['naive']:.0f} ms", None))
    size = measured["layerMegabytes"]
    texts = f"{size:.1f} MB", f"{measured['naiveLayerMegabytes']:.1f} MB"
    judged.append(
        Row("layer, unzipped, with bytecode", f"<= {_MAX_LAYER_MEGABYTES} MB", *texts, size <= _MAX_LAYER_MEGABYTES)
    )
    return judged


def _single(measured: Mapping[str, Any]) -> list[Row]:
    ours, naive = measured["ours"], measured["naive"]
    share = ours["cpuMs"] / naive["cpuMs"]
    calls = f"{ours['callsPerSend']:.2f}", f"{naive['callsPerSend']:.2f}"
    cpu = f"{ours['cpuMs']:.2f} ms, {share:.2f} x", f"{naive['cpuMs']:.2f} ms"
    return [
        Row("AWS calls a single send", f"<= {_MAX_SINGLE_CALLS}", *calls, ours["callsPerSend"] <= _MAX_SINGLE_CALLS),
        Row("own CPU of a single send", "<= 1.00 x", *cpu, share <= 1),
    ]


def _tokens(measured: Mapping[str, Any]) -> list[Row]:
    judged = []
    for name, what, most in (("undisturbed", "token fetches", 1), ("holderDies", "  when the lease's holder dies", 2)):
        each = measured[name]
        ours = f"{each['fetches']} for {each['callers']:,} callers"
        judged.append(Row(what, f"{most}", ours, "-", each["fetches"] <= most and each["callers"] == 1_000))  # noqa: PLR2004
    return judged


def _submit(measured: Mapping[str, Any]) -> list[Row]:
    what = f"submit of {measured['messages']:,} messages at {measured['callSeconds'] * 1000:.0f} ms a call"
    seconds = measured["seconds"]
    return [Row(what, f"<= {_MAX_SUBMIT_SECONDS} s", f"{seconds:.1f} s", "-", seconds <= _MAX_SUBMIT_SECONDS)]


def _cost(measured: Mapping[str, Any]) -> list[Row]:
    ours, naive = measured["ours"]["total"], measured["naive"]["total"]
    share = ours / naive
    texts = f"{ours:.2f} USD", f"{naive:.2f} USD"
    return [
        Row("cost of a million bulk messages", f"<= {_MAX_USD} USD", *texts, ours <= _MAX_USD),
        Row("  as a share of the naive way's", "<= 0.20 x", f"{share:.2f} x", "", share <= 0.2),  # noqa: PLR2004
    ]


def _growth(measured: list[Mapping[str, Any]]) -> list[Row]:
    costs = [each["usdAMillion"] for each in measured]
    sizes = " / ".join(f"{each['messages']:,}" for each in measured)
    listed = " / ".join(f"{cost:.2f}" for cost in costs)
    read = " / ".join(f"{each['itemsARead']:.0f}" for each in measured)
    same = len({each["itemsARead"] for each in measured}) == 1
    return [
        Row(f"cost beside {sizes} messages", "flat", f"{listed} USD", "-", max(costs) <= _FLAT * min(costs)),
        Row("  entries that a read of one message takes", "its own", read, "-", same),
    ]


_JUDGES: Mapping[str, Callable[[Any], list[Row]]] = {
    "bulk": _bulk,
    "histories": _histories,
    "single": _single,
    "tokens": _tokens,
    "cold": _cold,
    "cost": _cost,
    "growth": _growth,
    "submit": _submit,
    "pace": _pace,
}
