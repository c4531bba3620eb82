"""Show a template's approval: its state, and every entry that the state was read from, verified."""

from collections.abc import Sequence
from dataclasses import dataclass

from cxone_messaging.adapters.ledger import Ledger
from cxone_messaging.domain.approvals import Approval, fold, subject_of
from cxone_messaging.domain.entries import Entry, first_broken
from cxone_messaging.domain.errors import Code, MessagingError
from cxone_messaging.use_cases.validate_template import checked_id


@dataclass(frozen=True, slots=True)
class AuditedApproval:
    """An approval with its audit trail; `verified` says that no entry was changed, put in, moved or taken out."""

    approval: Approval
    entries: Sequence[Entry]
    verified: bool


class ReadApproval:
    """The use case."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def __call__(self, template_id: str) -> AuditedApproval:
        """Read an approval. Raises `template_not_found`, and `StorageError`."""
        subject = subject_of(checked_id(template_id))
        entries = self._ledger.read(subject)
        if not entries:
            raise MessagingError(Code.TEMPLATE_NOT_FOUND, "nobody has asked for this template's approval")
        return AuditedApproval(fold(template_id, entries), entries, first_broken(subject, entries) is None)
