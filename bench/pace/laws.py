"""Laws of the pace in a model of the fleet, which needs no machine: `python -m bench.pace.laws` prints the table.

Four workers take chunks of 25 slots, 0.9 seconds ahead at most, and send each message at its slot. CXone admits 100
requests in any second, and answers after 150 ms (median). Refusals of slots that were reserved before a hold are one
event.
"""

import heapq
import itertools
import math
import random
import statistics
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from cxone_messaging.domain.pace import MICRO, AccountRate, Pace, PaceLaw
from cxone_messaging.domain.schedule import backoff

_WORKERS, _CHUNK, _CHECK_EVERY, _HORIZON = 4, 25, 13, 0.9
_SECONDS, _LEARNT, _SEEDS = 160.0, 15.0, (0, 1, 2)
_OTHERS_FROM, _OTHERS_TO = 20.0, 80.0
_LATE_SECONDS, _CLAIM_SECONDS, _RECORD_SECONDS = 0.004, 0.01, 0.02
_EPOCH = 1_000_000_000.0


class Law(Protocol):
    """A pace in requests a second, and what a 429 does to it."""

    def at(self, now: float) -> float:
        """Return the pace."""
        ...

    def refused(self, now: float, until: float, in_a_row: int) -> None:
        """Learn of a 429 that holds all senders back until an instant."""
        ...


class Cubic:
    """Our law."""

    def __init__(self, rate: float) -> None:
        self._law, self._pace = PaceLaw(AccountRate(rate, 0.96)), Pace(since=round(_EPOCH * MICRO))

    def at(self, now: float) -> float:
        """Return the pace."""
        return self._law.at(self._pace, round((_EPOCH + now) * MICRO))

    def refused(self, now: float, until: float, in_a_row: int) -> None:
        """Lower the pace."""
        at, held_until = (round((_EPOCH + each) * MICRO) for each in (now, until))
        self._pace = self._law.lowered(self._pace, at, held_until, in_a_row)


class Aimd:
    """A step that multiplies, and a return that adds; the same whatever was refused."""

    def __init__(self, rate: float, *, share: float, per_second: float) -> None:
        self._highest, self._share, self._per_second = 0.98 * rate, share, per_second
        self._pace, self._since = 0.96 * rate, 0.0

    def at(self, now: float) -> float:
        """Return the pace."""
        return min(self._highest, self._pace + self._per_second * max(0.0, now - self._since))

    def refused(self, now: float, until: float, in_a_row: int) -> None:  # noqa: ARG002
        """Lower the pace."""
        self._pace, self._since = max(0.05 * self._highest, self.at(now) * self._share), until


class Fixed:
    """A spacing that no 429 changes."""

    def __init__(self, rate: float) -> None:
        self._pace = 0.96 * rate

    def at(self, now: float) -> float:  # noqa: ARG002
        """Return the pace."""
        return self._pace

    def refused(self, now: float, until: float, in_a_row: int) -> None:
        """Change nothing."""


LAWS: dict[str, Callable[[float], Law]] = {
    "CUBIC, 3 % (ours)": Cubic,
    "AIMD, 20 % and 0.2/s": lambda rate: Aimd(rate, share=0.8, per_second=0.2),
    "AIMD, 5 % and 0.2/s": lambda rate: Aimd(rate, share=0.95, per_second=0.2),
    "AIMD, 3 % and 0.2/s": lambda rate: Aimd(rate, share=0.97, per_second=0.2),
    "fixed at 96 %": Fixed,
}


@dataclass(frozen=True, slots=True)
class World:
    """What the account allows and the network does; others send evenly, or at random, from second 20 to 80."""

    limit: int = 100
    configured: int = 100
    jitter: float = 0.0
    others: float = 0.0
    at_random: bool = False
    retry_after: float = 0.0


WORLDS = {
    "ideal": World(),
    "jitter 60 ms": World(jitter=0.06),
    "  with Retry-After: 1": World(jitter=0.06, retry_after=1.0),
    "others 15/s, even": World(others=15),
    "others 15/s, at random": World(others=15, at_random=True),
    "10/s": World(limit=10, configured=10),
    "half of what is deployed": World(limit=50, jitter=0.06),
}


