"""Senders on one schedule, each with a clock of its own, over a DynamoDB that tells its `Date`, or does not."""

import math
import operator
import random
import re
from collections import Counter
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import cache
from types import CodeType
from typing import Any

from botocore.exceptions import ClientError

from cxone_messaging.adapters.dynamodb.governor import DynamoGovernor
from cxone_messaging.domain.pace import AccountRate
from cxone_messaging.domain.schedule import NoSlotError
from cxone_messaging.platform.telemetry import Telemetry
from tests.fakes import FakeClock, FakeTelemetry

RATE = AccountRate(requests_per_second=100, utilisation=0.96)


class SetClock:
    """A machine's clock, so many seconds off; its stopwatch is right."""

    def __init__(self, base: FakeClock, skew: float = 0.0) -> None:
        self.base = base
        self.skew = skew

    def now(self) -> float:
        return self.base.now() + self.skew

    def monotonic(self) -> float:
        return self.base.monotonic()

    def sleep(self, seconds: float) -> None:
        self.base.sleep(seconds)


class _ConditionFailedError(ClientError):
    pass


class _Exceptions:
    ConditionalCheckFailedException = _ConditionFailedError


_COMPARISONS = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt, "=": operator.eq}


@cache
def _values_in(expression: str) -> frozenset[str]:
    return frozenset(re.findall(r":\w+", expression))


@cache
def _changes(expression: str) -> list[tuple[str, list[str]]]:
    return [
        (verb, part.split())
        for verb, parts in re.findall(r"(SET|REMOVE|ADD) (.*?)(?= SET | REMOVE | ADD |$)", expression)
        for part in parts.split(", ")
    ]


@cache
def _compiled(condition: str) -> CodeType:
    text = re.sub(r"attribute_not_exists\((\w+)\)", r"('\1' not in item)", condition)
    text = re.sub(r"(\w+) (<=|>=|<|>|=) (:\w+)", r"compare('\1', '\2', '\3')", text)
    return compile(text.replace(" AND ", " and ").replace(" OR ", " or "), condition, "eval")


class TableOfOneItem:
    """Conditional updates of one item. `base` is the time that `Date` tells; None leaves it out.

    `repeats` is how often the next update is applied once more, as the SDK does where an answer was lost.
    """

    exceptions = _Exceptions

    def __init__(self, base: FakeClock | None = None) -> None:
        self._base = base
        self.item: dict[str, Any] = {}
        self.calls: Counter[str] = Counter()
        self.repeats = 0

    def get_item(self, **_: object) -> dict[str, Any]:
        self.calls["read"] += 1
        return self._dated({"Item": self._written()} if self.item else {})

    def update_item(self, **update: Any) -> dict[str, Any]:
        repeats, self.repeats = self.repeats, 0
        for _ in range(repeats):
            self._apply(**update)
        return self._apply(**update)

    def _apply(
        self,
        *,
        UpdateExpression: str,  # noqa: N803
        ConditionExpression: str,  # noqa: N803
        ExpressionAttributeValues: dict[str, dict[str, str]],  # noqa: N803
        **_: object,
    ) -> dict[str, Any]:
        values = {
            name: int(value["N"]) if "N" in value else value["S"] for name, value in ExpressionAttributeValues.items()
        }
        used = _values_in(UpdateExpression) | _values_in(ConditionExpression)
        assert used == set(values), "DynamoDB refuses values that no expression uses"
        if not self._holds(ConditionExpression, values):
            self.calls["refused"] += 1
            response = {"Error": {"Code": "ConditionalCheckFailedException", "Message": ""}}
            raise _ConditionFailedError(
                self._dated(response | ({"Item": self._written()} if self.item else {})), "UpdateItem"
            )
        self.calls["written"] += 1
        for verb, words in _changes(UpdateExpression):
            self._change(verb, words, values)
        return self._dated({"Attributes": self._written()})

    def _holds(self, condition: str, values: dict[str, Any]) -> bool:
        def compare(name: str, operator: str, value: str) -> bool:
            return name in self.item and bool(_COMPARISONS[operator](self.item[name], values[value]))

        return bool(eval(_compiled(condition), {"item": self.item, "compare": compare}))  # noqa: S307  our own

    def _change(self, verb: str, words: list[str], values: dict[str, Any]) -> None:
        match verb, words:
            case "SET", [name, "=", value]:
                self.item[name] = values[value]
            case "SET", [name, "=", other, "+", value]:
                self.item[name] = self.item[other] + values[value]
            case "REMOVE", [name]:
                self.item.pop(name, None)
            case "ADD", [name, value]:
                self.item[name] = self.item.get(name, 0) + values[value]
            case _:
                raise AssertionError(words)

    def _written(self) -> dict[str, dict[str, str]]:
        return {n: {"N": str(v)} if isinstance(v, int) else {"S": v} for n, v in self.item.items()}

    def _dated(self, answer: dict[str, Any]) -> dict[str, Any]:
        if self._base:
            date = formatdate(int(self._base.now()), usegmt=True)
            answer["ResponseMetadata"] = {"HTTPHeaders": {"date": date}}
        return answer


