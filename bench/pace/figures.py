"""What a run says: the use of what is allowed, refusals, duplicates, losses, and requests second by second.

Use of what is allowed, in a part of a run: CXone's accepted sends of ours, divided by the limit times the part's length
less the accepted sends of the account's other users. A sender that crowds the other users out gets more of it, so
that their refusals are a figure too. A part begins and ends with a whole second since all workers
began. The queue never runs out, so that the last second is as full as any.
"""

import statistics
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.pace.scenarios import FROM_SECOND, LEARNT_SECONDS, RECOVERED_SECONDS, SLOW_SENDER, Scenario

_THROTTLED, _ACCEPTED = 429, 202


@dataclass(frozen=True, slots=True)
class Traffic:
    """The instants of requests, in seconds since all workers began, in order; `senders` are those of `accepted`."""

    accepted: Sequence[float]
    refused: Sequence[float]
    others: Sequence[float]
    others_refused: Sequence[float]
    senders: Sequence[str]

    @classmethod
    def of(cls, ours: Iterable[Mapping[str, Any]], others: Iterable[Mapping[str, Any]], began: float) -> "Traffic":
        """Return the traffic in the simulator's logs; `began` is in Unix seconds. A recipient is a request."""
        ours, others = [e for e in ours if e["time"] >= began], [e for e in others if e["time"] >= began]
        accepted = [entry for entry in ours if entry["outcome"] == "accepted"]
        return cls(
            [entry["time"] - began for entry in accepted],
            [entry["time"] - began for entry in ours if entry["status"] == _THROTTLED],
            [entry["time"] - began for entry in others if entry["status"] == _ACCEPTED],
            [entry["time"] - began for entry in others if entry["status"] == _THROTTLED],
            [entry["details"]["messages"][0]["from"] for entry in accepted],
        )


def parts(scenario: Scenario) -> dict[str, tuple[int, int]]:
    """Return the parts of a run that count, from one second to before another."""
    if scenario.others is None:
        return {"all": (FROM_SECOND, scenario.seconds)}
    all_parts = {
        "before others send": (FROM_SECOND, scenario.others.from_second),
        "while others send": (scenario.others.from_second, scenario.others.until_second),
        f"{RECOVERED_SECONDS} s after they left": (scenario.others.until_second + RECOVERED_SECONDS, scenario.seconds),
    }
    return {name: (first, last) for name, (first, last) in all_parts.items() if first < last}


def figures(scenario: Scenario, traffic: Traffic) -> dict[str, Any]:
    """Return the figures that need no more than the simulator's log."""
    use = {name: _use(scenario, traffic, *part) for name, part in parts(scenario).items()}
    if scenario.slow_per_second:
        use |= _use_by_sender(scenario, traffic)
    late = len(traffic.accepted) - bisect_left(traffic.accepted, LEARNT_SECONDS)
    late_refused = len(traffic.refused) - bisect_left(traffic.refused, LEARNT_SECONDS)
    return {
        "use": use,
        "throttledShare": late_refused / max(1, late + late_refused),
        "throttled": len(traffic.refused),
        "othersRefusedShare": len(traffic.others_refused) / max(1, len(traffic.others) + len(traffic.others_refused)),
        "mostInAMinute": most_within(sorted([*traffic.accepted, *traffic.refused]), 60.0),
        "acceptedBySecond": by_second(traffic.accepted, scenario.seconds),
        "slowBySecond": by_second(
            (at for at, sender in zip(traffic.accepted, traffic.senders, strict=True) if sender == SLOW_SENDER),
            scenario.seconds,
        ),
        "refusedBySecond": by_second(traffic.refused, scenario.seconds),
        "othersBySecond": by_second(traffic.others, scenario.seconds),
        "othersRefusedBySecond": by_second(traffic.others_refused, scenario.seconds),
    }


def _use(scenario: Scenario, traffic: Traffic, first: int, last: int) -> float:
    limit = scenario.requests_per_minute / 60 if scenario.requests_per_minute else scenario.requests_per_second
    return within(traffic.accepted, first, last) / (limit * (last - first) - within(traffic.others, first, last))


def _use_by_sender(scenario: Scenario, traffic: Traffic) -> dict[str, float]:
    """Return the slow sender's use of its own rate, and the free sender's use of what that leaves of the account's."""
    ((first, last),) = parts(scenario).values()
    counts = Counter(
        sender == SLOW_SENDER
        for at, sender in zip(traffic.accepted, traffic.senders, strict=True)
        if first <= at < last
    )
    slow, seconds = counts[True], last - first
    return {
        "slow sender": slow / ((scenario.slow_per_second or 0) * seconds),
        "free sender": counts[False] / (scenario.requests_per_second * seconds - slow),
    }


def references(log: Iterable[Mapping[str, Any]], began: float) -> Counter[str]:
    """Return how often each message was accepted, by the reference in its callback URL."""
    urls = [
        entry["details"]["messages"][0]["webhookUrl"]
        for entry in log
        if entry["outcome"] == "accepted" and entry["time"] >= began
    ]
    return Counter(url.split("ref=")[1].split("&")[0] for url in urls)


def within(times: Sequence[float], first: float, last: float) -> int:
    """Return how many of the times are in a part."""
    return bisect_left(times, last) - bisect_left(times, first)


def by_second(times: Iterable[float], seconds: int) -> list[int]:
    """Return how many of the times are in each second of a run."""
    counts = Counter(int(each) for each in times)
    return [counts[second] for second in range(seconds)]


def most_within(times: Iterable[float], seconds: float) -> int:
    """Return the largest number of times in any window of `seconds`."""
    window: deque[float] = deque()
    most = 0
    for at in times:
        window.append(at)
        while window[0] <= at - seconds:
            window.popleft()
        most = max(most, len(window))
    return most


def quantile(values: Sequence[float], share: float) -> float:
    """Return a quantile, which is one of the values; NaN of none."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else float("nan")


def middle(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the medians of several runs; of duplicates, losses and the fullest minute the most.

    What is drawn comes from the run whose use is in the middle.
    """
    first = next(iter(runs[0]["use"]))
    ranked = sorted(runs, key=lambda run: run["use"][first])
    drawn = ranked[len(ranked) // 2]
    together: dict[str, Any] = {**drawn, "runs": len(runs)}
    together["use"] = {part: statistics.median(run["use"][part] for run in runs) for part in drawn["use"]}
    for name in (
        "throttledShare",
        "throttled",
        "othersRefusedShare",
        "callsPerMessage",
        "singleAddedP99",
        "singleRefusedShare",
    ):
        if name in drawn:
            together[name] = statistics.median(run[name] for run in runs)
    for name in ("duplicates", "lost", "mostInAMinute"):
        together[name] = max(run[name] for run in runs)
    return together
