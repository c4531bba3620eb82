"""The account's schedule at one moment: the next free slot, the pace, the end of a hold, the circuit breaker.

Slots follow GCRA (the virtual scheduling form of ITU-T I.371). The schedule contains the next free slot. A sender that
reserves slots moves it on by their length at the present pace (`domain/pace.py`), and sends each message at its slot's
time. A 429 holds all senders back for the wait that CXone requires, and lowers the pace. Failures in a row open the
circuit. Then no sender gets a slot, except one probe after a while.

Instants of the schedule are whole microseconds since 1970, so that a slot's length keeps its fractions. Instants of
slots, which senders see, are Unix seconds.
"""

from dataclasses import dataclass, field, replace
from enum import StrEnum

from cxone_messaging.domain.pace import MICRO, Pace

# Five failures in a row mean an outage. The documents require 5 to 10 s before the next try. During a long outage the
# probes become rarer, because each probe is a real message.
FAILURES_TO_OPEN = 5
MIN_OPEN_SECONDS, MAX_FIRST_OPEN_SECONDS, MAX_OPEN_SECONDS = 5.0, 10.0, 60.0
# A probe without a report for this long has died: any send takes less time.
PROBE_SECONDS = 30.0
# The longest wait that CXone may impose, in seconds; also the longest hold that any worker may write. A longer
# `Retry-After` is a mistake of CXone's that must not stop us for good.
MAX_HOLD_SECONDS = 900.0
# The wait of all senders after a 429 that names none. Each 429 that follows at once doubles it, up to half a minute.
THROTTLE_SECONDS, MAX_THROTTLE_SECONDS, MAX_HOLDS = 0.1, 30.0, 10
# A 429 this soon after a hold, or after as long again as the hold lasted, follows it at once.
_AT_ONCE_SECONDS = 3.0
# How far two right clocks may differ: each may be off by two seconds.
DIFFERENCE_SECONDS = 4.0
# Senders reserve at most five seconds ahead. No reservation lies further ahead than twice that and a chunk of slots.
_FURTHEST_SECONDS, _CHUNK = 10.0, 25
# Rounding, and stamps that overtake each other, are no errors.
_SLACK_SECONDS = 1.0
# Clocks that differed once are expected to differ for this long.
_DIFFERED_SECONDS = 900.0
# A backlog this short is not worth preserving if two clocks differ.
_BACKLOG = 30_000
# Fewer doublings reach every longest wait. A thousand, after endless failures, would exceed a float.
_MOST_DOUBLINGS = 16
# How long messages wait before they are tried again while an operator has stopped all sending.
_STOPPED_SECONDS = 60.0
# A sender that uses a slot this long after reserving it reads the schedule again first. Other senders may have found a
# 429 or an outage meanwhile.
_LOOK_AGAIN_SECONDS = 0.02
# A sender that is this late for its slot would use other senders' time, so it drops the slot.
_MISSED_SECONDS = 0.03


@dataclass(frozen=True, slots=True)
class Slots:
    """Consecutive slots, the first at `start` (Unix seconds), each `seconds` after the one before.

    `start` and `reserved_at` are times of the clock of the machine that reserved the slots. `failures` counts the
    failures in a row before. `probe` identifies the one probe that an open circuit allows. `pace_version` identifies
    the pace at which they were reserved. `own` are the slots of a sender with a rate of its own.
    """

    start: float
    count: int
    reserved_at: float
    failures: int
    probe: str = ""
    seconds: float = 0.0
    pace_version: int = 0
    own: "Slots | None" = None

    def at(self, number: int) -> "Slots":
        """Return one of the slots, counted from 0."""
        return replace(self, start=self.start + number * self.seconds, count=1)

    def is_missed(self, now: float) -> bool:
        """Whether it is too late for the first slot."""
        return now - self.start > _MISSED_SECONDS

    def is_fresh(self, now: float) -> bool:
        """Whether the slots were reserved so lately that the schedule need not be read again."""
        return abs(now - self.reserved_at) < _LOOK_AGAIN_SECONDS


class NoSlotError(Exception):
    """No message may be sent now; `retry_after` is in seconds."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(f"in {retry_after:.1f} s")
        self.retry_after = retry_after


class RateUsedUpError(NoSlotError):
    """All slots within the horizon are taken."""


class ClockUnsureError(RateUsedUpError):
    """This sender does not know the fleet's time well enough yet; it may try again after `retry_after`."""


class SenderRateUsedUpError(RateUsedUpError):
    """The sender's own rate is used up; other senders may have slots."""


class CircuitOpenError(NoSlotError):
    """CXone has failed too often in a row."""


class SendingStoppedError(NoSlotError):
    """An operator has stopped all sending."""


class ClockWrongError(NoSlotError):
    """This machine's clock is off by more than two seconds, so it must not reserve slots."""


class SlotMissedError(Exception):
    """The slot's time has passed; the sender may reserve another."""


class Circuit(StrEnum):
    """The circuit breaker: `OPEN` lets nothing out, `PROBING` one message."""

    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


