"""The account's schedule, kept for the whole fleet in one item of the Coordination table.

The conditions of its writes state the rules of `domain/schedule.py` in DynamoDB's language. A sender that has seen the
current item needs one write. Any other sender gets the current item from the failed condition.

Every write contains its writer's time, and all senders follow one time (`fleet_clock.py`). So no sender's clock decides
for the other senders.
"""

import random
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from cxone_messaging.adapters.dynamodb.fleet_clock import TOLERANCE
from cxone_messaging.adapters.dynamodb.schedule_item import ConditionError, ScheduleItem
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
    RateUsedUpError,
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

_CLOSED = "(attribute_not_exists(failures) OR failures < :threshold)"
_MAX_RACES_LOST = 50
# If clocks are known to differ, a chunk leaves this much room for messages that other senders may send in its time.
_ROOM_PERCENT = 110
# A sender whose clock is wrong leaves its messages to other senders for this many seconds.
_WRONG_CLOCK_SECONDS = 5.0


class Governor(Protocol):
    """The account's schedule: it assigns each message a slot, and holds all senders back after a 429."""

    @property
    def slot_seconds(self) -> float:
        """The seconds between two slots."""
        ...

    def reserve(self, count: int, horizon: float) -> Slots:
        """Return `count` consecutive slots; the first begins within `horizon` seconds.

        Raises `NoSlotError`.
        """
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

    def throttled(self, retry_after: float | None, slots: Slots | None = None) -> None:
        """Report a 429, with CXone's `retry_after` in seconds and the slots of the refused message."""
        ...

    def release(self, slots: Slots) -> None:
        """Report that slots were not used."""
        ...


