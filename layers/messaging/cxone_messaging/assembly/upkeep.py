"""What looks after the ledger on a schedule."""

from cxone_messaging.adapters.dynamodb.ledger import DynamoLedger
from cxone_messaging.platform import aws
from cxone_messaging.platform.clock import SystemClock
from cxone_messaging.platform.settings import CheckpointLedgerSettings, SweepLedgerSettings
from cxone_messaging.platform.telemetry import Telemetry
from cxone_messaging.use_cases.upkeep.checkpoint import CheckpointLedger
from cxone_messaging.use_cases.upkeep.sweep import Sweep


def checkpoint_ledger(settings: CheckpointLedgerSettings, telemetry: Telemetry) -> CheckpointLedger:
    """Put together what makes the ledger's checkpoints, and finds dead senders on the way."""
    ledger = DynamoLedger(aws.dynamodb(), settings.ledger_table, telemetry=telemetry)
    return CheckpointLedger(ledger, SystemClock(), telemetry)


def sweep(settings: SweepLedgerSettings, telemetry: Telemetry) -> Sweep:
    """Put together what joins late events and counts what stays unknown."""
    ledger = DynamoLedger(aws.dynamodb(), settings.ledger_table, telemetry=telemetry)
    return Sweep(ledger, SystemClock(), telemetry, settings.unknown_patience_minutes * 60)
