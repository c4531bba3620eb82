"""The account's rate and the circuit breaker: one schedule for the whole fleet, in one item of the Coordination table.

The item holds the next free slot (GCRA, the virtual scheduling form of ITU-T I.371): who wants to send takes slots by
moving it on, and sends each message at its slot's time. A 429 moves it to the end of the wait that CXone asked for.
Consecutive failures open the circuit; then nobody gets a slot but, after a while, one probe.

Instants in the item are whole microseconds since 1970, so that a slot's length keeps its fractions.
"""

import contextlib
import random
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from botocore.exceptions import BotoCoreError, ClientError

from cxone_messaging.domain.errors import StorageError
from cxone_messaging.platform.clock import Clock
from cxone_messaging.platform.telemetry import Metric, Telemetry

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# Five failures in a row mean an outage; the documents ask for 5 to 10 s before the next try, and an outage that lasts
# is tried less and less often, since each probe is somebody's message.
FAILURES_TO_OPEN = 5
MIN_OPEN_SECONDS, MAX_FIRST_OPEN_SECONDS, MAX_OPEN_SECONDS = 5.0, 10.0, 60.0
# So many reach the longest pause; a thousand, after an outage of a day, would be no float any more.
_MOST_DOUBLINGS = 4
# A probe that says nothing for this long has died: longer than any send may take.
PROBE_SECONDS = 30.0
# The longest wait that a 429 may ask for: more is a mistake of the other side that must not stop us for good.
MAX_HOLD_SECONDS = 900.0
# How long all wait after a 429 that names no time: the window that CXone counts requests in.
THROTTLE_SECONDS = 1.0
# Who uses a slot this long after reserving it looks again first: others may have met a 429 or an outage meanwhile.
LOOK_AGAIN_SECONDS = 0.02
# Who comes this late to a slot would push into others' time: the slot is let go.
MISSED_SECONDS = 0.03
_MICRO = 1_000_000
_MAX_RACES_LOST = 50


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast the account may send, and how much of that to aim at: the rest absorbs jitter on the way."""

    requests_per_second: float
    utilisation: float

    @property
    def slot_seconds(self) -> float:
        """The time from one slot to the next."""
        return 1 / (self.requests_per_second * self.utilisation)


@dataclass(frozen=True, slots=True)
class Slots:
    """Consecutive slots, the first at `start` (Unix seconds).

    `failures` is how many there were in a row before; `probe` names the one probe that an open circuit lets through.
    """

    start: float
    count: int
    reserved_at: float
    failures: int
    probe: str = ""


class NoSlotError(Exception):
    """Nothing may be sent now; `retry_after` is in seconds."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(f"in {retry_after:.1f} s")
        self.retry_after = retry_after


class RateUsedUpError(NoSlotError):
    """All slots within the horizon are taken."""


class CircuitOpenError(NoSlotError):
    """CXone has failed too often in a row."""


