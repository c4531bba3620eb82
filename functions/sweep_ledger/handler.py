"""Every few minutes: join early events to their messages, and count messages that stay unknown."""

from cxone_messaging.platform import startup

# isort: split
import random
from functools import cache
from typing import Any

from pydantic import Field

from cxone_messaging.adapters.dynamodb.ledger import DynamoLedger
from cxone_messaging.domain.ledger import Ledger
from cxone_messaging.platform import aws
from cxone_messaging.platform.clock import Clock, SystemClock
from cxone_messaging.platform.deadline import Deadline
from cxone_messaging.platform.settings import Settings
from cxone_messaging.platform.telemetry import EmbeddedMetrics, Telemetry, make_logger
from cxone_messaging.platform.version_event import answers_version_event
from cxone_messaging.use_cases.journal import Journal
from cxone_messaging.use_cases.message_trail import MessageTrail
from cxone_messaging.use_cases.upkeep.sweep import Sweep

metrics = EmbeddedMetrics()
logger = make_logger()


class SweepLedgerSettings(Settings):
    """The settings of the sweep.

    A message is counted once it is unknown for the minutes of patience.
    """

    ledger_table: str
    unknown_patience_minutes: float = Field(default=60, ge=1)


def sweep(
    ledger: Ledger, clock: Clock, telemetry: Telemetry, patience_seconds: float, rng: random.Random | None = None
) -> Sweep:
    """Compose the use case from its parts."""
    return Sweep(MessageTrail(Journal(ledger, clock), clock, telemetry), clock, telemetry, patience_seconds, rng)


@cache
def use_case() -> Sweep:
    """Return the use case, built once an execution environment."""
    settings = SweepLedgerSettings.from_environment()
    ledger = DynamoLedger(aws.dynamodb(), settings.ledger_table, telemetry=metrics)
    return sweep(ledger, SystemClock(), metrics, settings.unknown_patience_minutes * 60)


@answers_version_event
def handler(_event: object, context: Any) -> dict[str, int]:
    """Do one run, whatever the event is, and return its counts."""
    try:
        swept = use_case()(Deadline.of_invocation(context, SystemClock()))
    finally:
        metrics.flush()
    logger.info("swept", joined=swept.joined, unknown=swept.unknown, requestId=context.aws_request_id)
    return {"joined": swept.joined, "unknown": swept.unknown}


startup.finish()
