"""The account's schedule, kept for the whole fleet in one item of the Coordination table.

The item's conditions say in DynamoDB's words what `domain/schedule.py` says in Python. A sender that has seen the item
as it is needs one write; to any other sender the failed condition returns the item.

Every write bears its writer's time, and all go by one time (`fleet_clock.py`). So no sender's clock decides for others.
"""

import contextlib
import random
import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, cast

from botocore.exceptions import BotoCoreError, ClientError

from cxone_messaging.adapters.fleet_clock import TOLERANCE, FleetClock
from cxone_messaging.domain.errors import StorageError
from cxone_messaging.domain.schedule import (
    DIFFERENCE_SECONDS,
    FAILURES_TO_OPEN,
    MAX_FIRST_OPEN_SECONDS,
    MAX_HOLD_SECONDS,
    MAX_HOLDS,
    MICRO,
    MIN_OPEN_SECONDS,
    PROBE_SECONDS,
    ClockWrongError,
    Pace,
    Schedule,
    SlotMissedError,
    Slots,
    hold_seconds,
    open_seconds,
)
from cxone_messaging.platform.clock import Clock
from cxone_messaging.platform.clock_skew import ClockCheck
from cxone_messaging.platform.telemetry import Metric, Telemetry

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_KEY = {"name": {"S": "schedule"}}
_CLOSED = "(attribute_not_exists(failures) OR failures < :threshold)"
_MAX_RACES_LOST = 50
# A sender whose clock is wrong leaves its messages to others for so many seconds.
_WRONG_CLOCK_SECONDS = 5.0


class Governor(Protocol):
    """Who may send when."""

    def reserve(self, count: int, horizon: float) -> Slots:
        """Take consecutive slots of which the first begins within `horizon` seconds. Raises `NoSlotError`."""
        ...

    def check(self, slots: Slots) -> None:
        """Look whether slots that were waited for may still be used. Raises `NoSlotError` and `SlotMissedError`."""
        ...

    def succeeded(self, slots: Slots) -> None:
        """Tell that CXone answered as it should, whatever the answer."""
        ...

    def failed(self, slots: Slots) -> None:
        """Tell that CXone was unavailable or gave no clear answer."""
        ...

    def throttled(self, retry_after: float | None, slots: Slots | None = None) -> None:
        """Report a 429, with the seconds that CXone names and the slots of the message that it refused."""
        ...

    def give_back(self, slots: Slots) -> None:
        """Tell that slots were not used after all."""
        ...


