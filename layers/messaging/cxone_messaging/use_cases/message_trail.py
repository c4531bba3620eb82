"""Entries that any writer may add to a message's chain: overdue sends, receipts, counts of batches.

An entry counts in one batch, because an index has one key. A message's own entries count in the batch that brought it.
For each other batch that requests the same message, a further entry in the message's chain records its status. Another
one follows whenever the status has changed. Ordinarily no other batch exists, and nothing is written or read.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial

from cxone_messaging.domain import subjects
from cxone_messaging.domain.attention import Attention
from cxone_messaging.domain.batches import BATCH_KEY, batch_index, batch_of, batches_of, current_state_keys, is_counted
from cxone_messaging.domain.cxone_ids import (
    RECIPIENT_HASH_KEY,
    WAIT,
    claimers,
    has_id,
    index_key,
    strays_of,
    strays_of_claimers,
)
from cxone_messaging.domain.delivery import DELIVERED_WORD, FINAL_WORDS, SIGNED_KEY, is_signed
from cxone_messaging.domain.delivery_bounds import is_recorded, is_worth_an_entry
from cxone_messaging.domain.entries import Draft, Entry, EntryType, Value
from cxone_messaging.domain.errors import Code
from cxone_messaging.domain.ledger import CXONE_MESSAGE_KEY, BrokenChainError
from cxone_messaging.domain.messages import Message, Status
from cxone_messaging.domain.times import format_time
from cxone_messaging.platform.clock import Clock, instant
from cxone_messaging.platform.telemetry import Metric, Telemetry
from cxone_messaging.use_cases.journal import Appended, Decide, Journal, is_ends_only


class MessageTrail:
    """Writes the entries that follow from a message's entries."""

    def __init__(self, journal: Journal, clock: Clock, telemetry: Telemetry) -> None:
        self.journal = journal
        self._clock = clock
        self._telemetry = telemetry

    def is_overdue(self, message: Message) -> bool:
        """Whether a message's sender missed its deadline, so that it must be dead."""
        now = format_time(instant(self._clock.now()))
        return message.status is Status.SENDING and (message.deadline or "") < now

    def mark_overdue_unknown(self, subject: str, entries: list[Entry]) -> list[Entry]:
        """Record `unknown` for a message whose deadline has passed; return the message's entries.

        Other messages are left alone, without an AWS call. A chain with a gap accepts no entry: its message stays
        unchanged, so that it does not hold up other messages. Raises `StorageError`.
        """

        def unknown(known: Sequence[Entry]) -> Draft | None:
            # Its sender or an event may have recorded something meanwhile.
            if not self.is_overdue(Message.of(known)):
                return None
            data: dict[str, Value] = {"error": Code.OUTCOME_UNKNOWN.value, "reason": "deadline_passed"}
            index = batch_index(batch_of(known), EntryType.UNKNOWN, data) | Attention.UNKNOWN.as_index()
            return Draft(EntryType.UNKNOWN, data, index)

        try:
            appended = self.journal.append(subject, unknown, known=entries)
        except BrokenChainError:
            return entries
        if appended.new is None:
            return appended.entries
        self._telemetry.add(Metric.MESSAGES_UNKNOWN)
        return self.count_in_batches(subject, appended.entries)

    def adopt(self, subject: str, cxone_message_id: str, evidence: Mapping[str, Value]) -> bool:
        """Record that a message in doubt was dispatched, as CXone's own record of it shows; return whether that is new.

        `evidence` is what that record says. Where an earlier look-up named candidates, a person decides, unless the
        message's own reference names the record. Events that came early are joined. Raises `StorageError`.
        """

        def dispatched(known: Sequence[Entry]) -> Draft | None:
            was_ambiguous = any(each.type == EntryType.LOOKED_UP and each.data.get("found") for each in known)
            if Message.of(known).status is not Status.UNKNOWN or (was_ambiguous and not evidence.get("byReference")):
                return None
            data: dict[str, Value] = {CXONE_MESSAGE_KEY: cxone_message_id, "evidence": {**evidence}}
            index = batch_index(batch_of(known), EntryType.DISPATCHED, data)
            return Draft(EntryType.DISPATCHED, data, index | {CXONE_MESSAGE_KEY: cxone_message_id})

        appended = self.journal.append(subject, dispatched)
        if appended.new:
            self._telemetry.add(Metric.MESSAGES_ADOPTED)
            self.join_early_receipts(subject, cxone_message_id, appended.entries)
        return appended.new is not None

    def count_in_batches(self, subject: str, entries: list[Entry], batch_id: str | None = None) -> list[Entry]:
        """Make all batches of a message count its current status, and from now on `batch_id` among them.

        `entries` are all entries of the message. Returns them with the added ones. Call it after each append that may
        have changed the status; another call completes a run that broke off. Raises `StorageError`.
        """
        for each in dict.fromkeys([*batches_of(entries), *([batch_id] if batch_id else [])]):
            entries = self.journal.append(subject, partial(_counted, each), known=entries).entries
        return entries

    def count_as_refused(self, subject: str, entries: list[Entry], batch_id: str | None) -> None:
        """Count a message as rejected in its batch because its reference belongs to another message.

        The entry is in the chain of the message that has the reference, and says nothing about that message. A batch
        that counts that message keeps counting it: it has one message of the reference. Raises `StorageError`.
        """

        def refused(known: Sequence[Entry]) -> Draft | None:
            if any(entry.index.get(BATCH_KEY) == batch_id for entry in known):
                return None
            data: dict[str, Value] = {"error": Code.IDEMPOTENCY_KEY_REUSED.value}
            return Draft(EntryType.REFUSED, data, batch_index(batch_id, EntryType.REJECTED, data))

        if batch_id:
            self.journal.append(subject, refused, known=entries)

    def record_receipt(
        self, subject: str, data: Mapping[str, Value], *, known: Sequence[Entry] | None = None, at_url: bool = False
    ) -> Appended:
        """Append a delivery event to a message's chain, unless it has no new content or the chain has no room.

        `at_url` means that the event's callback URL names the message. Raises `StorageError`.
        """
        ledger = self.journal.ledger

        def draft(known: Sequence[Entry]) -> Draft | None:
            index = (
                batch_index(batch_of(known), EntryType.DELIVERY, data)
                if known and _may_change_status(known, data)
                else {}
            )
            key = {}
            if at_url:
                # The message's sender may be dead, or may not have received the answer with this id.
                key = index_key(ledger, subject, known, str(data["cxoneMessageId"]), signed=is_signed(data))
            if not is_worth_an_entry(known, data, brings_id=bool(key)):
                return None
            return Draft(EntryType.DELIVERY, data, index | key)

        appended = self.append_receipt(subject, draft, data, known)
        if appended.new:
            self._measure(str(data["word"]), appended.entries)
        if is_ends_only(appended.entries):
            return appended  # batches count its final events by the entries themselves
        # After a duplicate too: the first receipt may have broken off here.
        return appended._replace(entries=self.count_in_batches(subject, appended.entries))

    def append_receipt(
        self, subject: str, decide: Decide, data: Mapping[str, Value], known: Sequence[Entry] | None = None
    ) -> Appended:
        """Append the draft of `decide`, unless the event has an entry; read only the ends of a long chain."""
        entries = self.journal.read_for_event(subject) if known is None else list(known)

        def unless_recorded(known: Sequence[Entry]) -> Draft | None:
            return None if is_recorded(known, data) else decide(known)

        if not is_ends_only(entries):
            return self.journal.append(subject, unless_recorded, known=entries)
        try:
            return self.journal.append_to_ends(subject, unless_recorded, entries)
        except BrokenChainError:
            # The ledger counts the gaps in whole chains, but this read only the ends.
            self._telemetry.add(Metric.BROKEN_CHAINS)
            raise

    def join_early_receipts(self, subject: str, cxone_message_id: str, entries: list[Entry]) -> list[Entry]:
        """Record under a message the events with its CXone id that were early; return the message's entries.

        All events stay in their own chain too. A message that only claims the id gets none here, and neither does a
        message get an event that names another recipient. Raises `StorageError`.
        """
        if has_id(entries, cxone_message_id):
            strays = strays_of(entries, self.journal.oldest(subjects.delivery(cxone_message_id)))
            entries = self._join(subject, entries, strays, left_out={RECIPIENT_HASH_KEY})
        # An earlier run may have recorded the last event and died before batches counted it.
        return self.count_in_batches(subject, entries)

    def join_strays(self, cxone_message_id: str) -> int:
        """Record the early events of an id under the messages that they belong to; return the number of new entries.

        Messages that only claim the id get them `WAIT` after the first event, with no more weight than their URL.
        A claimer whose chain has a gap gets none, and keeps none from the others. Raises `StorageError`.
        """
        owner = self.journal.ledger.subject_of_cxone_message(cxone_message_id)
        if owner is not None:
            known = self.journal.read_for_event(owner)
            return len(self.join_early_receipts(owner, cxone_message_id, known)) - len(known)
        strays = self.journal.oldest(subjects.delivery(cxone_message_id))
        if not strays or strays[0].timestamp > format_time(instant(self._clock.now()) - WAIT):
            return 0
        found = claimers(self.journal.ledger, cxone_message_id)
        chains = {each: self.journal.read_for_event(each) for each in found}
        joined = 0
        for subject, theirs in strays_of_claimers(chains, strays).items():
            known = chains[subject]
            with suppress(BrokenChainError):
                entries = self._join(subject, known, theirs, left_out={RECIPIENT_HASH_KEY, SIGNED_KEY})
                joined += len(self.count_in_batches(subject, entries)) - len(known)
        return joined

    def _join(
        self, subject: str, entries: list[Entry], strays: Sequence[Entry], *, left_out: Collection[str]
    ) -> list[Entry]:
        for stray in strays:
            data = {name: value for name, value in stray.data.items() if name not in left_out}
            if not is_recorded(entries, data):
                entries = self.record_receipt(subject, data, known=entries).entries
        return entries

    def _measure(self, word: str, entries: Sequence[Entry]) -> None:
        """Count a message when it first becomes final."""
        if word not in FINAL_WORDS:
            return
        if sum(entry.data.get("word") in FINAL_WORDS for entry in entries) > 1:
            return
        delivered = word == DELIVERED_WORD
        self._telemetry.add(Metric.MESSAGES_DELIVERED if delivered else Metric.MESSAGES_FAILED)
        latency_ms = Message.of(entries).delivery_latency_ms
        if latency_ms is not None:
            self._telemetry.add(Metric.DELIVERY_LATENCY, latency_ms)


def _may_change_status(known: Sequence[Entry], data: Mapping[str, Value]) -> bool:
    """Whether an event changes its message's status, or may outrank another event later."""
    unchanged = {Status.DISPATCHED, Status.DELIVERED, Status.FAILED}
    return data["word"] in FINAL_WORDS or Message.of(known).status not in unchanged


def _counted(batch_id: str, known: Sequence[Entry]) -> Draft | None:
    if is_counted(batch_id, known):
        return None
    status = Message.of(known).status.value
    return Draft(EntryType.COUNTED, {"status": status}, current_state_keys(batch_id, known))
