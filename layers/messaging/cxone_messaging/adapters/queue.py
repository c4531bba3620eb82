"""The bulk queue: put records on it, now or for later, or on the dead-letter queue for a person."""

import json
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import batched
from typing import TYPE_CHECKING, Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from cxone_messaging.adapters.store_retries import Tries
from cxone_messaging.domain.batches import BulkRecord
from cxone_messaging.platform.clock import Clock, SystemClock

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

# The attribute of a record that was put back: SQS counts the age of what is put back from zero.
QUEUED_AT = "queuedAt"
# SQS accepts at most this many messages in one call, and delays none for longer.
_SEND_LIMIT = 10
_MAX_DELAY_SECONDS = 900
_SEND_ATTEMPTS = 3
# Fewer than the connections that the client keeps (platform/aws.py).
_CALLS_AT_ONCE = 10


class BulkQueue(Protocol):
    """The queue where bulk sends wait."""

    def put(self, records: Sequence[BulkRecord], delays: Sequence[float] = ()) -> list[bool]:
        """Put records on the queue, each visible after its delay in seconds; return which are certainly queued."""
        ...

    def send_to_dead_letters(self, body: str, reason: str) -> bool:
        """Put an unreadable record into the dead-letter queue; return whether it is certainly stored there."""
        ...


class QueueLength(Protocol):
    """How much waits on the bulk queue."""

    def read(self) -> int | None:
        """Return the number of records on the queue, nearly; None if it cannot be read."""
        ...


class SqsQueueLength:
    """The length of the queue in SQS: records that wait, that are put back for later, and that are being sent."""

    _PARTS = ("", "NotVisible", "Delayed")

    def __init__(self, client: "SQSClient", queue_url: str) -> None:
        self._client = client
        self._queue_url = queue_url

    def read(self) -> int | None:
        """Return the number of records on the queue, nearly; None if it cannot be read."""
        names: list[Any] = [f"ApproximateNumberOfMessages{part}" for part in self._PARTS]
        try:
            answer = self._client.get_queue_attributes(QueueUrl=self._queue_url, AttributeNames=names)
        except (ClientError, BotoCoreError):
            return None
        return sum(int(answer["Attributes"][name]) for name in names)


class SqsBulkQueue:
    """The queue in SQS, with its dead-letter queue."""

    def __init__(
        self,
        client: "SQSClient",
        queue_url: str,
        dead_letter_queue_url: str = "",
        *,
        clock: Clock | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self._client = client
        self._queue_url = queue_url
        self._dead_letter_queue_url = dead_letter_queue_url
        self._clock = clock or SystemClock()
        self._rng = rng or random.Random()  # noqa: S311  jitter is no secret

    def put(self, records: Sequence[BulkRecord], delays: Sequence[float] = ()) -> list[bool]:
        """Put records on the queue, each visible after its delay in seconds; return which are certainly queued.

        A record may be queued twice if an answer was lost; its message is not sent twice. Once calls have failed for
        some seconds, no further call begins, and the rest of the records count as not queued.
        """
        entries = [_entry(record, delay) for record, delay in zip(records, delays or [0] * len(records), strict=True)]
        queued = [False] * len(records)
        tries = Tries(self._clock, self._rng, most=_SEND_ATTEMPTS)
        for _ in tries:
            missing = [number for number, is_queued in enumerate(queued) if not is_queued]
            for some in batched(missing, _SEND_LIMIT * _CALLS_AT_ONCE, strict=False):
                self._put_side_by_side(entries, some, queued)
                if not all(queued[number] for number in some) and not tries.has_time():
                    return queued
            if all(queued):
                break
        return queued

    def send_to_dead_letters(self, body: str, reason: str) -> bool:
        """Put an unreadable record into the dead-letter queue; return whether it is certainly stored there."""
        try:
            self._client.send_message(
                QueueUrl=self._dead_letter_queue_url,
                MessageBody=body,
                MessageAttributes={"reason": {"DataType": "String", "StringValue": reason}},
            )
        except (ClientError, BotoCoreError):
            return False
        return True

    def _put_side_by_side(
        self, entries: Sequence["SendMessageBatchRequestEntryTypeDef"], numbers: Sequence[int], queued: list[bool]
    ) -> None:
        """Put records on the queue by several calls at once: one by one, 10,000 records take 20 s at 20 ms a call."""
        calls = list(batched(numbers, _SEND_LIMIT, strict=False))
        if len(calls) == 1:
            self._put_some(entries, calls[0], queued)
            return
        with ThreadPoolExecutor(len(calls)) as pool:
            list(pool.map(lambda some: self._put_some(entries, some, queued), calls))

    def _put_some(
        self, entries: Sequence["SendMessageBatchRequestEntryTypeDef"], numbers: Sequence[int], queued: list[bool]
    ) -> None:
        try:
            answer = self._client.send_message_batch(
                QueueUrl=self._queue_url,
                Entries=[{**entries[number], "Id": str(number)} for number in numbers],
            )
        except (ClientError, BotoCoreError):
            return
        for entry in answer.get("Successful", []):
            queued[int(entry["Id"])] = True


def _entry(record: BulkRecord, delay: float) -> "SendMessageBatchRequestEntryTypeDef":
    """Return a record as SQS takes it, without the id that it has in one call."""
    entry: SendMessageBatchRequestEntryTypeDef = {
        "Id": "",
        "MessageBody": json.dumps(record.body()),  # ASCII, which SQS takes whatever it says
        "DelaySeconds": min(_MAX_DELAY_SECONDS, max(0, round(delay))),
    }
    if record.queued_at is not None:
        entry["MessageAttributes"] = {QUEUED_AT: {"DataType": "Number", "StringValue": f"{record.queued_at:.3f}"}}
    return entry
