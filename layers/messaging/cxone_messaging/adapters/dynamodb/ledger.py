"""The ledger: append, read, and nothing else. There is no way here to change or remove an entry.

An append is a PartiQL INSERT at a subject's next sequence: where that sequence is taken somebody else was first, and
whoever appends reads again and decides again. So one condition serves the hash chain, the dedupe and the fencing.
"""

import random
from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from cxone_messaging.adapters.dynamodb.tries import Tries
from cxone_messaging.adapters.dynamodb.values import attributes_of, written
from cxone_messaging.domain.attention import UNSETTLED_KEY, Attention
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

# So many entries of one end of a chain are read at once, where no more than that end is needed.
_END = 100
# DynamoDB takes as many statements in one call.
_INSERT_LIMIT = 25
# Codes of single statements (`BatchStatementErrorCodeEnum` of DynamoDB's API). After these the entry is not in.
_WORTH_ANOTHER_TRY = frozenset(
    {"ThrottlingError", "ProvisionedThroughputExceeded", "RequestLimitExceeded", "TransactionConflict"}
)
# After these, and where there is no answer at all, only a read shows whether our entry is in.
_LOST = "no answer"
_IN_DOUBT = frozenset({"DuplicateItem", "InternalServerError", _LOST})


class DynamoLedger(Ledger):
    """The ledger in DynamoDB. A lost answer is no outcome: what stands in the table is.

    With `telemetry`, each chain that is read and has a gap is counted.
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
        """Append an entry. Raises `SequenceTakenError`, or `StorageError` where it is not in or nobody can find out."""
        try:
            self._client.execute_statement(**self._statement(entry))
        except self._client.exceptions.DuplicateItemException as error:
            # The SDK repeats a call whose answer was lost, so the entry in our place may be our own.
            if self._found_out(entry) is not Insertion.INSERTED:
                raise SequenceTakenError from error
        except (ClientError, BotoCoreError) as error:
            match self._found_out(entry):
                case Insertion.TAKEN:
                    raise SequenceTakenError from error
                case None:
                    raise StorageError("the ledger could not be written") from error

    def insert_many(self, entries: Sequence[Entry]) -> list[Insertion]:
        """Append entries of different subjects, 25 in one call, and return what became of each. Never raises.

        Whatever happens to one entry changes nothing for the others. An entry whose answer was lost is read, and
        inserted again where it is not there. 25 entries take a few seconds more than the SDK's own tries at most.
        """
        results: list[Insertion] = []
        for first in range(0, len(entries), _INSERT_LIMIT):
            results += self._insert_some(entries[first : first + _INSERT_LIMIT])
        return results

    def read(self, subject: str) -> list[Entry]:
        """Read all of a subject's entries in their order, those just written included."""
        entries = list(self.walk(subject))
        if unbroken(entries) is entries:
            return entries
        # A query is no snapshot: an entry may have been appended behind its back, and the next before its eyes.
        entries = list(self.walk(subject))
        if self._telemetry and unbroken(entries) is not entries:
            self._telemetry.add(Metric.BROKEN_CHAINS)
        return entries

    def walk(self, subject: str, *, backwards: bool = False, page: int | None = None) -> Iterator[Entry]:
        """Give a subject's entries one by one, in their order or the newest first, those just written included.

        So many as a `page` has are read at once, when the first of them is asked for; without it 1 MB. Raises
        `StorageError` then.
        """
        items = self._query(
            KeyConditionExpression="subject = :subject",
            ExpressionAttributeValues={":subject": {"S": subject}},
            ConsistentRead=True,
            **({"ScanIndexForward": False} if backwards else {}),
            **({"Limit": page} if page else {}),
        )
        return (Entry.from_attributes(attributes_of(item)) for item in items)

    def batch_entries(self, batch_id: str) -> list[Entry]:
        """Read a batch's messages' entries, as much of each as their status takes; the newest may be missing."""
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
        """Find the subject whose entries bear CXone's id; the newest may not be found for a moment.

        Of several, it is the one whose sender got the id from CXone.
        """
        items = self._query(
            IndexName=CXONE_MESSAGE_INDEX,
            KeyConditionExpression=f"{CXONE_MESSAGE_KEY} = :id",
            ExpressionAttributeValues={":id": {"S": cxone_message_id}},
        )
        subjects: list[str] = list(dict.fromkeys(item["subject"]["S"] for item in items))
        if len(subjects) > 1:
            return next((each for each in subjects if self._was_sent_as(each, cxone_message_id)), subjects[0])
        return subjects[0] if subjects else None

    def subjects_of_day(self, day: str, after: str = "") -> Iterator[str]:
        """Name in their order, each once, the subjects with an entry of a day, those after one; the newest may miss.

        A page is read when its subjects are asked for, and `StorageError` raised then.
        """
        after_one = {":after": {"S": after}} if after else {}
        items = self._query(
            IndexName=DAY_INDEX,
            KeyConditionExpression="#day = :day" + (" AND subject > :after" if after else ""),
            ExpressionAttributeNames={"#day": DAY_KEY},
            ExpressionAttributeValues={":day": {"S": day}, **after_one},
        )
        # Clocks differ, so a subject's day may begin twice.
        return (subject for subject, _ in groupby(item["subject"]["S"] for item in items))

    def flagged(self, why: Attention, since: str, until: str) -> Iterator[str]:
        """Name the subjects of entries that are in the index for that reason, of an interval, the newest first.

        A page is read when its subjects are asked for, and `StorageError` raised then.
        """
        items = self._query(
            IndexName=UNSETTLED_INDEX,
            KeyConditionExpression=f"{UNSETTLED_KEY} = :why AND #timestamp BETWEEN :since AND :until",
            ExpressionAttributeNames={"#timestamp": "timestamp"},
            ExpressionAttributeValues={":why": {"S": why.value}, ":since": {"S": since}, ":until": {"S": until}},
            ScanIndexForward=False,
        )
        return (item["subject"]["S"] for item in items)

    def _was_sent_as(self, subject: str, cxone_message_id: str) -> bool:
        # A sender's entries stand before all but the earliest events.
        return sent_as(islice(self.walk(subject, page=_END), _END), cxone_message_id)

    def _query(self, **asked: Any) -> Iterator[Any]:
        """Give what a query finds, a page read when its items are asked for. Raises `StorageError`, then too."""
        # botocore's paginator would do the same, and cost a cold start's first answer 6 ms.
        try:
            while True:
                page = self._client.query(TableName=self._table, **asked)
                yield from page["Items"]
                if "LastEvaluatedKey" not in page:
                    return
                asked["ExclusiveStartKey"] = page["LastEvaluatedKey"]
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
        """Insert up to 25 entries in one call; return each one's error code, None where it is in."""
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
        """Read whether an entry is in, or another one in its place; None where there is none. Raises `StorageError`."""
        newest_first = self.walk(entry.subject, backwards=True, page=_END)
        there = next((stored for stored in newest_first if stored.sequence <= entry.sequence), None)
        if there is None or there.sequence < entry.sequence:
            return None
        return Insertion.INSERTED if there.hash == entry.hash else Insertion.TAKEN

    def _found_out(self, entry: Entry) -> Insertion | None:
        """Do as `_find`, in several tries."""
        failure = StorageError("the ledger could not be read")
        for _ in Tries(self._clock, self._rng):
            try:
                return self._find(entry)
            except StorageError as error:
                failure = error
        raise failure
