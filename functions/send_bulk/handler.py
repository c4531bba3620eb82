"""The bulk queue's records: sent, put back for later, or moved to the dead-letter queue."""

from cxone_messaging.platform import startup

# isort: split
from collections import defaultdict
from collections.abc import Mapping
from concurrent.futures import Executor
from functools import cache
from typing import Any

from pydantic import Field, ValidationError

from cxone_messaging.adapters.queue import QUEUED_AT, BulkQueue, SqsBulkQueue
from cxone_messaging.domain.batches import BulkRecord
from cxone_messaging.domain.names import NAME_LIMIT
from cxone_messaging.domain.sms import SmsRequest
from cxone_messaging.platform import aws
from cxone_messaging.platform.bodies import Body
from cxone_messaging.platform.clock import SystemClock
from cxone_messaging.platform.deadline import Deadline
from cxone_messaging.platform.telemetry import EmbeddedMetrics, make_logger
from cxone_messaging.platform.version_event import answers_version_event
from cxone_messaging.use_cases.bulk.chunks import Chunks
from cxone_messaging.use_cases.bulk.claims import Claims
from cxone_messaging.use_cases.bulk.send_records import SendRecords
from cxone_messaging.use_cases.bulk.work_queue import WorkQueue
from cxone_messaging.wiring.sending import SenderParts, SenderSettings, sender_parts

metrics = EmbeddedMetrics()
logger = make_logger()


class SendBulkSettings(SenderSettings):
    """The settings for processing the bulk queue."""

    bulk_queue_url: str
    bulk_dead_letter_queue_url: str


class RecordBody(Body):
    """One message on the queue, ours or another system's; `reference` is its idempotency key."""

    reference: str = Field(min_length=1, max_length=255)
    to: str
    text: str
    campaign_id: str | None = Field(default=None, max_length=NAME_LIMIT)
    sender: str | None = Field(default=None, alias="from", max_length=100)
    batch_id: str | None = Field(default=None, min_length=1, max_length=100)

    def to_domain(self) -> BulkRecord:
        """Return the record as a domain object."""
        request = SmsRequest(to=self.to, text=self.text, campaign_id=self.campaign_id, sender=self.sender)
        return BulkRecord(self.reference, request, self.batch_id)


def send_records(parts: SenderParts, executor: Executor | None = None, beside: Executor | None = None) -> SendRecords:
    """Compose the sender of records from its parts."""
    chunks = Chunks(
        consents=parts.consents,
        dispatcher=parts.dispatcher,
        claims=Claims(parts.trail, parts.pseudonyms, parts.clock, parts.telemetry, parts.rng),
        clock=parts.clock,
        rng=parts.rng,
        executor=executor,
    )
    return SendRecords(
        chunks=chunks,
        schedules=parts.schedules,
        consents=parts.consents,
        pseudonyms=parts.pseudonyms,
        rules=parts.rules,
        clock=parts.clock,
        rng=parts.rng,
        beside=beside,
    )


def work_queue(
    parts: SenderParts, queue: BulkQueue, executor: Executor | None = None, beside: Executor | None = None
) -> WorkQueue:
    """Compose the use case from its parts."""
    return WorkQueue(send_records(parts, executor, beside), queue, parts.clock, parts.telemetry)


@cache
def use_case() -> WorkQueue:
    """Return the use case, built once an execution environment."""
    settings = SendBulkSettings.from_environment()
    queue = SqsBulkQueue(aws.sqs(), settings.bulk_queue_url, settings.bulk_dead_letter_queue_url)
    return work_queue(sender_parts(settings, metrics), queue)


def read(body: str) -> BulkRecord | None:
    """Return the record in a body; None if it is malformed."""
    try:
        return RecordBody.model_validate_json(body).to_domain()
    except ValidationError:
        return None


def queued_at(record: Mapping[str, Any]) -> float:
    """Return when a record first came on the queue, in Unix seconds: one that was put back has it as an attribute."""
    try:
        put_at = int(record["attributes"]["SentTimestamp"]) / 1000
    except (KeyError, TypeError, ValueError):
        return SystemClock().now()  # SQS always has it, and a message is not lost for its age
    try:
        first = float(record["messageAttributes"][QUEUED_AT]["stringValue"])
    except (KeyError, TypeError, ValueError):
        return put_at
    # Any producer may set any attribute. What is no instant in the past would not be accepted when it is put back.
    return first if 0 < first <= put_at else put_at


def records_in(event: object) -> tuple[dict[str, Mapping[str, Any]], list[str]]:
    """Return the records of an SQS batch by their ids, and the ids of records that cannot be read at all.

    An event without records, such as a warm-up, has none. A record without an id has the id "", for which Lambda counts
    the whole batch as failed: no record is lost.
    """
    listed = event.get("Records") if isinstance(event, dict) else None
    readable: dict[str, Mapping[str, Any]] = {}
    unreadable: list[str] = []
    for record in listed if isinstance(listed, list) else []:
        id_ = record.get("messageId") if isinstance(record, dict) else None
        if isinstance(id_, str) and id_ and isinstance(record.get("body"), str):
            readable[id_] = record
        else:
            unreadable.append(id_ if isinstance(id_, str) else "")
    return readable, unreadable


@answers_version_event
def handler(event: object, context: Any) -> dict[str, list[dict[str, str]]]:
    """Process one SQS batch of records. An event without records is answered at once."""
    records, failed = records_in(event)
    if failed:
        logger.error("no records of the queue", number=len(failed), requestId=context.aws_request_id)
    messages: dict[str, list[str]] = defaultdict(list)

    def on_result(message_id: str, label: str) -> None:
        messages[label].append(message_id)

    if records:
        bodies = {id_: record["body"] for id_, record in records.items()}
        first_seen = {id_: queued_at(record) for id_, record in records.items()}
        deadline = Deadline.of_invocation(context, SystemClock())
        try:
            failed += use_case()(bodies, first_seen, read, deadline, on_result)
        finally:
            metrics.flush()
    # Each message's id is logged, in some forty bytes: two cents for a million messages.
    request_id = context.aws_request_id
    logger.info("worked off", records=len(records), failed=len(failed), messages=messages, requestId=request_id)
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


startup.finish()
