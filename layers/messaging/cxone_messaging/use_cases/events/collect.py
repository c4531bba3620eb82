"""Collect receipts and replies from CXone's records, where its API posts no events.

A run reads each direction's records from the newest back to what the run before has read, and a slack further: a search
lags behind, and receipts come after their messages. What it finds is recorded as an event that CXone posts, so late,
repeated and reordered records change nothing. Messages that have no receipt by then are asked about one by one.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial

from cxone_messaging.adapters.cxone.message_records import MessageRecords
from cxone_messaging.adapters.dynamodb.collection_item import CollectionStore
from cxone_messaging.domain import subjects
from cxone_messaging.domain.collection import (
    FURTHER_PAGES,
    FURTHER_SECONDS,
    SLACK_SECONDS,
    Collection,
    Span,
    asked,
    due,
    wait_for,
)
from cxone_messaging.domain.delivery import DeliveryEvent
from cxone_messaging.domain.errors import Code, MessagingError, StorageError
from cxone_messaging.domain.event_names import REPLY_EVENT
from cxone_messaging.domain.found_messages import Direction, FoundMessage, Page
from cxone_messaging.domain.ledger import BrokenChainError
from cxone_messaging.platform.clock import Clock
from cxone_messaging.platform.deadline import Deadline
from cxone_messaging.platform.telemetry import Metric, Telemetry
from cxone_messaging.use_cases.events.look_up import LookedUp, LookUp
from cxone_messaging.use_cases.events.record_events import Proof, RecordEvents
from cxone_messaging.use_cases.events.subscription import SubscriptionEvent

# CXone documents 120,000 reads an hour, which all of a tenant's programs share. A run a minute takes less than half.
MOST_READS = 950
# Of them, so many at most for replies, and for single messages.
_MOST_FOR_REPLIES, _MOST_ASKED = 200, 200
# What a run may take to record the last page, and to store how far it came.
_LEAST_SECONDS = 20.0
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
    """The collector of some channels. It remembers what it has recorded while its process lives.

    `reference_field` is the custom field of a contact that holds a reference to the last message; empty if none does.
    """

    def __init__(
        self,
        *,
        records: MessageRecords,
        events: RecordEvents,
        owner_of: Callable[[str], str | None],
        look_up: LookUp,
        store: CollectionStore,
        channels: Sequence[str],
        executor: Executor,
        clock: Clock,
        telemetry: Telemetry,
        reference_field: str = "",
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
        self._reference_field = reference_field
        self._recorded: dict[str, FoundMessage] = {}
        self._tracks: bool | None = None

    def __call__(self, deadline: Deadline) -> Collected:
        """Do one run.

        Raises `OtherRunError`, and at its end `MessagingError` if CXone refused a read, and `StorageError`. What was
        collected before an error stays collected, and the next run continues there.
        """
        began = self._clock.now()
        state = self._store.begin(began + deadline.left)
        if state is None:
            raise OtherRunError
        run = _Run(state, began, deadline)
        try:
            self._read(run, Direction.INBOUND, None)
            further_back = self._look_up.begin(state.ran_at)
            self._read(run, Direction.OUTBOUND, further_back)
            looked_up = self._look_up.settle(partial(self._reference_of, run) if self._reference_field else None)
            self._record(run, looked_up.adopted)
            # Messages in doubt that were due in a pass that broke off are due again in the next run.
            run.is_done = not run.spans[Direction.OUTBOUND].scroll
            self._ask(run)
        finally:
            ended = run.state()
            self._store.end(ended)
            behind = self._clock.now() - min(ended.inbound.up_to, ended.outbound.up_to)
            self._telemetry.add(Metric.RECEIPTS_BEHIND, behind)
            self._telemetry.add(Metric.CXONE_READS, run.reads)
        return Collected(run.reads, run.new[Direction.OUTBOUND], run.new[Direction.INBOUND], looked_up, behind)

    def _read(self, run: "_Run", direction: Direction, further_back: float | None) -> None:
        """Read one direction from the newest record on.

        First, a pass that broke off is finished.
        """
        limit = _MOST_FOR_REPLIES if direction is Direction.INBOUND else MOST_READS
        while True:
            was_resumed = bool(run.spans[direction].scroll)
            if not was_resumed:
                run.begin_pass(direction, self._clock.now(), further_back)
            further = 0
            while run.reads < limit and run.deadline.left >= _LEAST_SECONDS:
                page, floor = self._search(run, direction), run.spans[direction].floor
                self._record(run, page.messages)
                oldest = min((each.created_at for each in page.messages), default=floor)
                further += oldest < floor
                if not page.next or oldest < floor - FURTHER_SECONDS or further > FURTHER_PAGES:
                    run.end_pass(direction)
                    break
                run.turn(direction, page.next)
            else:
                return
            if not was_resumed:
                return

    def _search(self, run: "_Run", direction: Direction) -> Page:
        span = run.spans[direction]
        run.reads += 1
        try:
            return self._records.search(self._channels, direction, span.floor, span.scroll, run.deadline)
        except MessagingError as error:
            if span.scroll and error.code is Code.CXONE_UNAVAILABLE:
                run.spans[direction] = Span(span.up_to)  # CXone may have forgotten where the pass was: it begins anew
            raise

    def _record(self, run: "_Run", found: Iterable[FoundMessage]) -> None:
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
            if record.text.strip():
                self._events.record_subscription(
                    SubscriptionEvent(REPLY_EVENT, record.id, record.written_at, None, record.number, None, record.text)
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

    def _reference_of(self, run: "_Run", record: FoundMessage) -> str:
        if run.reads >= MOST_READS:
            return ""
        run.reads += 1
        return self._records.references(record, run.deadline).get(self._reference_field, "")

    def _ask(self, run: "_Run") -> None:
        """Ask about messages that have no receipt yet, one by one."""
        if not self._tracks_delivery(run):
            run.waiting = {}
            return
        for id_ in due(run.waiting, self._clock.now())[:_MOST_ASKED]:
            if run.reads >= MOST_READS or run.deadline.left < _LEAST_SECONDS:
                return
            run.reads += 1
            found = self._records.message(id_, run.deadline)
            if found and found.is_final:
                self._record(run, [found])
            else:
                run.waiting = asked(run.waiting, id_, self._clock.now())

    def _tracks_delivery(self, run: "_Run") -> bool:
        """Whether a message without a receipt may still get one. A channel that does not say may track delivery."""
        if self._tracks is None and run.waiting:
            run.reads += 1
            self._tracks = self._records.tracks_delivery(self._channels[0], run.deadline) is not False
        return self._tracks is not False


class _Run:
    """What one run has done so far; whenever it ends, this is what the next one continues."""

    def __init__(self, state: Collection, began: float, deadline: Deadline) -> None:
        self.deadline = deadline
        self.reads = 0
        self.new = dict.fromkeys(Direction, 0)
        self.spans = {Direction.OUTBOUND: state.outbound, Direction.INBOUND: state.inbound}
        self.waiting = dict(state.waiting)
        self.is_done = False
        self._began = began
        self._ran_at = state.ran_at

    def begin_pass(self, direction: Direction, now: float, further_back: float | None) -> None:
        span = self.spans[direction]
        floor = min(span.up_to, now) - SLACK_SECONDS
        self.spans[direction] = Span(span.up_to, began=now, floor=min(floor, further_back or floor))

    def turn(self, direction: Direction, scroll: str) -> None:
        self.spans[direction] = replace(self.spans[direction], scroll=scroll)

    def end_pass(self, direction: Direction) -> None:
        self.spans[direction] = Span(self.spans[direction].began)

    def take(self, found: Iterable[FoundMessage]) -> None:
        """Note which of our messages have a receipt, and which will not be read again and have none."""
        for each in found:
            if each.is_final:
                self.waiting.pop(each.id, None)
            elif each.direction is Direction.OUTBOUND and each.created_at < self._began - SLACK_SECONDS:
                self.waiting = wait_for(self.waiting, each, self._began)

    def state(self) -> Collection:
        return Collection(
            self.spans[Direction.OUTBOUND],
            self.spans[Direction.INBOUND],
            self.waiting,
            self._began if self.is_done else self._ran_at,
        )
