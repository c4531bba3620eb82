"""Send many messages, as many at once as the account's schedule allows, with a handful of AWS calls for each chunk.

It is the same core as a single send: `sending` before the first byte, a slot for each message, the outcome after. What
differs is that a chunk's entries, consents and slots are written, read and reserved together, and that what can't be
sent now goes back on the queue instead of to a caller. A process that dies leaves a chunk's messages `unknown` at most.
"""

import random
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor

from cxone_messaging.adapters.cxone.sms import SmsGateway
from cxone_messaging.adapters.dynamodb.consents import ConsentStore
from cxone_messaging.adapters.dynamodb.governor import Governor
from cxone_messaging.domain.batches import BulkRecord
from cxone_messaging.domain.entries import Draft, Entry
from cxone_messaging.domain.errors import MessagingError, StorageError
from cxone_messaging.domain.ledger import Insertion, Ledger
from cxone_messaging.domain.outcomes import NotAccepted, Rejected
from cxone_messaging.domain.pseudonyms import Pseudonyms
from cxone_messaging.domain.retries import pause_after
from cxone_messaging.domain.schedule import NoSlotError, RateUsedUpError, Slots
from cxone_messaging.domain.sms import SmsRules, check
from cxone_messaging.platform.clock import Clock, instant, milliseconds_since
from cxone_messaging.platform.deadline import Deadline
from cxone_messaging.platform.telemetry import Telemetry
from cxone_messaging.use_cases.bulk.claims import Claims
from cxone_messaging.use_cases.bulk.in_flight import Disposition, Done, Item, Later, Sent, later
from cxone_messaging.use_cases.bulk.slots import Pacer
from cxone_messaging.use_cases.counting import count_in_batches
from cxone_messaging.use_cases.journal import append
from cxone_messaging.use_cases.send.dispatcher import SCHEDULE_UNREADABLE, Dispatcher, no_slot
from cxone_messaging.use_cases.send.permission import Permission, fresh

CHUNK = 25
# Bulk reserves a short way ahead only, so that a single send waits at most about that long for its slot.
HORIZON_SECONDS = 1.0
# A round takes as long at most: until there are a token and slots, until the slowest answer, until all is entered.
_READY_SECONDS, _SEND_SECONDS, _OUTCOME_SECONDS = 5.0, 30.0, 5.0
ROUND_SECONDS = _READY_SECONDS + _SEND_SECONDS + _OUTCOME_SECONDS
_CLOCK_SKEW_SECONDS = 5.0
# Consents are read so often where each reading or refusal takes too long.
_READS = 4