@dataclass
class _Run:
    """One run of one law in one world."""

    world: World
    law: Law
    rng: random.Random
    accepted: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    others: list[float] = field(default_factory=list)

    def run(self) -> "_Run":
        self._window: deque[float] = deque()
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = itertools.count()
        self._next_slot, self._held_from, self._held_until, self._in_a_row = 0.0, -1.0, -math.inf, 0
        for at in self._arrivals():
            self._at(at, lambda now: self.others.append(now) if self._admits(now) else None)
        for _ in range(_WORKERS):
            self._at(self.rng.random() * 0.3, self._chunk)
        while self._events and self._events[0][0] < _SECONDS:
            now, _, act = heapq.heappop(self._events)
            act(now)
        return self

    def use(self, first: float, last: float) -> float:
        ours, others = (sum(first <= each < last for each in times) for times in (self.accepted, self.others))
        return ours / (self.world.limit * (last - first) - others)

    def _arrivals(self) -> Iterator[float]:
        at = _OTHERS_FROM
        while self.world.others and at < _OTHERS_TO:
            yield at + (0 if self.world.at_random else self.rng.random() * 0.06)
            at += self.rng.expovariate(self.world.others) if self.world.at_random else 1 / self.world.others

    def _at(self, instant: float, act: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (instant, next(self._order), act))

    def _admits(self, now: float) -> bool:
        while self._window and self._window[0] <= now - 1:
            self._window.popleft()
        if len(self._window) >= self.world.limit:
            return False
        self._window.append(now)
        return True

    def _chunk(self, now: float) -> None:
        if self._next_slot - now > _HORIZON:
            self._at(self._next_slot - _HORIZON + self.rng.random() * 0.02, self._chunk)
            return
        pace = self.law.at(now)
        count = max(1, min(_CHUNK, int(_HORIZON * pace)))
        start = max(self._next_slot, now, self._held_until)
        self._next_slot = start + count / pace
        waiting = [count]
        self._at(max(start, now + _CLAIM_SECONDS), lambda at: self._slot(at, 0, count, start, 1 / pace, now, waiting))

    def _slot(  # noqa: PLR0917
        self, now: float, number: int, count: int, start: float, slot: float, reserved: float, waiting: list[int]
    ) -> None:
        if number == count:
            return
        at = start + number * slot
        if now < at:
            late = self.rng.expovariate(1 / _LATE_SECONDS)
            self._at(at + late, lambda t: self._slot(t, number, count, start, slot, reserved, waiting))
        elif number % _CHECK_EVERY == 0 and self._held_until > now and reserved <= self._held_from:
            pace, left = self.law.at(now), count - number
            begin = max(self._next_slot, self._held_until)
            self._next_slot = begin + left / pace
            self._at(begin, lambda t: self._slot(t, 0, left, begin, 1 / pace, now, waiting))
        else:
            self._at(now + self.rng.random() * self.world.jitter, lambda t: self._arrive(t, reserved, waiting))
            self._at(max(now, at + slot), lambda t: self._slot(t, number + 1, count, start, slot, reserved, waiting))

    def _arrive(self, now: float, reserved: float, waiting: list[int]) -> None:
        is_accepted = self._admits(now)
        (self.accepted if is_accepted else self.refused).append(now)
        latency = min(0.4, self.rng.lognormvariate(math.log(0.15), 0.4)) if is_accepted else 0.02
        self._at(now + latency, lambda t: self._answer(t, reserved, waiting, is_accepted=is_accepted))

    def _answer(self, now: float, reserved: float, waiting: list[int], *, is_accepted: bool) -> None:
        if not is_accepted and reserved > self._held_from:
            held = self._held_until - self._held_from if self._held_from >= 0 else 0.0
            self._in_a_row = self._in_a_row + 1 if now <= self._held_until + max(3.0, held) else 1
            until = now + max(self.world.retry_after, backoff(0.1, self._in_a_row - 1, 30.0))
            self.law.refused(now, until, self._in_a_row)
            self._held_from, self._held_until = now, until
            self._next_slot = max(self._next_slot, until)
        waiting[0] -= 1
        if not waiting[0]:
            self._at(now + _RECORD_SECONDS, self._chunk)


def _figures(name: str, world: World) -> str:
    runs = [_Run(world, LAWS[name](world.configured), random.Random(seed)).run() for seed in _SEEDS]  # noqa: S311
    first, last = (_OTHERS_FROM, _OTHERS_TO) if world.others else (_LEARNT, _SECONDS)
    use = statistics.median(run.use(first, last) for run in runs)
    late = statistics.median(sum(each > _LEARNT for each in run.refused) / len(run.accepted) for run in runs)
    text = f"{use:.1%}, {late:.2%}"
    if world.others:
        back = [next((s for s in range(80, 155) if run.use(s, s + 5) >= 0.92), None) for run in runs]  # noqa: PLR2004
        text += f", {max(back) - 80} s" if None not in back else ", not in 75 s"  # type: ignore[type-var, operator]
    return text


def main() -> None:
    """Print the table."""
    print("| law | " + " | ".join(name.strip() for name in WORLDS) + " |")
    print("|---" * (len(WORLDS) + 1) + "|")
    for name in LAWS:
        print(f"| {name} | " + " | ".join(_figures(name, world) for world in WORLDS.values()) + " |", flush=True)


if __name__ == "__main__":
    main()
