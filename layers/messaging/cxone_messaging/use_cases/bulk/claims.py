"""The entries of bulk messages: claims before a send, outcomes after, decisions about older entries."""

import random
import uuid
from collections.abc import Sequence

from cxone_messaging.domain.entries import Draft, Entry, EntryType, Value
from cxone_messaging.domain.errors import StorageError
from cxone_messaging.domain.ledger import BrokenChainError, Insertion
from cxone_messaging.domain.messages import Message, Status
from cxone_messaging.domain.outcomes import NotAccepted
from cxone_messaging.domain.pseudonyms import Pseudonyms
from cxone_messaging.domain.retries import seconds_to_wait
from cxone_messaging.domain.times import format_time, parse_time
from cxone_messaging.platform.clock import Clock, instant
from cxone_messaging.platform.deadline import Deadline
from cxone_messaging.platform.telemetry import Metric, Telemetry
from cxone_messaging.use_cases.bulk.in_flight import InFlight, Sent, Unusable, later
from cxone_messaging.use_cases.message_trail import MessageTrail
from cxone_messaging.use_cases.send.dispatcher import outcome_draft, sending_draft

_PAUSE_SECONDS = 0.5
_UNCONFIRMED = NotAccepted("cxone_unavailable", "claim_unconfirmed", tried=False)


