"""`GET /messages/{messageId}` and `GET /batches/{batchId}`."""

from cxone_messaging.platform import startup

# isort: split
from functools import cache
from http import HTTPStatus

from cxone_messaging.assembly import batches, messages
from cxone_messaging.platform.http_api import HttpApi, HttpRequest, HttpResponse
from cxone_messaging.platform.settings import ReadLedgerSettings
from cxone_messaging.platform.telemetry import EmbeddedMetrics
from cxone_messaging.use_cases.audit_pages import audit_page, page_after
from cxone_messaging.use_cases.read_message import ReadMessage
from cxone_messaging.use_cases.submit_batch import ReadBatch

metrics = EmbeddedMetrics("read_ledger")


@cache
def use_case() -> ReadMessage:
    """Build the use case once an execution environment."""
    return messages.read_message(ReadLedgerSettings.from_environment(), metrics)


@cache
def read_batch() -> ReadBatch:
    """Build the use case once an execution environment."""
    return batches.read_batch(ReadLedgerSettings.from_environment(), metrics)


def get(request: HttpRequest) -> HttpResponse:
    """Show a message with its audit trail."""
    read = use_case()(request.path["messageId"], page_after(request.query.get("after")), request.seconds_left)
    message = read.message
    return HttpResponse(
        HTTPStatus.OK,
        {
            "messageId": message.message_id,
            "status": message.status.value,
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
    """Show how many of a batch's messages stand where."""
    batch_id = request.path["batchId"]
    total, counts = read_batch()(batch_id)
    return HttpResponse(HTTPStatus.OK, {"batchId": batch_id, "total": total, "counts": counts})


handler = HttpApi({"GET /messages/{messageId}": get, "GET /batches/{batchId}": get_batch}, metrics)

startup.finish()
