"""One run of the collector: what it has done so far, and the pages of the pass that it is in."""

from collections.abc import Iterable

from cxone_messaging.adapters.cxone.message_records import MessageRecords
from cxone_messaging.domain.collection import (
    SLACK_SECONDS,
    Collection,
    reads_allowed,
    spent_from,
    spent_with,
    wait_for,
)
from cxone_messaging.domain.errors import Code, MessagingError
from cxone_messaging.domain.found_messages import Direction, FoundMessage, Page
from cxone_messaging.platform.clock import Clock
from cxone_messaging.platform.deadline import Deadline

# Of a run's reads, so many are left for those after a look-up; of few, a quarter.
_SPARED = 50
# What a run may take to record the last page, and to store how far it came.
_LEAST_SECONDS = 20.0


class Pages:
    """The pages of one pass so far: where the next one is, and what they reached, in Unix seconds.

    `newest` is the date of the newest record. All records that are newer than `reached` were read.
    """

    def __init__(self, scroll: str = "") -> None:
        self.next = scroll
        self.number = 0
        self._is_resumed = bool(scroll)
        self.newest = 0.0
        self.reached = float("inf")

    def take(self, page: Page) -> None:
        """Add a page. Raises `MessagingError` if it is no page that can follow: empty, or newer than the one before."""
        dates = [each.created_at for each in page.messages]
        # One record with an odd date must not end a pass, so the newest of a page counts.
        newest = max(dates, default=self.reached)
        is_lost = not dates and (bool(page.next) or (self._is_resumed and not self.number))
        if is_lost or newest > self.reached + SLACK_SECONDS:
            raise MessagingError(Code.CXONE_UNAVAILABLE, "CXone's records are not in pages from the newest back")
        self.newest = max(self.newest, newest if dates else 0.0)
        self.next, self.number = page.next, self.number + 1
        self.reached = newest if page.next else float("-inf")


class Run:
    """What one run has done so far; whenever it ends, this is what the next one continues.

    `reached` is how far back the outbound records were read without a gap, from the newest on, in Unix seconds.
    """

    def __init__(self, state: Collection, clock: Clock, deadline: Deadline, records: MessageRecords) -> None:
        self.deadline = deadline
        self.channels: list[str] = []
        self._records, self._reads_before = records, records.reads
        self.new = dict.fromkeys(Direction, 0)
        self.spans = {Direction.OUTBOUND: state.outbound, Direction.INBOUND: state.inbound}
        self.waiting = dict(state.waiting)
        self.given_up = 0
        self.reached = float("inf")
        self.looked_at = state.ran_at
        self.is_done = False
        self._clock = clock
        self._began = clock.now()
        self._ran_at = state.ran_at
        self._spent_from = spent_from(state.spent_to, self._began)

    @property
    def reads(self) -> int:
        """How many requests it has made."""
        return self._records.reads - self._reads_before

    @property
    def most_reads(self) -> int:
        """How many requests it may have made by now."""
        return reads_allowed(self._spent_from, self._clock.now())

    @property
    def has_time(self) -> bool:
        """Whether it has time for another page."""
        return self.deadline.left >= _LEAST_SECONDS

    def may_read(self, limit: int | None) -> bool:
        """Whether there are reads and time left for another page; without a limit, some reads are spared."""
        most = self.most_reads - min(self.most_reads // 4, _SPARED) if limit is None else limit
        return self.reads < most and self.has_time

    def take(self, found: Iterable[FoundMessage]) -> None:
        """Note which of our messages have a receipt, and which will not be read again and have none."""
        for each in found:
            if each.is_final:
                self.waiting.pop(each.id, None)
            elif each.direction is Direction.OUTBOUND and each.created_at < self._began - SLACK_SECONDS:
                self.given_up += not wait_for(self.waiting, each, self._began)

    def state(self) -> Collection:
        """Return the collector's state after this run."""
        return Collection(
            self.spans[Direction.OUTBOUND],
            self.spans[Direction.INBOUND],
            self.waiting,
            self._began if self.is_done else self._ran_at,
            spent_with(self._spent_from, self.reads),
        )