@dataclass(frozen=True, slots=True)
class Schedule:
    """The next free slot, the pace, the end of the last hold, and the circuit breaker.

    A field is 0 if its event never happened. `stamped_at` is the writer's time. `held_from` is when the last hold was
    written, `holds` counts the holds that followed one another at once. `failed_by` identifies the last reports of
    failures. `differed_at` is when a sender last found that clocks differ.
    """

    next_slot: int = 0
    held_until: int = 0
    failures: int = 0
    open_until: int = 0
    probe_until: int = 0
    stamped_at: int = 0
    held_from: int = 0
    holds: int = 0
    failed_by: str = ""
    probe_owner: str = ""
    differed_at: int = 0
    pace: Pace = field(default_factory=Pace)

    @property
    def is_open(self) -> bool:
        """Whether the circuit is open."""
        return self.failures >= FAILURES_TO_OPEN

    def circuit(self, now: int) -> Circuit:
        """Return the state of the circuit breaker."""
        if not self.is_open:
            return Circuit.CLOSED
        return Circuit.PROBING if self.probe_until > now else Circuit.OPEN

    def may_probe(self, now: int) -> bool:
        """Whether it is time for a probe with one message."""
        return self.is_open and self._closed_until <= now

    def refuse_reserving(self, now: int, horizon: float) -> None:
        """Raise `NoSlotError` if no slot begins within `horizon` seconds, and no probe is due."""
        self._refuse_stopped()
        if self.is_open and not self.may_probe(now):
            raise CircuitOpenError((self._closed_until - now) / MICRO)
        wait = (self.next_slot - now) / MICRO
        if wait > horizon:
            raise RateUsedUpError(wait - horizon)

    def refuse_using(self, now: int) -> None:
        """Raise `NoSlotError` if slots that were reserved earlier must not be used."""
        self._refuse_stopped()
        if self.is_open:
            raise CircuitOpenError(max(0.0, (self._closed_until - now) / MICRO))
        if self.held_until > now:
            raise RateUsedUpError((self.held_until - now) / MICRO)

    def plausible(self, now: int, latest: int, horizon: float, slot: int) -> "Schedule":
        """Return the schedule without instants that no sender can have written by the rules.

        `latest` is the latest stamp that can be true. A schedule with a later stamp counts as written just now. An
        instant further ahead than its own rule allows counts as passed. `horizon` is in seconds, `slot` in
        microseconds.
        """
        lead = self.stamped_at - now if self.stamped_at > latest else 0
        reference = max(now, self.stamped_at - lead)

        def within(instant: int, limit: float) -> int:
            shifted = max(0, instant - lead)
            return shifted if shifted <= reference + round((limit + _SLACK_SECONDS) * MICRO) else 0

        held = within(self.held_until, MAX_HOLD_SECONDS)
        furthest = max(0, held - reference) / MICRO + max(2 * horizon, _FURTHEST_SECONDS) + _CHUNK * slot / MICRO
        return replace(
            self,
            next_slot=within(self.next_slot, furthest) or (held if self.next_slot else 0),
            held_until=held,
            held_from=min(self.held_from - lead, reference) if self.held_from else 0,
            open_until=within(self.open_until, MAX_OPEN_SECONDS),
            probe_until=within(self.probe_until, PROBE_SECONDS),
            pace=replace(self.pace, since=min(self.pace.since, max(reference, held))),
        )

    @property
    def clocks_differ(self) -> bool:
        """Whether a sender lately found another sender's clock ahead of its own."""
        return self.differed_at > 0 and self.differed_at > self.stamped_at - round(_DIFFERED_SECONDS * MICRO)

    def backlog_from(self, now: int, *, in_doubt: bool) -> int:
        """Return when the next slot is free for a sender that does not know how old the stamp is.

        Its own clock may be ahead of the writer's. Then the slots that were taken when the stamp was made count as not
        yet used. This applies if all of them have passed by its clock, which costs little, and always if `in_doubt`.
        """
        backlog = self.next_slot - self.stamped_at
        old = self.stamped_at <= now - round(DIFFERENCE_SECONDS * MICRO)
        if old or backlog <= _BACKLOG or (self.next_slot > now and not in_doubt) or self.held_until > self.stamped_at:
            return self.next_slot
        return max(self.next_slot, now + backlog)

    def holds_in_a_row(self, now: int) -> int:
        """Return the number of 429s that follow one another at once, one at `now` included."""
        length = max(self.held_until - self.held_from, round(_AT_ONCE_SECONDS * MICRO))
        return min(self.holds + 1, MAX_HOLDS) if now <= self.held_until + length else 1

    def _refuse_stopped(self) -> None:
        if self.pace.ceiling == 0:
            raise SendingStoppedError(_STOPPED_SECONDS)

    @property
    def _closed_until(self) -> int:
        return max(self.open_until, self.probe_until, self.held_until)


def open_seconds(failures: int, first: float) -> float:
    """Return how long the circuit stays open after `failures` in a row.

    `first` is how long it stays open the first time. Both are in seconds.
    """
    return backoff(first, max(0, failures - FAILURES_TO_OPEN), MAX_OPEN_SECONDS)


def backoff(first: float, doublings: int, longest: float) -> float:
    """Return `first` seconds, doubled `doublings` times, but at most `longest`."""
    return min(longest, first * 2.0 ** min(doublings, _MOST_DOUBLINGS))


def hold_seconds(retry_after: float | None, in_a_row: int = 1) -> float:
    """Return how long a 429 holds all senders back, in seconds; at most 15 minutes.

    That is `retry_after` (seconds), and at least a fraction of a second that grows with the number of 429s `in_a_row`.
    """
    shortest = backoff(THROTTLE_SECONDS, in_a_row - 1, MAX_THROTTLE_SECONDS)
    return min(max(retry_after or 0.0, shortest), MAX_HOLD_SECONDS)
