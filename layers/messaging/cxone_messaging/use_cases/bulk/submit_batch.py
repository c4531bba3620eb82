"""Take a batch: check every message, say which are refused, queue the rest; all of it once, however often it is asked.

The batch's subject in the ledger says how far it came. First what was asked and what is refused, so that a repeated
request decides the same; then, after each part, that it is on the queue. Whoever repeats a request that broke off goes
on after the last part; a part that was half queued is queued again, and its messages' references keep them from being
sent again.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cxone_messaging.adapters.dynamodb.consents import ConsentStore
from cxone_messaging.adapters.queue import BulkQueue
from cxone_messaging.domain import subjects
from cxone_messaging.domain.batches import BulkRecord, count_by_status
from cxone_messaging.domain.consents import refusal
from cxone_messaging.domain.entries import Draft, Entry, EntryType, Value
from cxone_messaging.domain.errors import Code, FieldError, MessagingError, StorageError
from cxone_messaging.domain.ledger import Ledger
from cxone_messaging.domain.pseudonyms import Pseudonyms
from cxone_messaging.domain.sms import SmsRequest, SmsRules, check
from cxone_messaging.domain.times import format_time
from cxone_messaging.platform.clock import Clock, instant
from cxone_messaging.use_cases.journal import append

# So many messages are queued before the ledger is told.
_PART = 500
# Left of an invocation's time for telling the ledger and answering.
_SPARE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class BatchMessage:
    """One message of a batch; `reference` is its idempotency key, made from the batch's where it has none."""

    request: SmsRequest
    reference: str | None


@dataclass(frozen=True, slots=True)
class SubmittedBatch:
    """What became of a batch: how many messages are queued, and the codes of each one that is not."""

    batch_id: str
    accepted: int
    rejected: dict[int, list[FieldError]]
    replayed: bool


