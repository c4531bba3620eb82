"""Count a batch's messages by status."""

from cxone_messaging.domain import subjects
from cxone_messaging.domain.batches import count_by_status
from cxone_messaging.domain.errors import Code, MessagingError
from cxone_messaging.domain.ledger import Ledger


class ReadBatch:
    """Counts batches."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def __call__(self, batch_id: str) -> tuple[int, dict[str, int]]:
        """Return a batch's total of accepted messages, and their number by status.

        Raises `batch_not_found`.
        """
        entries = self._ledger.read(subjects.batch(batch_id))
        if not entries:
            raise MessagingError(Code.BATCH_NOT_FOUND, "no batch has this id")
        total = int(str(entries[0].data["total"]))
        return total, count_by_status(self._ledger.batch_entries(batch_id), total)
