"""Send a chunk of messages, with a handful of AWS calls for all of them.

The rules are the same as in a single send: `sending` before the first byte, a slot for each message, then the outcome.
A chunk's entries, consents and slots are written, read and reserved together. A message that CXone refuses with a 429
goes out first once that is over. A process that dies leaves at most one chunk's messages `unknown`.
"""

import random
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor

from cxone_messaging.adapters.dynamodb.consents import ConsentStore
from cxone_messaging.domain.errors import MessagingError, StorageError
from cxone_messaging.domain.messages import Message
from cxone_messaging.domain.outcomes import NotAccepted, Rejected
from cxone_messaging.domain.retries import pause_after
from cxone_messaging.domain.schedule import NoSlotError, RateUsedUpError, SenderRateUsedUpError, Slots
from cxone_messaging.platform.clock import CLOCK_SKEW_SECONDS, Clock, milliseconds_since
from cxone_messaging.platform.deadline import Deadline
from cxone_messaging.platform.telemetry import Metric
from cxone_messaging.use_cases.bulk.claims import Claims
from cxone_messaging.use_cases.bulk.in_flight import InFlight, Later, Sent, later, postpone
from cxone_messaging.use_cases.bulk.slots import SlotSequence
from cxone_messaging.use_cases.send.dispatcher import SCHEDULE_UNREADABLE, Dispatcher, no_slot
from cxone_messaging.use_cases.send.permission import fresh

CHUNK = 25
# The batch's own, and those of senders with a rate of their own. Threads are made only when they are needed.
_CHUNKS_AT_ONCE = 9
# Bulk reserves only this far ahead. A single send waits at most about that long for its slot, and as long again where
# an account is so slow that a chunk fills the horizon.
HORIZON_SECONDS = 0.9
# A slow sender's chunk may wait this long for its first slot, and as long again for its last.
_OWN_RATE_HORIZON_SECONDS = 1.25
# A slow sender's message does not wait for its slot of the account, or it would come close to the next one of its
# sender: it uses a slot that begins this soon at once. That is more than the backlog which bulk makes.
_JOIN_HORIZON_SECONDS = 2 * HORIZON_SECONDS
# The longest that a round takes: to get a token and slots, to receive the slowest answer, to record all outcomes.
_READY_SECONDS, _SEND_SECONDS, _OUTCOME_SECONDS = 5.0, 30.0, 5.0
ROUND_SECONDS = _READY_SECONDS + _SEND_SECONDS + _OUTCOME_SECONDS
# How often consents are read if each read or rejection takes too long.
_READS = 4
# A message that CXone refuses waits here if it may be tried again this soon, and on the queue if not.
_PATIENCE_SECONDS = 2.0


