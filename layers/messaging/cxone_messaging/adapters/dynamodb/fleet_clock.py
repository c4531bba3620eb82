"""The time that all senders go by, though each has a clock of its own: a hybrid logical clock.

Every write of the schedule bears its writer's time. A sender that finds a stamp ahead of its own time goes by the stamp
from then on; so all come to go by the clock that is furthest ahead. How far ahead that can be is limited by what is
known of the server's time, or else by how far clocks may differ.

How old a stamp is, nobody can tell, unless it was made since one's last look. So a sender that joins, or has found that
clocks differ, is unsure until it has looked twice in 50 ms and the stamp was another one.
"""

from cxone_messaging.domain.schedule import DIFFERENCE_SECONDS, MICRO
from cxone_messaging.platform.clock import Clock
from cxone_messaging.platform.clock_skew import ClockCheck

# Stamps this little ahead count as one's own time: calls overtake each other by as much.
TOLERANCE = 50_000
# A sender that has not seen the schedule for so long joins the fleet's time anew.
_SILENT_SECONDS = 10.0
_MOVED_SECONDS = 0.05
# A sender that is unsure of the fleet's time supposes that it is off by no more than this, and listens for as long.
_MAX_UNSURE = 1_000_000
_LISTEN_SECONDS = 1.0
# Looks this close together tell the fleet's time to within the tolerance; later ones, without a sign, are fewer.
_LOOK_SECONDS, _SELDOM_LOOK_SECONDS, _CLOSELY_SECONDS = 0.037, 0.1, 0.3


class FleetClock:
    """Instants are the schedule's: whole microseconds since 1970, in the fleet's time."""

    def __init__(self, clock: Clock, check: ClockCheck) -> None:
        self._clock = clock
        self._check = check
        self._lead: float | None = None  # the fleet's time less this clock's, in seconds
        self._offset = 0.0  # the time of day less the stopwatch when last in touch
        self._knew_server = False
        self._contact_at = float("-inf")
        self._met_at = float("-inf")
        self._stamp = 0
        self._unsure = 0
        self._unsure_from = float("-inf")
        self._was_in_doubt = False
        self.has_news = False  # that clocks differ; until the schedule says so

    def now(self) -> int:
        """Return the fleet's time; one's own clock's where nothing better is known."""
        now = self._clock.now()
        return round((now + self._lead_at(now)) * MICRO)

    @property
    def lead(self) -> float:
        """Return by how many seconds the fleet's time is ahead of this clock."""
        return self._lead_at(self._clock.now())

    def _lead_at(self, now: float) -> float:
        """Return by how many seconds the fleet's time is ahead of this clock, which says `now`."""
        known = self._check.server_time()
        reached = now
        if self._lead is not None and self._knew_server == (known is not None):
            stopwatch = self._clock.monotonic()
            moved = now - stopwatch - self._offset
            # Where the stopwatch stands still, the clock is all there is.
            if abs(moved) < _MOVED_SECONDS or (moved > 0 and stopwatch == self._met_at):
                return self._lead
            # The clock was set, or this process was frozen: the stopwatch tells how much time has passed at least.
            reached += self._lead - moved
            if known is None:
                reached = max(now, reached)
            elif reached > known[0] - DIFFERENCE_SECONDS:
                return reached - now
        if known:
            reached = min(max(reached, known[0] - _MOVED_SECONDS), known[1] + _MOVED_SECONDS)
        return reached - now

    @property
    def joined(self) -> bool:
        """Whether this sender lately saw the schedule, and its time has gone on since as the fleet's must have."""
        if self._lead is None or self._clock.monotonic() - self._contact_at > _SILENT_SECONDS:
            return False
        known = self._check.server_time()
        if known is None:
            return not self._knew_server and abs(self._moved) < _MOVED_SECONDS
        return self._knew_server and self.now() > round((known[0] - DIFFERENCE_SECONDS) * MICRO)

    @property
    def _moved(self) -> float:
        return self._clock.now() - self._clock.monotonic() - self._offset

    @property
    def can_judge(self) -> bool:
        """Whether this sender knows whose clock is wrong where a stamp and its own time differ."""
        return self._check.server_time() is not None

    @property
    def latest_believable(self) -> int:
        """Return the latest stamp that another sender's clock can have made, unless that clock is wrong."""
        known = self._check.server_time()
        if known is None:
            return self.now() + round(DIFFERENCE_SECONDS * MICRO)
        return round((known[1] + DIFFERENCE_SECONDS / 2) * MICRO)

    @property
    def is_unsure(self) -> bool:
        """Whether this sender's time may noticeably differ from the fleet's, which it can find out by looking again."""
        return self._unsure > TOLERANCE and self._clock.monotonic() - self._unsure_from < _LISTEN_SECONDS

    @property
    def next_look(self) -> float:
        """Return after how many seconds an unsure sender looks again: soon at first, or where clocks differ."""
        closely = self._was_in_doubt or self.has_news or self._clock.monotonic() - self._unsure_from < _CLOSELY_SECONDS
        return _LOOK_SECONDS if closely else _SELDOM_LOOK_SECONDS

    def leave(self) -> None:
        """Forget the fleet's time, to join it anew."""
        self._lead, self._unsure = None, 0

    def local(self, instant: int) -> float:
        """Return a fleet's instant in Unix seconds of this machine's clock."""
        return instant / MICRO - self._lead_at(self._clock.now())

    def fleet(self, local: float) -> int:
        """Return an instant of this machine's clock in the fleet's time."""
        return round((local + self._lead_at(self._clock.now())) * MICRO)

    def meet(self, stamp: int, sent_at: float, *, own_lead: float | None = None, in_doubt: bool = False) -> None:
        """Take note of the item's stamp, which was requested at `sent_at`; go by it where it is ahead.

        Where the stamp is this sender's own, `own_lead` is the lead that it was made with. `in_doubt` says that clocks
        are known to differ, so that no sender can be sure of its own.
        """
        stopwatch, clock = self._clock.monotonic(), self._clock.now()
        known, own = self.joined, own_lead is not None
        # A first answer may tell the server's time; a sender goes on by the time that it has written, right or not.
        lead = self._lead_at(clock) if own_lead is None or self._check.is_wrong else own_lead
        ahead = stamp - round((clock + lead) * MICRO)
        self.has_news |= abs(self._check.skew) > TOLERANCE / MICRO
        if not own and stamp and stamp != self._stamp:
            # It was made since the last contact, so the fleet's time is between the stamp and that much later.
            since = min(_MAX_UNSURE, round((stopwatch - self._contact_at) * MICRO)) if known else _MAX_UNSURE
            self.has_news |= ahead > TOLERANCE
            was_unsure = self.is_unsure
            if ahead > TOLERANCE or not known:
                self._unsure, self._unsure_from = since, stopwatch
            elif since and (was_unsure or (in_doubt and not self._was_in_doubt)):
                lead += min(0, ahead + since) / MICRO
                ahead = max(ahead, -since)
                self._unsure = min(self._unsure, since) if was_unsure else since
                self._unsure_from = self._unsure_from if was_unsure else stopwatch
        self._was_in_doubt = in_doubt
        self._lead = lead + max(0, ahead) / MICRO
        self._offset = clock - stopwatch
        self._knew_server = self.can_judge
        self._contact_at, self._met_at, self._stamp = sent_at, stopwatch, stamp
