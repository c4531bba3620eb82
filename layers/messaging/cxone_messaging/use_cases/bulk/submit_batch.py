"""Submit a batch once: check every message, list the rejected ones, queue the rest.

The batch's chain in the ledger shows its progress. The first entry has the request and its rejections, so that a
repeated request decides the same. After each part, a further entry records that the part is queued. A repeated request
continues after the last such part. A part that was half queued is queued again; its messages' references prevent a
second send.
"""

import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from cxone_messaging.adapters.dynamodb.consents import ConsentStore
from cxone_messaging.adapters.queue import BulkQueue
from cxone_messaging.domain import subjects
from cxone_messaging.domain.batches import BulkRecord
from cxone_messaging.domain.consents import refusal
from cxone_messaging.domain.entries import Draft, Entry, EntryType, Value
from cxone_messaging.domain.errors import Code, FieldError, MessagingError, StorageError
from cxone_messaging.domain.phone_numbers import PhoneNumber
from cxone_messaging.domain.plain_text import character_fault, same_to_a_reader
from cxone_messaging.domain.pseudonyms import Pseudonyms
from cxone_messaging.domain.sms import SmsRequest, SmsRules, check
from cxone_messaging.domain.times import format_time
from cxone_messaging.platform.clock import Clock, instant
from cxone_messaging.platform.deadline import Deadline
from cxone_messaging.use_cases.journal import Journal

# How many messages are queued between two entries.
_PART = 500
# The part of an invocation's time that is reserved for the last entry and the answer.
_SPARE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class BatchMessage:
    """One message of a batch.

    `reference` is its idempotency key, derived from the batch's id if it is None.
    """

    request: SmsRequest
    reference: str | None


@dataclass(frozen=True, slots=True)
class SubmittedBatch:
    """A batch's result: how many messages are queued, and the broken rules of each rejected message.

    `duplicates` are the accepted messages that repeat an earlier accepted one.
    """

    batch_id: str
    accepted: int
    rejected: dict[int, list[FieldError]]
    duplicates: list[int]
    replayed: bool


