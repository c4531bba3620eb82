"""Bulk sends: the records on the queue, and the batches that some belong to.

Any producer may put records on the queue.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cxone_messaging.domain.delivery import SIGNED_KEY, is_signed
from cxone_messaging.domain.entries import Entry, EntryType, Value
from cxone_messaging.domain.messages import Message, Status, final_event
from cxone_messaging.domain.sms import SmsRequest

# The keys of the ledger's batch index: the batch's id, and the parts of an entry that a status needs.
BATCH_KEY, BATCH_STATE_KEY = "batchId", "batchState"
# This marker follows the instant of a signed event. It cannot be part of the word, which may be any text.
_SIGNED = " signed"


@dataclass(frozen=True, slots=True)
class BulkRecord:
    """One message on the bulk queue.

    `reference` is its idempotency key, `batch_id` the batch that it counts in. `queued_at` is when it first came on the
    queue, in Unix seconds; None of one that was not there yet.
    """

    reference: str
    request: SmsRequest
    batch_id: str | None = None
    queued_at: float | None = None

    def body(self) -> dict[str, str]:
        """Return the record's JSON fields on the queue."""
        fields = {
            "reference": self.reference,
            "to": self.request.to,
            "text": self.request.text,
            "campaignId": self.request.campaign_id,
            "from": self.request.sender,
            "batchId": self.batch_id,
        }
        return {name: value for name, value in fields.items() if value is not None}


def batches_of(entries: Iterable[Entry]) -> list[str]:
    """Return the batches that a message counts in.

    The first is the batch of the message's own entries.
    """
    counting = (entry for entry in entries if BATCH_KEY in entry.index and entry.type != EntryType.REFUSED)
    return list(dict.fromkeys(entry.index[BATCH_KEY] for entry in counting))


def batch_of(entries: Iterable[Entry]) -> str | None:
    """Return the batch that a message's own entries count in, or None."""
    return next(iter(batches_of(entries)), None)


def batch_index(batch_id: str | None, type: EntryType, data: Mapping[str, Value]) -> dict[str, str]:  # noqa: A002
    """Return the index keys by which a batch counts its messages by status without reading each one."""
    if batch_id is None:
        return {}
    state = type.value
    if type is EntryType.DELIVERY:
        state += f"|{data['instant']}{_SIGNED if is_signed(data) else ''}|{data['word']}"
    return {BATCH_KEY: batch_id, BATCH_STATE_KEY: state}


def current_state_keys(batch_id: str, entries: Sequence[Entry]) -> dict[str, str]:
    """Return the index keys by which a batch counts a message with the state that all its entries give it."""
    final = final_event(entries)
    if final:
        return batch_index(batch_id, EntryType.DELIVERY, final.data)
    return batch_index(batch_id, EntryType(Message.of(entries).status.value), {})


def is_counted(batch_id: str, entries: Sequence[Entry]) -> bool:
    """Whether the entries with the batch's keys give a message the same status as all of its entries."""
    in_batch = [
        entry_in_batch(entry.subject, entry.sequence, entry.index.get(BATCH_STATE_KEY, ""))
        for entry in entries
        if entry.index.get(BATCH_KEY) == batch_id
    ]
    return bool(in_batch) and Message.of(in_batch).status is Message.of(entries).status


def entry_in_batch(subject: str, sequence: int, state: str) -> Entry:
    """Return a partial entry from its index keys: enough to fold a message's status."""
    type_, _, event = state.partition("|")
    instant, _, word = event.partition("|")
    data: dict[str, Value] = {"instant": instant.removesuffix(_SIGNED), "word": word} if event else {}
    if instant.endswith(_SIGNED):
        data[SIGNED_KEY] = True
    return Entry(subject, sequence, type_, "", data, "", "")


def count_by_status(entries: Iterable[Entry], total: int) -> dict[str, int]:
    """Return the number of a batch's messages by status.

    Messages without an entry count as queued. The counts add up to `total`.
    """
    messages: dict[str, list[Entry]] = {}
    for entry in entries:
        messages.setdefault(entry.subject, []).append(entry)
    counts = Counter(
        Message.of(sorted(each, key=lambda entry: entry.sequence)).status.value for each in messages.values()
    )
    queued = total - counts.total()
    return dict(counts) | ({Status.QUEUED.value: queued} if queued > 0 else {})
