"""`POST /messages/bulk`."""

from cxone_messaging.platform import startup

# isort: split
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from http import HTTPStatus
from typing import Any, Literal

from pydantic import Field

from cxone_messaging.adapters.dynamodb.consents import ConsentStore, DynamoConsentStore
from cxone_messaging.adapters.dynamodb.ledger import DynamoLedger
from cxone_messaging.adapters.queue import BulkQueue, SqsBulkQueue
from cxone_messaging.adapters.secrets import SecretsManagerStore, read_pepper
from cxone_messaging.domain.errors import Code, FieldError, MessagingError
from cxone_messaging.domain.ledger import Ledger
from cxone_messaging.domain.names import NAME_LIMIT
from cxone_messaging.domain.pseudonyms import Pseudonyms
from cxone_messaging.domain.sms import SmsRequest, SmsRules
from cxone_messaging.platform import aws
from cxone_messaging.platform.bodies import Body
from cxone_messaging.platform.clock import Clock, SystemClock
from cxone_messaging.platform.http_api import KIBIBYTE, HttpApi, HttpRequest
from cxone_messaging.platform.message_settings import MessageSettings
from cxone_messaging.platform.problems import HttpResponse, field_errors
from cxone_messaging.platform.telemetry import EmbeddedMetrics
from cxone_messaging.use_cases.bulk.submit_batch import BatchMessage, SubmitBatch
from cxone_messaging.use_cases.journal import Journal

metrics = EmbeddedMetrics()

BODY_LIMIT = 5 * KIBIBYTE * KIBIBYTE
MESSAGES_LIMIT = 10_000
_MOST_EXPLAINED = 20_000
(_DUPLICATE,) = field_errors([FieldError.by_code(Code.DUPLICATE_MESSAGE, "to")])


class SubmitBulkSettings(MessageSettings):
    """The settings for submitting a batch."""

    ledger_table: str
    consents_table: str
    pepper_secret_arn: str
    bulk_queue_url: str


class MessageInBatch(Body):
    """One message; without a text, it has the batch's."""

    to: str = ""
    text: str | None = None
    reference: str | None = Field(default=None, min_length=1, max_length=255)


class BatchBody(Body):
    """Up to 10,000 messages, and the fields that they share."""

    messages: list[MessageInBatch] = Field(min_length=1, max_length=MESSAGES_LIMIT)
    text: str = ""
    campaign_id: str | None = Field(default=None, max_length=NAME_LIMIT)
    sender: str | None = Field(default=None, alias="from", max_length=100)
    duplicates: Literal["warn", "refuse"] = "warn"

    def to_domain(self) -> list[BatchMessage]:
        """Return the messages as domain objects."""
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


def submit_batch(
    *, ledger: Ledger, consents: ConsentStore, queue: BulkQueue, pseudonyms: Pseudonyms, rules: SmsRules, clock: Clock
) -> SubmitBatch:
    """Compose the use case from its parts."""
    return SubmitBatch(
        journal=Journal(ledger, clock), consents=consents, queue=queue, pseudonyms=pseudonyms, rules=rules, clock=clock
    )


@cache
def use_case() -> SubmitBatch:
    """Return the use case, built once an execution environment."""
    settings = SubmitBulkSettings.from_environment()
    return submit_batch(
        ledger=DynamoLedger(aws.dynamodb(), settings.ledger_table, telemetry=metrics),
        consents=DynamoConsentStore(aws.dynamodb(), settings.consents_table),
        queue=SqsBulkQueue(aws.sqs(), settings.bulk_queue_url),
        pseudonyms=Pseudonyms(read_pepper(SecretsManagerStore(aws.secrets_manager()), settings.pepper_secret_arn)),
        rules=settings.rules,
        clock=SystemClock(),
    )


def submit(request: HttpRequest) -> HttpResponse:
    """Queue a batch, once for each `Idempotency-Key`."""
    key = request.idempotency_key()
    if key is None:
        detail = "a batch needs an Idempotency-Key, so that a repeated request queues nothing twice"
        raise MessagingError(Code.IDEMPOTENCY_KEY_REQUIRED, detail)
    body = request.parse(BatchBody)
    batch = use_case()(
        body.to_domain(),
        key,
        request.deadline,
        lambda batch_id: request.log_ids(batchId=batch_id),
        refuses_duplicates=body.duplicates == "refuse",
    )
    return HttpResponse(
        HTTPStatus.ACCEPTED,
        {
            "batchId": batch.batch_id,
            "accepted": batch.accepted,
            "rejected": _rejected(batch.rejected),
            "warnings": [{"index": index, **_DUPLICATE} for index in batch.duplicates],
        },
        {"Idempotency-Replayed": "true"} if batch.replayed else {},
    )


def _rejected(rejected: Mapping[int, Sequence[FieldError]]) -> list[dict[str, Any]]:
    """Return the refused messages; of very many errors the codes alone, since Lambda's answer has at most 6 MB."""
    if sum(len(errors) for errors in rejected.values()) > _MOST_EXPLAINED:
        rejected = {index: [replace(each, message=each.code.value) for each in rejected[index]] for index in rejected}
    return [{"index": index, "errors": field_errors(errors)} for index, errors in rejected.items()]


handler = HttpApi({"POST /messages/bulk": submit}, metrics, body_limit=BODY_LIMIT)

startup.finish()