class DynamoGovernor:
    """The schedule as one item in DynamoDB.

    One `check` in a process collects all readings of DynamoDB's time.
    """

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
        self.slot_seconds = pace.slot_seconds
        self._slot = round(pace.slot_seconds * MICRO)
        self._clock = clock
        self._telemetry = telemetry
        self._rng = rng
        self._check = check or ClockCheck(clock)
        self._item = ScheduleItem(client, table, self._slot, clock, self._check)

    def reserve(self, count: int, horizon: float) -> Slots:
        """Return `count` consecutive slots; the first begins within `horizon` seconds.

        Raises `NoSlotError`. A probe is one slot, whatever the `count`. This takes one write if this sender's view of
        the schedule is current, and one more each time that it is not. A sender whose clock is wrong gets
        `ClockWrongError`.
        """
        is_long = count * self._slot > 2 * TOLERANCE
        for _ in range(_MAX_RACES_LOST):
            self._refuse_wrong_clock()
            requested_at = self._clock.now()
            joined, now = self._item.time.joined, self._item.time.now()
            if joined and self._item.repair(horizon):
                continue
            if joined and is_long:
                self._read_until_sure(now)
                now = self._item.time.now()
            probe, length = "", count * self._slot
            if self._item.seen.clocks_differ:
                length = length * _ROOM_PERCENT // 100
            try:
                if joined and self._item.seen.may_probe(now):
                    probe = uuid.uuid4().hex
                    taken = self._take_probe(now, probe)
                else:
                    taken = self._move_on(length, now, horizon, joined=joined)
            except ConditionError as error:
                self._refuse_wrong_clock()
                if not joined and not (is_long and error.schedule.next_slot > now - MICRO):
                    self._item.join(error.schedule)
                if not self._item.repair(horizon):
                    self._item.seen.refuse_reserving(self._item.time.now(), horizon)
                continue
            start = now if probe else taken.next_slot - length
            # If the answer itself corrected this sender's time, the start may lie before the request.
            begins = max(self._item.time.to_local(start), requested_at)
            slots = Slots(begins, 1 if probe else count, requested_at, taken.failures, probe, taken.holds)
            if self._check.is_wrong:  # as this answer shows
                self.release(slots)
                self._refuse_wrong_clock()
            return slots
        raise StorageError("the schedule was changed by other senders at each try")

    def check(self, slots: Slots) -> None:
        """Check that slots may still be used; no call is made if they were reserved just now."""
        if slots.probe:
            return
        now = self._clock.now()
        if slots.is_missed(now):
            raise SlotMissedError
        if slots.is_fresh(now):
            return
        seen = self._item.read()
        self._refuse_wrong_clock()
        self._item.plausible(seen).refuse_using(self._item.time.now())

    def succeeded(self, slots: Slots) -> None:
        """Report that CXone answered properly; this takes a write only after failures and 429s."""
        self._answered(slots, ", holdsInARow" if slots.holds and self._item.seen.holds else "")

    def failed(self, slots: Slots) -> None:
        """Report that CXone was unavailable or sent no clear answer.

        It counts once, even if the SDK retries.
        """
        pause = open_seconds(slots.failures + 1, self._rng.uniform(MIN_OPEN_SECONDS, MAX_FIRST_OPEN_SECONDS))
        if slots.probe:
            if self._report_as_probe(
                slots, "openUntil = :until", "REMOVE probeUntil, probeOwner ADD failures :one", pause
            ):
                self._telemetry.add(Metric.CIRCUIT_OPENED)
            return
        report = uuid.uuid4().hex[:8]

        def count() -> Schedule:
            # `openUntil` is written at each failure, but takes effect only after enough failures.
            before = 0 if self._item.seen.is_open else self._item.seen.failures
            earlier = self._item.seen.failed_by.split()[1 - FAILURES_TO_OPEN :]
            return self._item.update(
                "openUntil = :until, failedBy = :reports",
                "failures = :before" if before else "(attribute_not_exists(failures) OR failures = :before)",
                {
                    ":until": self._item.time.now() + round(pause * MICRO),
                    ":reports": " ".join([*earlier, report]),
                    ":before": before,
                    ":one": 1,
                },
                "ADD failures :one",
            )

        counted = self._report(count, lambda seen: not seen.is_open and report not in seen.failed_by.split())
        if counted is None and self._item.seen.failed_by.endswith(report):
            counted = self._item.seen
        if counted and counted.failures == FAILURES_TO_OPEN:
            self._telemetry.add(Metric.CIRCUIT_OPENED)

    def throttled(self, retry_after: float | None, slots: Slots | None = None) -> None:
        """Report a 429: no new slot begins before its wait is over, and no reserved slot is used.

        With the `slots` of the refused message, the 429 also counts as an answer, so the caller need not report that.
        Then 429s in a row hold for longer and longer. A request that was under way when the last hold was written holds
        no longer than its own 429 requires, and never past the longest wait from that hold on.
        """
        if slots:
            self._answered(slots)

        def hold() -> Schedule:
            seen, now = self._item.seen, self._item.time.now()
            under_way = slots is not None and self._item.time.to_fleet(slots.start) < seen.held_from
            if under_way:
                seconds = min(retry_after or 0.0, MAX_HOLD_SECONDS)
            else:
                seconds = hold_seconds(retry_after, seen.holds if slots else 0)
            until = now + round(seconds * MICRO)
            if under_way:
                until = min(until, seen.held_from + round(MAX_HOLD_SECONDS * MICRO))
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
            return self._item.update(", ".join(changes), condition, values)

        self._report(hold, lambda _: True)

    def release(self, slots: Slots) -> None:
        """Report that slots were not used.

        This frees a probe, and unused slots of other kinds just pass.
        """
        if slots.probe:
            self._report_as_probe(slots, "", "REMOVE probeUntil, probeOwner")

    def _answered(self, slots: Slots, also: str = "") -> None:
        if slots.probe:
            self._report_as_probe(slots, "", f"REMOVE failures, openUntil, failedBy, probeUntil, probeOwner{also}")
        elif slots.failures or also:
            # Once the circuit is open, this answer has no effect: the probe decides.
            values = {":threshold": FAILURES_TO_OPEN}
            rest = f"REMOVE failures, openUntil, failedBy{also}"
            self._report(lambda: self._item.update("", _CLOSED, values, rest), lambda seen: not seen.is_open)

    def _report_as_probe(self, slots: Slots, sets: str, rest: str, pause: float | None = None) -> Schedule | None:
        """Report the probe's result, unless it took so long that another probe is under way."""

        def write() -> Schedule:
            values: dict[str, int | str] = {":owner": slots.probe}
            if pause is not None:
                values |= {":until": self._item.time.now() + round(pause * MICRO), ":one": 1}
            return self._item.update(sets, "probeOwner = :owner", values, rest)

        return self._report(write, lambda seen: seen.probe_owner == slots.probe)

    def _report(self, write: Callable[[], Schedule], still_applies: Callable[[Schedule], bool]) -> Schedule | None:
        """Write a report; retry while the item has changed but `still_applies`.

        Return None if it does not.
        """
        if not self._item.time.joined:
            self._item.join(self._item.read())
        for _ in range(_MAX_RACES_LOST):
            self._item.repair()
            try:
                return write()
            except ConditionError as error:
                if not still_applies(error.schedule):
                    return None
        raise StorageError("the schedule was changed by other senders at each try")

    def _read_until_sure(self, now: int) -> None:
        """Make a sender that joins the fleet read the schedule more often before it takes a chunk of slots.

        The stamps that it finds are no older than its last read. So it soon knows how the other senders' clocks differ
        from its own. Raises `RateUsedUpError`.
        """
        if self._item.time.is_unsure and self._item.seen.next_slot > now - MICRO:
            self._item.read()
            if self._item.time.is_unsure:
                raise RateUsedUpError(self._item.time.seconds_to_next_read)

    def _take_probe(self, now: int, owner: str) -> Schedule:
        due = "failures >= :threshold AND openUntil <= :now AND (attribute_not_exists(heldUntil) OR heldUntil <= :now)"
        # The SDK repeats a call whose answer was lost: then this sender already has the probe.
        free = "(attribute_not_exists(probeUntil) OR probeUntil <= :now OR probeOwner = :owner)"
        until = now + round(PROBE_SECONDS * MICRO)
        values: dict[str, int | str] = {":now": now, ":threshold": FAILURES_TO_OPEN, ":until": until, ":owner": owner}
        return self._item.update("probeUntil = :until, probeOwner = :owner", f"{due} AND {free}", values)

    def _move_on(self, length: int, now: int, horizon: float, *, joined: bool) -> Schedule:
        values = {":now": now, ":threshold": FAILURES_TO_OPEN}
        if joined and self._item.seen.next_slot > now:
            busy = f"{_CLOSED} AND nextSlot > :now AND nextSlot <= :horizon"
            values |= {":length": length, ":horizon": now + round(horizon * MICRO)}
            return self._item.update("nextSlot = nextSlot + :length", busy, values)
        # A sender that does not know how its clock differs from the other senders' trusts only a long silence.
        del values[":now"]
        quiet = now if joined else now - round(DIFFERENCE_SECONDS * MICRO) if self._item.time.knows_server_time else 0
        idle = f"{_CLOSED} AND (attribute_not_exists(nextSlot) OR nextSlot <= :quiet)"
        return self._item.update("nextSlot = :next", idle, {**values, ":quiet": quiet, ":next": now + length})

    def _refuse_wrong_clock(self) -> None:
        """Raise `ClockWrongError` if this clock is certainly wrong, by an answer no older than its last jump."""
        if self._check.has_jumped or (self._check.is_wrong and self._check.is_outdated):
            self._item.read()
        if self._check.is_wrong:
            self._item.time.forget()
            self._telemetry.add(Metric.CLOCK_SKEW, abs(self._check.skew))
            raise ClockWrongError(_WRONG_CLOCK_SECONDS)