class Claims:
    """Writes a chunk's entries in one call.

    A record that is not claimed has a disposition afterwards.
    """

    def __init__(
        self, trail: MessageTrail, pseudonyms: Pseudonyms, clock: Clock, telemetry: Telemetry, rng: random.Random
    ) -> None:
        self._trail = trail
        self._pseudonyms = pseudonyms
        self._clock = clock
        self._telemetry = telemetry
        self._rng = rng

    def record(self, sent: Sequence[Sent]) -> list[bool]:
        """Record outcomes, and return for each whether it is recorded and counted. Never raises."""
        drafts = [each.draft() for each in sent]
        entries = [
            self._trail.journal.entry(draft, each.record.subject, each.record.entries)
            for each, draft in zip(sent, drafts, strict=True)
        ]
        insertions = self._trail.journal.ledger.insert_many(entries)
        return [self._is_recorded(*each) for each in zip(sent, drafts, entries, insertions, strict=True)]

    def _is_recorded(self, sent: Sent, draft: Draft, entry: Entry, insertion: Insertion) -> bool:
        """Count a stored outcome; append it again if an early event took its sequence.

        Return whether it is counted.
        """
        if insertion is Insertion.FAILED:
            return False
        subject = sent.record.subject
        try:
            entries = [*sent.record.entries, entry]
            if insertion is Insertion.TAKEN:
                entries = self._trail.journal.append(subject, lambda _: draft).entries
            self._trail.count_in_batches(subject, entries)
        except StorageError:
            return False
        return True

    def take_back(self, items: Sequence[InFlight], deadline: Deadline) -> None:
        """Record that nothing was sent under claims that may be stored although no answer confirmed them.

        Otherwise their messages would become `unknown`. Claims that cannot be read before the deadline stay unchanged.
        """
        unconfirmed = [(item, item.unconfirmed) for item in items if item.unconfirmed]
        while unconfirmed:
            unconfirmed = [each for each in unconfirmed if not self._is_taken_back(*each)]
            if not unconfirmed or deadline.left < _PAUSE_SECONDS:
                return
            self._clock.sleep(_PAUSE_SECONDS)

    def _is_taken_back(self, item: InFlight, claim: Entry) -> bool:
        def decide(known: Sequence[Entry]) -> Draft | None:
            is_ours = bool(known) and known[-1].hash == claim.hash and claim.type == EntryType.SENDING
            return item.in_batch(outcome_draft(_UNCONFIRMED, 0)) if is_ours else None

        try:
            self._trail.journal.append(item.subject, decide)
        except StorageError:
            return False
        return True

    def reject(self, items: Sequence[InFlight]) -> None:
        """Record which rules each item breaks. A message that was sent before stays sent."""
        for item in self._insert_first(items, [self._rejected(item) for item in items]):
            item.done(Status.REJECTED)
            self._telemetry.add(Metric.MESSAGES_REJECTED)

    def claim(self, items: Sequence[InFlight], deadline: float) -> list[InFlight]:
        """Record that this process sends items by `deadline` (Unix seconds); return those it may send."""
        written = format_time(instant(deadline))
        return self._insert_first(items, [self._sending(item, written) for item in items])

    def _rejected(self, item: InFlight) -> Draft:
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

    def _sending(self, item: InFlight, deadline: str) -> Draft:
        consent = item.allowed.last
        if consent is None:
            raise AssertionError("nothing is sent without consent")
        draft = sending_draft(
            item.sms,
            consent,
            self._pseudonyms,
            fingerprint=item.fingerprint,
            owner=uuid.uuid4().hex,
            deadline=deadline,
        )
        return item.in_batch(draft)

    def _insert_first(self, items: Sequence[InFlight], drafts: Sequence[Draft]) -> list[InFlight]:
        """Append each draft as its message's first entry, or after earlier tries; return the items appended."""
        firsts = [self._trail.journal.entry(draft, item.subject) for item, draft in zip(items, drafts, strict=True)]
        insertions = self._trail.journal.ledger.insert_many(firsts)
        for item, draft, first, insertion in zip(items, drafts, firsts, insertions, strict=True):
            match insertion:
                case Insertion.INSERTED:
                    item.entries = [first]
                case Insertion.TAKEN:
                    self._resolve_existing(item, draft)
                case Insertion.FAILED:
                    item.disposition = later(self._rng)
                    item.unconfirmed = first
        return [item for item in items if item.disposition is None]

    def _resolve_existing(self, item: InFlight, draft: Draft) -> None:
        """Decide about a message that has entries: a redelivered record, a duplicate, or a message to retry."""
        ours, wait = False, 0.0

        def decide(known: Sequence[Entry]) -> Draft | None:
            nonlocal ours, wait
            message = Message.of(known)
            ours = _is_same(item, message) and message.status is Status.RETRYING
            if draft.type is EntryType.SENDING:
                wait = seconds_to_wait(message, self._clock.now())
                ours = ours and not wait and item.allowed.is_fresh
            return draft if ours else None

        # One message's failure must not hold up the messages that are claimed already.
        try:
            entries = self._trail.journal.append(item.subject, decide).entries
            message = Message.of(entries)
            if ours:
                item.entries = entries
            elif _is_same(item, message) and message.status is Status.RETRYING:
                item.disposition = later(self._rng, wait)
            else:
                self._leave_to_owner(item, entries)
        except BrokenChainError:
            item.disposition = Unusable("broken_chain")
        except StorageError:
            item.disposition = later(self._rng)

    def _leave_to_owner(self, item: InFlight, entries: list[Entry]) -> None:
        """Leave a message to the sender that claimed it; finish and count the record if that sender is done."""
        batch_id = item.record.batch_id
        if not _is_same(item, Message.of(entries)):
            self._trail.count_as_refused(item.subject, entries, batch_id)
            item.disposition = Unusable("idempotency_key_reused")
            return
        updated = self._trail.mark_overdue_unknown(item.subject, entries)
        message = Message.of(updated)
        if self._trail.is_overdue(message):
            # Its chain accepts no entry.
            item.disposition = Unusable("broken_chain")
            return
        if message.status is Status.SENDING:
            # Another sender has claimed it. Its record returns after that sender's deadline.
            left = parse_time(message.deadline or "").timestamp() - self._clock.now()
            item.disposition = later(self._rng, left)
            return
        self._trail.count_in_batches(item.subject, updated, batch_id)
        item.done(f"already {message.status}" if len(updated) == len(entries) else message.status)


def _is_same(item: InFlight, message: Message) -> bool:
    """Whether a message is the record's; it also is if its chain has only early delivery events."""
    return message.fingerprint in {None, item.fingerprint}
