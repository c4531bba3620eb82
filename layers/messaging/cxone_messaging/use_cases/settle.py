"""A send that was never finished: past its deadline its outcome is unknown, and whoever meets it says so."""

from collections.abc import Sequence

from cxone_messaging.domain.attention import Attention
from cxone_messaging.domain.batches import batch_index, batch_of
from cxone_messaging.domain.entries import Draft, Entry, EntryType, Value
from cxone_messaging.domain.errors import Code
from cxone_messaging.domain.ledger import BrokenChainError, Ledger
from cxone_messaging.domain.messages import Message, Status
from cxone_messaging.domain.times import format_time
from cxone_messaging.platform.clock import Clock, instant
from cxone_messaging.platform.telemetry import Metric, Telemetry
from cxone_messaging.use_cases.counting import count_in_batches
from cxone_messaging.use_cases.journal import append


def is_overdue(message: Message, clock: Clock) -> bool:
    """Whether a message's sender must be dead: it had until the deadline in its entry to say what came of it."""
    return message.status is Status.SENDING and (message.deadline or "") < format_time(instant(clock.now()))


def settle_overdue(
    ledger: Ledger, clock: Clock, telemetry: Telemetry, subject: str, entries: list[Entry]
) -> list[Entry]:
    """Enter of a message that is overdue that its outcome is unknown; any other one is left as it is, without a call.

    Gives all of its entries, as far as they are known afterwards; as they are where its chain has a gap, for nobody can
    append there, and one such message must not keep anybody from the others. Raises `StorageError`.
    """
    ours = False

    def decide(known: Sequence[Entry]) -> Draft | None:
        nonlocal ours
        # Its sender or an event may have spoken meanwhile.
        ours = is_overdue(Message.of(known), clock)
        if not ours:
            return None
        data: dict[str, Value] = {"error": Code.OUTCOME_UNKNOWN.value, "reason": "deadline_passed"}
        index = batch_index(batch_of(known), EntryType.UNKNOWN, data) | Attention.UNKNOWN.as_index()
        return Draft(EntryType.UNKNOWN, data, index)

    try:
        settled = append(ledger, clock, subject, decide, known=entries)
    except BrokenChainError:
        return entries
    if not ours:
        return settled
    telemetry.add(Metric.MESSAGES_UNKNOWN)
    return count_in_batches(ledger, clock, subject, settled)
