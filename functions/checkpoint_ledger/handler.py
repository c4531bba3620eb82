"""The ledger's checkpoints, on a schedule; a run that finds nothing due reads one subject and ends."""

from cxone_messaging.platform import startup

# isort: split
from functools import cache
from typing import Any

from cxone_messaging.assembly import upkeep

from cxone_messaging.domain.names import loggable
from cxone_messaging.platform.settings import CheckpointLedgerSettings
from cxone_messaging.platform.telemetry import EmbeddedMetrics, make_logger
from cxone_messaging.use_cases.upkeep.checkpoint import CheckpointLedger

metrics = EmbeddedMetrics("checkpoint_ledger")
logger = make_logger()
# So many chains are named in a log line: the checkpoint itself names all.
MOST_NAMED = 100


@cache
def use_case() -> CheckpointLedger:
    """Build the use case once an execution environment."""
    return upkeep.checkpoint_ledger(CheckpointLedgerSettings.from_environment(), metrics)


def handler(_event: object, context: Any) -> dict[str, int]:
    """Make the checkpoints that are due.

    Their hashes are logged: a copy that nobody who can write to the ledger alone can change.
    """
    try:
        made = use_case()(lambda: context.get_remaining_time_in_millis() / 1000)
    finally:
        metrics.flush()
    for each in made:
        logger.info("checkpoint", day=each.day.isoformat(), chains=each.count, root=each.root, hash=each.hash)
        if each.skipped:
            named = [_named(subject) for subject in each.skipped[:MOST_NAMED]]
            logger.warning("chains skipped", day=each.day.isoformat(), number=len(each.skipped), chains=named)
    return {"made": len(made)}


def _named(subject: str) -> str:
    """Name a chain as a log line may."""
    kind, _, id_ = subject.partition("#")
    return f"{kind}#{loggable(id_)}"


startup.finish()
