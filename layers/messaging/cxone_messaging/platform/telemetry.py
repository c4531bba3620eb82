"""Logs and metrics: structured, one dimension, and no phone number, text, token or secret in either."""

import os
from enum import StrEnum
from threading import Lock
from typing import Protocol

from aws_lambda_powertools.logging import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from cxone_messaging import __version__

NAMESPACE = "CxoneMessaging"
_DEFAULT_SERVICE = "cxone-messaging"


class Metric(StrEnum):
    """All metrics: `…Latency` in milliseconds, `ClockSkew` and `BulkRecordAge` in seconds; the others count.

    `Pace` is in requests a second, `PaceShare` the same in percent of what is allowed. `DispatchLatency` runs from the
    request to CXone's answer, `BulkDispatchLatency` from the slot. `CircuitOpened` counts each failed probe too, so
    that its alarm lasts as long as the outage.
    """

    DISPATCH_LATENCY = "DispatchLatency"
    BULK_DISPATCH_LATENCY = "BulkDispatchLatency"
    DELIVERY_LATENCY = "DeliveryLatency"
    APPROVAL_LATENCY = "ApprovalLatency"
    MESSAGES_DISPATCHED = "MessagesDispatched"
    MESSAGES_REJECTED = "MessagesRejected"
    MESSAGES_UNKNOWN = "MessagesUnknown"
    MESSAGES_STILL_UNKNOWN = "MessagesStillUnknown"
    MESSAGES_ADOPTED = "MessagesAdopted"
    MESSAGES_DELIVERED = "MessagesDelivered"
    MESSAGES_FAILED = "MessagesFailed"
    SEGMENTS_SENT = "SegmentsSent"
    THROTTLED = "Throttled"
    CIRCUIT_OPENED = "CircuitOpened"
    CLOCK_SKEW = "ClockSkew"
    TOKEN_FETCHES = "TokenFetches"  # noqa: S105  a metric, no password
    TOKEN_FETCHES_FAILED = "TokenFetchesFailed"  # noqa: S105
    WEBHOOKS_REFUSED = "WebhooksRefused"
    REPLIES_NOT_SUBSCRIBED = "RepliesNotSubscribed"
    RECEIPTS_BEHIND = "ReceiptsBehind"
    RECEIPTS_GIVEN_UP = "ReceiptsGivenUp"
    CXONE_READS = "CxoneReads"
    TEMPLATES_APPROVED = "TemplatesApproved"
    INTERNAL_ERRORS = "InternalErrors"
    BROKEN_CHAINS = "BrokenChains"
    BULK_RECORD_AGE = "BulkRecordAge"
    PACE = "Pace"
    PACE_SHARE = "PaceShare"
    PACE_LOWERED = "PaceLowered"


_UNITS = {
    Metric.CLOCK_SKEW: MetricUnit.Seconds,
    Metric.BULK_RECORD_AGE: MetricUnit.Seconds,
    Metric.PACE: MetricUnit.CountPerSecond,
    Metric.PACE_SHARE: MetricUnit.Percent,
}


class Telemetry(Protocol):
    """Where use cases and adapters report what they measured."""

    def add(self, metric: Metric, value: float = 1) -> None:
        """Report one value of a metric."""
        ...


class Unreported:
    """Telemetry that reports nothing: what a part measures is no figure of the account's."""

    def add(self, metric: Metric, value: float = 1) -> None:
        """Report nothing."""


class EmbeddedMetrics:
    """Metrics in the embedded metric format, flushed once an invocation; their one dimension is `service`."""

    def __init__(self) -> None:
        self._metrics = EphemeralMetrics(namespace=NAMESPACE, service=service())
        self._lock = Lock()  # a hundredth value is flushed by the thread that adds it

    def add(self, metric: Metric, value: float = 1) -> None:
        """Report one value of a metric."""
        unit = MetricUnit.Milliseconds if metric.endswith("Latency") else _UNITS.get(metric, MetricUnit.Count)
        with self._lock:
            self._metrics.add_metric(name=metric.value, unit=unit, value=value)

    def flush(self) -> None:
        """Print what was added, if anything was, as one line."""
        if self._metrics.metric_set:
            self._metrics.flush_metrics()


def service() -> str:
    """Return what metrics and log lines are of: the stack's name, or a default where the environment names none."""
    return os.environ.get("POWERTOOLS_SERVICE_NAME") or _DEFAULT_SERVICE


def make_logger() -> Logger:
    """Return the function's logger; its JSON lines have level, message, time, service and version."""
    level = os.environ.get("LOG_LEVEL", "INFO")
    return Logger(service=service(), level=level, utc=True, location=None, version=__version__)
