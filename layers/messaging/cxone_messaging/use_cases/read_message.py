"""Show a message: its state, and the entries that the state was read from, page by page, all of them verified."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from cxone_messaging.adapters.ledger import Ledger
from cxone_messaging.domain.entries import Entry, first_broken
from cxone_messaging.domain.errors import Code, MessagingError
from cxone_messaging.domain.messages import Digest, Message, fold, subject_of
from cxone_messaging.platform.clock import Clock
from cxone_messaging.platform.telemetry import Telemetry
from cxone_messaging.use_cases.audit_pages import AuditPage, in_time
from cxone_messaging.use_cases.record_delivery import RecordDelivery
from cxone_messaging.use_cases.settle import settle_overdue

# A longer chain is not held in memory, and nothing is appended to it here. Posting events makes none so long.
_LONG = 1_000


@dataclass(frozen=True, slots=True)
class AuditedMessage:
    """A message with a page of its audit trail; `next_after` is the sequence before the next page, if there is one.

    `verified` says that no entry was changed, put in, moved or taken out between, in any page.
    """

    message: Message
    entries: Sequence[Entry]
    verified: bool
    next_after: int | None = None


class ReadMessage:
    """The use case."""

    def __init__(self, ledger: Ledger, clock: Clock, telemetry: Telemetry) -> None:
        self._ledger = ledger
        self._clock = clock
        self._telemetry = telemetry
        self._deliveries = RecordDelivery(ledger, clock, telemetry)

    def __call__(
        self, message_id: str, after: int | None = None, seconds_left: Callable[[], float] | None = None
    ) -> AuditedMessage:
        """Read a message, and the page of its entries that follows a sequence.

        Raises `message_not_found`, `audit_too_long` where `seconds_left` are too few, and `StorageError`.
        """
        subject = subject_of(message_id)
        walked = in_time(self._ledger.walk(subject), seconds_left)
        entries = list(islice(walked, _LONG + 1))
        if not entries:
            raise MessagingError(Code.MESSAGE_NOT_FOUND, "no message has this id")
        if len(entries) > _LONG:
            return self._read_long(message_id, chain(entries, walked), after)
        # A chain that doesn't hold is shown as it is: nothing is appended to what somebody has tampered with.
        verified = first_broken(subject, entries) is None
        if not verified:
            # This counts a gap; and where only the first query saw one, there is none.
            entries = self._ledger.read(subject)
            verified = first_broken(subject, entries) is None
        if verified:
            entries = settle_overdue(self._ledger, self._clock, self._telemetry, subject, entries)
        message = fold(message_id, entries)
        if verified and message.cxone_message_id:
            entries = self._deliveries.join(subject, message.cxone_message_id, entries)
            message = fold(message_id, entries)
        page = AuditPage.of(entries, after)
        return AuditedMessage(message, page.entries, verified, page.next_after)

    def _read_long(self, message_id: str, entries: Iterable[Entry], after: int | None) -> AuditedMessage:
        digest, page = Digest(), AuditPage(after)

        def looked_at() -> Iterator[Entry]:
            for entry in entries:
                digest.take(entry)
                page.take(entry)
                yield entry

        through = looked_at()
        verified = first_broken(subject_of(message_id), through) is None
        for _ in through:
            pass  # behind the first fault
        return AuditedMessage(fold(message_id, digest.entries()), page.entries, verified, page.next_after)