class SlotMissedError(Exception):
    """The slot's time has passed; another one may be reserved."""


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
        self._slot = round(pace.slot_seconds * _MICRO)
        self._clock = clock
        self._telemetry = telemetry
        self._rng = rng
        self._seen = _Schedule()

    def reserve(self, count: int, horizon: float) -> Slots:
        """Take consecutive slots of which the first begins within `horizon` seconds. Raises `NoSlotError`.

        A probe is one slot, however many were asked for. It takes one write where this worker's view of the schedule
        is right, and one more for each time that it wasn't.
        """
        for _ in range(_MAX_RACES_LOST):
            now = self._now()
            probe = uuid.uuid4().hex if self._seen.may_probe(now) else ""
            update = self._take_probe(now, probe) if probe else self._move_on(count, now, horizon)
            try:
                taken = self._seen = self._update(update)
            except _ConditionError as error:
                self._seen = error.schedule
                error.schedule.refuse(now, horizon)
                continue
            start = now if probe else taken.next_slot - count * self._slot
            return Slots(start / _MICRO, 1 if probe else count, now / _MICRO, taken.failures, probe)
        raise StorageError("the schedule is always taken")

    def check(self, slots: Slots) -> None:
        """Look whether slots may still be used; free of charge for who uses them at once."""
        if slots.probe:
            return
        now = self._now()
        if now / _MICRO - slots.start > MISSED_SECONDS:
            raise SlotMissedError
        if now / _MICRO - slots.reserved_at < LOOK_AGAIN_SECONDS:
            return
        try:
            found = self._client.get_item(TableName=self._table, Key=_KEY, ConsistentRead=True)
        except (ClientError, BotoCoreError) as error:
            raise StorageError("the schedule could not be read") from error
        schedule = self._seen = _Schedule.read(found.get("Item", {}))
        schedule.refuse_use(self._now())

    def succeeded(self, slots: Slots) -> None:
        """Tell that CXone answered as it should; costs a write only after failures."""
        if slots.probe:
            self._tell_as_probe(slots, "REMOVE failures, openUntil, probeUntil, probeOwner", {})
        elif slots.failures:
            self._tell_while_closed("REMOVE failures, openUntil", {})

    def failed(self, slots: Slots) -> None:
        """Tell that CXone was unavailable or gave no clear answer."""
        doublings = min(_MOST_DOUBLINGS, max(0, slots.failures + 1 - FAILURES_TO_OPEN))
        pause = min(MAX_OPEN_SECONDS, self._rng.uniform(MIN_OPEN_SECONDS, MAX_FIRST_OPEN_SECONDS) * 2**doublings)
        # `openUntil` is written at each failure, but means something only once there are enough of them.
        values = {":until": self._now() + round(pause * _MICRO), ":one": 1}
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
        pause = THROTTLE_SECONDS if retry_after is None else min(retry_after, MAX_HOLD_SECONDS)
        until = self._now() + round(pause * _MICRO)
        held: dict[str, int | str] = {":until": until}
        try:
            self._seen = self._update(
                _Update(
                    "SET heldUntil = :until, nextSlot = :until",
                    "attribute_not_exists(nextSlot) OR nextSlot < :until",
                    held,
                )
            )
        except _ConditionError:
            # Slots are taken far beyond already: those within the wait are not used, the others may be.
            with contextlib.suppress(_ConditionError):
                self._update(
                    _Update("SET heldUntil = :until", "attribute_not_exists(heldUntil) OR heldUntil < :until", held)
                )

    def give_back(self, slots: Slots) -> None:
        """Tell that slots were not used; only a probe's turn matters, other slots just pass."""
        if slots.probe:
            self._tell_as_probe(slots, "REMOVE probeUntil, probeOwner", {})

    def _take_probe(self, now: int, owner: str) -> "_Update":
        return _Update(
            "SET probeUntil = :until, probeOwner = :owner",
            "failures >= :threshold AND openUntil <= :now AND (attribute_not_exists(heldUntil) OR heldUntil <= :now)"
            " AND (attribute_not_exists(probeUntil) OR probeUntil <= :now OR probeOwner = :owner)",
            {
                ":now": now,
                ":threshold": FAILURES_TO_OPEN,
                ":until": now + round(PROBE_SECONDS * _MICRO),
                ":owner": owner,
            },
        )

    def _move_on(self, count: int, now: int, horizon: float) -> "_Update":
        values: dict[str, int | str] = {":now": now, ":threshold": FAILURES_TO_OPEN}
        closed = "(attribute_not_exists(failures) OR failures < :threshold)"
        if self._seen.next_slot <= now:
            return _Update(
                "SET nextSlot = :next",
                f"{closed} AND (attribute_not_exists(nextSlot) OR nextSlot <= :now)",
                {**values, ":next": now + count * self._slot},
            )
        return _Update(
            "SET nextSlot = nextSlot + :slots",
            f"{closed} AND nextSlot > :now AND nextSlot <= :horizon",
            {**values, ":slots": count * self._slot, ":horizon": now + round(horizon * _MICRO)},
        )

    def _tell_while_closed(self, expression: str, values: Mapping[str, int | str]) -> "_Schedule | None":
        """Tell what a send met; once the circuit is open that means nothing any more, the probe decides."""
        closed = "(attribute_not_exists(failures) OR failures < :threshold)"
        return self._tell(_Update(expression, closed, {**values, ":threshold": FAILURES_TO_OPEN}))

    def _tell_as_probe(self, slots: Slots, expression: str, values: Mapping[str, int | str]) -> "_Schedule | None":
        """Tell what the probe met, unless it took so long that another one is under way."""
        return self._tell(_Update(expression, "probeOwner = :owner", {**values, ":owner": slots.probe}))

    def _tell(self, update: "_Update") -> "_Schedule | None":
        try:
            told = self._seen = self._update(update)
        except _ConditionError as error:
            self._seen = error.schedule
            return None
        return told

    def _update(self, update: "_Update") -> "_Schedule":
        options: dict[str, Any] = {}
        if update.condition:
            options["ConditionExpression"] = update.condition
        if update.values:
            options["ExpressionAttributeValues"] = {
                name: {"S": value} if isinstance(value, str) else {"N": str(value)}
                for name, value in update.values.items()
            }
        try:
            answer = self._client.update_item(
                TableName=self._table,
                Key=_KEY,
                UpdateExpression=update.expression,
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
                **options,
            )
        except self._client.exceptions.ConditionalCheckFailedException as error:
            old: Mapping[str, Any] = cast("Any", error.response).get("Item", {})
            raise _ConditionError(_Schedule.read(old)) from None
        except (ClientError, BotoCoreError) as error:
            raise StorageError("the schedule could not be written") from error
        return _Schedule.read(answer["Attributes"])

    def _now(self) -> int:
        return round(self._clock.now() * _MICRO)


_KEY = {"name": {"S": "schedule"}}


@dataclass(frozen=True, slots=True)
class _Schedule:
    """The item as it was seen last."""

    next_slot: int = 0
    held_until: int = 0
    failures: int = 0
    open_until: int = 0
    probe_until: int = 0

    @classmethod
    def read(cls, item: Mapping[str, Any]) -> "_Schedule":
        names = ("nextSlot", "heldUntil", "failures", "openUntil", "probeUntil")
        return cls(*(int(item[name]["N"]) if name in item else 0 for name in names))

    @property
    def is_open(self) -> bool:
        return self.failures >= FAILURES_TO_OPEN

    def may_probe(self, now: int) -> bool:
        return self.is_open and self._closed_until <= now

    @property
    def _closed_until(self) -> int:
        return max(self.open_until, self.probe_until, self.held_until)

    def refuse(self, now: int, horizon: float) -> None:
        """Raise where this schedule, and not just an outdated view of it, has no slot."""
        if self.is_open and not self.may_probe(now):
            raise CircuitOpenError((self._closed_until - now) / _MICRO)
        wait = (self.next_slot - now) / _MICRO
        if wait > horizon:
            raise RateUsedUpError(wait - horizon)

    def refuse_use(self, now: int) -> None:
        """Raise where slots taken earlier are void."""
        if self.is_open:
            raise CircuitOpenError(max(0.0, (self._closed_until - now) / _MICRO))
        if self.held_until > now:
            raise RateUsedUpError((self.held_until - now) / _MICRO)


@dataclass(frozen=True, slots=True)
class _Update:
    expression: str
    condition: str | None
    values: Mapping[str, int | str]


class _ConditionError(Exception):
    def __init__(self, schedule: _Schedule) -> None:
        super().__init__()
        self.schedule = schedule
