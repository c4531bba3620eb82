"""The account's schedule, kept for the whole fleet in one item of the Coordination table.

The item's conditions say in DynamoDB's words what `domain/schedule.py` says in Python: whoever has seen the item as it
is needs one write, whoever hasn't is told by the failed condition how it is.
"""

import contextlib
import random
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, cast

from botocore.exceptions import BotoCoreError, ClientError

from cxone_messaging.domain.errors import StorageError
from cxone_messaging.domain.schedule import (
    FAILURES_TO_OPEN,
    MAX_FIRST_OPEN_SECONDS,
    MICRO,
    MIN_OPEN_SECONDS,
    PROBE_SECONDS,
    Pace,
    Schedule,
    SlotMissedError,
    Slots,
    hold_seconds,
    open_seconds,
)
from cxone_messaging.platform.clock import Clock
from cxone_messaging.platform.telemetry import Metric, Telemetry

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_KEY = {"name": {"S": "schedule"}}
_CLOSED = "(attribute_not_exists(failures) OR failures < :threshold)"
_MAX_RACES_LOST = 50


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

    def throttled(self, retry_after: float | None) -> None:
        """Tell that CXone wants everybody to wait."""
        ...

    def give_back(self, slots: Slots) -> None:
        """Tell that slots were not used after all."""
        ...


