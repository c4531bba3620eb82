"""A send that was never finished: past its deadline its outcome is unknown, and whoever meets it says so."""

from collections.abc import Sequence

from cxone_messaging.adapters.ledger import Draft, Ledger, append
from cxone_messaging.domain.bulk import batch_index, batch_of
from cxone_messaging.domain.entries import Entry, EntryType, Value
from cxone_messaging.domain.errors import Code
from cxone_messaging.domain.messages import Message, Status, fold, subject_of
from cxone_messaging.domain.times import format_time
from cxone_messaging.domain.unsettled import Unsettled
from cxone_messaging.platform.clock import Clock, instant
from cxone_messaging.platform.telemetry import Metric, Telemetry


def is_overdue(message: Message, clock: Clock) -> bool:
    """Whether a message's sender must be dead: it had until the deadline in its entry to say what came of it."""
    return message.status is Status.SENDING and (message.deadline or "") < format_time(instant(clock.now()))


def settle_overdue(
    ledger: Ledger, clock: Clock, telemetry: Telemetry, message_id: str, entries: Sequence[Entry]
) -> Message:
    """Enter that an overdue message's outcome is unknown, unless its sender or an event has spoken meanwhile."""

    ours = False

    def decide(known: Sequence[Entry]) -> Draft | None:
        nonlocal ours
        ours = is_overdue(fold(message_id, known), clock)
        if not ours:
            return None
        data: dict[str, Value] = {"error": Code.OUTCOME_UNKNOWN.value, "reason": "deadline_passed"}
        index = batch_index(batch_of(known), EntryType.UNKNOWN, data) | Unsettled.UNKNOWN.as_index()
        return Draft(EntryType.UNKNOWN, data, index)

    settled = append(ledger, clock, subject_of(message_id), decide, known=entries)
    if ours:
        telemetry.add(Metric.MESSAGES_UNKNOWN)
    return fold(message_id, settled)
