"""What takes batches, and counts them."""

from cxone_messaging.adapters.bulk_queue import SqsBulkQueue
from cxone_messaging.adapters.consent_store import DynamoConsentStore
from cxone_messaging.adapters.ledger import DynamoLedger
from cxone_messaging.assembly.pseudonyms import pseudonyms
from cxone_messaging.domain.messages import SmsRules
from cxone_messaging.platform import aws
from cxone_messaging.platform.clock import SystemClock
from cxone_messaging.platform.settings import ReadLedgerSettings, SubmitBulkSettings
from cxone_messaging.platform.telemetry import Telemetry
from cxone_messaging.use_cases.submit_batch import ReadBatch, SubmitBatch


def submit_batch(settings: SubmitBulkSettings, telemetry: Telemetry) -> SubmitBatch:
    """Put together what takes a batch."""
    return SubmitBatch(
        ledger=DynamoLedger(aws.dynamodb(), settings.ledger_table, telemetry=telemetry),
        consents=DynamoConsentStore(aws.dynamodb(), settings.consents_table),
        queue=SqsBulkQueue(aws.sqs(), settings.bulk_queue_url),
        pseudonyms=pseudonyms(settings.pepper_secret_arn),
        rules=SmsRules(settings.cxone_campaign_id, settings.cxone_from_number, settings.max_segments),
        clock=SystemClock(),
    )


def read_batch(settings: ReadLedgerSettings, telemetry: Telemetry | None = None) -> ReadBatch:
    """Put together what counts a batch."""
    return ReadBatch(DynamoLedger(aws.dynamodb(), settings.ledger_table, telemetry=telemetry))
