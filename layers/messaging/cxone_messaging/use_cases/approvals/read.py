"""Read a template's approval: its state, and the entries behind the state, all of them verified."""

from collections.abc import Sequence
from dataclasses import dataclass

from cxone_messaging.domain import subjects
from cxone_messaging.domain.approvals import Approval
from cxone_messaging.domain.audit_pages import AuditPage, in_time
from cxone_messaging.domain.entries import Entry, first_broken
from cxone_messaging.domain.errors import Code, MessagingError
from cxone_messaging.domain.ledger import Ledger
from cxone_messaging.platform.deadline import Deadline
from cxone_messaging.use_cases.approvals.validate import checked_id


@dataclass(frozen=True, slots=True)
class AuditedApproval:
    """An approval with a page of its audit trail.

    `next_after` is the sequence before the next page, if any. `verified` means that no entry of any page was changed,
    inserted, moved or removed.
    """

    approval: Approval
    entries: Sequence[Entry]
    verified: bool
    next_after: int | None = None


class ReadApproval:
    """Reads approvals."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def __call__(self, template_id: str, after: int | None = None, deadline: Deadline | None = None) -> AuditedApproval:
        """Return an approval, and the page of its entries after the sequence `after`.

        Raises `template_not_found`, `audit_too_long` if the deadline comes first, and `StorageError`.
        """
        subject = subjects.template(checked_id(template_id))
        entries = list(in_time(self._ledger.walk(subject), deadline))
        if not entries:
            raise MessagingError(Code.TEMPLATE_NOT_FOUND, "no approval of this template was ever requested")
        page, verified = AuditPage.of(entries, after), first_broken(subject, entries) is None
        return AuditedApproval(Approval.of(entries), page.entries, verified, page.next_after)
