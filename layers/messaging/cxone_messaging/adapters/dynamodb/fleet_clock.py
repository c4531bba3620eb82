"""The fleet's time: one time that all senders share, although each has its own clock.

This is a hybrid logical clock. Every write of the schedule contains a stamp: its writer's time. A sender that reads a
stamp ahead of its own time adopts the stamp from then on. So all senders come to follow the clock that is furthest
ahead. The server's time limits how far ahead that can be. While it is unknown, the limit is how far two right clocks
may differ.

A sender cannot know how old a stamp is, unless the stamp was made since the sender last read the schedule. A sender
that joins the fleet, or has found that clocks differ, is therefore unsure. It becomes sure once it has read the
schedule twice within 50 ms and found a new stamp.
"""

from cxone_messaging.domain.pace import MICRO
from cxone_messaging.domain.schedule import DIFFERENCE_SECONDS
from cxone_messaging.platform.clock import Clock
from cxone_messaging.platform.clock_skew import ClockCheck

# A stamp this little ahead counts as the sender's own time: calls overtake each other by as much.
TOLERANCE = 50_000
# A sender that has not read the schedule for this long joins the fleet's time anew.
_SILENT_SECONDS = 10.0
_MOVED_SECONDS = 0.05
# An unsure sender assumes that its time is off by no more than this, and it stays unsure no longer than this.
_MAX_UNSURE = 1_000_000
_UNSURE_SECONDS = 1.0
# Reads this close together show the fleet's time to within the tolerance. Without a sign of a difference, later reads
# are rarer.
_READ_SECONDS, _RARE_READ_SECONDS, _FREQUENT_SECONDS = 0.037, 0.1, 0.3


