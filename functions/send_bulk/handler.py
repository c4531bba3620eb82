"""The bulk queue's records: sent, put back for later, or put aside; only what none of that worked for is failed."""

from cxone_messaging.platform import startup

# isort: split
from collections import defaultdict
from functools import cache
from typing import Any

from pydantic import Field, ValidationError

from cxone_messaging.assembly import bulk
from cxone_messaging.domain.batches import BulkRecord
from cxone_messaging.domain.names import NAME_LIMIT
from cxone_messaging.domain.sms import SmsRequest
from cxone_messaging.platform.bodies import Body
from cxone_messaging.platform.settings import SendBulkSettings
from cxone_messaging.platform.telemetry import EmbeddedMetrics, make_logger
from cxone_messaging.use_cases.bulk.work_queue import WorkQueue

metrics = EmbeddedMetrics("send_bulk")
logger = make_logger()


class RecordBody(Body):
    """One message on the queue, whoever put it there; `reference` is its idempotency key."""

    reference: str = Field(min_length=1, max_length=255)
    to: str
    text: str
    campaign_id: str | None = Field(default=None, max_length=NAME_LIMIT)
    sender: str | None = Field(default=None, alias="from", max_length=100)
    batch_id: str | None = Field(default=None, min_length=1, max_length=100)

    def record(self) -> BulkRecord:
        """Give the record in the domain's words."""
        request = SmsRequest(to=self.to, text=self.text, campaign_id=self.campaign_id, sender=self.sender)
        return BulkRecord(self.reference, request, self.batch_id)


@cache
def use_case() -> WorkQueue:
    """Build the use case once an execution environment."""
    return bulk.work_queue(SendBulkSettings.from_environment(), metrics)


def read(body: str) -> BulkRecord | None:
    """Read a record's body; None where it is malformed."""
    try:
        return RecordBody.model_validate_json(body).record()
    except ValidationError:
        return None


def handler(event: dict[str, Any], context: Any) -> dict[str, list[dict[str, str]]]:
    """Work off one batch of records."""
    bodies = {record["messageId"]: record["body"] for record in event["Records"]}
    messages: dict[str, list[str]] = defaultdict(list)

    def tell(message_id: str, became: str) -> None:
        messages[became].append(message_id)

    try:
        failed = use_case()(bodies, read, lambda: context.get_remaining_time_in_millis() / 1000, tell)
    finally:
        metrics.flush()
    # Every message by its id, some forty bytes each: two cents for a million of them.
    request_id = context.aws_request_id
    logger.info("worked off", records=len(bodies), failed=len(failed), messages=messages, requestId=request_id)
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


startup.finish()