class SendBatch:
    """The use case. Sends run side by side in the `executor`; one of its own, where none is given."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        consents: ConsentStore,
        gateway: SmsGateway,
        governor: Governor,
        slot_seconds: float,
        pseudonyms: Pseudonyms,
        rules: SmsRules,
        callback_url: Callable[[str], str],
        clock: Clock,
        telemetry: Telemetry,
        rng: random.Random,
        executor: Executor | None = None,
    ) -> None:
        self._ledger = ledger
        self._consents = consents
        self._gateway = gateway
        self._governor = governor
        self._slot_seconds = slot_seconds
        self._pseudonyms = pseudonyms
        self._rules = rules
        self._callback_url = callback_url
        self._clock = clock
        self._telemetry = telemetry
        self._rng = rng
        self._executor = executor or ThreadPoolExecutor(CHUNK)
        self._dispatcher = Dispatcher(gateway, governor, clock, telemetry)
        self._claims = Claims(ledger, pseudonyms, clock, telemetry, rng)

    def __call__(
        self,
        records: Sequence[BulkRecord],
        seconds_left: Callable[[], float],
        tell: Callable[[str, str], None] = lambda *_: None,
    ) -> list[Disposition]:
        """Send what can be sent in the time left, and say of each record what is to become of it. Never raises.

        `tell` is told each message's id and, in a word, what came of it.
        """
        items = [self._item(record) for record in records]
        self._set_repeats_aside(items)
        waiting = [item for item in items if item.disposition is None]
        for first in range(0, len(waiting), CHUNK):
            if seconds_left() < ROUND_SECONDS:
                break
            chunk = waiting[first : first + CHUNK]
            try:
                self._send_chunk(chunk, seconds_left)
            except StorageError:
                self._postpone(chunk, later(self._rng))
        self._postpone(items, Later(0))
        for item in items:
            tell(item.message_id, item.became)
        return [item.disposition or Done() for item in items]

    def _item(self, record: BulkRecord) -> Item:
        message_id = self._pseudonyms.message_id(record.reference)
        fingerprint = self._pseudonyms.fingerprint(record.request)
        checked = check(record.request, self._rules)
        permission = None
        if checked.to:
            permission = Permission(self._consents, self._pseudonyms.recipient_hash(checked.to), self._clock)
        return Item(record, message_id, fingerprint, checked, permission)

    def _set_repeats_aside(self, items: Sequence[Item]) -> None:
        """Let a record that is here twice wait for the first: one of them will find the other's entries."""
        seen: set[str] = set()
        for item in items:
            if item.message_id in seen:
                item.disposition = later(self._rng)
            seen.add(item.message_id)

    def _send_chunk(self, chunk: Sequence[Item], seconds_left: Callable[[], float]) -> None:
        for item in chunk:
            item.callback_url = self._callback_url(item.message_id)
        self._look_up_consents(chunk)
        self._claims.reject([item for item in chunk if item.errors])
        while (waiting := [item for item in chunk if item.disposition is None]) and seconds_left() >= ROUND_SECONDS:
            try:
                slots = self._make_ready(len(waiting))
            except MessagingError as error:
                self._postpone(waiting, Later(error.retry_after) if error.retry_after else later(self._rng))
                return
            except NoSlotError as error:
                self._postpone(waiting, later(self._rng, error.retry_after))
                return
            self._send_claimed(waiting[: slots.count], slots)

    def _send_claimed(self, items: Sequence[Item], slots: Slots) -> None:
        """Claim items and send them; one deadline, made before the claim, is for all of it."""
        deadline = Deadline.after(self._clock, _SEND_SECONDS)
        try:
            allowed = self._still_allowed(items)
            claimed = self._claims.claim(allowed, deadline.at + _OUTCOME_SECONDS + _CLOCK_SKEW_SECONDS)
        except StorageError:
            self._governor.give_back(slots)
            raise
        if not claimed:
            self._governor.give_back(slots)
        self._record(self._pace(claimed, slots, deadline))
        self._claims.take_back(deadline)

    def _still_allowed(self, items: Sequence[Item]) -> list[Item]:
        """Return the items that may be sent by consents that are fresh. Raises `StorageError` where reading is slow."""
        for _ in range(_READS):
            allowed = [item for item in items if item.disposition is None]
            if all(item.allowed.is_fresh for item in allowed):
                return allowed
            self._look_up_consents(allowed)
            if refused := [item for item in allowed if item.errors]:
                self._claims.reject(refused)
        raise StorageError("the consents could not be read in time")

    def _look_up_consents(self, items: Sequence[Item]) -> None:
        """Read the consents of items together, in one call."""
        fresh_until = fresh(self._clock)
        permissions = [item.permission for item in items if item.permission]
        found = self._consents.find_many({each.recipient_hash for each in permissions})
        for permission in permissions:
            permission.know(found.get(permission.recipient_hash), fresh_until)

    def _make_ready(self, count: int) -> Slots:
        """Have a token and slots for so many messages or fewer, waiting for the schedule to come within the horizon."""
        give_up_at = self._clock.monotonic() + _READY_SECONDS
        self._gateway.prepare(_READY_SECONDS)
        within_horizon = max(1, int(HORIZON_SECONDS / self._slot_seconds))
        while True:
            try:
                return self._governor.reserve(min(count, within_horizon), HORIZON_SECONDS)
            except RateUsedUpError as error:
                if self._clock.monotonic() + error.retry_after > give_up_at:
                    raise
                self._clock.sleep(error.retry_after * self._rng.uniform(1.0, 1.2))

    def _pace(self, items: Sequence[Item], slots: Slots, deadline: Deadline) -> list[Sent]:
        """Start each message at its slot's time, all of them side by side, and wait for the last answer."""
        pacer = Pacer(slots, self._slot_seconds, self._governor, self._clock, deadline)
        under_way: list[Future[Sent]] = []
        halt: NotAccepted | None = None
        for number, item in enumerate(items):
            try:
                slot = pacer.wait_for_next(len(items) - number)
                refused = self._refused_meanwhile(items[number:])
                if refused:
                    self._governor.give_back(slot)
            except NoSlotError as error:
                halt = no_slot(error)
                break
            except StorageError:
                halt = SCHEDULE_UNREADABLE
                break
            under_way.append(_done(Sent(item, refused)) if refused else self._start(item, slot, deadline))
        unsent = [Sent(item, halt) for item in items[len(under_way) :]] if halt else []
        return [future.result() for future in under_way] + unsent

    def _refused_meanwhile(self, items: Sequence[Item]) -> Rejected | None:
        """Look whether the first of items may still be sent to, where its consent was read too long ago to tell."""
        if not items[0].allowed.is_fresh:
            self._look_up_consents(items)
        return items[0].allowed.withdrawn()

    def _start(self, item: Item, slot: Slots, deadline: Deadline) -> Future[Sent]:
        try:
            return self._executor.submit(self._send, item, slot, deadline)
        except RuntimeError:  # the machine has no room for another thread
            return _done(self._send(item, slot, deadline))

    def _send(self, item: Item, slot: Slots, deadline: Deadline) -> Sent:
        started = self._clock.monotonic()
        slot, outcome = self._dispatcher.send_now(slot, item.sms, item.callback_url, deadline, item.allowed.withdrawn)
        latency_ms = milliseconds_since(started, self._clock)
        self._dispatcher.report(slot, outcome)
        return Sent(item, outcome, latency_ms)

    def _record(self, sent: Sequence[Sent]) -> None:
        """Enter what came of each; where that fails the record comes back, so that somebody settles the message."""
        drafts = [each.draft() for each in sent]
        entries = [
            draft.following(each.item.entries, each.item.subject, instant(self._clock.now()))
            for each, draft in zip(sent, drafts, strict=True)
        ]
        for each in sent:
            self._dispatcher.count(each.outcome, each.item.sms, each.latency_ms)
        for each, draft, entry, insertion in zip(sent, drafts, entries, self._ledger.insert_many(entries), strict=True):
            if not self._is_in(each.item, draft, entry, insertion):
                each.item.disposition = later(self._rng)
            elif isinstance(each.outcome, NotAccepted):
                wait = each.outcome.retry_after
                each.item.disposition = Later(max(wait, pause_after(1))) if wait else later(self._rng)
            else:
                each.item.done(draft.type)

    def _is_in(self, item: Item, draft: Draft, entry: Entry, insertion: Insertion) -> bool:
        """Whether an outcome is in and counted everywhere; one whose sequence an early event took is entered behind."""
        if insertion is Insertion.FAILED:
            return False
        try:
            entries = [*item.entries, entry]
            if insertion is Insertion.TAKEN:
                entries = append(self._ledger, self._clock, item.subject, lambda _: draft)
            count_in_batches(self._ledger, self._clock, item.subject, entries)
        except StorageError:
            return False
        return True

    def _postpone(self, items: Sequence[Item], disposition: Later) -> None:
        for item in items:
            item.disposition = item.disposition or disposition


def _done(sent: Sent) -> Future[Sent]:
    future: Future[Sent] = Future()
    future.set_result(sent)
    return future
