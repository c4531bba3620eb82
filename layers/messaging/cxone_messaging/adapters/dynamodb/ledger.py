"""The ledger: append and read. This module cannot change or remove an entry.

An append is a PartiQL INSERT at a subject's next sequence. If that sequence is taken, another writer was first; the
caller then reads again and decides again. So one condition serves the hash chain, the dedupe and the fencing.
"""

import random
from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from cxone_messaging.adapters.dynamodb.values import attributes_of, written
from cxone_messaging.adapters.store_retries import Tries
from cxone_messaging.domain import subjects
from cxone_messaging.domain.attention import UNSETTLED_KEY
from cxone_messaging.domain.batches import BATCH_KEY, BATCH_STATE_KEY, entry_in_batch
from cxone_messaging.domain.entries import DAY_KEY, Entry, unbroken
from cxone_messaging.domain.errors import StorageError
from cxone_messaging.domain.ledger import CXONE_MESSAGE_KEY, Insertion, Ledger, SequenceTakenError, sent_as
from cxone_messaging.platform.clock import Clock, SystemClock
from cxone_messaging.platform.telemetry import Metric, Telemetry

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

BATCH_INDEX = "by-batch"
CXONE_MESSAGE_INDEX = "by-cxone-message-id"
DAY_INDEX = "by-day"
UNSETTLED_INDEX = "unsettled"

# How many entries are read at once if only one end of a chain is needed.
_END = 100
# The most statements that DynamoDB accepts in one call.
_INSERT_LIMIT = 25
# Codes of single statements (`BatchStatementErrorCodeEnum` of DynamoDB's API). After these the entry is not stored.
_WORTH_ANOTHER_TRY = frozenset(
    {"ThrottlingError", "ProvisionedThroughputExceeded", "RequestLimitExceeded", "TransactionConflict"}
)
# After these, and without any answer, only a read shows whether our entry is stored.
_LOST = "no answer"
_IN_DOUBT = frozenset({"DuplicateItem", "InternalServerError", _LOST})


