"""The ledger's checkpoints, on a schedule.

A run with nothing due reads one subject and ends.
"""

from cxone_messaging.platform import startup

# isort: split
from concurrent.futures import Executor
from functools import cache
from typing import Any

from cxone_messaging.adapters.dynamodb.ledger import DynamoLedger
from cxone_messaging.domain.ledger import Ledger
from cxone_messaging.domain.names import loggable
from cxone_messaging.platform import aws
from cxone_messaging.platform.clock import Clock, SystemClock
from cxone_messaging.platform.deadline import Deadline
from cxone_messaging.platform.settings import Settings
from cxone_messaging.platform.telemetry import EmbeddedMetrics, Telemetry, make_logger
from cxone_messaging.platform.version_event import answers_version_event
from cxone_messaging.use_cases.journal import Journal
from cxone_messaging.use_cases.message_trail import MessageTrail
from cxone_messaging.use_cases.upkeep.checkpoint import CheckpointLedger

metrics = EmbeddedMetrics()
logger = make_logger()
# The most chains named in a log line; the checkpoint itself lists all.
MOST_NAMED = 100


class CheckpointLedgerSettings(Settings):
    """The settings for a day's checkpoint."""

    ledger_table: str


def checkpoint_ledger(
    ledger: Ledger, clock: Clock, telemetry: Telemetry, executor: Executor | None = None
) -> CheckpointLedger:
    """Compose the use case from its parts."""
    return CheckpointLedger(MessageTrail(Journal(ledger, clock), clock, telemetry), clock, telemetry, executor)


@cache
def use_case() -> CheckpointLedger:
    """Return the use case, built once an execution environment."""
    settings = CheckpointLedgerSettings.from_environment()
    ledger = DynamoLedger(aws.dynamodb(), settings.ledger_table, telemetry=metrics)
    return checkpoint_ledger(ledger, SystemClock(), metrics)


@answers_version_event
def handler(_event: object, context: Any) -> dict[str, int]:
    """Make the checkpoints that are due, whatever the event is.

    Their hashes are logged: a write to the ledger cannot change that copy.
    """
    try:
        made = use_case()(Deadline.of_invocation(context, SystemClock()))
    finally:
        metrics.flush()
    for each in made:
        logger.info("checkpoint", day=each.day.isoformat(), chains=each.count, root=each.root, hash=each.hash)
        if each.skipped:
            named = [_named(subject) for subject in each.skipped[:MOST_NAMED]]
            logger.warning("chains skipped", day=each.day.isoformat(), number=len(each.skipped), chains=named)
    return {"made": len(made)}


def _named(subject: str) -> str:
    """Return a chain's name in a form that a log line may contain."""
    kind, _, id_ = subject.partition("#")
    return f"{kind}#{loggable(id_)}"


startup.finish()
