"""Whose a bulk message is: what is entered before anything is sent, and what is done about entries already there."""

import random
import uuid
from collections.abc import Sequence

from cxone_messaging.domain.entries import Draft, Entry, EntryType, Value
from cxone_messaging.domain.errors import StorageError
from cxone_messaging.domain.ledger import BrokenChainError, Insertion, Ledger
from cxone_messaging.domain.messages import Message, Status, fold
from cxone_messaging.domain.outcomes import NotAccepted
from cxone_messaging.domain.pseudonyms import Pseudonyms
from cxone_messaging.domain.retries import seconds_to_wait
from cxone_messaging.domain.times import format_time, parse_time
from cxone_messaging.platform.clock import Clock, instant
from cxone_messaging.platform.deadline import Deadline
from cxone_messaging.platform.telemetry import Metric, Telemetry
from cxone_messaging.use_cases.bulk.in_flight import Item, Unusable, later
from cxone_messaging.use_cases.counting import count_as_refused, count_in_batches
from cxone_messaging.use_cases.journal import append
from cxone_messaging.use_cases.send.dispatcher import result, sending
from cxone_messaging.use_cases.settle import is_overdue, settle_overdue

_PAUSE_SECONDS = 0.5
_UNCONFIRMED = NotAccepted("cxone_unavailable", "claim_unconfirmed", tried=False)


class Claims:
    """Enters a chunk's messages in one call; whatever drops out has its disposition afterwards."""

    def __init__(
        self, ledger: Ledger, pseudonyms: Pseudonyms, clock: Clock, telemetry: Telemetry, rng: random.Random
    ) -> None:
        self._ledger = ledger
        self._pseudonyms = pseudonyms
        self._clock = clock
        self._telemetry = telemetry
        self._rng = rng
        self._unconfirmed: list[tuple[Item, Entry]] = []

    def take_back(self, deadline: Deadline) -> None:
        """Record of claims that may be in, though nobody could find out, that nothing was sent under them.

        Their messages would end `unknown` otherwise. What cannot be found out before the deadline stays as it is.
        """
        unconfirmed, self._unconfirmed = self._unconfirmed, []
        while unconfirmed:
            unconfirmed = [each for each in unconfirmed if not self._is_taken_back(*each)]
            if not unconfirmed or deadline.left < _PAUSE_SECONDS:
                return
            self._clock.sleep(_PAUSE_SECONDS)

    def _is_taken_back(self, item: Item, claim: Entry) -> bool:
        def decide(known: Sequence[Entry]) -> Draft | None:
            is_ours = bool(known) and known[-1].hash == claim.hash and claim.type == EntryType.SENDING
            return item.in_batch(result(_UNCONFIRMED, 0)) if is_ours else None

        try:
            append(self._ledger, self._clock, item.subject, decide)
        except StorageError:
            return False
        return True

    def reject(self, items: Sequence[Item]) -> None:
        """Enter of items that break a rule which ones; what was sent earlier stays sent, whatever was said since."""
        for item in self._enter(items, [self._rejected(item) for item in items]):
            item.done(Status.REJECTED)
            self._telemetry.add(Metric.MESSAGES_REJECTED)

    def claim(self, items: Sequence[Item], deadline: float) -> list[Item]:
        """Enter that we send items by the deadline, in Unix seconds; returns those that nobody else has, or had."""
        written = format_time(instant(deadline))
        return self._enter(items, [self._sending(item, written) for item in items])

    def _rejected(self, item: Item) -> Draft:
        codes: list[Value] = [error.code.value for error in item.errors]
        data: dict[str, Value] = {
            "error": codes[0],
            "reason": "the message breaks a rule",
            "codes": codes,
            "fingerprint": item.fingerprint,
        }
        if to := item.checked.to:
            data |= {"recipient": to.masked, "recipientHash": self._pseudonyms.recipient_hash(to)}
        return item.in_batch(Draft(EntryType.REJECTED, data))

    def _sending(self, item: Item, deadline: str) -> Draft:
        consent = item.allowed.last
        if consent is None:
            raise AssertionError("nothing is sent without consent")
        draft = sending(
            item.sms,
            consent,
            self._pseudonyms,
            fingerprint=item.fingerprint,
            owner=uuid.uuid4().hex,
            deadline=deadline,
        )
        return item.in_batch(draft)

    def _enter(self, items: Sequence[Item], drafts: Sequence[Draft]) -> list[Item]:
        """Enter each draft as its message's first entry, or behind tries that took nothing; gives those that are in."""
        firsts = [
            draft.following([], item.subject, instant(self._clock.now()))
            for item, draft in zip(items, drafts, strict=True)
        ]
        insertions = self._ledger.insert_many(firsts)
        for item, draft, first, insertion in zip(items, drafts, firsts, insertions, strict=True):
            match insertion:
                case Insertion.INSERTED:
                    item.entries = [first]
                case Insertion.TAKEN:
                    self._meet(item, draft)
                case Insertion.FAILED:
                    item.disposition = later(self._rng)
                    self._unconfirmed.append((item, first))
        return [item for item in items if item.disposition is None]

    def _meet(self, item: Item, draft: Draft) -> None:
        """Deal with a message that has entries already: a redelivered record, a duplicate, one that is tried again."""
        ours, wait = False, 0.0

        def decide(known: Sequence[Entry]) -> Draft | None:
            nonlocal ours, wait
            message = fold(item.message_id, known)
            ours = _is_same(item, message) and message.status is Status.RETRYING
            if draft.type is EntryType.SENDING:
                wait = seconds_to_wait(message, self._clock.now())
                ours = ours and not wait and item.allowed.is_fresh
            return draft if ours else None

        # One message's trouble must not keep those from being sent that are claimed already.
        try:
            entries = append(self._ledger, self._clock, item.subject, decide)
            message = fold(item.message_id, entries)
            if ours:
                item.entries = entries
            elif _is_same(item, message) and message.status is Status.RETRYING:
                item.disposition = later(self._rng, wait)
            else:
                self._leave(item, entries)
        except BrokenChainError:
            item.disposition = Unusable("broken_chain")
        except StorageError:
            item.disposition = later(self._rng)

    def _leave(self, item: Item, entries: list[Entry]) -> None:
        """Leave a message as its entries have it once they have come to an end, and have a batch count it."""
        batch_id = item.record.batch_id
        if not _is_same(item, fold(item.message_id, entries)):
            count_as_refused(self._ledger, self._clock, item.subject, entries, batch_id)
            item.disposition = Unusable("idempotency_key_reused")
            return
        settled = settle_overdue(self._ledger, self._clock, self._telemetry, item.subject, entries)
        message = fold(item.message_id, settled)
        if is_overdue(message, self._clock):
            # It could not be settled, or somebody would have.
            item.disposition = Unusable("broken_chain")
            return
        if message.status is Status.SENDING:
            # Somebody is at it. Whoever sees the record after their deadline settles what they left.
            left = parse_time(message.deadline or "").timestamp() - self._clock.now()
            item.disposition = later(self._rng, left)
            return
        count_in_batches(self._ledger, self._clock, item.subject, settled, batch_id)
        item.done(f"already {message.status}" if len(settled) == len(entries) else message.status)


def _is_same(item: Item, message: Message) -> bool:
    """Whether a message is what the record asks for; early delivery events alone don't tell."""
    return message.fingerprint in {None, item.fingerprint}