class Chunks:
    """Sends messages in chunks of 25; posts run in parallel in the `executor`."""

    def __init__(
        self,
        *,
        consents: ConsentStore,
        dispatcher: Dispatcher,
        claims: Claims,
        clock: Clock,
        rng: random.Random,
        executor: Executor | None = None,
    ) -> None:
        self._consents = consents
        self._dispatcher = dispatcher
        self._claims = claims
        self._clock = clock
        self._rng = rng
        self._executor = executor or ThreadPoolExecutor(CHUNK * _CHUNKS_AT_ONCE)

    def send_next(self, waiting: deque[InFlight], sender: str) -> None:
        """Send the next chunk of messages; those that have to wait for their next try, or got no slot, stay first.

        `sender` is the name of a sender with a rate of its own, which sent all of them; empty for others. Raises
        `SenderRateUsedUpError`.
        """
        now = self._clock.monotonic()
        due = [item for item in waiting if item.due_at <= now][:CHUNK]
        if not due:
            self._clock.sleep(min(item.due_at for item in waiting) - now)
            return
        try:
            self._send_chunk(due, sender)
        except StorageError:
            postpone(due, later(self._rng))
        finally:
            left = [item for item in waiting if item.disposition is None]
            waiting.clear()
            waiting.extend(sorted(left, key=lambda item: not item.due_at))

    def _send_chunk(self, chunk: Sequence[InFlight], sender: str) -> None:
        """Send as many of a chunk's messages as get slots. Raises `SenderRateUsedUpError`, and `StorageError`."""
        self._look_up_consents([item for item in chunk if item.permission and not item.permission.is_fresh])
        self._claims.reject([item for item in chunk if item.errors])
        waiting = [item for item in chunk if item.disposition is None]
        if not waiting:
            return
        try:
            slots = self._make_ready(len(waiting), sender)
        except MessagingError as error:
            postpone(waiting, Later(error.retry_after) if error.retry_after else later(self._rng))
        except SenderRateUsedUpError:
            raise
        except NoSlotError as error:
            postpone(waiting, later(self._rng, error.retry_after))
        else:
            self._send_claimed(waiting[: slots.count], slots, sender)

    def _send_claimed(self, items: Sequence[InFlight], slots: Slots, sender: str) -> None:
        """Claim items and send them, within one deadline that is made before the claim."""
        deadline = Deadline.after(self._clock, _SEND_SECONDS)
        try:
            allowed = self._still_allowed(items)
            claimed = self._claims.claim(allowed, deadline.at + _OUTCOME_SECONDS + CLOCK_SKEW_SECONDS)
        except StorageError:
            self._dispatcher.release(slots)
            raise
        if not claimed:
            self._dispatcher.release(slots)
        self._record(self._pace(claimed, slots, sender, deadline))
        self._claims.take_back(items, deadline)

    def _still_allowed(self, items: Sequence[InFlight]) -> list[InFlight]:
        """Return the items that fresh consents allow. Raises `StorageError` if reading is slow."""
        for _ in range(_READS):
            allowed = [item for item in items if item.disposition is None]
            if all(item.allowed.is_fresh for item in allowed):
                return allowed
            self._look_up_consents(allowed)
            if refused := [item for item in allowed if item.errors]:
                self._claims.reject(refused)
        raise StorageError("the consents could not be read in time")

    def _look_up_consents(self, items: Sequence[InFlight]) -> None:
        """Set the consents of items, read in one call."""
        fresh_until = fresh(self._clock)
        if not (permissions := [item.permission for item in items if item.permission]):
            return
        found = self._consents.find_many({each.recipient_hash for each in permissions})
        for permission in permissions:
            permission.remember(found.get(permission.recipient_hash), fresh_until)

    def _make_ready(self, count: int, sender: str) -> Slots:
        """Return slots for up to `count` messages, once a token is available. Raises `NoSlotError`."""
        deadline = Deadline.after(self._clock, _READY_SECONDS)
        self._dispatcher.prepare(_READY_SECONDS)
        if sender:
            self._dispatcher.governor.refuse_closed()  # or its messages would be claimed for nothing
        while True:
            try:
                return self._dispatcher.reserve(count, _OWN_RATE_HORIZON_SECONDS if sender else HORIZON_SECONDS, sender)
            except SenderRateUsedUpError:
                raise
            except RateUsedUpError as error:
                if error.retry_after > deadline.left:
                    raise
                self._clock.sleep(error.retry_after * self._rng.uniform(1.0, 1.2))

    def _pace(self, items: Sequence[InFlight], slots: Slots, sender: str, deadline: Deadline) -> list[Sent]:
        """Start each message at its slot's time, in parallel, and return all results after the last answer."""

        def reserve(count: int, horizon: float) -> Slots:
            return self._dispatcher.reserve(count, horizon, sender)

        governor = self._dispatcher.schedules.of(sender) or self._dispatcher.governor
        sequence = SlotSequence(slots, governor, reserve, self._clock, deadline)
        under_way: list[Future[Sent]] = []
        halt: NotAccepted | None = None
        for number, item in enumerate(items):
            slot = None
            try:
                slot = sequence.next(len(items) - number)
                if sender:
                    slot = self._joined(slot, deadline)
                refused = self._refused_meanwhile(items[number:])
                if refused:
                    self._dispatcher.release(slot)
            except (NoSlotError, StorageError) as error:
                halt = no_slot(error) if isinstance(error, NoSlotError) else SCHEDULE_UNREADABLE
                if slot:
                    self._dispatcher.release(slot)
                break
            under_way.append(_done(Sent(item, refused)) if refused else self._start(item, slot, deadline))
        unsent = [Sent(item, halt) for item in items[len(under_way) :]] if halt else []
        return [future.result() for future in under_way] + unsent

    def _joined(self, own: Slots, deadline: Deadline) -> Slots:
        """Return a slot of the account for a sender's own slot, after any short wait. Raises `NoSlotError`."""
        while True:
            try:
                return self._dispatcher.join(own, _JOIN_HORIZON_SECONDS, early=True)
            except RateUsedUpError as error:
                if error.retry_after > min(_PATIENCE_SECONDS, deadline.left):
                    raise
                self._clock.sleep(error.retry_after)

    def _refused_meanwhile(self, items: Sequence[InFlight]) -> Rejected | None:
        """Return a rejection if the first item's consent, read again if it is old, was withdrawn."""
        if not items[0].allowed.is_fresh:
            self._look_up_consents(items)
        return items[0].allowed.withdrawn()

    def _start(self, item: InFlight, slot: Slots, deadline: Deadline) -> Future[Sent]:
        try:
            return self._executor.submit(self._send, item, slot, deadline)
        except RuntimeError:  # the machine has no room for another thread
            return _done(self._send(item, slot, deadline))

    def _send(self, item: InFlight, slot: Slots, deadline: Deadline) -> Sent:
        started = self._clock.monotonic()
        slot, outcome = self._dispatcher.send_now(slot, item.sms, item.message_id, deadline, item.allowed.withdrawn)
        latency_ms = milliseconds_since(started, self._clock)
        self._dispatcher.report(slot, outcome, item.sms.sender)
        return Sent(item, outcome, latency_ms)

    def _record(self, sent: Sequence[Sent]) -> None:
        """Record each outcome. If that fails, the record returns, and a later run records `unknown`."""
        for each in sent:
            self._dispatcher.count(each.outcome, each.record.sms, each.latency_ms, Metric.BULK_DISPATCH_LATENCY)
        for each, is_recorded in zip(sent, self._claims.record(sent), strict=True):
            if not is_recorded:
                each.record.disposition = later(self._rng)
            elif isinstance(each.outcome, NotAccepted):
                self._try_again(each.record, each.outcome)
            else:
                each.record.done(each.draft().type)

    def _try_again(self, item: InFlight, outcome: NotAccepted) -> None:
        """Let a message that CXone refused wait for its next try here, if that is soon, or on the queue."""
        pause = max(outcome.retry_after or 0.0, pause_after(Message.of(item.entries).attempts, outcome.posts))
        if outcome.tried and outcome.code == "rate_limited" and pause <= _PATIENCE_SECONDS:
            item.due_at = self._clock.monotonic() + pause
        else:
            item.disposition = Later(pause) if outcome.retry_after else later(self._rng)


def _done(sent: Sent) -> Future[Sent]:
    future: Future[Sent] = Future()
    future.set_result(sent)
    return future
