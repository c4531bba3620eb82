"""The account's schedule at one moment: when the next slot is free, until when all wait, whether the circuit is open.

Slots follow GCRA (the virtual scheduling form of ITU-T I.371): the schedule knows the next free one, and who takes
slots moves that on, and sends each message at its slot's time. A 429 holds everybody back for the wait that CXone
asked for. Failures in a row open the circuit; then nobody gets a slot but, after a while, one probe.

Instants of the schedule are whole microseconds since 1970, so that a slot's length keeps its fractions; those of
slots, which senders see, are Unix seconds.
"""

from dataclasses import dataclass, replace

MICRO = 1_000_000
# Five failures in a row mean an outage; the documents ask for 5 to 10 s before the next try, and an outage that lasts
# is tried less and less often, since each probe is somebody's message.
FAILURES_TO_OPEN = 5
MIN_OPEN_SECONDS, MAX_FIRST_OPEN_SECONDS, MAX_OPEN_SECONDS = 5.0, 10.0, 60.0
# A probe that says nothing for this long has died: longer than any send may take.
PROBE_SECONDS = 30.0
# The longest wait that a 429 may ask for: more is a mistake of the other side that must not stop us for good.
MAX_HOLD_SECONDS = 900.0
# How long all wait at least after a 429: the window that CXone counts requests in. 429s without a success in between
# double that, up to half a minute.
THROTTLE_SECONDS, MAX_THROTTLE_SECONDS, MAX_HOLDS = 1.0, 30.0, 5
# How far two right clocks can be apart: each may be off by two seconds.
DIFFERENCE_SECONDS = 4.0
# Senders reserve at most five seconds ahead; more than twice that, and a chunk of slots, is nobody's reservation.
_FURTHEST_SECONDS, _CHUNK = 10.0, 25
# Rounding, and stamps that overtake each other, are no fault.
_SLACK_SECONDS = 1.0
# Clocks that differed once are expected to differ for so long.
_DIFFERED_SECONDS = 900.0
# A backlog this short is not worth preserving where two clocks differ.
_BACKLOG = 30_000
# More than reach any longest wait; a thousand, of what fails on and on, would be no float any more.
_MOST_DOUBLINGS = 16
# Who uses a slot this long after reserving it looks again first: others may have met a 429 or an outage meanwhile.
_LOOK_AGAIN_SECONDS = 0.02
# Who comes this late to a slot would push into others' time: the slot is let go.
_MISSED_SECONDS = 0.03


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

    `start` and `reserved_at` are of the clock of the machine that reserved them. `failures` is how many there were in a
    row before, `holds` how many 429s; `probe` names the one probe that an open circuit lets through.
    """

    start: float
    count: int
    reserved_at: float
    failures: int
    probe: str = ""
    holds: int = 0

    def is_missed(self, now: float) -> bool:
        """Whether it is too late for the first of them."""
        return now - self.start > _MISSED_SECONDS

    def is_fresh(self, now: float) -> bool:
        """Whether they were reserved so lately that nobody needs to look at the schedule again."""
        return abs(now - self.reserved_at) < _LOOK_AGAIN_SECONDS


class NoSlotError(Exception):
    """Nothing may be sent now; `retry_after` is in seconds."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(f"in {retry_after:.1f} s")
        self.retry_after = retry_after


class RateUsedUpError(NoSlotError):
    """All slots within the horizon are taken."""


class CircuitOpenError(NoSlotError):
    """CXone has failed too often in a row."""


class ClockWrongError(NoSlotError):
    """This machine's clock is off by more than two seconds: it must not reserve anything."""