class DynamoLedger(Ledger):
    """The ledger in DynamoDB. After a lost answer, only the table shows the outcome.

    With `telemetry`, each chain that has a gap is counted when it is read.
    """

    def __init__(
        self,
        client: "DynamoDBClient",
        table: str,
        *,
        clock: Clock | None = None,
        rng: random.Random | None = None,
        telemetry: Telemetry | None = None,
    ) -> None:
        self._client = client
        self._table = table
        self._clock = clock or SystemClock()
        self._rng = rng or random.Random()  # noqa: S311  jitter is no secret
        self._telemetry = telemetry

    def insert(self, entry: Entry) -> None:
        """Append an entry.

        Raises `SequenceTakenError`; `StorageError` if it is not, or perhaps not, stored.
        """
        try:
            self._client.execute_statement(**self._statement(entry))
        except self._client.exceptions.DuplicateItemException as error:
            # The SDK repeats a call whose answer was lost, so the entry in our place may be our own.
            if self._find_with_retries(entry) is not Insertion.INSERTED:
                raise SequenceTakenError from error
        except (ClientError, BotoCoreError) as error:
            match self._find_with_retries(entry):
                case Insertion.TAKEN:
                    raise SequenceTakenError from error
                case None:
                    raise StorageError("the ledger could not be written") from error

    def insert_many(self, entries: Sequence[Entry]) -> list[Insertion]:
        """Append entries of different subjects, 25 in one call, and return the result of each.

        Never raises. The result of one entry does not affect the other entries. An entry whose answer was lost is read,
        and inserted again if it is missing. 25 entries take at most a few seconds more than the SDK's own tries.
        """
        results: list[Insertion] = []
        for first in range(0, len(entries), _INSERT_LIMIT):
            results += self._insert_some(entries[first : first + _INSERT_LIMIT])
        return results

    def read(self, subject: str) -> list[Entry]:
        """Return all of a subject's entries in their order, including the entries just written."""
        entries = list(self.walk(subject))
        if unbroken(entries) is entries:
            return entries
        # A query is no snapshot: it may miss an entry that is appended meanwhile, and still find the next one.
        entries = list(self.walk(subject))
        if self._telemetry and unbroken(entries) is not entries:
            self._telemetry.add(Metric.BROKEN_CHAINS)
        return entries

    def walk(self, subject: str, *, backwards: bool = False, page: int | None = None) -> Iterator[Entry]:
        """Yield a subject's entries, in their order or the newest first, including the entries just written.

        One call reads `page` entries when the iterator reaches the first of them; without `page`, 1 MB. `StorageError`
        is raised then. A subject that no table can hold has no entries.
        """
        if not subjects.can_exist(subject):
            return iter(())
        items = self._query(
            KeyConditionExpression="subject = :subject",
            ExpressionAttributeValues={":subject": {"S": subject}},
            ConsistentRead=True,
            **({"ScanIndexForward": False} if backwards else {}),
            **({"Limit": page} if page else {}),
        )
        return (Entry.from_attributes(attributes_of(item)) for item in items)

    def batch_entries(self, batch_id: str) -> list[Entry]:
        """Return the entries of a batch's messages, reduced to what a status needs.

        The newest may be missing.
        """
        items = self._query(
            IndexName=BATCH_INDEX,
            KeyConditionExpression=f"{BATCH_KEY} = :id",
            ExpressionAttributeValues={":id": {"S": batch_id}},
        )
        return [
            entry_in_batch(item["subject"]["S"], int(item["sequence"]["N"]), item[BATCH_STATE_KEY]["S"])
            for item in items
        ]

    def subject_of_cxone_message(self, cxone_message_id: str) -> str | None:
        """Return the subject whose entries contain CXone's id, or None.

        The newest may be missing for a moment. Of several subjects, the result is the one whose sender got the id from
        CXone.
        """
        subjects = self.subjects_of_cxone_message(cxone_message_id)
        if len(subjects) > 1:
            return next((each for each in subjects if self._was_sent_as(each, cxone_message_id)), subjects[0])
        return subjects[0] if subjects else None

    def subjects_of_cxone_message(self, cxone_message_id: str) -> list[str]:
        """Return all subjects whose entries contain CXone's id, each once. The newest may be missing for a moment."""
        items = self._query(
            IndexName=CXONE_MESSAGE_INDEX,
            KeyConditionExpression=f"{CXONE_MESSAGE_KEY} = :id",
            ExpressionAttributeValues={":id": {"S": cxone_message_id}},
        )
        return list(dict.fromkeys(item["subject"]["S"] for item in items))

    def subjects_of_day(self, day: str, after: str = "") -> Iterator[str]:
        """Yield the subjects after `after` with an entry of `day`, sorted, each once.

        The newest may be missing. Each page is read when the iterator reaches it, and `StorageError` is raised then.
        """
        after_one = {":after": {"S": after}} if after else {}
        items = self._query(
            IndexName=DAY_INDEX,
            KeyConditionExpression="#day = :day" + (" AND subject > :after" if after else ""),
            ExpressionAttributeNames={"#day": DAY_KEY},
            ExpressionAttributeValues={":day": {"S": day}, **after_one},
        )
        # Clocks differ, so a subject may have two first entries of a day.
        return (subject for subject, _ in groupby(item["subject"]["S"] for item in items))

    def flagged(self, why: str, since: str, until: str) -> Iterator[str]:
        """Yield the subjects that were flagged with `why` between `since` and `until`, the newest first.

        Each page is read when the iterator reaches it, and `StorageError` is raised then.
        """
        items = self._query(
            IndexName=UNSETTLED_INDEX,
            KeyConditionExpression=f"{UNSETTLED_KEY} = :why AND #timestamp BETWEEN :since AND :until",
            ExpressionAttributeNames={"#timestamp": "timestamp"},
            ExpressionAttributeValues={":why": {"S": why}, ":since": {"S": since}, ":until": {"S": until}},
            ScanIndexForward=False,
        )
        return (item["subject"]["S"] for item in items)

    def _was_sent_as(self, subject: str, cxone_message_id: str) -> bool:
        # A sender's entries precede all but the earliest events.
        return sent_as(islice(self.walk(subject, page=_END), _END), cxone_message_id)

    def _query(self, **request: Any) -> Iterator[Any]:
        """Yield the items of a query.

        Each page is read, and may raise `StorageError`, when it is reached.
        """
        # botocore's paginator would do the same, and cost a cold start's first answer 6 ms.
        try:
            while True:
                page = self._client.query(TableName=self._table, **request)
                yield from page["Items"]
                if "LastEvaluatedKey" not in page:
                    return
                request["ExclusiveStartKey"] = page["LastEvaluatedKey"]
        except (ClientError, BotoCoreError) as error:
            raise StorageError("the ledger could not be read") from error

    def _insert_some(self, entries: Sequence[Entry]) -> list[Insertion]:
        results = [Insertion.FAILED] * len(entries)
        missing, doubtful = list(range(len(entries))), list[int]()
        tries = Tries(self._clock, self._rng)
        for _ in tries:
            codes = dict(zip(missing, self._insert_at_once([entries[number] for number in missing]), strict=True))
            for number, code in codes.items():
                if code is None:
                    results[number] = Insertion.INSERTED
            doubtful += [number for number, code in codes.items() if code in _IN_DOUBT]
            missing = [number for number, code in codes.items() if code in _WORTH_ANOTHER_TRY]
            unread: list[int] = []
            for number in doubtful:
                if not tries.has_time():
                    break
                try:
                    found = self._find(entries[number])
                except StorageError:
                    unread.append(number)
                    continue
                if found is None:
                    missing.append(number)
                else:
                    results[number] = found
            doubtful = unread
            if not missing and not doubtful:
                break
        return results

    def _insert_at_once(self, entries: Sequence[Entry]) -> list[str | None]:
        """Insert up to 25 entries in one call; return the error code of each, None for a stored entry."""
        if not entries:
            return []
        try:
            answer = self._client.batch_execute_statement(Statements=[self._statement(entry) for entry in entries])
        except (ClientError, BotoCoreError):
            # Even a refusal proves nothing: it may answer the SDK's repetition of a call that went through.
            return [_LOST] * len(entries)
        return [
            response["Error"].get("Code", _LOST) if "Error" in response else None for response in answer["Responses"]
        ]

    def _statement(self, entry: Entry) -> Any:
        attributes = entry.attributes()
        names = ", ".join(f"'{name}': ?" for name in attributes)
        return {
            "Statement": f'INSERT INTO "{self._table}" VALUE {{{names}}}',
            "Parameters": [written(value) for value in attributes.values()],
        }

    def _find(self, entry: Entry) -> Insertion | None:
        """Return whether this or another entry has the sequence; None if no entry has.

        Raises `StorageError`.
        """
        newest_first = self.walk(entry.subject, backwards=True, page=_END)
        found = next((stored for stored in newest_first if stored.sequence <= entry.sequence), None)
        if found is None or found.sequence < entry.sequence:
            return None
        return Insertion.INSERTED if found.hash == entry.hash else Insertion.TAKEN

    def _find_with_retries(self, entry: Entry) -> Insertion | None:
        """Return the result of `_find`, with retries after a `StorageError`."""
        failure = StorageError("the ledger could not be read")
        for _ in Tries(self._clock, self._rng):
            try:
                return self._find(entry)
            except StorageError as error:
                failure = error
        raise failure
