"""Have a message counted in every batch that asked for it.

An entry counts in one batch, for an index has one key. A message's own entries count in the batch that it came with;
for each other one that asks for the same message, an entry in the message's chain says how it stands, and another one
whenever that has changed. Ordinarily there is no other batch, and nothing is entered or read.
"""

from collections.abc import Sequence
from functools import partial

from cxone_messaging.domain.batches import BATCH_KEY, batch_index, batches_of, current_state_keys, is_counted
from cxone_messaging.domain.entries import Draft, Entry, EntryType
from cxone_messaging.domain.errors import Code
from cxone_messaging.domain.ledger import Ledger
from cxone_messaging.domain.messages import Message
from cxone_messaging.platform.clock import Clock
from cxone_messaging.use_cases.journal import append


def count_in_batches(
    ledger: Ledger, clock: Clock, subject: str, entries: list[Entry], batch_id: str | None = None
) -> list[Entry]:
    """Have all batches that a message is in count it as it stands, and from now on `batch_id` among them.

    To be called with all of the message's entries, whenever one was appended that may have moved it. Gives all entries,
    as far as they are known afterwards. Raises `StorageError`; to call it again makes that good.
    """
    for each in dict.fromkeys([*batches_of(entries), *([batch_id] if batch_id else [])]):
        entries = append(ledger, clock, subject, partial(_counted, each), known=entries)
    return entries


def count_as_refused(ledger: Ledger, clock: Clock, subject: str, entries: list[Entry], batch_id: str | None) -> None:
    """Have a batch count as rejected a message of its own whose reference is another's already. Raises `StorageError`.

    The entry stands in the chain of the message that the reference names, and says nothing of that one. A batch that
    counts that one goes on doing so: it has one message of the reference, whatever else comes in its name.
    """

    def refused(known: Sequence[Entry]) -> Draft | None:
        if any(entry.index.get(BATCH_KEY) == batch_id for entry in known):
            return None
        told = {"error": Code.IDEMPOTENCY_KEY_REUSED.value}
        return Draft(EntryType.REFUSED, told, batch_index(batch_id, EntryType.REJECTED, told))

    if batch_id:
        append(ledger, clock, subject, refused, known=entries)


def _counted(batch_id: str, known: Sequence[Entry]) -> Draft | None:
    if is_counted(batch_id, known):
        return None
    status = Message.of(known).status.value
    return Draft(EntryType.COUNTED, {"status": status}, current_state_keys(batch_id, known))