class SubmitBatch:
    """The use case."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        consents: ConsentStore,
        queue: BulkQueue,
        pseudonyms: Pseudonyms,
        rules: SmsRules,
        clock: Clock,
    ) -> None:
        self._ledger = ledger
        self._consents = consents
        self._queue = queue
        self._pseudonyms = pseudonyms
        self._rules = rules
        self._clock = clock

    def __call__(
        self,
        messages: Sequence[BatchMessage],
        idempotency_key: str,
        seconds_left: Callable[[], float],
        name: Callable[[str], None] = lambda _: None,
    ) -> SubmittedBatch:
        """Submit a batch, or finish one that broke off, or answer as it was answered.

        `name` is told the batch's id before anything is done. Raises `idempotency_key_reused`, `in_progress`, and
        `StorageError`: then the same request finishes it.
        """
        batch_id = self._pseudonyms.batch_id(idempotency_key)
        name(batch_id)
        subject = subjects.batch(batch_id)
        owner = {"owner": uuid.uuid4().hex, "deadline": format_time(instant(self._clock.now() + seconds_left()))}
        requests = [message.request for message in messages]
        fingerprint = self._pseudonyms.batch_fingerprint(requests, [message.reference for message in messages])
        entries = self._ledger.read(subject)
        if not entries:
            entries = self._begin(subject, batch_id, messages, fingerprint, owner)
        elif entries[0].data["fingerprint"] != fingerprint:
            raise MessagingError(Code.IDEMPOTENCY_KEY_REUSED, "the first request with this key was another one")
        rejected = _rejected(entries[0])
        accepted = len(messages) - len(rejected)
        if entries[-1].type == EntryType.BATCH_SUBMITTED:
            return SubmittedBatch(batch_id, accepted, rejected, replayed=True)
        entries = self._take_over(subject, entries, owner)
        records = [
            BulkRecord(message.reference or f"{batch_id}#{index}", message.request, batch_id)
            for index, message in enumerate(messages)
            if index not in rejected
        ]
        self._queue_parts(subject, entries, records, seconds_left)
        return SubmittedBatch(batch_id, accepted, rejected, replayed=False)

    def _begin(
        self,
        subject: str,
        batch_id: str,
        messages: Sequence[BatchMessage],
        fingerprint: str,
        owner: Mapping[str, Value],
    ) -> list[Entry]:
        """Check every message, and enter the verdict before anything is queued."""
        rejected = self._check(messages, batch_id)
        data: dict[str, Value] = {
            "fingerprint": fingerprint,
            "total": len(messages) - len(rejected),
            "rejected": _written(rejected),
            **owner,
        }
        return self._append(subject, [], EntryType.BATCH, data)

    def _check(self, messages: Sequence[BatchMessage], batch_id: str) -> dict[int, list[FieldError]]:
        checked = [check(message.request, self._rules) for message in messages]
        hashes = [self._pseudonyms.recipient_hash(each.to) if each.to else "" for each in checked]
        consents = self._consents.find_many({each for each in hashes if each})
        seen: set[str] = set()
        rejected: dict[int, list[FieldError]] = {}
        for index, (message, verdict, recipient_hash) in enumerate(zip(messages, checked, hashes, strict=True)):
            refused = refusal(consents.get(recipient_hash)) if verdict.to else None
            errors = [*verdict.errors, *([refused] if refused else [])]
            reference = message.reference or f"{batch_id}#{index}"
            if reference in seen:
                errors.append(FieldError.by_code(Code.IDEMPOTENCY_KEY_REUSED, "reference"))
            seen.add(reference)
            if errors:
                rejected[index] = errors
        return rejected

    def _take_over(self, subject: str, entries: list[Entry], owner: Mapping[str, Value]) -> list[Entry]:
        """Make sure that nobody else is queueing this batch: its newest owner may, and others once that one is late."""
        newest = [entry.data for entry in entries if "owner" in entry.data][-1]
        if newest["owner"] == owner["owner"]:
            return entries
        if str(newest["deadline"]) > format_time(instant(self._clock.now())):
            raise MessagingError(Code.IN_PROGRESS, "the first request with this key is still queueing", retry_after=2)
        return self._append(subject, entries, EntryType.BATCH_QUEUED, {**owner, "records": _queued(entries)})

    def _queue_parts(
        self, subject: str, entries: list[Entry], records: Sequence[BulkRecord], seconds_left: Callable[[], float]
    ) -> None:
        done = _queued(entries)
        while done < len(records):
            if seconds_left() < _SPARE_SECONDS:
                raise StorageError("the batch could not be queued in time")
            part = records[done : done + _PART]
            if not all(self._queue.put(part)):
                raise StorageError("the queue did not take a part of the batch")
            done += len(part)
            entries = self._append(subject, entries, EntryType.BATCH_QUEUED, {"records": done})
        self._append(subject, entries, EntryType.BATCH_SUBMITTED, {"records": len(records)})

    def _append(self, subject: str, entries: list[Entry], type_: EntryType, data: dict[str, Value]) -> list[Entry]:
        """Append where nobody else has; who loses that race leaves the batch to the winner."""

        def decide(known: Sequence[Entry]) -> Draft | None:
            return Draft(type_, data) if len(known) == len(entries) else None

        appended = append(self._ledger, self._clock, subject, decide, known=entries)
        if len(appended) != len(entries) + 1 or appended[-1].data != data:
            raise MessagingError(Code.IN_PROGRESS, "another request with this key is queueing", retry_after=2)
        return appended


class ReadBatch:
    """The use case: how many of a batch's messages stand where."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def __call__(self, batch_id: str) -> tuple[int, dict[str, int]]:
        """Give a batch's total of accepted messages, and their number by status. Raises `batch_not_found`."""
        entries = self._ledger.read(subjects.batch(batch_id))
        if not entries:
            raise MessagingError(Code.BATCH_NOT_FOUND, "no batch has this id")
        total = int(str(entries[0].data["total"]))
        return total, count_by_status(self._ledger.batch_entries(batch_id), total)


def _written(rejected: Mapping[int, Sequence[FieldError]]) -> dict[str, Value]:
    """Write refusals so that thousands fit into one entry: the places of the messages that break the same rules."""
    places: dict[str, list[str]] = {}
    for index, errors in rejected.items():
        places.setdefault(" ".join(f"{error.code}:{error.field}" for error in errors), []).append(str(index))
    return {rules: " ".join(indexes) for rules, indexes in places.items()}


def _rejected(batch: Entry) -> dict[int, list[FieldError]]:
    rejected: dict[int, list[FieldError]] = {}
    written = batch.data["rejected"]
    for rules, indexes in written.items() if isinstance(written, dict) else ():
        broken = [rule.partition(":") for rule in rules.split()]
        errors = [FieldError.by_code(Code(code), field) for code, _, field in broken]
        rejected |= {int(index): errors for index in str(indexes).split()}
    return dict(sorted(rejected.items()))


def _queued(entries: Sequence[Entry]) -> int:
    """Tell how many of a batch's records are certainly on the queue."""
    return max((int(str(entry.data["records"])) for entry in entries if "records" in entry.data), default=0)
