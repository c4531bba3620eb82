"""What senders report to the schedule: answers, failures, 429s, and slots that were not used."""

import random
import uuid
from collections.abc import Callable

from cxone_messaging.adapters.dynamodb.schedule_item import ConditionError, ScheduleItem
from cxone_messaging.domain.errors import StorageError
from cxone_messaging.domain.pace import MICRO, PaceLaw
from cxone_messaging.domain.schedule import (
    FAILURES_TO_OPEN,
    MAX_FIRST_OPEN_SECONDS,
    MAX_HOLD_SECONDS,
    MIN_OPEN_SECONDS,
    Schedule,
    Slots,
    hold_seconds,
    open_seconds,
)
from cxone_messaging.platform.telemetry import Metric, Telemetry

CLOSED = "(attribute_not_exists(failures) OR failures < :threshold)"
MAX_RACES_LOST = 50


class ScheduleReports:
    """Writes reports into the schedule's item, each again until it is in or no longer applies."""

    def __init__(self, item: ScheduleItem, law: PaceLaw, telemetry: Telemetry, rng: random.Random) -> None:
        self._item = item
        self._law = law
        self._telemetry = telemetry
        self._rng = rng

    def succeeded(self, slots: Slots) -> None:
        """Report that CXone answered properly; this takes a write only after failures."""
        if slots.probe:
            self._report_as_probe(slots, "", "REMOVE failures, openUntil, failedBy, probeUntil, probeOwner")
        elif slots.failures:
            # Once the circuit is open, this answer has no effect: the probe decides.
            values = {":threshold": FAILURES_TO_OPEN}
            rest = "REMOVE failures, openUntil, failedBy"
            self._report(lambda: self._item.update("", CLOSED, values, rest), lambda seen: not seen.is_open)

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

    def throttled(self, retry_after: float | None, slots: Slots) -> None:
        """Report a 429: no new slot begins before its wait is over, and the pace is lowered.

        The 429 also counts as an answer, so the caller need not report that. A slot that was reserved before the last
        hold says nothing about the pace since, whatever any clock shows: its 429 holds no longer than it requires
        itself, and never past the longest wait from that hold on.
        """
        self.succeeded(slots)
        is_lowered = False

        def hold() -> Schedule:
            nonlocal is_lowered
            seen, now = self._item.seen, self._item.time.now()
            is_lowered = slots.pace_version == seen.pace.version
            if not is_lowered:
                until = now + round(min(retry_after or 0.0, MAX_HOLD_SECONDS) * MICRO)
                longest = seen.held_from + round(MAX_HOLD_SECONDS * MICRO)
                if longest > now:  # an operator's ceiling makes a new version too, long after the last hold
                    until = min(until, longest)
                if until <= max(seen.held_until, now):
                    return seen
            in_a_row = seen.holds_in_a_row(now)
            changes: dict[str, int] = {}
            if is_lowered:
                until = now + round(hold_seconds(retry_after, in_a_row) * MICRO)
                pace = self._law.lowered(seen.pace, now, max(until, seen.held_until), in_a_row)
                changes = {"pace": pace.lowered_to, "refusedPace": pace.refused, "paceAt": pace.since}
                changes |= {"paceVersion": pace.version, "heldFrom": now, "holdsInARow": in_a_row}
            condition, known = of_version(seen.pace.version)
            if until > seen.held_until:
                changes["heldUntil"] = until
                condition += " AND (attribute_not_exists(heldUntil) OR heldUntil < :heldUntil)"
                if until > seen.next_slot:
                    changes["nextSlot"] = until
                    condition += " AND (attribute_not_exists(nextSlot) OR nextSlot < :nextSlot)"
            values = {f":{name}": value for name, value in changes.items()} | known
            return self._item.update(", ".join(f"{name} = :{name}" for name in changes), condition, values)

        if self._report(hold, lambda _: True) and is_lowered:
            self._telemetry.add(Metric.PACE_LOWERED)

    def release(self, slots: Slots) -> None:
        """Report that slots were not used.

        This frees a probe, and unused slots of other kinds just pass.
        """
        if slots.probe:
            self._report_as_probe(slots, "", "REMOVE probeUntil, probeOwner")

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
        for _ in range(MAX_RACES_LOST):
            self._item.repair()
            try:
                return write()
            except ConditionError as error:
                if not still_applies(error.schedule):
                    return None
        raise StorageError("the schedule was changed by other senders at each try")


def of_version(version: int) -> tuple[str, dict[str, int]]:
    """Return the condition that the pace has a version, and the condition's values; 0 is the version of none."""
    return ("paceVersion = :version", {":version": version}) if version else ("attribute_not_exists(paceVersion)", {})