class DynamoGovernor:
    """The schedule as one item in DynamoDB. One `check` serves all that a process learns of DynamoDB's time."""

    def __init__(
        self,
        *,
        client: "DynamoDBClient",
        table: str,
        pace: Pace,
        clock: Clock,
        telemetry: Telemetry,
        rng: random.Random,
        check: ClockCheck | None = None,
    ) -> None:
        self._client = client
        self._table = table
        self._slot = round(pace.slot_seconds * MICRO)
        self._clock = clock
        self._telemetry = telemetry
        self._rng = rng
        self._check = check or ClockCheck(clock)
        self._time = FleetClock(clock, self._check)
        self._seen = Schedule()

    def reserve(self, count: int, horizon: float) -> Slots:
        """Take consecutive slots of which the first begins within `horizon` seconds. Raises `NoSlotError`.

        A probe is one slot, however many were asked for. It takes one write where this sender's view of the schedule
        is right, and one more for each time that it wasn't. A sender whose clock is wrong gets `ClockWrongError`.
        """
        for _ in range(_MAX_RACES_LOST):
            self._refuse_wrong_clock()
            joined, now = self._time.joined, self._time.now()
            if joined and self._heal(horizon):
                continue
            margin, probe = 0, ""
            try:
                if joined and self._seen.may_probe(now):
                    probe = uuid.uuid4().hex
                    taken = self._take_probe(now, probe)
                else:
                    margin = self._time.take_margin() if joined and self._seen.next_slot > now else 0
                    taken = self._move_on(count * self._slot + margin, now, horizon, joined=joined)
            except _ConditionError as error:
                self._refuse_wrong_clock()
                if not joined:
                    self._join(error.schedule)
                if not self._heal(horizon):
                    self._seen.refuse_reserving(self._time.now(), horizon)
                continue
            start = now if probe else taken.next_slot - margin - count * self._slot
            slots = Slots(
                self._time.local(start), 1 if probe else count, self._clock.now(), taken.failures, probe, taken.holds
            )
            if self._check.is_wrong:  # as this answer says
                self.give_back(slots)
                self._refuse_wrong_clock()
            return slots
        raise StorageError("the schedule is always taken")

    def check(self, slots: Slots) -> None:
        """Look whether slots may still be used; free of charge for who uses them at once."""
        if slots.probe:
            return
        now = self._clock.now()
        if slots.is_missed(now):
            raise SlotMissedError
        if slots.is_fresh(now):
            return
        seen = self._look()
        self._refuse_wrong_clock()
        self._believable(seen).refuse_using(self._time.now())

    def succeeded(self, slots: Slots) -> None:
        """Report that CXone answered as it should; costs a write only after failures and 429s."""
        self._answered(slots, ", holdsInARow" if slots.holds and self._seen.holds else "")

    def failed(self, slots: Slots) -> None:
        """Report that CXone was unavailable or gave no clear answer. It counts once, also where the SDK repeats it."""
        pause = open_seconds(slots.failures + 1, self._rng.uniform(MIN_OPEN_SECONDS, MAX_FIRST_OPEN_SECONDS))
        if slots.probe:
            if self._report_as_probe(
                slots, "openUntil = :until", "REMOVE probeUntil, probeOwner ADD failures :one", pause
            ):
                self._telemetry.add(Metric.PROBES_FAILED)
            return
        report = uuid.uuid4().hex[:8]

        def count() -> Schedule:
            # `openUntil` is written at each failure, but means something only once there are enough of them.
            before = 0 if self._seen.is_open else self._seen.failures
            earlier = self._seen.failed_by.split()[1 - FAILURES_TO_OPEN :]
            return self._update(
                "openUntil = :until, failedBy = :reports",
                "failures = :before" if before else "(attribute_not_exists(failures) OR failures = :before)",
                {
                    ":until": self._time.now() + round(pause * MICRO),
                    ":reports": " ".join([*earlier, report]),
                    ":before": before,
                    ":one": 1,
                },
                "ADD failures :one",
            )

        counted = self._report(count, lambda seen: not seen.is_open and report not in seen.failed_by.split())
        if counted is None and self._seen.failed_by.endswith(report):
            counted = self._seen
        if counted and counted.failures == FAILURES_TO_OPEN:
            self._telemetry.add(Metric.CIRCUIT_OPENED)

    def throttled(self, retry_after: float | None, slots: Slots | None = None) -> None:
        """Report a 429: no new slot begins before its wait is over, and none taken already is used.

        With the `slots` of the message that was refused it is also an answer, so there is no need to report that too.
        Then 429s in a row hold for longer and longer; but those of requests that were on their way when the last hold
        was written hold for no longer than they say themselves.
        """
        if slots:
            self._answered(slots)

        def hold() -> Schedule:
            seen, now = self._seen, self._time.now()
            under_way = slots is not None and self._time.fleet(slots.start) < seen.held_from
            if under_way:
                seconds = min(retry_after or 0.0, MAX_HOLD_SECONDS)
            else:
                seconds = hold_seconds(retry_after, seen.holds if slots else 0)
            until = now + round(seconds * MICRO)
            if until <= seen.held_until and (under_way or slots is None):
                return seen
            changes, values = [], {":from": seen.held_from}
            condition = "heldFrom = :from" if seen.held_from else "(attribute_not_exists(heldFrom) OR heldFrom = :from)"
            if until > seen.held_until:
                changes, values = ["heldUntil = :until"], values | {":until": until}
                if until > seen.next_slot:
                    changes.append("nextSlot = :until")
                    condition += " AND (attribute_not_exists(nextSlot) OR nextSlot < :until)"
            if not under_way:
                changes, values = [*changes, "heldFrom = :since"], values | {":since": now}
            if slots and not under_way:
                changes.append("holdsInARow = :holds")
                values |= {":holds": min(seen.holds + 1, MAX_HOLDS)}
            return self._update(", ".join(changes), condition, values)

        self._report(hold, lambda _: True)

    def give_back(self, slots: Slots) -> None:
        """Report that slots were not used; only a probe's turn matters, other slots just pass."""
        if slots.probe:
            self._report_as_probe(slots, "", "REMOVE probeUntil, probeOwner")

    def _answered(self, slots: Slots, also: str = "") -> None:
        if slots.probe:
            self._report_as_probe(slots, "", f"REMOVE failures, openUntil, failedBy, probeUntil, probeOwner{also}")
        elif slots.failures or also:
            # Once the circuit is open that means nothing any more: the probe decides.
            values = {":threshold": FAILURES_TO_OPEN}
            rest = f"REMOVE failures, openUntil, failedBy{also}"
            self._report(lambda: self._update("", _CLOSED, values, rest), lambda seen: not seen.is_open)

    def _report_as_probe(self, slots: Slots, sets: str, rest: str, pause: float | None = None) -> Schedule | None:
        """Report what the probe found, unless it took so long that another one is under way."""

        def write() -> Schedule:
            values: dict[str, int | str] = {":owner": slots.probe}
            if pause is not None:
                values |= {":until": self._time.now() + round(pause * MICRO), ":one": 1}
            return self._update(sets, "probeOwner = :owner", values, rest)

        return self._report(write, lambda seen: seen.probe_owner == slots.probe)

    def _report(self, write: Callable[[], Schedule], is_wanted: Callable[[Schedule], bool]) -> Schedule | None:
        """Write a report, again where the item was not as seen but still wants it; None where it does not."""
        if not self._time.joined:
            self._join(self._look())
        for _ in range(_MAX_RACES_LOST):
            self._heal()
            try:
                return write()
            except _ConditionError as error:
                if not is_wanted(error.schedule):
                    return None
        raise StorageError("the schedule is always taken")

    def _take_probe(self, now: int, owner: str) -> Schedule:
        due = "failures >= :threshold AND openUntil <= :now AND (attribute_not_exists(heldUntil) OR heldUntil <= :now)"
        # The SDK repeats a call whose answer was lost: then the probe is ours already.
        free = "(attribute_not_exists(probeUntil) OR probeUntil <= :now OR probeOwner = :owner)"
        until = now + round(PROBE_SECONDS * MICRO)
        values: dict[str, int | str] = {":now": now, ":threshold": FAILURES_TO_OPEN, ":until": until, ":owner": owner}
        return self._update("probeUntil = :until, probeOwner = :owner", f"{due} AND {free}", values)

    def _move_on(self, length: int, now: int, horizon: float, *, joined: bool) -> Schedule:
        values = {":now": now, ":threshold": FAILURES_TO_OPEN}
        if joined and self._seen.next_slot > now:
            busy = f"{_CLOSED} AND nextSlot > :now AND nextSlot <= :horizon"
            values |= {":length": length, ":horizon": now + round(horizon * MICRO)}
            return self._update("nextSlot = nextSlot + :length", busy, values)
        # A sender that does not know how its clock differs from those of others believes only a long silence.
        del values[":now"]
        quiet = now if joined else now - round(DIFFERENCE_SECONDS * MICRO) if self._time.can_judge else 0
        idle = f"{_CLOSED} AND (attribute_not_exists(nextSlot) OR nextSlot <= :quiet)"
        return self._update("nextSlot = :next", idle, {**values, ":quiet": quiet, ":next": now + length})

    def _join(self, seen: Schedule) -> None:
        """Go by the fleet's time from now on; where this clock is ahead of it, take the slots that are taken along."""
        for _ in range(_MAX_RACES_LOST):
            next_slot = seen.backlog_from(self._time.now())
            if next_slot == seen.next_slot:
                return
            try:
                self._update("nextSlot = :next", "stampedAt = :seen", {":next": next_slot, ":seen": seen.stamped_at})
            except _ConditionError as error:
                seen = error.schedule
            else:
                return

    def _heal(self, horizon: float = 0.0) -> bool:
        """Overwrite what no sender can have written by the rules; returns whether there was something."""
        seen, well = self._seen, self._believable(self._seen, horizon)
        if well == seen:
            return False
        names = {"nextSlot": "next_slot", "heldUntil": "held_until", "heldFrom": "held_from"}
        names |= {"openUntil": "open_until", "probeUntil": "probe_until"}
        changed = {name: getattr(well, own) for name, own in names.items() if getattr(well, own) != getattr(seen, own)}
        sets = ", ".join(f"{name} = :{name}" for name in changed)
        condition = "stampedAt = :seen" if seen.stamped_at else "(attribute_not_exists(stampedAt) OR stampedAt = :seen)"
        values = {f":{name}": value for name, value in changed.items()} | {":seen": seen.stamped_at}
        with contextlib.suppress(_ConditionError):
            self._update(sets, condition, values, any_stamp=True)
        return True

    def _believable(self, seen: Schedule, horizon: float = 0.0) -> Schedule:
        return seen.believable(self._time.now(), self._time.latest_believable, horizon, self._slot)

    def _refuse_wrong_clock(self) -> None:
        """Raise `ClockWrongError` where this clock is certainly wrong, by an answer that is no older than its jump."""
        if self._check.has_jumped or (self._check.is_wrong and self._check.is_outdated):
            self._look()
        if self._check.is_wrong:
            self._time.leave()
            self._telemetry.add(Metric.CLOCK_SKEW, abs(self._check.skew))
            raise ClockWrongError(_WRONG_CLOCK_SECONDS)

    def _look(self) -> Schedule:
        sent_at = self._clock.monotonic()
        try:
            answer = self._client.get_item(TableName=self._table, Key=_KEY, ConsistentRead=True)
        except (ClientError, BotoCoreError) as error:
            raise StorageError("the schedule could not be read") from error
        return self._met(answer, answer.get("Item", {}), sent_at)

    def _update(
        self,
        sets: str,
        condition: str,
        values: Mapping[str, int | str],
        rest: str = "",
        *,
        any_stamp: bool = False,
    ) -> Schedule:
        """Change and stamp the item, or raise `_ConditionError`; either way it has been seen as it is now."""
        now, sent_at = self._time.now(), self._clock.monotonic()
        values = {**values, ":stamp": now}
        if not any_stamp:
            condition += " AND (attribute_not_exists(stampedAt) OR stampedAt <= :latest)"
            values[":latest"] = now + TOLERANCE
        try:
            answer = self._client.update_item(
                TableName=self._table,
                Key=_KEY,
                UpdateExpression=f"SET {', '.join(filter(None, [sets, 'stampedAt = :stamp']))} {rest}".strip(),
                ConditionExpression=condition,
                ExpressionAttributeValues={
                    name: {"S": value} if isinstance(value, str) else {"N": str(value)}
                    for name, value in values.items()
                },
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as error:
            response = cast("Any", error.response)
            raise _ConditionError(self._met(response, response.get("Item", {}), sent_at)) from None
        except (ClientError, BotoCoreError) as error:
            raise StorageError("the schedule could not be written") from error
        return self._met(answer, answer["Attributes"], sent_at, own=True)

    def _met(self, answer: Any, item: Mapping[str, Any], sent_at: float, *, own: bool = False) -> Schedule:
        """Learn from an answer of DynamoDB's, and from the item in it."""
        self._check.observe_answer(answer, sent_at)
        seen = self._seen = _read(item)
        believed = seen.stamped_at <= self._time.latest_believable
        self._time.meet(seen.stamped_at if believed else 0, sent_at, own=own)
        return seen


class _ConditionError(Exception):
    """The item is not as an update wants it, but like this."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        self.schedule = schedule


def _read(item: Mapping[str, Any]) -> Schedule:
    def number(name: str) -> int:
        return int(item[name]["N"]) if name in item else 0

    def text(name: str) -> str:
        return str(item[name]["S"]) if name in item else ""

    return Schedule(
        next_slot=number("nextSlot"),
        held_until=number("heldUntil"),
        failures=number("failures"),
        open_until=number("openUntil"),
        probe_until=number("probeUntil"),
        stamped_at=number("stampedAt"),
        held_from=number("heldFrom"),
        holds=number("holdsInARow"),
        failed_by=text("failedBy"),
        probe_owner=text("probeOwner"),
    )