def governor(
    table: TableOfOneItem, clock: Any, telemetry: Telemetry | None = None, rate: AccountRate | None = None
) -> DynamoGovernor:
    """Make a sender's governor."""
    return DynamoGovernor(
        client=table,  # type: ignore[arg-type]
        table="t",
        rate=rate or RATE,
        clock=clock,
        telemetry=telemetry or FakeTelemetry(),
        rng=random.Random(1),
    )


@dataclass
class Fleet:
    """Bulk senders that send chunk after chunk; each works through its slots, and waits as long as it is told to."""

    skews: list[float]
    dated: bool = True
    seconds: float = 60
    seed: int = 2
    sets: list[tuple[float, int, float]] = field(default_factory=list)  # at so many seconds, whose clock, to which skew
    posts: list[float] = field(default_factory=list)
    reserved: list[list[float]] = field(default_factory=list)

    def run(self) -> "Fleet":
        """Run, and return itself: `posts` in true time, and when each sender got slots."""
        base, rng = FakeClock(), random.Random(self.seed)
        base.advance(0.37)
        began = base.now()
        self.table = TableOfOneItem(base if self.dated else None)
        clocks = [SetClock(base, skew) for skew in self.skews]
        self.telemetry = [FakeTelemetry() for _ in clocks]
        senders = [governor(self.table, clock, each) for clock, each in zip(clocks, self.telemetry, strict=True)]
        self.reserved = [[] for _ in clocks]
        free_at, sets = [began] * len(clocks), sorted(self.sets)
        while base.now() < began + self.seconds:
            while sets and base.now() >= began + sets[0][0]:
                _, which, skew = sets.pop(0)
                clocks[which].skew = skew
            due = [number for number, at in enumerate(free_at) if at <= base.now()]
            rng.shuffle(due)
            for number in due:
                try:
                    slots = senders[number].reserve(25, 1.0)
                except NoSlotError as error:
                    free_at[number] = base.now() + error.retry_after * rng.uniform(1, 1.2)
                    continue
                start = slots.start - clocks[number].skew
                self.posts += [start + place * slots.seconds for place in range(slots.count)]
                self.reserved[number].append(base.now() - began)
                free_at[number] = start + slots.count * slots.seconds + rng.choice([0, 0, 0.5])
            # On to the next hundredth in which anybody does anything.
            then = min(*free_at, *(at + began for at, _, _ in sets[:1]))
            base.advance(0.01 * max(1, math.ceil((then - base.now()) / 0.01)))
        return self

    def most_in_a_second(self) -> int:
        """Count the posts of the fullest second, wherever it begins."""
        posts, first, most = sorted(self.posts), 0, 0
        for number, post in enumerate(posts):
            while posts[first] <= post - 1:
                first += 1
            most = max(most, number - first + 1)
        return most
