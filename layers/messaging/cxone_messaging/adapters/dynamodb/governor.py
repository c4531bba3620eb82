"""The account's schedule, kept for the whole fleet in one item of the Coordination table.

The conditions of its writes state the rules of `domain/schedule.py` in DynamoDB's language. A sender that has seen the
current item needs one write. Any other sender gets the current item from the failed condition.

Every write contains its writer's time, and all senders follow one time (`fleet_clock.py`). So no sender's clock decides
for the other senders.
"""

import random
import uuid
from typing import TYPE_CHECKING, Protocol

from cxone_messaging.adapters.dynamodb.fleet_clock import TOLERANCE
from cxone_messaging.adapters.dynamodb.schedule_item import ACCOUNT, ConditionError, ScheduleItem
from cxone_messaging.adapters.dynamodb.schedule_reports import CLOSED, MAX_RACES_LOST, ScheduleReports, of_version
from cxone_messaging.domain.errors import StorageError
from cxone_messaging.domain.pace import MICRO, AccountRate, Pace, PaceLaw
from cxone_messaging.domain.schedule import (
    DIFFERENCE_SECONDS,
    FAILURES_TO_OPEN,
    PROBE_SECONDS,
    ClockUnsureError,
    ClockWrongError,
    RateUsedUpError,
    Schedule,
    SlotMissedError,
    Slots,
)
from cxone_messaging.platform.clock import Clock
from cxone_messaging.platform.clock_skew import ClockCheck
from cxone_messaging.platform.telemetry import Metric, Telemetry

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_NOT_STOPPED = "(attribute_not_exists(ceiling) OR ceiling > :zero)"
# If clocks are known to differ, a chunk leaves this much room for messages that other senders may send in its time.
_ROOM_PERCENT = 110
# A sender whose clock is wrong leaves its messages to other senders for this many seconds.
_WRONG_CLOCK_SECONDS = 5.0


class Governor(Protocol):
    """The account's schedule: it assigns each message a slot, and holds all senders back after a 429."""

    def reserve(self, count: int, horizon: float) -> Slots:
        """Return up to `count` consecutive slots: the first begins within `horizon` seconds, and they last no longer.

        Raises `NoSlotError`.
        """
        ...

    def refuse_held(self) -> None:
        """Raise `RateUsedUpError` if this process knows of a hold that is not over; no call is made."""
        ...

    def refuse_closed(self) -> None:
        """Raise `NoSlotError` if no slot may be used at this moment."""
        ...

    def check(self, slots: Slots) -> None:
        """Check after the wait that slots may still be used.

        Raises `NoSlotError` and `SlotMissedError`.
        """
        ...

    def succeeded(self, slots: Slots) -> None:
        """Report that CXone answered properly, whatever the answer."""
        ...

    def failed(self, slots: Slots) -> None:
        """Report that CXone was unavailable or sent no clear answer."""
        ...

    def throttled(self, retry_after: float | None, slots: Slots) -> None:
        """Report a 429, with CXone's `retry_after` in seconds and the slots of the refused message."""
        ...

    def release(self, slots: Slots) -> None:
        """Report that slots were not used."""
        ...


