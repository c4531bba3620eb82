"""Collect receipts and replies from CXone's records, where its API posts no events.

A run reads each direction's records from the newest back to what the run before has read, and a slack further: a search
lags behind, and receipts come after their messages. What it finds is recorded as an event that CXone posts, so late,
repeated and reordered records change nothing. Messages that have no receipt by then are asked about one by one.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace

from cxone_messaging.adapters.cxone.message_records import MessageRecords
from cxone_messaging.adapters.dynamodb.collection_item import CollectionStore
from cxone_messaging.domain import subjects
from cxone_messaging.domain.collection import SLACK_SECONDS, Collection, Span
from cxone_messaging.domain.delivery import DeliveryEvent
from cxone_messaging.domain.errors import MessagingError, StorageError
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
MOST_READS = 900
# Of them, so many ask about single messages.
_MOST_ASKED = 200
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
    """The collector of some channels. It remembers what it has recorded while its process lives."""

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
        self._tracks: bool | None = None
        self._reads = 0

    def __call__(self, deadline: Deadline) -> Collected:
        """Do one run.

        Raises `OtherRunError`, and at its end `MessagingError` if CXone refused a read, and `StorageError`. What was
        collected before an error stays collected.
        """
        began, self._reads = self._clock.now(), 0
        held = self._store.begin(began + deadline.left)
        if held is None:
            raise OtherRunError
        state, receipts, replies, looked_up = held, 0, 0, LookedUp()
        try:
            inbound, replies = self._read(Direction.INBOUND, state.inbound, None, deadline)
            state = replace(state, inbound=inbound)
            further_back = self._look_up.begin(state.ran_at)
            waiting = _Waiting(began)
            outbound, receipts = self._read(Direction.OUTBOUND, state.outbound, further_back, deadline, waiting)
            state = replace(state, outbound=outbound).with_waiting(waiting.created, waiting.settled, began)
            looked_up = self._look_up.settle()
            self._record(looked_up.adopted)
            # A message in doubt that was due in a pass that broke off is due again in the next run.
            state = replace(state, ran_at=state.ran_at if outbound.scroll else began)
            if self._tracks_delivery(deadline):
                state, asked = self._ask(state, deadline)
                receipts += asked
            else:
                state = replace(state, waiting={})
        finally:
            self._store.end(state)
            behind = self._clock.now() - min(state.inbound.up_to, state.outbound.up_to)
            self._telemetry.add(Metric.RECEIPTS_BEHIND, behind)
            self._telemetry.add(Metric.CXONE_READS, self._reads)
        return Collected(self._reads, receipts, replies, looked_up, behind)

    def _read(
        self,
        direction: Direction,
        span: Span,
        further_back: float | None,
        deadline: Deadline,
        waiting: "_Waiting | None" = None,
    ) -> tuple[Span, int]:
        """Read one direction from the newest record on; return what was read, and how many records were new.

        First, a pass that broke off is finished. A pass stops at half of the reads: the other direction has its own.
        """
        new = 0
        limit = self._reads + MOST_READS // 2
        while True:
            was_resumed = bool(span.scroll)
            if not was_resumed:
                now = self._clock.now()
                floor = min(span.up_to, now) - SLACK_SECONDS
                span = replace(span, began=now, floor=min(floor, further_back or floor))
            while True:
                if self._reads >= limit or deadline.left < _LEAST_SECONDS:
                    return span, new
                page = self._search(direction, span, deadline)
                inside = [each for each in page.messages if each.created_at >= span.floor]
                new += self._record(inside)
                if waiting:
                    waiting.take(inside)
                if not page.next or len(inside) < len(page.messages):
                    break
                span = replace(span, scroll=page.next)
            span = Span(up_to=span.began)
            if not was_resumed:
                return span, new

    def _search(self, direction: Direction, span: Span, deadline: Deadline) -> Page:
        self._reads += 1
        return self._records.search(self._channels, direction, span.floor, span.scroll, deadline)

    def _record(self, found: Iterable[FoundMessage]) -> int:
        """Record a page's receipts and replies, in parallel; return how many were new to this process.

        Raises the first `StorageError`, once all others are recorded.
        """
        new = [each for each in found if self._recorded.get(each.id) != each]
        failure: StorageError | None = None
        for record, done in [(each, self._executor.submit(self._record_one, each)) for each in new]:
            try:
                if done.result():
                    self._remember(record)
            except BrokenChainError:
                pass  # an alarm rings; the other records are not held up
            except StorageError as error:
                failure = failure or error
        if failure:
            raise failure
        return len(new)

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

    def _ask(self, state: Collection, deadline: Deadline) -> tuple[Collection, int]:
        """Ask about messages that have no receipt yet; return the new state, and how many got one."""
        got = 0
        for id_ in state.due(self._clock.now())[:_MOST_ASKED]:
            if self._reads >= MOST_READS or deadline.left < _LEAST_SECONDS:
                break
            self._reads += 1
            found = self._records.message(id_, deadline)
            if found and found.is_final:
                self._record([found])
                got += 1
                state = state.with_waiting({}, {id_}, self._clock.now())
            else:
                state = state.asked(id_, self._clock.now())
        return state, got

    def _tracks_delivery(self, deadline: Deadline) -> bool:
        """Whether a message without a receipt may still get one. A channel that does not say may track delivery."""
        if self._tracks is None and self._channels:
            self._reads += 1
            try:
                self._tracks = self._records.tracks_delivery(self._channels[0], deadline) is not False
            except MessagingError:
                return True
        return self._tracks is not False


class _Waiting:
    """The outbound messages of a run that have a receipt, and those that will not be read again and have none."""

    def __init__(self, now: float) -> None:
        self._now = now
        self.created: dict[str, float] = {}
        self.settled: set[str] = set()

    def take(self, found: Iterable[FoundMessage]) -> None:
        for each in found:
            if each.is_final:
                self.settled.add(each.id)
            elif each.created_at < self._now - SLACK_SECONDS:
                self.created[each.id] = each.created_at
