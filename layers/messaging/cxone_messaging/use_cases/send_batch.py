"""Send many messages, as many at once as the account's schedule allows, with a handful of AWS calls for each chunk.

It is the same core as a single send: `sending` before the first byte, a slot for each message, the outcome after. What
differs is that a chunk's entries, consents and slots are written, read and reserved together, and that what can't be
sent now goes back on the queue instead of to a caller. A process that dies leaves a chunk's messages `unknown` at most.
"""

import random
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor

from cxone_messaging.adapters.consent_store import ConsentStore
from cxone_messaging.adapters.cxone_sms import SmsGateway
from cxone_messaging.adapters.governor import Governor
from cxone_messaging.adapters.ledger import Draft, Insertion, Ledger, append
from cxone_messaging.domain.bulk import BulkRecord
from cxone_messaging.domain.consents import FRESH_SECONDS, refusal
from cxone_messaging.domain.entries import Entry
from cxone_messaging.domain.errors import Code, MessagingError, StorageError
from cxone_messaging.domain.messages import SmsRules, check
from cxone_messaging.domain.outcomes import NotAccepted, Rejected
from cxone_messaging.domain.pseudonyms import Pseudonyms
from cxone_messaging.domain.schedule import NoSlotError, RateUsedUpError, Slots
from cxone_messaging.platform.clock import Clock, milliseconds_since
from cxone_messaging.platform.telemetry import Telemetry
from cxone_messaging.use_cases.chunk import Disposition, Done, Item, Later, Sent, later
from cxone_messaging.use_cases.claims import Claims
from cxone_messaging.use_cases.counting import count_in_batches
from cxone_messaging.use_cases.dispatch import SCHEDULE_UNREADABLE, measure, no_slot, send_now, tell_fleet
from cxone_messaging.use_cases.pacer import Pacer

CHUNK = 25
# Bulk reserves a short way ahead only, so that a single send waits at most about that long for its slot.
HORIZON_SECONDS = 1.0
# A round takes as long at most: until there are a token and slots, until the slowest answer, until all is entered.
_READY_SECONDS, _SEND_SECONDS, _OUTCOME_SECONDS = 5.0, 30.0, 5.0
ROUND_SECONDS = _READY_SECONDS + _SEND_SECONDS + _OUTCOME_SECONDS
_CLOCK_SKEW_SECONDS = 5.0


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
        return Item(record, message_id, fingerprint, check(record.request, self._rules))

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
            seconds = _SEND_SECONDS + _OUTCOME_SECONDS + _CLOCK_SKEW_SECONDS
            claimed = self._claims.claim(waiting[: slots.count], seconds)
            if not claimed:
                self._governor.give_back(slots)
            self._record(self._pace(claimed, slots))

    def _look_up_consents(self, chunk: Sequence[Item]) -> None:
        read_at = self._clock.monotonic()
        hashes = {id(item): self._pseudonyms.recipient_hash(item.checked.to) for item in chunk if item.checked.to}
        found = self._consents.find_many(set(hashes.values()))
        for item in chunk:
            item.consent, item.consent_read_at = found.get(hashes.get(id(item), "")), read_at

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

    def _pace(self, items: Sequence[Item], slots: Slots) -> list[Sent]:
        """Start each message at its slot's time, all of them side by side, and wait for the last answer."""
        give_up_at = self._clock.monotonic() + _SEND_SECONDS
        pacer = Pacer(slots, self._slot_seconds, self._governor, self._clock)
        under_way: list[Future[Sent]] = []
        halt: NotAccepted | None = None
        for number, item in enumerate(items):
            try:
                slot = pacer.wait_for_next(len(items) - number)
                refused = self._refused_meanwhile(items[number:])
            except NoSlotError as error:
                halt = no_slot(error)
                break
            except StorageError:
                halt = SCHEDULE_UNREADABLE
                break
            under_way.append(_done(Sent(item, refused)) if refused else self._start(item, slot, give_up_at))
        unsent = [Sent(item, halt) for item in items[len(under_way) :]] if halt else []
        return [future.result() for future in under_way] + unsent

    def _refused_meanwhile(self, items: Sequence[Item]) -> Rejected | None:
        """Look whether the first of items may still be sent to, where its consent was read too long ago to tell."""
        if self._clock.monotonic() - items[0].consent_read_at > FRESH_SECONDS:
            self._look_up_consents(items)
        told = refusal(items[0].consent)
        if told is None:
            return None
        reason = "the recipient's consent was withdrawn meanwhile"
        return Rejected("opted_out" if told.code is Code.OPTED_OUT else "not_opted_in", reason, None)

    def _start(self, item: Item, slot: Slots, give_up_at: float) -> Future[Sent]:
        return self._executor.submit(self._send, item, slot, give_up_at)

    def _send(self, item: Item, slot: Slots, give_up_at: float) -> Sent:
        started = self._clock.monotonic()
        slot, outcome = send_now(
            slot,
            item.sms,
            item.callback_url,
            give_up_at,
            gateway=self._gateway,
            governor=self._governor,
            clock=self._clock,
        )
        latency_ms = milliseconds_since(started, self._clock)
        tell_fleet(slot, outcome, self._governor, self._telemetry)
        return Sent(item, outcome, latency_ms)

    def _record(self, sent: Sequence[Sent]) -> None:
        """Enter what came of each; where that fails the record comes back, so that somebody settles the message."""
        drafts = [each.draft() for each in sent]
        entries = [
            draft.following(each.item.entries, each.item.subject, self._clock)
            for each, draft in zip(sent, drafts, strict=True)
        ]
        for each in sent:
            measure(each.outcome, each.item.sms, each.latency_ms, self._telemetry)
        for each, draft, entry, insertion in zip(sent, drafts, entries, self._ledger.insert_many(entries), strict=True):
            if not self._is_in(each.item, draft, entry, insertion):
                each.item.disposition = later(self._rng)
            elif isinstance(each.outcome, NotAccepted):
                wait = each.outcome.retry_after
                each.item.disposition = Later(wait) if wait else later(self._rng)
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
