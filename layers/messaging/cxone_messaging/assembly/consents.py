"""What records consent."""

from cxone_messaging.adapters.dynamodb.consents import DynamoConsentStore
from cxone_messaging.adapters.dynamodb.ledger import DynamoLedger
from cxone_messaging.assembly.pseudonyms import pseudonyms
from cxone_messaging.platform import aws
from cxone_messaging.platform.clock import SystemClock
from cxone_messaging.platform.settings import ManageConsentsSettings
from cxone_messaging.platform.telemetry import Telemetry
from cxone_messaging.use_cases.consents import ManageConsents


def manage_consents(settings: ManageConsentsSettings, telemetry: Telemetry) -> ManageConsents:
    """Put together what records consent."""
    return ManageConsents(
        ledger=DynamoLedger(aws.dynamodb(), settings.ledger_table, telemetry=telemetry),
        consents=DynamoConsentStore(aws.dynamodb(), settings.consents_table),
        pseudonyms=pseudonyms(settings.pepper_secret_arn),
        clock=SystemClock(),
    )
