"""Every few minutes: join events that came before their messages, and count messages that stay unknown."""

from cxone_messaging.platform import startup

# isort: split
from functools import cache
from typing import Any

from cxone_messaging.assembly import upkeep

from cxone_messaging.platform.settings import SweepLedgerSettings
from cxone_messaging.platform.telemetry import EmbeddedMetrics, make_logger
from cxone_messaging.use_cases.upkeep.sweep import Sweep

metrics = EmbeddedMetrics("sweep_ledger")
logger = make_logger()


@cache
def use_case() -> Sweep:
    """Build the use case once an execution environment."""
    return upkeep.sweep(SweepLedgerSettings.from_environment(), metrics)


def handler(_event: dict[str, Any], context: Any) -> dict[str, int]:
    """Do one run, and tell what it found."""
    try:
        swept = use_case()(lambda: context.get_remaining_time_in_millis() / 1000)
    finally:
        metrics.flush()
    logger.info("swept", joined=swept.joined, unknown=swept.unknown, requestId=context.aws_request_id)
    return {"joined": swept.joined, "unknown": swept.unknown}


startup.finish()
