"""Show a template's approval: its state, and every entry that the state was read from, verified."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cxone_messaging.domain import subjects
from cxone_messaging.domain.approvals import Approval, fold
from cxone_messaging.domain.entries import Entry, first_broken
from cxone_messaging.domain.errors import Code, MessagingError
from cxone_messaging.domain.ledger import Ledger
from cxone_messaging.use_cases.approvals.validate import checked_id
from cxone_messaging.use_cases.audit_pages import AuditPage, in_time


@dataclass(frozen=True, slots=True)
class AuditedApproval:
    """An approval with a page of its audit trail; `next_after` is the sequence before the next page, if there is one.

    `verified` says that no entry was changed, put in, moved or taken out, in any page.
    """

    approval: Approval
    entries: Sequence[Entry]
    verified: bool
    next_after: int | None = None


class ReadApproval:
    """The use case."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def __call__(
        self, template_id: str, after: int | None = None, seconds_left: Callable[[], float] | None = None
    ) -> AuditedApproval:
        """Read an approval, and the page of its entries that follows a sequence.

        Raises `template_not_found`, `audit_too_long` where `seconds_left` are too few, and `StorageError`.
        """
        subject = subjects.template(checked_id(template_id))
        entries = list(in_time(self._ledger.walk(subject), seconds_left))
        if not entries:
            raise MessagingError(Code.TEMPLATE_NOT_FOUND, "nobody has asked for this template's approval")
        page, verified = AuditPage.of(entries, after), first_broken(subject, entries) is None
        return AuditedApproval(fold(template_id, entries), page.entries, verified, page.next_after)
