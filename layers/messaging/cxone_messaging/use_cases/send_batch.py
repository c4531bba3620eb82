"""Send many messages, as many at once as the account's schedule allows, with a handful of AWS calls for each chunk.

It is the same core as a single send: `sending` before the first byte, a slot for each message, the outcome after. What
differs is that a chunk's entries, consents and slots are written, read and reserved together, and that what can't be
sent now goes back on the queue instead of to a caller. A process that dies leaves a chunk's messages `unknown` at most.
"""

import random
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from cxone_messaging.adapters.consent_store import ConsentStore
from cxone_messaging.adapters.cxone_sms import SmsGateway
from cxone_messaging.adapters.governor import Governor, NoSlotError, RateUsedUpError, Slots
from cxone_messaging.adapters.ledger import Draft, Insertion, Ledger, append
from cxone_messaging.domain.bulk import BulkRecord, batch_index
from cxone_messaging.domain.consents import Consent, refusal
from cxone_messaging.domain.entries import Entry, EntryType, Value
from cxone_messaging.domain.errors import FieldError, MessagingError, StorageError
from cxone_messaging.domain.messages import Checked, Sms, SmsRules, Status, check, fold, subject_of
from cxone_messaging.domain.outcomes import NotAccepted, SendOutcome
from cxone_messaging.domain.pseudonyms import Pseudonyms
from cxone_messaging.domain.times import format_time, parse_time
from cxone_messaging.platform.clock import Clock, instant
from cxone_messaging.platform.telemetry import Metric, Telemetry
from cxone_messaging.use_cases.dispatch import measure, no_slot, result, sending, tell_fleet
from cxone_messaging.use_cases.pacer import Pacer
from cxone_messaging.use_cases.settle import is_overdue, settle_overdue

CHUNK = 25
# Bulk reserves a short way ahead only, so that a single send waits at most about that long for its slot.
HORIZON_SECONDS = 1.0
# A chunk needs this long at most: its slots, the slowest answer, its entries.
_CHUNK_SECONDS = 30.0
_OUTCOME_SECONDS = 5.0
_CLOCK_SKEW_SECONDS = 5.0
_MIN_LATER_SECONDS, _MAX_LATER_SECONDS = 1.0, 10.0


@dataclass(frozen=True, slots=True)
class Done:
    """The record is dealt with, now or earlier."""


@dataclass(frozen=True, slots=True)
class Later:
    """The record is to be seen again, after so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Unusable:
    """The record can't be dealt with by anybody but a person."""

    reason: str


type Disposition = Done | Later | Unusable


@dataclass(slots=True)
class _Item:
    """A record on its way through a chunk."""

    record: BulkRecord
    message_id: str
    fingerprint: str
    checked: Checked
    callback_url: str = ""
    consent: Consent | None = None
    entries: Sequence[Entry] = ()
    disposition: Disposition | None = None

    @property
    def sms(self) -> Sms:
        if self.checked.sms is None:
            raise AssertionError("only a message that keeps every rule gets this far")
        return self.checked.sms


@dataclass(frozen=True, slots=True)
class _Sent:
    """What came of a message; the latency runs from its slot to CXone's answer."""

    item: _Item
    outcome: SendOutcome
    latency_ms: int

    def draft(self) -> Draft:
        draft = result(self.outcome, self.latency_ms)
        index = batch_index(self.item.record.batch_id, draft.type, draft.data)
        return replace(draft, index={**(draft.index or {}), **index})