class SlotMissedError(Exception):
    """The slot's time has passed; another one may be reserved."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """When the next slot is free, until when all are held back, and how the circuit is; 0 where that never was.

    `stamped_at` is the writer's time. `held_from` is when the last hold was written, `holds` how many there were
    without a success in between. `failed_by` names the last reports of failures. `differed_at` is when a sender last
    found that clocks differ.
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

    @property
    def is_open(self) -> bool:
        """Whether the circuit is open."""
        return self.failures >= FAILURES_TO_OPEN

    def may_probe(self, now: int) -> bool:
        """Whether it is time to try again with one message."""
        return self.is_open and self._closed_until <= now

    def refuse_reserving(self, now: int, horizon: float) -> None:
        """Raise `NoSlotError` where no slot begins within `horizon` seconds, nor may one probe."""
        if self.is_open and not self.may_probe(now):
            raise CircuitOpenError((self._closed_until - now) / MICRO)
        wait = (self.next_slot - now) / MICRO
        if wait > horizon:
            raise RateUsedUpError(wait - horizon)

    def refuse_using(self, now: int) -> None:
        """Raise `NoSlotError` where slots that were taken earlier are void."""
        if self.is_open:
            raise CircuitOpenError(max(0.0, (self._closed_until - now) / MICRO))
        if self.held_until > now:
            raise RateUsedUpError((self.held_until - now) / MICRO)

    def plausible(self, now: int, latest: int, horizon: float, slot: int) -> "Schedule":
        """Return the schedule without instants that no sender can have written by the rules.

        `latest` is the latest stamp that can be true. What bears a later one counts as written just now; what is
        further ahead than its own rule allows counts as run out. `horizon` is in seconds, `slot` in microseconds.
        """
        lead = self.stamped_at - now if self.stamped_at > latest else 0
        reference = max(now, self.stamped_at - lead)

        def within(instant: int, limit: float) -> int:
            shifted = max(0, instant - lead)
            return shifted if shifted <= reference + round((limit + _SLACK_SECONDS) * MICRO) else 0

        held = within(self.held_until, MAX_HOLD_SECONDS)
        furthest = max(0, held - reference) / MICRO + max(horizon, _FURTHEST_SECONDS) + _CHUNK * slot / MICRO
        return replace(
            self,
            next_slot=within(self.next_slot, furthest) or (held if self.next_slot else 0),
            held_until=held,
            held_from=min(self.held_from - lead, reference) if self.held_from else 0,
            open_until=within(self.open_until, MAX_OPEN_SECONDS),
            probe_until=within(self.probe_until, PROBE_SECONDS),
        )

    @property
    def clocks_differ(self) -> bool:
        """Whether a sender lately found another one's clock ahead of its own."""
        return self.differed_at > 0 and self.differed_at > self.stamped_at - round(_DIFFERED_SECONDS * MICRO)

    def backlog_from(self, now: int, *, in_doubt: bool) -> int:
        """Return when the next slot is free for a sender that can't tell how old the stamp is.

        Its own clock may be ahead of the writer's. Then the slots that were taken when the stamp was made count as
        still to be used: where all have passed by its clock, which costs little, and wherever it is `in_doubt`.
        """
        backlog = self.next_slot - self.stamped_at
        old = self.stamped_at <= now - round(DIFFERENCE_SECONDS * MICRO)
        if old or backlog <= _BACKLOG or (self.next_slot > now and not in_doubt) or self.held_until > self.stamped_at:
            return self.next_slot
        return max(self.next_slot, now + backlog)

    @property
    def _closed_until(self) -> int:
        return max(self.open_until, self.probe_until, self.held_until)


def open_seconds(failures: int, first: float) -> float:
    """For how long the circuit is open after so many failures in a row, if that was `first` seconds at first."""
    return backoff(first, max(0, failures - FAILURES_TO_OPEN), MAX_OPEN_SECONDS)


def backoff(first: float, doublings: int, longest: float) -> float:
    """For how long to wait, if that was `first` seconds and has been doubled so often since; `longest` at most."""
    return min(longest, first * 2.0 ** min(doublings, _MOST_DOUBLINGS))


def hold_seconds(retry_after: float | None, holds: int = 0) -> float:
    """For how long a 429 holds everybody back, after so many others without a success in between.

    At least for the second that CXone counts in, also where `retry_after` (seconds) is 0; at most for 15 minutes.
    """
    return min(max(retry_after or 0.0, backoff(THROTTLE_SECONDS, holds, MAX_THROTTLE_SECONDS)), MAX_HOLD_SECONDS)
