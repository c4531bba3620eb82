"""`GET /messages/{messageId}` and `GET /batches/{batchId}`."""

from cxone_messaging.platform import startup

# isort: split
from functools import cache
from http import HTTPStatus

from cxone_messaging.adapters.dynamodb.ledger import DynamoLedger
from cxone_messaging.domain.audit_pages import audit_page, page_after
from cxone_messaging.domain.cxone_apis import DFO, SMS_V2, CxoneApi
from cxone_messaging.domain.ledger import Ledger
from cxone_messaging.platform import aws
from cxone_messaging.platform.clock import Clock, SystemClock
from cxone_messaging.platform.http_api import HttpApi, HttpRequest
from cxone_messaging.platform.problems import HttpResponse
from cxone_messaging.platform.settings import Settings
from cxone_messaging.platform.telemetry import EmbeddedMetrics, Telemetry
from cxone_messaging.use_cases.bulk.read_batch import ReadBatch
from cxone_messaging.use_cases.journal import Journal
from cxone_messaging.use_cases.message_trail import MessageTrail
from cxone_messaging.use_cases.read_message import ReadMessage

metrics = EmbeddedMetrics()


class ReadLedgerSettings(Settings):
    """The settings for reading the ledger."""

    ledger_table: str
    cxone_api: CxoneApi = SMS_V2


def read_message(
    ledger: Ledger, clock: Clock, telemetry: Telemetry, *, receipts_are_collected: bool = False
) -> ReadMessage:
    """Compose the use case from its parts."""
    trail = MessageTrail(Journal(ledger, clock), clock, telemetry)
    return ReadMessage(trail, clock, receipts_are_collected=receipts_are_collected)


@cache
def ledger() -> DynamoLedger:
    """Return the ledger, built once an execution environment."""
    return DynamoLedger(aws.dynamodb(), ReadLedgerSettings.from_environment().ledger_table, telemetry=metrics)


@cache
def use_case() -> ReadMessage:
    """Return the use case, built once an execution environment."""
    speaks_dfo = ReadLedgerSettings.from_environment().cxone_api == DFO
    return read_message(ledger(), SystemClock(), metrics, receipts_are_collected=speaks_dfo)


@cache
def read_batch() -> ReadBatch:
    """Return the use case, built once an execution environment."""
    return ReadBatch(ledger())


def get(request: HttpRequest) -> HttpResponse:
    """Return a message with its audit trail."""
    read = use_case()(request.path["messageId"], page_after(request.query.get("after")), request.deadline)
    message = read.message
    return HttpResponse(
        HTTPStatus.OK,
        {
            "messageId": message.message_id,
            "status": message.status.value,
            "final": read.is_final,
            "to": message.recipient,
            "campaignId": message.campaign_id,
            "encoding": message.encoding,
            "segments": message.segments,
            "cxoneMessageId": message.cxone_message_id,
            "createdAt": message.created_at,
            "updatedAt": message.updated_at,
            "dispatchLatencyMs": message.dispatch_latency_ms,
            "deliveryLatencyMs": message.delivery_latency_ms,
            "error": message.error,
            "auditVerified": read.verified,
            **audit_page(read.entries, read.next_after),
        },
    )


def get_batch(request: HttpRequest) -> HttpResponse:
    """Return the number of a batch's messages by status."""
    batch_id = request.path["batchId"]
    total, counts = read_batch()(batch_id)
    return HttpResponse(HTTPStatus.OK, {"batchId": batch_id, "total": total, "counts": counts})


handler = HttpApi({"GET /messages/{messageId}": get, "GET /batches/{batchId}": get_batch}, metrics)

startup.finish()
