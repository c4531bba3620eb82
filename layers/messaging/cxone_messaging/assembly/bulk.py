"""What works off the bulk queue."""

import random

from cxone_messaging.adapters.dynamodb.consents import DynamoConsentStore
from cxone_messaging.adapters.dynamodb.ledger import DynamoLedger
from cxone_messaging.adapters.queue import SqsBulkQueue
from cxone_messaging.assembly.pseudonyms import pseudonyms
from cxone_messaging.assembly.sending import callback_urls, governor, pace, sms_gateway
from cxone_messaging.domain.sms import SmsRules
from cxone_messaging.platform import aws
from cxone_messaging.platform.clock import SystemClock
from cxone_messaging.platform.settings import SendBulkSettings
from cxone_messaging.platform.telemetry import Telemetry
from cxone_messaging.use_cases.bulk.send_records import SendBatch
from cxone_messaging.use_cases.bulk.work_queue import WorkQueue


def work_queue(settings: SendBulkSettings, telemetry: Telemetry) -> WorkQueue:
    """Put together what works off the bulk queue."""
    send = SendBatch(
        ledger=DynamoLedger(aws.dynamodb(), settings.ledger_table, telemetry=telemetry),
        consents=DynamoConsentStore(aws.dynamodb(), settings.consents_table),
        gateway=sms_gateway(settings, telemetry),
        governor=governor(settings, telemetry),
        slot_seconds=pace(settings).slot_seconds,
        pseudonyms=pseudonyms(settings.pepper_secret_arn),
        rules=SmsRules(settings.cxone_campaign_id, settings.cxone_from_number, settings.max_segments),
        callback_url=callback_urls(settings),
        clock=SystemClock(),
        telemetry=telemetry,
        rng=random.Random(),  # noqa: S311  jitter is no secret
    )
    return WorkQueue(send, SqsBulkQueue(aws.sqs(), settings.bulk_queue_url, settings.bulk_dead_letter_queue_url))