class DynamoGovernor:
    """The schedule as one item in DynamoDB, of the account or of one sender by `name`.

    One `check` in a process collects all readings of DynamoDB's time.
    """

    def __init__(
        self,
        *,
        client: "DynamoDBClient",
        table: str,
        rate: AccountRate,
        clock: Clock,
        telemetry: Telemetry,
        rng: random.Random,
        check: ClockCheck | None = None,
        name: str = ACCOUNT,
    ) -> None:
        self._law = PaceLaw(rate)
        self._clock = clock
        self._telemetry = telemetry
        self._check = check or ClockCheck(clock)
        self._item = ScheduleItem(client, table, name=name, law=self._law, clock=clock, check=self._check)
        self._reports = ScheduleReports(self._item, self._law, telemetry, rng)

    def reserve(self, count: int, horizon: float) -> Slots:
        """Return up to `count` consecutive slots: the first begins within `horizon` seconds, and they last no longer.

        Raises `NoSlotError`. A probe is one slot, whatever the `count`. This takes one write if this sender's view of
        the schedule is current, and one more each time that it is not. A sender whose clock is wrong gets
        `ClockWrongError`.
        """
        for _ in range(MAX_RACES_LOST):
            self._refuse_wrong_clock()
            requested_at = self._clock.now()
            joined, now = self._item.time.joined, self._item.time.now()
            if joined and self._item.repair(horizon):
                continue
            known = self._item.seen.pace  # the slots are this long; whatever is learnt meanwhile, the write is refused
            pace = self._pace_at(known, now)
            if not pace:
                continue
            number, slot = max(1, min(count, int(horizon * pace))), round(MICRO / pace)
            is_long = number * slot > 2 * TOLERANCE
            if joined and is_long:
                self._read_until_sure(now)
                now = self._item.time.now()
            probe, length = "", number * slot
            if self._item.seen.clocks_differ:
                length = length * _ROOM_PERCENT // 100
            try:
                if joined and self._item.seen.may_probe(now):
                    probe = uuid.uuid4().hex
                    taken = self._take_probe(now, probe)
                else:
                    taken = self._move_on(length, now, horizon, known=known, joined=joined, is_one=count == 1)
            except ConditionError as error:
                self._learn(error.schedule, now, horizon, may_join=not joined, is_long=is_long)
                continue
            start = now if probe else taken.next_slot - length
            # If the answer itself corrected this sender's time, the start may lie before the request.
            begins = max(self._item.time.to_local(start), requested_at)
            count = 1 if probe else number
            slots = Slots(begins, count, requested_at, taken.failures, probe, slot / MICRO, taken.pace.version)
            if self._check.is_wrong:  # as this answer shows
                self.release(slots)
                self._refuse_wrong_clock()
            self._report_pace(now)
            return slots
        raise StorageError("the schedule was changed by other senders at each try")

    def _learn(self, found: Schedule, now: int, horizon: float, *, may_join: bool, is_long: bool) -> None:
        """Learn from the schedule that a failed write found. Raises `NoSlotError` if that has no slot to give."""
        self._refuse_wrong_clock()
        if may_join and not (is_long and found.next_slot > now - MICRO):
            self._item.join(found)
        if not self._item.repair(horizon):
            self._item.seen.refuse_reserving(self._item.time.now(), horizon)

    def _pace_at(self, known: Pace, now: int) -> float:
        """Return the pace as this sender knows it. Raises `SendingStoppedError`; 0 if that has just ended."""
        pace = self._law.at(known, now)
        if not pace:
            self._item.read().refuse_using(now)
        return pace

    def _report_pace(self, now: int) -> None:
        seen = self._item.seen.pace
        present = self._law.at(seen, now)
        self._telemetry.add(Metric.PACE, present)
        self._telemetry.add(Metric.PACE_SHARE, self._law.share(seen, present))

    def refuse_held(self) -> None:
        """Raise `RateUsedUpError` if this process knows of a hold that is not over; no call is made."""
        left = self._item.seen.held_until - self._item.time.now()
        if left > 0:
            raise RateUsedUpError(left / MICRO)

    def refuse_closed(self) -> None:
        """Raise `NoSlotError` if no slot may be used at this moment; this takes one read."""
        seen = self._item.read()
        self._refuse_wrong_clock()
        self._item.plausible(seen).refuse_using(self._item.time.now())

    def check(self, slots: Slots) -> None:
        """Check that slots may still be used; no call is made if they were reserved just now."""
        if slots.probe:
            return
        now = self._clock.now()
        if slots.is_missed(now):
            raise SlotMissedError
        if slots.is_fresh(now):
            return
        self.refuse_closed()

    def succeeded(self, slots: Slots) -> None:
        """Report that CXone answered properly; this takes a write only after failures."""
        self._reports.succeeded(slots)

    def failed(self, slots: Slots) -> None:
        """Report that CXone was unavailable or sent no clear answer."""
        self._reports.failed(slots)

    def throttled(self, retry_after: float | None, slots: Slots) -> None:
        """Report a 429: no new slot begins before its wait is over, and the pace is lowered."""
        self._reports.throttled(retry_after, slots)

    def release(self, slots: Slots) -> None:
        """Report that slots were not used."""
        self._reports.release(slots)

    def _read_until_sure(self, now: int) -> None:
        """Make a sender that joins the fleet read the schedule more often before it takes a chunk of slots.

        The stamps that it finds are no older than its last read. So it soon knows how the other senders' clocks differ
        from its own. Raises `ClockUnsureError`.
        """
        if self._item.time.is_unsure and self._item.seen.next_slot > now - MICRO:
            self._item.read()
            if self._item.time.is_unsure:
                raise ClockUnsureError(self._item.time.seconds_to_next_read)

    def _take_probe(self, now: int, owner: str) -> Schedule:
        due = "failures >= :threshold AND openUntil <= :now AND (attribute_not_exists(heldUntil) OR heldUntil <= :now)"
        # The SDK repeats a call whose answer was lost: then this sender already has the probe.
        free = "(attribute_not_exists(probeUntil) OR probeUntil <= :now OR probeOwner = :owner)"
        until = now + round(PROBE_SECONDS * MICRO)
        values: dict[str, int | str] = {":now": now, ":threshold": FAILURES_TO_OPEN, ":until": until, ":owner": owner}
        condition = f"{due} AND {free} AND {_NOT_STOPPED}"
        return self._item.update("probeUntil = :until, probeOwner = :owner", condition, {**values, ":zero": 0})

    def _move_on(self, length: int, now: int, horizon: float, *, known: Pace, joined: bool, is_one: bool) -> Schedule:
        seen = self._item.seen
        values = {":threshold": FAILURES_TO_OPEN}
        if is_one and not seen.stamped_at:
            # A process's first message needs no more calls than others. One slot too short does no harm.
            condition, began = f"{CLOSED} AND {_NOT_STOPPED}", ""
            values |= {":zero": 0}
        else:
            # The slots are as long as the pace requires only if the pace is still the one that this sender knows.
            version, its_values = of_version(known.version)
            condition = f"{CLOSED} AND {version}"
            began = "" if known.since else ", paceAt = :began"
            values |= its_values | ({} if known.since else {":began": now})
        if joined and seen.next_slot > now:
            condition += " AND nextSlot > :now AND nextSlot <= :horizon"
            values |= {":now": now, ":length": length, ":horizon": now + round(horizon * MICRO)}
            return self._item.update(f"nextSlot = nextSlot + :length{began}", condition, values)
        # A sender that does not know how its clock differs from the other senders' trusts only a long silence.
        quiet = now if joined else now - round(DIFFERENCE_SECONDS * MICRO) if self._item.time.knows_server_time else 0
        condition += " AND (attribute_not_exists(nextSlot) OR nextSlot <= :quiet)"
        return self._item.update(
            f"nextSlot = :next{began}", condition, {**values, ":quiet": quiet, ":next": now + length}
        )

    def _refuse_wrong_clock(self) -> None:
        """Raise `ClockWrongError` if this clock is certainly wrong, by an answer no older than its last jump."""
        if self._check.has_jumped or (self._check.is_wrong and self._check.is_outdated):
            self._item.read()
        if self._check.is_wrong:
            self._item.time.forget()
            self._telemetry.add(Metric.CLOCK_SKEW, abs(self._check.skew))
            raise ClockWrongError(_WRONG_CLOCK_SECONDS)
