"""Bulk sends: the records on the queue, which are anybody's to put there, and the batches that some belong to."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cxone_messaging.domain.delivery import SIGNED_KEY, is_signed
from cxone_messaging.domain.entries import Entry, EntryType, Value
from cxone_messaging.domain.messages import Message, Status, final_event
from cxone_messaging.domain.sms import SmsRequest

# The ledger's index of a batch is keyed by these: its id, and as much of an entry as a status takes.
BATCH_KEY, BATCH_STATE_KEY = "batchId", "batchState"
# Behind the instant of an event that is signed. A word may be any text, and so says nothing of that.
_SIGNED = " signed"


@dataclass(frozen=True, slots=True)
class BulkRecord:
    """One message on the bulk queue; `reference` is its idempotency key, `batch_id` the batch that it counts in."""

    reference: str
    request: SmsRequest
    batch_id: str | None = None

    def body(self) -> dict[str, str]:
        """Write the record as it stands on the queue."""
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
    """Name the batches that a message counts in; the first is the one that its own entries count in."""
    counting = (entry for entry in entries if BATCH_KEY in entry.index and entry.type != EntryType.REFUSED)
    return list(dict.fromkeys(entry.index[BATCH_KEY] for entry in counting))


def batch_of(entries: Iterable[Entry]) -> str | None:
    """Name the batch that a message's own entries count in."""
    return next(iter(batches_of(entries)), None)


def batch_index(batch_id: str | None, type: EntryType, data: Mapping[str, Value]) -> dict[str, str]:  # noqa: A002
    """Make the index keys that let a batch's messages be counted by status without reading them one by one."""
    if batch_id is None:
        return {}
    state = type.value
    if type is EntryType.DELIVERY:
        state += f"|{data['instant']}{_SIGNED if is_signed(data) else ''}|{data['word']}"
    return {BATCH_KEY: batch_id, BATCH_STATE_KEY: state}


def current_state_keys(batch_id: str, entries: Sequence[Entry]) -> dict[str, str]:
    """Make the index keys that let a batch count a message as all of its entries have it."""
    final = final_event(entries)
    if final:
        return batch_index(batch_id, EntryType.DELIVERY, final.data)
    return batch_index(batch_id, EntryType(Message.of(entries).status.value), {})


def is_counted(batch_id: str, entries: Sequence[Entry]) -> bool:
    """Whether a batch counts a message as all of its entries have it, going by those that bear the batch's keys."""
    in_batch = [
        entry_in_batch(entry.subject, entry.sequence, entry.index.get(BATCH_STATE_KEY, ""))
        for entry in entries
        if entry.index.get(BATCH_KEY) == batch_id
    ]
    return bool(in_batch) and Message.of(in_batch).status is Message.of(entries).status


def entry_in_batch(subject: str, sequence: int, state: str) -> Entry:
    """Make of an index's keys as much of an entry as a message's status is folded from."""
    type_, _, event = state.partition("|")
    instant, _, word = event.partition("|")
    data: dict[str, Value] = {"instant": instant.removesuffix(_SIGNED), "word": word} if event else {}
    if instant.endswith(_SIGNED):
        data[SIGNED_KEY] = True
    return Entry(subject, sequence, type_, "", data, "", "")


def count_by_status(entries: Iterable[Entry], total: int) -> dict[str, int]:
    """Count a batch's messages by status; those without any entry are still queued. The counts add up to `total`."""
    messages: dict[str, list[Entry]] = {}
    for entry in entries:
        messages.setdefault(entry.subject, []).append(entry)
    counts = Counter(
        Message.of(sorted(each, key=lambda entry: entry.sequence)).status.value for each in messages.values()
    )
    queued = total - counts.total()
    return dict(counts) | ({Status.QUEUED.value: queued} if queued > 0 else {})
