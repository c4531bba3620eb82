"""Collect receipts and replies from CXone's records, where its API posts no events.

A run reads each direction's records from the newest back to what the run before has read, and a slack further: a search
lags behind, and receipts come after their messages. What it finds is recorded as an event that CXone posts, so late,
repeated and reordered records change nothing. Messages that have no receipt by then are asked about one by one.

A STOP must not wait for anything else. So a run begins with the newest replies, and looks at them again while it lasts.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

from cxone_messaging.adapters.cxone.message_records import MessageRecords
from cxone_messaging.adapters.dynamodb.collection_item import CollectionStore
from cxone_messaging.domain import subjects
from cxone_messaging.domain.collection import (
    FURTHER_PAGES,
    FURTHER_SECONDS,
    SLACK_SECONDS,
    due,
    postponed,
)
from cxone_messaging.domain.delivery import DeliveryEvent
from cxone_messaging.domain.errors import Code, MessagingError, StorageError
from cxone_messaging.domain.event_names import REPLY_EVENT
from cxone_messaging.domain.found_messages import Direction, FoundMessage
from cxone_messaging.domain.ledger import BrokenChainError
from cxone_messaging.platform.clock import Clock
from cxone_messaging.platform.deadline import Deadline
from cxone_messaging.platform.telemetry import Metric, Telemetry
from cxone_messaging.use_cases.events.collection_run import Pages, Run
from cxone_messaging.use_cases.events.look_up import LookedUp, LookUp
from cxone_messaging.use_cases.events.record_events import Proof, RecordEvents
from cxone_messaging.use_cases.events.subscription import SubscriptionEvent

# Of a run's reads, so many at most are for replies, and for single messages. A run that follows another at once has few
# reads: then half of them are for replies.
_MOST_FOR_REPLIES, _MOST_ASKED = 300, 200
# How often a run looks at the newest replies again, in seconds, and how many pages of them it reads then at most.
# A pass reads them once more, so a look within a run goes back little further than the one before.
_LOOK_AGAIN_SECONDS, _LOOK_BACK_SECONDS, _NEWEST_PAGES = 20.0, 30.0, 100
# What CXone says of channels is read again after this many seconds.
_KNOWN_SECONDS = 3_600.0
# So many single reads may fail before a run asks no more: one message that CXone can't read holds up no other.
_MOST_FAILURES = 3
# So many records are remembered as recorded, so that the next run need not read the ledger for them.
_REMEMBERED = 50_000


@dataclass(frozen=True, slots=True)
class Collected:
    """What a run did: reads of CXone, receipts and replies that were new to it, and messages in doubt that it settled.

    `behind` is how many seconds ago everything was read up to.
    """

    reads: int
    receipts: int
    replies: int
    looked_up: LookedUp
    behind: float


class OtherRunError(Exception):
    """Another run is under way."""


class Collect:
    """The collector. It remembers what it has recorded while its process lives.

    `channels` returns the channels to collect of, at each run.
    """

    def __init__(
        self,
        *,
        records: MessageRecords,
        events: RecordEvents,
        owner_of: Callable[[str], str | None],
        look_up: LookUp,
        store: CollectionStore,
        channels: Callable[[], Iterable[str]],
        executor: Executor,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._records = records
        self._events = events
        self._owner_of = owner_of
        self._look_up = look_up
        self._store = store
        self._channels = channels
        self._executor = executor
        self._clock = clock
        self._telemetry = telemetry
        self._recorded: dict[str, FoundMessage] = {}
        self._known: tuple[Sequence[str], float, Mapping[str, bool | None]] = ((), 0.0, {})

    def __call__(self, deadline: Deadline) -> Collected:
        """Do one run.

        Raises `OtherRunError`, and at its end `MessagingError` if CXone refused a read, and `StorageError`. What was
        collected before an error stays collected, and the next run continues there.
        """
        began = self._clock.now()
        state = self._store.begin(began + deadline.left)
        if state is None:
            raise OtherRunError
        run = Run(state, self._clock, deadline, self._records)
        try:
            run.channels = self._existing(run)
            if state.inbound.scroll:
                self._look_at_replies(run, SLACK_SECONDS)  # the pass continues with older ones
            run.looked_at = self._clock.now()
            self._read(run, Direction.INBOUND)
            looked_for = self._look_up.begin(state.ran_at, run.channels)
            self._read(run, Direction.OUTBOUND, looked_for)
            looked_up = self._look_up.settle(
                run.reached, deadline, partial(self._reference_of, run) if self._records.holds_references else None
            )
            self._record(run, looked_up.adopted)
            run.is_done = True
            self._ask(run)
        finally:
            ended = run.state()
            self._store.end(ended)
            behind = max(0.0, ended.behind(self._clock.now()))
            self._telemetry.add(Metric.RECEIPTS_BEHIND, behind)
            self._telemetry.add(Metric.CXONE_READS, run.reads)
            self._telemetry.add(Metric.RECEIPTS_GIVEN_UP, run.given_up)
        return Collected(run.reads, run.new[Direction.OUTBOUND], run.new[Direction.INBOUND], looked_up, behind)

    def _existing(self, run: Run) -> list[str]:
        """Return the channels to collect of, without those that CXone does not have, or has no longer.

        One of these could have a search refused, and so hide a STOP to the others.
        """
        wanted = sorted(filter(None, self._channels()))
        if not wanted:
            raise ValueError("no channel to collect of")  # a search without one is of the whole tenant
        there = self._flags(run, wanted) if len(wanted) > 1 else {}
        return [each for each in wanted if each in there] or wanted

    def _flags(self, run: Run, channels: Sequence[str]) -> Mapping[str, bool | None]:
        """Return whether each channel tracks delivery, as known for an hour; nothing if CXone does not say."""
        known, at, flags = self._known
        if known != channels or self._clock.now() - at > _KNOWN_SECONDS:
            try:
                flags = self._records.channels(channels, run.deadline)
            except MessagingError:
                return {}
            self._known = channels, self._clock.now(), flags
        return flags

    def _look_at_replies(self, run: Run, back: float) -> None:
        """Read the newest replies, back to `back` seconds before the last look, or as far as it may.

        That is no pass: nothing is noted, and a pass reads them again.
        """
        until, run.looked_at = run.looked_at - back, self._clock.now()
        pages = Pages()
        for _ in range(min(run.most_reads // 4, _NEWEST_PAGES)):
            if not run.has_time:
                return
            page = self._records.search(run.channels, Direction.INBOUND, until, pages.next, run.deadline)
            self._record(run, page.messages)
            pages.take(page)
            if not pages.next or pages.reached < until:
                return

    def _read(self, run: Run, direction: Direction, looked_for: float | None = None) -> None:
        """Read one direction from the newest record on; first, finish a pass that broke off.

        A pass goes on further back than it must: for a few pages, and as far as `looked_for` (Unix seconds) while the
        run has reads left.
        """
        limit = min(run.most_reads // 2, _MOST_FOR_REPLIES) if direction is Direction.INBOUND else None
        if run.spans[direction].scroll and not self._finish(run, direction, limit, Pages(run.spans[direction].scroll)):
            return
        run.spans[direction] = run.spans[direction].begun(self._clock.now())
        pages = Pages()
        if not self._finish(run, direction, limit, pages):
            return
        furthest = pages.reached - FURTHER_SECONDS[direction]
        for number in itertools.count():
            is_wanted = looked_for is not None and pages.reached >= looked_for
            is_near = number < FURTHER_PAGES and pages.reached >= furthest
            if not pages.next or not (is_wanted or is_near) or not run.may_read(limit):
                break
            self._turn(run, direction, pages)
        if direction is Direction.OUTBOUND:
            run.reached = pages.reached

    def _finish(self, run: Run, direction: Direction, limit: int | None, pages: Pages) -> bool:
        """Read the pages that a pass must read; return whether it came to its end."""
        while run.may_read(limit):
            is_first = pages.number == 0
            span = run.spans[direction]
            is_resumed = is_first and bool(span.scroll)
            try:
                self._turn(run, direction, pages)
            except MessagingError as error:
                if not is_resumed or error.code is not Code.CXONE_UNAVAILABLE:
                    raise
                run.spans[direction] = span.broken_off()
                return True  # CXone has forgotten the place, so a new pass begins
            run.spans[direction] = span.turned(pages.next, pages.newest)
            if not pages.next or pages.reached < span.floor:
                run.spans[direction] = run.spans[direction].finished()
                return True
        return False

    def _turn(self, run: Run, direction: Direction, pages: Pages) -> None:
        """Read a page, and record what is on it."""
        if direction is Direction.OUTBOUND and self._clock.now() - run.looked_at >= _LOOK_AGAIN_SECONDS:
            self._look_at_replies(run, _LOOK_BACK_SECONDS)
        floor = run.spans[direction].floor or self._clock.now()
        page = self._records.search(run.channels, direction, floor, pages.next, run.deadline)
        self._record(run, page.messages)
        pages.take(page)

    def _record(self, run: Run, found: Iterable[FoundMessage]) -> None:
        """Record a page's receipts and replies, in parallel. Raises the first `StorageError`, once all are tried."""
        found = list(found)
        new = [each for each in found if self._recorded.get(each.id) != each]
        failure: StorageError | None = None
        for record, done in [(each, self._executor.submit(self._record_one, each)) for each in new]:
            try:
                if done.result():
                    self._remember(record)
                    run.new[record.direction] += 1
            except BrokenChainError:
                pass  # an alarm rings; the other records are not held up
            except StorageError as error:
                failure = failure or error
        run.take(each for each in found if each.id in self._recorded)
        if failure:
            raise failure

    def _record_one(self, record: FoundMessage) -> bool:
        """Record what one record says; return whether it need not be looked at again until it changes."""
        if record.direction is Direction.INBOUND:
            self._events.record_subscription(
                SubscriptionEvent(REPLY_EVENT, record.id, record.written_at, None, record.written, None, record.text)
            )
            return True
        owner = self._owner_of(record.id)
        if owner is None:  # somebody else's, or one in doubt
            self._look_up.offer(record)
            return False
        for receipt in record.receipts:
            event = DeliveryEvent(record.id, receipt.word, record.number, receipt.timestamp, receipt.error)
            self._events.record(event, Proof(subjects.id_in(owner), body_is_signed=True))
        return True

    def _remember(self, record: FoundMessage) -> None:
        self._recorded[record.id] = record
        if len(self._recorded) > _REMEMBERED:
            del self._recorded[next(iter(self._recorded))]

    def _reference_of(self, run: Run, record: FoundMessage) -> str:
        if run.reads >= run.most_reads:
            return ""
        try:
            return self._records.reference(record, run.deadline)
        except MessagingError:
            return ""  # a contact that cannot be read names no message

    def _ask(self, run: Run) -> None:
        """Ask about messages that have no receipt yet, one by one."""
        flags = self._flags(run, run.channels) if run.waiting else {}
        if flags and all(flags.get(each) is False for each in run.channels):
            run.waiting = {}
            return
        failures = 0
        for id_ in due(run.waiting, self._clock.now())[:_MOST_ASKED]:
            if run.reads >= run.most_reads or not run.has_time or failures >= _MOST_FAILURES:
                return
            try:
                found = self._records.message(id_, run.deadline)
            except MessagingError:
                found, failures = None, failures + 1
            if found and found.is_final:
                self._record(run, [found])
            else:
                run.waiting = postponed(run.waiting, id_, self._clock.now())