class SubmitBatch:
    """Submits batches."""

    def __init__(
        self,
        *,
        journal: Journal,
        consents: ConsentStore,
        queue: BulkQueue,
        pseudonyms: Pseudonyms,
        rules: SmsRules,
        clock: Clock,
    ) -> None:
        self._journal = journal
        self._consents = consents
        self._queue = queue
        self._pseudonyms = pseudonyms
        self._rules = rules
        self._clock = clock

    def __call__(
        self,
        messages: Sequence[BatchMessage],
        idempotency_key: str,
        deadline: Deadline,
        on_id: Callable[[str], None] = lambda _: None,
        *,
        refuses_duplicates: bool = False,
    ) -> SubmittedBatch:
        """Submit a batch, finish one that broke off, or return the first request's result.

        A message with the number and the text of an earlier one is sent too, or else rejected as `duplicate_message`
        if the batch `refuses_duplicates`. `deadline` is the invocation's. `on_id` is called with the batch's id first.
        Raises `idempotency_key_reused` and `in_progress`. After a `StorageError`, the same request finishes the batch.
        """
        batch_id = self._pseudonyms.batch_id(idempotency_key)
        on_id(batch_id)
        subject = subjects.batch(batch_id)
        owner = {"owner": uuid.uuid4().hex, "deadline": format_time(instant(self._clock.now() + deadline.left))}
        requests = [message.request for message in messages]
        fingerprint = self._pseudonyms.batch_fingerprint(
            requests, [message.reference for message in messages], refuses_duplicates=refuses_duplicates
        )
        entries = self._journal.read(subject)
        if not entries:
            rejected = self._check(messages, batch_id)
            if refuses_duplicates:
                repeated = FieldError.by_code(Code.DUPLICATE_MESSAGE, "to")
                rejected |= {index: [repeated] for index in _duplicates(self._in_full(requests, rejected), rejected)}
            entries = self._begin(subject, messages, dict(sorted(rejected.items())), fingerprint, owner)
        elif entries[0].data["fingerprint"] != fingerprint:
            raise MessagingError(Code.IDEMPOTENCY_KEY_REUSED, "the first request with this key was different")
        rejected = {index: self._explained(requests[index], errors) for index, errors in _rejected(entries[0]).items()}
        requests = self._in_full(requests, rejected)
        duplicates = _duplicates(requests, rejected)
        accepted = len(messages) - len(rejected)
        if entries[-1].type == EntryType.BATCH_SUBMITTED:
            return SubmittedBatch(batch_id, accepted, rejected, duplicates, replayed=True)
        entries = self._take_over(subject, entries, owner)
        records = [
            BulkRecord(message.reference or f"{batch_id}#{index}", requests[index], batch_id)
            for index, message in enumerate(messages)
            if index not in rejected
        ]
        self._queue_parts(subject, entries, records, deadline, owner["owner"])
        return SubmittedBatch(batch_id, accepted, rejected, duplicates, replayed=False)

    def _begin(
        self,
        subject: str,
        messages: Sequence[BatchMessage],
        rejected: Mapping[int, Sequence[FieldError]],
        fingerprint: str,
        owner: Mapping[str, Value],
    ) -> list[Entry]:
        """Record the verdict on every message before anything is queued."""
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
            if fault := character_fault(reference):
                errors.append(FieldError(Code.INVALID_CHARACTERS, "reference", fault))
            if reference in seen:
                errors.append(FieldError.by_code(Code.IDEMPOTENCY_KEY_REUSED, "reference"))
            seen.add(reference)
            if errors:
                rejected[index] = errors
        return rejected

    def _explained(self, request: SmsRequest, errors: Sequence[FieldError]) -> list[FieldError]:
        """Return a message's broken rules with what they say of this request, which the ledger does not keep."""
        said = {(each.code, each.field): each for each in check(request, self._rules).errors}
        return [said.get((each.code, each.field), each) for each in errors]

    def _in_full(self, requests: Sequence[SmsRequest], rejected: Collection[int]) -> list[SmsRequest]:
        """Return requests, the accepted ones with numbers in full: no later default makes them other numbers."""

        def in_full(request: SmsRequest) -> SmsRequest:
            number = PhoneNumber.parse(request.to, self._rules.default_country)
            return request if number.e164 == f"+{request.to}" else replace(request, to=number.e164)

        return [
            each if index in rejected or each.to.startswith("+") else in_full(each)
            for index, each in enumerate(requests)
        ]

    def _take_over(self, subject: str, entries: list[Entry], owner: Mapping[str, Value]) -> list[Entry]:
        """Record that this request queues the batch, unless the newest owner's deadline has not passed yet."""
        newest = [entry.data for entry in entries if "owner" in entry.data][-1]
        if newest["owner"] == owner["owner"]:
            return entries
        if str(newest["deadline"]) > format_time(instant(self._clock.now())):
            raise MessagingError(Code.IN_PROGRESS, "the first request with this key is still queueing", retry_after=2)
        return self._append(subject, entries, EntryType.BATCH_QUEUED, {**owner, "records": _queued(entries)})

    def _queue_parts(
        self, subject: str, entries: list[Entry], records: Sequence[BulkRecord], deadline: Deadline, owner: str
    ) -> None:
        done = _queued(entries)
        while done < len(records):
            if deadline.left < _SPARE_SECONDS:
                # A deadline that has passed lets the repeated request take over at once.
                now = format_time(instant(self._clock.now()))
                ended: dict[str, Value] = {"records": done, "owner": owner, "deadline": now}
                self._append(subject, entries, EntryType.BATCH_QUEUED, ended)
                detail = "the batch is queued in part; the same request queues the rest"
                raise MessagingError(Code.IN_PROGRESS, detail, retry_after=1)
            part = records[done : done + _PART]
            if not all(self._queue.put(part)):
                raise StorageError("a part of the batch could not be queued")
            done += len(part)
            entries = self._append(subject, entries, EntryType.BATCH_QUEUED, {"records": done})
        self._append(subject, entries, EntryType.BATCH_SUBMITTED, {"records": len(records)})

    def _append(self, subject: str, entries: list[Entry], type_: EntryType, data: dict[str, Value]) -> list[Entry]:
        """Append after `entries`.

        Raises `in_progress` if another request was first: that request queues the batch.
        """

        def decide(known: Sequence[Entry]) -> Draft | None:
            return Draft(type_, data) if len(known) == len(entries) else None

        appended = self._journal.append(subject, decide, known=entries)
        if appended.new is None:
            raise MessagingError(Code.IN_PROGRESS, "another request with this key is queueing", retry_after=2)
        return appended.entries


def _duplicates(requests: Sequence[SmsRequest], rejected: Collection[int]) -> list[int]:
    """Return the accepted messages with the number and the text of an earlier accepted one, in whatever writing."""
    duplicates: list[int] = []
    seen: set[tuple[str, str]] = set()
    for index, request in enumerate(requests):
        if index in rejected:
            continue
        same = (request.to.removeprefix("+"), same_to_a_reader(request.text))
        if same in seen:
            duplicates.append(index)
        seen.add(same)
    return duplicates


def _written(rejected: Mapping[int, Sequence[FieldError]]) -> dict[str, Value]:
    """Return rejections in a form of which thousands fit into one entry: indexes grouped by broken rules."""
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
    """Return how many of a batch's records are certainly on the queue."""
    return max((int(str(entry.data["records"])) for entry in entries if "records" in entry.data), default=0)
