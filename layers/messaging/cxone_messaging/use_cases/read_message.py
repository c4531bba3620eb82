"""Read a message: its state, and the entries behind the state, page by page, all of them verified."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from cxone_messaging.domain import subjects
from cxone_messaging.domain.audit_pages import AuditPage, in_time
from cxone_messaging.domain.entries import Entry, first_broken
from cxone_messaging.domain.errors import Code, MessagingError
from cxone_messaging.domain.messages import Digest, Message
from cxone_messaging.platform.clock import Clock, instant
from cxone_messaging.platform.deadline import Deadline
from cxone_messaging.use_cases.message_trail import MessageTrail

# A longer chain is not kept in memory, and nothing is appended to it here. Posted events alone make no chain so long.
_LONG = 1_000


@dataclass(frozen=True, slots=True)
class AuditedMessage:
    """A message with a page of its audit trail.

    `is_final` means that its status stays as it is. `verified` means that no entry of any page was changed, inserted,
    moved or removed. `next_after` is the sequence before the next page, if any.
    """

    message: Message
    is_final: bool
    entries: Sequence[Entry]
    verified: bool
    next_after: int | None = None


class ReadMessage:
    """Reads messages."""

    def __init__(self, trail: MessageTrail, clock: Clock, *, receipts_are_collected: bool = False) -> None:
        self._trail = trail
        self._ledger = trail.journal.ledger
        self._clock = clock
        self._receipts_are_collected = receipts_are_collected

    def __call__(self, message_id: str, after: int | None = None, deadline: Deadline | None = None) -> AuditedMessage:
        """Return a message, and the page of its entries after the sequence `after`.

        Raises `message_not_found`, `audit_too_long` if the deadline comes first, and `StorageError`.
        """
        subject = subjects.message(message_id)
        walked = in_time(self._ledger.walk(subject), deadline)
        entries = list(islice(walked, _LONG + 1))
        if not entries:
            raise MessagingError(Code.MESSAGE_NOT_FOUND, "no message has this id")
        if len(entries) > _LONG:
            return self._read_long(message_id, chain(entries, walked), after)
        # A broken chain is shown as it is: nothing is appended to a chain that somebody has tampered with.
        verified = first_broken(subject, entries) is None
        if not verified:
            # This read counts a gap. If only the first query showed a gap, there is none.
            entries = self._ledger.read(subject)
            verified = first_broken(subject, entries) is None
        if verified:
            entries = self._trail.mark_overdue_unknown(subject, entries)
        message = Message.of(entries)
        if verified and message.cxone_message_id:
            entries = self._trail.join_early_receipts(subject, message.cxone_message_id, entries)
            message = Message.of(entries)
        page = AuditPage.of(entries, after)
        return self._audited(message, page, verified=verified)

    def _read_long(self, message_id: str, entries: Iterable[Entry], after: int | None) -> AuditedMessage:
        digest, page = Digest(), AuditPage(after)

        def through_page() -> Iterator[Entry]:
            for entry in entries:
                digest.take(entry)
                page.take(entry)
                yield entry

        through = through_page()
        verified = first_broken(subjects.message(message_id), through) is None
        for _ in through:
            pass  # read the entries after the first broken one too
        return self._audited(Message.of(digest.entries()), page, verified=verified)

    def _audited(self, message: Message, page: AuditPage, *, verified: bool) -> AuditedMessage:
        is_final = message.is_final(instant(self._clock.now()), receipts_are_collected=self._receipts_are_collected)
        return AuditedMessage(message, is_final, page.entries, verified, page.next_after)