class DynamoGovernor:
    """The schedule as one item in DynamoDB."""

    def __init__(
        self,
        *,
        client: "DynamoDBClient",
        table: str,
        pace: Pace,
        clock: Clock,
        telemetry: Telemetry,
        rng: random.Random,
    ) -> None:
        self._client = client
        self._table = table
        self._slot = round(pace.slot_seconds * MICRO)
        self._clock = clock
        self._telemetry = telemetry
        self._rng = rng
        self._seen = Schedule()

    def reserve(self, count: int, horizon: float) -> Slots:
        """Take consecutive slots of which the first begins within `horizon` seconds. Raises `NoSlotError`.

        A probe is one slot, however many were asked for. It takes one write where this worker's view of the schedule
        is right, and one more for each time that it wasn't.
        """
        for _ in range(_MAX_RACES_LOST):
            now = self._now()
            probe = uuid.uuid4().hex if self._seen.may_probe(now) else ""
            try:
                taken = self._take_probe(now, probe) if probe else self._move_on(count, now, horizon)
            except _ConditionError as error:
                error.schedule.refuse_reserving(now, horizon)
                continue
            start = now if probe else taken.next_slot - count * self._slot
            return Slots(start / MICRO, 1 if probe else count, now / MICRO, taken.failures, probe)
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
        try:
            found = self._client.get_item(TableName=self._table, Key=_KEY, ConsistentRead=True)
        except (ClientError, BotoCoreError) as error:
            raise StorageError("the schedule could not be read") from error
        seen = self._seen = _read(found.get("Item", {}))
        seen.refuse_using(self._now())

    def succeeded(self, slots: Slots) -> None:
        """Tell that CXone answered as it should; costs a write only after failures."""
        if slots.probe:
            self._tell_as_probe(slots, "REMOVE failures, openUntil, probeUntil, probeOwner", {})
        elif slots.failures:
            self._tell_while_closed("REMOVE failures, openUntil", {})

    def failed(self, slots: Slots) -> None:
        """Tell that CXone was unavailable or gave no clear answer."""
        pause = open_seconds(slots.failures + 1, self._rng.uniform(MIN_OPEN_SECONDS, MAX_FIRST_OPEN_SECONDS))
        # `openUntil` is written at each failure, but means something only once there are enough of them.
        values = {":until": self._now() + round(pause * MICRO), ":one": 1}
        if slots.probe:
            again = "SET openUntil = :until REMOVE probeUntil, probeOwner ADD failures :one"
            if self._tell_as_probe(slots, again, values):
                self._telemetry.add(Metric.PROBES_FAILED)
            return
        told = self._tell_while_closed("SET openUntil = :until ADD failures :one", values)
        if told and told.failures == FAILURES_TO_OPEN:
            self._telemetry.add(Metric.CIRCUIT_OPENED)

    def throttled(self, retry_after: float | None) -> None:
        """Tell that CXone wants everybody to wait: no new slot begins before, and none taken already is used."""
        until = {":until": self._now() + round(hold_seconds(retry_after) * MICRO)}
        try:
            moved = "attribute_not_exists(nextSlot) OR nextSlot < :until"
            self._update("SET heldUntil = :until, nextSlot = :until", moved, until)
        except _ConditionError:
            # Slots are taken far beyond already: those within the wait are not used, the others may be.
            with contextlib.suppress(_ConditionError):
                held = "attribute_not_exists(heldUntil) OR heldUntil < :until"
                self._update("SET heldUntil = :until", held, until)

    def give_back(self, slots: Slots) -> None:
        """Tell that slots were not used; only a probe's turn matters, other slots just pass."""
        if slots.probe:
            self._tell_as_probe(slots, "REMOVE probeUntil, probeOwner", {})

    def _take_probe(self, now: int, owner: str) -> Schedule:
        due = "failures >= :threshold AND openUntil <= :now AND (attribute_not_exists(heldUntil) OR heldUntil <= :now)"
        # The SDK repeats a call whose answer was lost: then the probe is ours already.
        free = "(attribute_not_exists(probeUntil) OR probeUntil <= :now OR probeOwner = :owner)"
        until = now + round(PROBE_SECONDS * MICRO)
        values: dict[str, int | str] = {":now": now, ":threshold": FAILURES_TO_OPEN, ":until": until, ":owner": owner}
        return self._update("SET probeUntil = :until, probeOwner = :owner", f"{due} AND {free}", values)

    def _move_on(self, count: int, now: int, horizon: float) -> Schedule:
        values = {":now": now, ":threshold": FAILURES_TO_OPEN}
        if self._seen.next_slot <= now:
            idle = f"{_CLOSED} AND (attribute_not_exists(nextSlot) OR nextSlot <= :now)"
            return self._update("SET nextSlot = :next", idle, {**values, ":next": now + count * self._slot})
        busy = f"{_CLOSED} AND nextSlot > :now AND nextSlot <= :horizon"
        values |= {":slots": count * self._slot, ":horizon": now + round(horizon * MICRO)}
        return self._update("SET nextSlot = nextSlot + :slots", busy, values)

    def _tell_while_closed(self, expression: str, values: Mapping[str, int]) -> Schedule | None:
        """Tell what a send met; once the circuit is open that means nothing any more, the probe decides."""
        return self._tell(expression, _CLOSED, {**values, ":threshold": FAILURES_TO_OPEN})

    def _tell_as_probe(self, slots: Slots, expression: str, values: Mapping[str, int]) -> Schedule | None:
        """Tell what the probe met, unless it took so long that another one is under way."""
        return self._tell(expression, "probeOwner = :owner", {**values, ":owner": slots.probe})

    def _tell(self, expression: str, condition: str, values: Mapping[str, int | str]) -> Schedule | None:
        try:
            return self._update(expression, condition, values)
        except _ConditionError:
            return None

    def _update(self, expression: str, condition: str, values: Mapping[str, int | str]) -> Schedule:
        """Change the item, or raise `_ConditionError`; either way it has been seen as it is now."""
        try:
            answer = self._client.update_item(
                TableName=self._table,
                Key=_KEY,
                UpdateExpression=expression,
                ConditionExpression=condition,
                ExpressionAttributeValues={
                    name: {"S": value} if isinstance(value, str) else {"N": str(value)}
                    for name, value in values.items()
                },
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as error:
            seen = self._seen = _read(cast("Any", error.response).get("Item", {}))
            raise _ConditionError(seen) from None
        except (ClientError, BotoCoreError) as error:
            raise StorageError("the schedule could not be written") from error
        seen = self._seen = _read(answer["Attributes"])
        return seen

    def _now(self) -> int:
        return round(self._clock.now() * MICRO)


class _ConditionError(Exception):
    """The item is not as an update wants it, but like this."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        self.schedule = schedule


def _read(item: Mapping[str, Any]) -> Schedule:
    names = ("nextSlot", "heldUntil", "failures", "openUntil", "probeUntil")
    return Schedule(*(int(item[name]["N"]) if name in item else 0 for name in names))
