"""What sends one message."""

import random

from cxone_messaging.adapters.dynamodb.consents import DynamoConsentStore
from cxone_messaging.adapters.dynamodb.ledger import DynamoLedger
from cxone_messaging.assembly.pseudonyms import pseudonyms
from cxone_messaging.assembly.sending import callback_urls, governor, sms_gateway
from cxone_messaging.domain.sms import SmsRules
from cxone_messaging.platform import aws
from cxone_messaging.platform.clock import SystemClock
from cxone_messaging.platform.settings import SendMessageSettings
from cxone_messaging.platform.telemetry import Telemetry
from cxone_messaging.use_cases.send.send_message import SendMessage


def send_message(settings: SendMessageSettings, telemetry: Telemetry) -> SendMessage:
    """Put together what sends one message."""
    return SendMessage(
        ledger=DynamoLedger(aws.dynamodb(), settings.ledger_table, telemetry=telemetry),
        consents=DynamoConsentStore(aws.dynamodb(), settings.consents_table),
        gateway=sms_gateway(settings, telemetry),
        governor=governor(settings, telemetry),
        horizon_seconds=settings.slot_horizon_seconds,
        pseudonyms=pseudonyms(settings.pepper_secret_arn),
        rules=SmsRules(settings.cxone_campaign_id, settings.cxone_from_number, settings.max_segments),
        callback_url=callback_urls(settings),
        clock=SystemClock(),
        telemetry=telemetry,
        rng=random.Random(),  # noqa: S311  jitter is no secret
    )
