"""What shows messages."""

from cxone_messaging.adapters.dynamodb.ledger import DynamoLedger
from cxone_messaging.platform import aws
from cxone_messaging.platform.clock import SystemClock
from cxone_messaging.platform.settings import ReadLedgerSettings
from cxone_messaging.platform.telemetry import Telemetry
from cxone_messaging.use_cases.read_message import ReadMessage


def read_message(settings: ReadLedgerSettings, telemetry: Telemetry) -> ReadMessage:
    """Put together what shows a message."""
    ledger = DynamoLedger(aws.dynamodb(), settings.ledger_table, telemetry=telemetry)
    return ReadMessage(ledger, SystemClock(), telemetry)