class SendBatch:
    """The use case."""

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
        self._pool = ThreadPoolExecutor(CHUNK)

    def __call__(self, records: Sequence[BulkRecord], seconds_left: Callable[[], float]) -> list[Disposition]:
        """Send what can be sent in the time left, and say of each record what is to become of it. Never raises."""
        items = [self._item(record) for record in records]
        self._set_repeats_aside(items)
        waiting = [item for item in items if item.disposition is None]
        for first in range(0, len(waiting), CHUNK):
            chunk = waiting[first : first + CHUNK]
            if seconds_left() < _CHUNK_SECONDS + _OUTCOME_SECONDS:
                break
            try:
                self._send_chunk(chunk)
            except StorageError:
                self._postpone(chunk, self._soon())
        self._postpone(items, 0)
        return [item.disposition or Done() for item in items]

    def _item(self, record: BulkRecord) -> _Item:
        message_id = self._pseudonyms.message_id(record.reference)
        return _Item(
            record, message_id, self._pseudonyms.fingerprint(record.request), check(record.request, self._rules)
        )

    def _set_repeats_aside(self, items: Sequence[_Item]) -> None:
        """Let a record that is here twice wait for the first: one of them will find the other's entries."""
        seen: set[str] = set()
        for item in items:
            if item.message_id in seen:
                item.disposition = Later(self._soon())
            seen.add(item.message_id)

    def _send_chunk(self, chunk: Sequence[_Item]) -> None:
        for item in chunk:
            item.callback_url = self._callback_url(item.message_id)
        self._look_up_consents(chunk)
        self._reject_what_breaks_a_rule(chunk)
        while open_items := [item for item in chunk if item.disposition is None]:
            try:
                self._gateway.prepare(_OUTCOME_SECONDS)
                slots = self._reserve(len(open_items))
            except MessagingError as error:
                self._postpone(open_items, error.retry_after or self._soon())
                return
            except NoSlotError as error:
                self._postpone(open_items, error.retry_after + self._soon())
                return
            taken = open_items[: slots.count]
            claimed = self._claim(taken)
            if not claimed:
                self._governor.give_back(slots)
            self._record(self._pace(claimed, slots))

    def _look_up_consents(self, chunk: Sequence[_Item]) -> None:
        hashes = {id(item): self._pseudonyms.recipient_hash(item.checked.to) for item in chunk if item.checked.to}
        found = self._consents.find_many(set(hashes.values()))
        for item in chunk:
            item.consent = found.get(hashes.get(id(item), ""))

    def _reject_what_breaks_a_rule(self, chunk: Sequence[_Item]) -> None:
        """Record what was not sent, and why; unless it was sent earlier, whatever the recipient has said since."""
        drafts = {id(item): self._rejection(item) for item in chunk}
        refused = [item for item in chunk if drafts[id(item)]]
        firsts = [self._first(item, drafts[id(item)]) for item in refused]
        for item, insertion in zip(refused, self._ledger.insert_many(firsts), strict=True):
            item.disposition = Later(self._soon()) if insertion is Insertion.FAILED else Done()
            if insertion is Insertion.INSERTED:
                self._telemetry.add(Metric.MESSAGES_REJECTED)

    def _rejection(self, item: _Item) -> Draft | None:
        refused = refusal(item.consent) if item.checked.to else None
        errors: list[FieldError] = [*item.checked.errors, *([refused] if refused else [])]
        if not errors:
            return None
        to = item.checked.to
        codes = [error.code.value for error in errors]
        data: dict[str, Value] = {
            "error": codes[0],
            "reason": "the message breaks a rule",
            "codes": list(codes),
            "fingerprint": item.fingerprint,
            **({"recipient": to.masked, "recipientHash": self._pseudonyms.recipient_hash(to)} if to else {}),
        }
        return Draft(EntryType.REJECTED, data, batch_index(item.record.batch_id, EntryType.REJECTED, data))

    def _reserve(self, count: int) -> Slots:
        """Reserve a chunk's slots, waiting for the schedule to come within the horizon."""
        give_up_at = self._clock.monotonic() + _OUTCOME_SECONDS
        while True:
            try:
                return self._governor.reserve(count, HORIZON_SECONDS)
            except RateUsedUpError as error:
                if self._clock.monotonic() + error.retry_after > give_up_at:
                    raise
                self._clock.sleep(error.retry_after * self._rng.uniform(1.0, 1.2))

    def _claim(self, items: Sequence[_Item]) -> list[_Item]:
        """Enter for each message that we are sending it; those that are somebody else's, or done, drop out."""
        until = self._clock.now() + _CHUNK_SECONDS + _OUTCOME_SECONDS + _CLOCK_SKEW_SECONDS
        drafts = [self._sending(item, format_time(instant(until))) for item in items]
        firsts = [self._first(item, draft) for item, draft in zip(items, drafts, strict=True)]
        claimed = []
        for item, draft, first, insertion in zip(items, drafts, firsts, self._ledger.insert_many(firsts), strict=True):
            if insertion is Insertion.INSERTED:
                item.entries = [first]
            elif insertion is Insertion.TAKEN:
                self._meet(item, draft)
            else:
                item.disposition = Later(self._soon())
            if item.disposition is None:
                claimed.append(item)
        return claimed

    def _sending(self, item: _Item, deadline: str) -> Draft:
        if item.consent is None:
            raise AssertionError("nothing is sent without consent")
        draft = sending(
            item.sms,
            item.consent,
            self._pseudonyms,
            fingerprint=item.fingerprint,
            owner=uuid.uuid4().hex,
            deadline=deadline,
        )
        return replace(draft, index=batch_index(item.record.batch_id, draft.type, draft.data))

    def _first(self, item: _Item, draft: Draft | None) -> Entry:
        if draft is None:
            raise AssertionError("there is something to enter")
        return draft.following([], subject_of(item.message_id), self._clock)

    def _meet(self, item: _Item, draft: Draft) -> None:
        """Deal with a message that has entries already: a redelivered record, a duplicate, one that is tried again."""
        subject = subject_of(item.message_id)

        def decide(known: Sequence[Entry]) -> Draft | None:
            message = fold(item.message_id, known)
            again = message.status is Status.RETRYING and message.fingerprint == item.fingerprint
            return draft if again else None

        entries = append(self._ledger, self._clock, subject, decide)
        if entries[-1].data.get("owner") == draft.data["owner"]:
            item.entries = entries
            return
        message = fold(item.message_id, entries)
        if message.fingerprint != item.fingerprint and message.fingerprint is not None:
            item.disposition = Unusable("idempotency_key_reused")
        elif is_overdue(message, self._clock):
            settle_overdue(self._ledger, self._clock, self._telemetry, item.message_id, entries)
            item.disposition = Done()
        elif message.status is Status.SENDING:
            # Somebody is at it. Whoever sees the record after their deadline settles what they left.
            left = parse_time(message.deadline or "").timestamp() - self._clock.now()
            item.disposition = Later(left + self._soon())
        else:
            item.disposition = Done()

    def _pace(self, items: Sequence[_Item], slots: Slots) -> "list[_Sent]":
        """Start each message at its slot's time, all of them side by side, and wait for the last answer."""
        give_up_at = self._clock.monotonic() + _CHUNK_SECONDS
        pacer = Pacer(slots, self._slot_seconds, self._governor, self._clock)
        under_way: list[Future[_Sent]] = []
        unsent: list[_Sent] = []
        for number, item in enumerate(items):
            try:
                slot = pacer.wait_for_next(len(items) - number)
            except NoSlotError as error:
                unsent = [_Sent(each, no_slot(error), 0) for each in items[number:]]
                break
            except StorageError:
                halt = NotAccepted("cxone_unavailable", "schedule_unreadable", tried=False)
                unsent = [_Sent(each, halt, 0) for each in items[number:]]
                break
            under_way.append(self._pool.submit(self._send, item, slot, give_up_at))
        return [future.result() for future in under_way] + unsent

    def _send(self, item: _Item, slot: Slots, give_up_at: float) -> "_Sent":
        started = self._clock.monotonic()
        outcome = self._gateway.send(item.sms, item.callback_url, give_up_at - started)
        latency_ms = round((self._clock.monotonic() - started) * 1000)
        tell_fleet(slot, outcome, self._governor, self._telemetry)
        return _Sent(item, outcome, latency_ms)

    def _record(self, sent: "Sequence[_Sent]") -> None:
        """Enter what came of each; where an early event took the sequence, the outcome is entered after it."""
        drafts = [each.draft() for each in sent]
        entries = [
            draft.following(each.item.entries, subject_of(each.item.message_id), self._clock)
            for each, draft in zip(sent, drafts, strict=True)
        ]
        for each, draft, insertion in zip(sent, drafts, self._ledger.insert_many(entries), strict=True):
            if insertion is Insertion.TAKEN:
                self._append(each.item, draft)
            measure(each.outcome, each.item.sms, each.latency_ms, self._telemetry)
            if isinstance(each.outcome, NotAccepted):
                each.item.disposition = Later(each.outcome.retry_after or self._soon())
            else:
                each.item.disposition = Done()

    def _append(self, item: _Item, draft: Draft) -> None:
        append(self._ledger, self._clock, subject_of(item.message_id), lambda _: draft)

    def _postpone(self, items: Sequence[_Item], seconds: float) -> None:
        for item in items:
            if item.disposition is None:
                item.disposition = Later(seconds)

    def _soon(self) -> float:
        return self._rng.uniform(_MIN_LATER_SECONDS, _MAX_LATER_SECONDS)
