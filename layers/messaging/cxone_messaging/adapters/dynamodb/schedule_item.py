"""The item of the Coordination table that holds the schedule.

All senders read and write it by one time.
"""

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import BotoCoreError, ClientError

from cxone_messaging.adapters.dynamodb.fleet_clock import TOLERANCE, FleetClock
from cxone_messaging.domain.errors import StorageError
from cxone_messaging.domain.pace import MICRO, Pace, PaceLaw
from cxone_messaging.domain.schedule import Schedule
from cxone_messaging.platform.clock import Clock
from cxone_messaging.platform.clock_skew import ClockCheck

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

ACCOUNT = "schedule"
_MAX_RACES_LOST = 50


class ConditionError(Exception):
    """An update's condition failed; `schedule` is the current item."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        self.schedule = schedule


class ScheduleItem:
    """The schedule's item, of the account or of one sender by `name`.

    `seen` is its last known state. `law` determines how long a slot is.
    """

    def __init__(
        self, client: "DynamoDBClient", table: str, *, name: str, law: PaceLaw, clock: Clock, check: ClockCheck
    ) -> None:
        self._client = client
        self._table = table
        self._key: Any = {"name": {"S": name}}
        self._law = law
        self._clock = clock
        self._check = check
        self.time = FleetClock(clock, check)
        self.seen = Schedule()

    def read(self) -> Schedule:
        """Return the current item. Raises `StorageError`."""
        requested_at = self._clock.monotonic()
        try:
            answer = self._client.get_item(TableName=self._table, Key=self._key, ConsistentRead=True)
        except (ClientError, BotoCoreError) as error:
            raise StorageError("the schedule could not be read") from error
        return self._observe(answer, answer.get("Item", {}), requested_at)

    def update(
        self,
        sets: str,
        condition: str,
        values: Mapping[str, int | str],
        rest: str = "",
        *,
        any_stamp: bool = False,
    ) -> Schedule:
        """Change and stamp the item, or raise `ConditionError`; either way `seen` becomes the current item."""
        now, lead, requested_at = self.time.now(), self.time.lead, self._clock.monotonic()
        values = {**values, ":stamp": now}
        stamps = [sets] if sets else []
        stamps.append("stampedAt = :stamp")
        if self.time.found_difference and not self.seen.clocks_differ:
            stamps.append("differedAt = :stamp")
        if not any_stamp:
            condition += " AND (attribute_not_exists(stampedAt) OR stampedAt <= :latest)"
            values[":latest"] = now + TOLERANCE
        try:
            answer = self._client.update_item(
                TableName=self._table,
                Key=self._key,
                UpdateExpression=f"SET {', '.join(stamps)} {rest}".strip(),
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
            raise ConditionError(self._observe(response, response.get("Item", {}), requested_at)) from None
        except (ClientError, BotoCoreError) as error:
            raise StorageError("the schedule could not be written") from error
        self.time.found_difference = False
        return self._observe(answer, answer["Attributes"], requested_at, own_lead=lead)

    def join(self, seen: Schedule) -> None:
        """Follow the fleet's time from now on.

        If this clock is ahead of it, move the taken slots ahead too.
        """
        for _ in range(_MAX_RACES_LOST):
            in_doubt = seen.clocks_differ or abs(self._check.skew) > TOLERANCE / MICRO
            next_slot = seen.backlog_from(self.time.now(), in_doubt=in_doubt)
            if next_slot == seen.next_slot:
                return
            try:
                self.update("nextSlot = :next", "stampedAt = :seen", {":next": next_slot, ":seen": seen.stamped_at})
            except ConditionError as error:
                seen = error.schedule
            else:
                return

    def repair(self, horizon: float = 0.0) -> bool:
        """Overwrite instants that no sender can have written by the rules; return whether any existed."""
        seen, repaired = self.seen, self.plausible(self.seen, horizon)
        if repaired == seen:
            return False
        names = {"nextSlot": "next_slot", "heldUntil": "held_until", "heldFrom": "held_from"}
        names |= {"openUntil": "open_until", "probeUntil": "probe_until"}
        changed = {
            name: getattr(repaired, own) for name, own in names.items() if getattr(repaired, own) != getattr(seen, own)
        }
        if repaired.pace != seen.pace:
            changed["paceAt"] = repaired.pace.since
        sets = ", ".join(f"{name} = :{name}" for name in changed)
        condition = "stampedAt = :seen" if seen.stamped_at else "(attribute_not_exists(stampedAt) OR stampedAt = :seen)"
        values = {f":{name}": value for name, value in changed.items()} | {":seen": seen.stamped_at}
        with contextlib.suppress(ConditionError):
            self.update(sets, condition, values, any_stamp=True)
        return True

    def plausible(self, seen: Schedule, horizon: float = 0.0) -> Schedule:
        """Return a schedule without instants that no sender can have written by the rules."""
        now = self.time.now()
        pace = self._law.at(seen.pace, now)
        return seen.plausible(now, self.time.latest_plausible, horizon, round(MICRO / pace) if pace else 0)

    def _observe(
        self, answer: Any, item: Mapping[str, Any], requested_at: float, *, own_lead: float | None = None
    ) -> Schedule:
        """Return the schedule in an answer of DynamoDB's.

        Learn the server's and the fleet's time from both.
        """
        self._check.observe_answer(answer, requested_at)
        seen = self.seen = schedule_of(item)
        stamp = seen.stamped_at if seen.stamped_at <= self.time.latest_plausible else 0
        self.time.observe(stamp, requested_at, own_lead=own_lead, in_doubt=seen.clocks_differ)
        return seen


def schedule_of(item: Mapping[str, Any]) -> Schedule:
    """Return the schedule that an item holds."""

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
        differed_at=number("differedAt"),
        pace=Pace(
            lowered_to=number("pace"),
            refused=number("refusedPace"),
            since=number("paceAt"),
            version=number("paceVersion"),
            ceiling=number("ceiling") if "ceiling" in item else None,
            ceiling_entry=number("ceilingEntry"),
        ),
    )
