"""What nobody waits for: join delivery events to messages that appeared after them, and count what stays unknown.

Run every few minutes. Each run reads the ledger's index of unsettled matters, the newest first, for as long as it has
time: whatever it doesn't get to, and whatever is done already, the next run meets again. Half of the time is the
joining's own: an index full of unknown messages, settled or not, takes no more than the other half.
"""

from collections.abc import Callable
from dataclasses import dataclass

from cxone_messaging.adapters.ledger import Ledger
from cxone_messaging.domain.delivery import cxone_message_id_of
from cxone_messaging.domain.messages import Status, fold
from cxone_messaging.domain.times import format_time
from cxone_messaging.domain.unsettled import Unsettled
from cxone_messaging.platform.clock import Clock, instant
from cxone_messaging.platform.telemetry import Metric, Telemetry
from cxone_messaging.use_cases.record_delivery import RecordDelivery

_DAY = 86_400.0
# A message appears within a minute of its first event, or never; an unknown one is reported for a week.
_JOIN_SECONDS, _REPORT_SECONDS = _DAY, 7 * _DAY
_LEAST_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Swept:
    """How many events were joined, and how many messages stay unknown."""

    joined: int
    unknown: int


class Sweep:
    """The use case; `patience_seconds` is how long a message may be unknown without being counted."""

    def __init__(self, ledger: Ledger, clock: Clock, telemetry: Telemetry, patience_seconds: float) -> None:
        self._ledger = ledger
        self._clock = clock
        self._telemetry = telemetry
        self._patience_seconds = patience_seconds
        self._deliveries = RecordDelivery(ledger, clock, telemetry)

    def __call__(self, seconds_left: Callable[[], float]) -> Swept:
        """Do one run. Raises `StorageError`; the metric is reported whenever the run got as far as counting."""
        half = seconds_left() / 2
        unknown = self._count_unknown(lambda: seconds_left() - half)
        self._telemetry.add(Metric.MESSAGES_STILL_UNKNOWN, unknown)
        return Swept(self._join(seconds_left), unknown)

    def _count_unknown(self, seconds_left: Callable[[], float]) -> int:
        seen: set[str] = set()
        unknown = 0
        since, until = self._ago(_REPORT_SECONDS), self._ago(self._patience_seconds)
        for subject in self._ledger.unsettled(Unsettled.UNKNOWN, since, until):
            if seconds_left() < _LEAST_SECONDS:
                break
            if subject not in seen:
                seen.add(subject)
                unknown += fold("", self._ledger.read(subject)).status is Status.UNKNOWN
        return unknown

    def _join(self, seconds_left: Callable[[], float]) -> int:
        joined = 0
        for stray in self._ledger.unsettled(Unsettled.UNMATCHED, self._ago(_JOIN_SECONDS), self._ago(0)):
            if seconds_left() < _LEAST_SECONDS:
                break
            cxone_message_id = cxone_message_id_of(stray)
            subject = self._ledger.subject_of_cxone_message(cxone_message_id)
            if subject is not None:
                known = self._ledger.read(subject)
                joined += len(self._deliveries.join(subject, cxone_message_id, known)) - len(known)
        return joined

    def _ago(self, seconds: float) -> str:
        return format_time(instant(self._clock.now() - seconds))
