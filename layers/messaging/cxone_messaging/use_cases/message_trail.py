"""What any writer may add to a message's chain: an overdue send is `unknown`, and batches count its status.

An entry counts in one batch, because an index has one key. A message's own entries count in the batch that brought it.
For each other batch that asks for the same message, a further entry in the message's chain says its status, and
another one whenever that has changed. Ordinarily no other batch exists, and nothing is written or read.
"""

from collections.abc import Sequence
from functools import partial

from cxone_messaging.domain.attention import Attention
from cxone_messaging.domain.batches import BATCH_KEY, batch_index, batch_of, batches_of, current_state_keys, is_counted
from cxone_messaging.domain.entries import Draft, Entry, EntryType, Value
from cxone_messaging.domain.errors import Code
from cxone_messaging.domain.ledger import BrokenChainError
from cxone_messaging.domain.messages import Message, Status
from cxone_messaging.domain.times import format_time
from cxone_messaging.platform.clock import Clock, instant
from cxone_messaging.platform.telemetry import Metric, Telemetry
from cxone_messaging.use_cases.journal import Journal


class MessageTrail:
    """Writes what follows from a message's entries."""

    def __init__(self, journal: Journal, clock: Clock, telemetry: Telemetry) -> None:
        self.journal = journal
        self._clock = clock
        self._telemetry = telemetry

    def is_overdue(self, message: Message) -> bool:
        """Whether a message's sender missed its deadline, so that it must be dead."""
        now = format_time(instant(self._clock.now()))
        return message.status is Status.SENDING and (message.deadline or "") < now

    def mark_overdue_unknown(self, subject: str, entries: list[Entry]) -> list[Entry]:
        """Record `unknown` for a message whose deadline passed. Other messages are left alone, without an AWS call.

        Returns the message's entries. A chain with a gap takes none: its message stays as it is, so that it does not
        hold up others. Raises `StorageError`.
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

    def count_in_batches(self, subject: str, entries: list[Entry], batch_id: str | None = None) -> list[Entry]:
        """Make all batches of a message count its current status, and from now on `batch_id` among them.

        `entries` are all of the message's. Returns them with what was added. Call it after each append that may have
        changed the status; calling it again completes a run that broke off. Raises `StorageError`.
        """
        for each in dict.fromkeys([*batches_of(entries), *([batch_id] if batch_id else [])]):
            entries = self.journal.append(subject, partial(_counted, each), known=entries).entries
        return entries

    def count_as_refused(self, subject: str, entries: list[Entry], batch_id: str | None) -> None:
        """Count a message as rejected in its batch because its reference belongs to another message.

        The entry is in the chain of the message that has the reference, and says nothing about that one. A batch that
        counts that one continues to: it has one message of the reference. Raises `StorageError`.
        """

        def refused(known: Sequence[Entry]) -> Draft | None:
            if any(entry.index.get(BATCH_KEY) == batch_id for entry in known):
                return None
            data: dict[str, Value] = {"error": Code.IDEMPOTENCY_KEY_REUSED.value}
            return Draft(EntryType.REFUSED, data, batch_index(batch_id, EntryType.REJECTED, data))

        if batch_id:
            self.journal.append(subject, refused, known=entries)


def _counted(batch_id: str, known: Sequence[Entry]) -> Draft | None:
    if is_counted(batch_id, known):
        return None
    status = Message.of(known).status.value
    return Draft(EntryType.COUNTED, {"status": status}, current_state_keys(batch_id, known))
