"""`POST /messages/bulk`."""

from cxone_messaging.platform import startup

# isort: split
from functools import cache
from http import HTTPStatus

from pydantic import Field

from cxone_messaging.assembly import batches
from cxone_messaging.domain.errors import Code, MessagingError
from cxone_messaging.domain.names import NAME_LIMIT
from cxone_messaging.domain.sms import SmsRequest
from cxone_messaging.platform.bodies import Body
from cxone_messaging.platform.http_api import KIBIBYTE, HttpApi, HttpRequest, HttpResponse, field_errors
from cxone_messaging.platform.settings import SubmitBulkSettings
from cxone_messaging.platform.telemetry import EmbeddedMetrics
from cxone_messaging.use_cases.bulk.submit_batch import BatchMessage, SubmitBatch

metrics = EmbeddedMetrics("submit_bulk")

BODY_LIMIT = 5 * KIBIBYTE * KIBIBYTE
MESSAGES_LIMIT = 10_000


class MessageInBatch(Body):
    """One message; what it leaves out is taken from the batch."""

    to: str = ""
    text: str | None = None
    reference: str | None = Field(default=None, min_length=1, max_length=255)


class BatchBody(Body):
    """Up to 10,000 messages, and what they have in common."""

    messages: list[MessageInBatch] = Field(min_length=1, max_length=MESSAGES_LIMIT)
    text: str = ""
    campaign_id: str | None = Field(default=None, max_length=NAME_LIMIT)
    sender: str | None = Field(default=None, alias="from", max_length=100)

    def asked(self) -> list[BatchMessage]:
        """Give the messages in the domain's words."""
        return [
            BatchMessage(
                SmsRequest(
                    to=each.to,
                    text=self.text if each.text is None else each.text,
                    campaign_id=self.campaign_id,
                    sender=self.sender,
                ),
                each.reference,
            )
            for each in self.messages
        ]


@cache
def use_case() -> SubmitBatch:
    """Build the use case once an execution environment."""
    return batches.submit_batch(SubmitBulkSettings.from_environment(), metrics)


def submit(request: HttpRequest) -> HttpResponse:
    """Queue a batch, once for each `Idempotency-Key`."""
    key = request.idempotency_key()
    if key is None:
        told = "a batch needs an Idempotency-Key, so that repeating the request queues nothing twice"
        raise MessagingError(Code.IDEMPOTENCY_KEY_REQUIRED, told)
    asked = request.parse(BatchBody).asked()
    batch = use_case()(asked, key, request.seconds_left, lambda batch_id: request.name(batchId=batch_id))
    return HttpResponse(
        HTTPStatus.ACCEPTED,
        {
            "batchId": batch.batch_id,
            "accepted": batch.accepted,
            "rejected": [{"index": index, "errors": field_errors(errors)} for index, errors in batch.rejected.items()],
        },
        {"Idempotency-Replayed": "true"} if batch.replayed else {},
    )


handler = HttpApi({"POST /messages/bulk": submit}, metrics, body_limit=BODY_LIMIT)

startup.finish()
