"""The bulk queue: records put on it, put back for later, or put aside for a person to look at."""

import json
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from cxone_messaging.adapters.dynamodb.tries import Tries
from cxone_messaging.domain.batches import BulkRecord
from cxone_messaging.platform.clock import Clock, SystemClock

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

# SQS takes as many messages in one call, and delays none for longer.
_SEND_LIMIT = 10
_MAX_DELAY_SECONDS = 900
_SEND_ATTEMPTS = 3


class BulkQueue(Protocol):
    """Where bulk sends wait."""

    def put(self, records: Sequence[BulkRecord], delay: float = 0) -> list[bool]:
        """Put records on the queue, to be seen after `delay` seconds; tells which ones are certainly there."""
        ...

    def put_aside(self, body: str, reason: str) -> bool:
        """Put what can't be read into the dead-letter queue; tells whether it is there."""
        ...


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

    def put(self, records: Sequence[BulkRecord], delay: float = 0) -> list[bool]:
        """Put records on the queue, to be seen after `delay` seconds; tells which ones are certainly there.

        A record that is there without our knowing may be put a second time; it is not sent a second time. Once calls
        fail for some seconds, no other begins, and the records that are left are not there.
        """
        seconds = min(_MAX_DELAY_SECONDS, max(0, round(delay)))
        there = [False] * len(records)
        tries = Tries(self._clock, self._rng, most=_SEND_ATTEMPTS)
        for _ in tries:
            missing = [number for number, is_there in enumerate(there) if not is_there]
            for first in range(0, len(missing), _SEND_LIMIT):
                some = missing[first : first + _SEND_LIMIT]
                self._put_some(records, some, seconds, there)
                if not all(there[number] for number in some) and not tries.has_time():
                    return there
            if all(there):
                break
        return there

    def put_aside(self, body: str, reason: str) -> bool:
        """Put what can't be read into the dead-letter queue; tells whether it is there."""
        try:
            self._client.send_message(
                QueueUrl=self._dead_letter_queue_url,
                MessageBody=body,
                MessageAttributes={"reason": {"DataType": "String", "StringValue": reason}},
            )
        except (ClientError, BotoCoreError):
            return False
        return True

    def _put_some(self, records: Sequence[BulkRecord], numbers: Sequence[int], seconds: int, there: list[bool]) -> None:
        try:
            answer = self._client.send_message_batch(
                QueueUrl=self._queue_url,
                Entries=[
                    {
                        "Id": str(number),
                        "MessageBody": json.dumps(records[number].body(), ensure_ascii=False),
                        "DelaySeconds": seconds,
                    }
                    for number in numbers
                ],
            )
        except (ClientError, BotoCoreError):
            return
        for entry in answer.get("Successful", []):
            there[int(entry["Id"])] = True