class FleetClock:
    """The fleet's time as this sender knows it.

    Instants are the schedule's: whole microseconds since 1970.
    """

    def __init__(self, clock: Clock, check: ClockCheck) -> None:
        self._clock = clock
        self._check = check
        self._lead: float | None = None  # the fleet's time less this clock's, in seconds
        self._offset = 0.0  # the time of day less the stopwatch, at the last observation
        self._knew_server = False
        # Stopwatch readings: when the last observed item was requested, and when it was observed.
        self._requested_at = float("-inf")
        self._observed_at = float("-inf")
        self._stamp = 0
        self._unsure = 0  # by how many microseconds this sender's time may be off
        self._unsure_from = float("-inf")
        self._was_in_doubt = False
        self.found_difference = False  # clocks differ, and the schedule does not say so yet

    def now(self) -> int:
        """Return the fleet's time, or this clock's time if nothing better is known."""
        now = self._clock.now()
        return round((now + self._lead_at(now)) * MICRO)

    @property
    def lead(self) -> float:
        """The seconds by which the fleet's time is ahead of this clock."""
        return self._lead_at(self._clock.now())

    def _lead_at(self, now: float) -> float:
        """Return the seconds by which the fleet's time is ahead of this clock, when this clock shows `now`."""
        server_time = self._check.server_time()
        fleet_now = now
        if self._lead is not None and self._knew_server == (server_time is not None):
            stopwatch = self._clock.monotonic()
            moved = now - stopwatch - self._offset
            # If the stopwatch has stopped, only the clock shows the time.
            if abs(moved) < _MOVED_SECONDS or (moved > 0 and stopwatch == self._observed_at):
                return self._lead
            # The clock was set, or this process was frozen. The stopwatch shows the least time that has passed.
            fleet_now += self._lead - moved
            if server_time is None:
                fleet_now = max(now, fleet_now)
            elif fleet_now > server_time[0] - DIFFERENCE_SECONDS:
                return fleet_now - now
        if server_time:
            earliest, latest = server_time
            fleet_now = min(max(fleet_now, earliest - _MOVED_SECONDS), latest + _MOVED_SECONDS)
        return fleet_now - now

    @property
    def joined(self) -> bool:
        """Whether this sender has lately read the schedule, and its clock has run steadily since."""
        if self._lead is None or self._clock.monotonic() - self._requested_at > _SILENT_SECONDS:
            return False
        server_time = self._check.server_time()
        if server_time is None:
            return not self._knew_server and abs(self._moved) < _MOVED_SECONDS
        return self._knew_server and self.now() > round((server_time[0] - DIFFERENCE_SECONDS) * MICRO)

    @property
    def _moved(self) -> float:
        """The seconds that the clock has gained on the stopwatch since the last observation."""
        return self._clock.now() - self._clock.monotonic() - self._offset

    @property
    def knows_server_time(self) -> bool:
        """Whether the server's time is known: it shows which clock is wrong if a stamp and this clock differ."""
        return self._check.server_time() is not None

    @property
    def latest_plausible(self) -> int:
        """The latest stamp that another sender can have made, unless that sender's clock is wrong."""
        server_time = self._check.server_time()
        if server_time is None:
            return self.now() + round(DIFFERENCE_SECONDS * MICRO)
        return round((server_time[1] + DIFFERENCE_SECONDS / 2) * MICRO)

    @property
    def is_unsure(self) -> bool:
        """Whether this sender's time may differ noticeably from the fleet's.

        Another read can clarify that.
        """
        return self._unsure > TOLERANCE and self._clock.monotonic() - self._unsure_from < _UNSURE_SECONDS

    @property
    def seconds_to_next_read(self) -> float:
        """The seconds after which an unsure sender reads again: few at first, or if clocks differ."""
        seconds_unsure = self._clock.monotonic() - self._unsure_from
        is_frequent = self._was_in_doubt or self.found_difference or seconds_unsure < _FREQUENT_SECONDS
        return _READ_SECONDS if is_frequent else _RARE_READ_SECONDS

    def forget(self) -> None:
        """Forget the fleet's time, so that this sender joins it anew."""
        self._lead, self._unsure = None, 0

    def to_local(self, instant: int) -> float:
        """Return an instant of the fleet's time in Unix seconds of this machine's clock."""
        return instant / MICRO - self._lead_at(self._clock.now())

    def observe(
        self, stamp: int, requested_at: float, *, own_lead: float | None = None, in_doubt: bool = False
    ) -> None:
        """Learn from the stamp of the item that was requested at `requested_at`.

        Adopt it if it is ahead. If the stamp is this sender's own, `own_lead` is the lead that the sender made it with.
        `in_doubt` means that clocks are known to differ, so that no sender can be sure of its own clock.
        """
        stopwatch, now = self._clock.monotonic(), self._clock.now()
        had_joined, is_own = self.joined, own_lead is not None
        # A first answer may show the server's time, but a sender keeps the time that it has just written, right or not.
        lead = self._lead_at(now) if own_lead is None or self._check.is_wrong else own_lead
        ahead = stamp - round((now + lead) * MICRO)
        self.found_difference |= abs(self._check.skew) > TOLERANCE / MICRO
        if not is_own and stamp and stamp != self._stamp:
            # The stamp was made since the last read. So the fleet's time is at least the stamp, and at most the stamp
            # plus the time since that read.
            since_read = round((stopwatch - self._requested_at) * MICRO) if had_joined else _MAX_UNSURE
            max_age = min(_MAX_UNSURE, since_read)
            self.found_difference |= ahead > TOLERANCE
            was_unsure = self.is_unsure
            if ahead > TOLERANCE or not had_joined:
                self._unsure, self._unsure_from = max_age, stopwatch
            elif max_age and (was_unsure or (in_doubt and not self._was_in_doubt)):
                lead += min(0, ahead + max_age) / MICRO
                ahead = max(ahead, -max_age)
                self._unsure = min(self._unsure, max_age) if was_unsure else max_age
                self._unsure_from = self._unsure_from if was_unsure else stopwatch
        self._was_in_doubt = in_doubt
        self._lead = lead + max(0, ahead) / MICRO
        self._offset = now - stopwatch
        self._knew_server = self.knows_server_time
        self._requested_at, self._observed_at, self._stamp = requested_at, stopwatch, stamp
