"""The records of a chunk on their way, and what is to become of each."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cxone_messaging.domain import subjects
from cxone_messaging.domain.batches import BulkRecord, batch_index
from cxone_messaging.domain.consents import refusal
from cxone_messaging.domain.entries import Draft, Entry
from cxone_messaging.domain.errors import FieldError
from cxone_messaging.domain.outcomes import SendOutcome
from cxone_messaging.domain.sms import Checked, Sms
from cxone_messaging.use_cases.send.dispatcher import result
from cxone_messaging.use_cases.send.permission import Permission

_MIN_LATER_SECONDS, _MAX_LATER_SECONDS = 1.0, 10.0


@dataclass(frozen=True, slots=True)
class Done:
    """The record is dealt with, now or earlier."""


@dataclass(frozen=True, slots=True)
class Later:
    """The record is to be seen again, after so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Unusable:
    """The record can't be dealt with by anybody but a person."""

    reason: str


type Disposition = Done | Later | Unusable


def later(rng: random.Random, seconds: float = 0) -> Later:
    """Make it a while, or a while after so many seconds: jittered, so that what waits doesn't come back all at once."""
    return Later(seconds + rng.uniform(_MIN_LATER_SECONDS, _MAX_LATER_SECONDS))


@dataclass(slots=True)
class Item:
    """A record on its way through a chunk; it is on its way as long as it has no disposition.

    It has a permission where it names a recipient.
    """

    record: BulkRecord
    message_id: str
    fingerprint: str
    checked: Checked
    permission: Permission | None = None
    callback_url: str = ""
    entries: Sequence[Entry] = ()
    disposition: Disposition | None = None
    status: str = ""

    def done(self, status: str) -> None:
        """Be dealt with; the message is in that status."""
        self.disposition, self.status = Done(), status

    @property
    def became(self) -> str:
        """Say in a word what came of it: its message's status, `waiting`, or why it is unusable."""
        match self.disposition:
            case Unusable(reason):
                return reason
            case Later():
                return "waiting"
        return self.status

    @property
    def subject(self) -> str:
        """The message's subject in the ledger."""
        return subjects.message(self.message_id)

    @property
    def errors(self) -> list[FieldError]:
        """Every rule that the message breaks, consent included, once that was looked up."""
        refused = refusal(self.permission.last) if self.permission else None
        return [*self.checked.errors, *([refused] if refused else [])]

    @property
    def allowed(self) -> Permission:
        """The permission of an item that names a recipient."""
        if self.permission is None:
            raise AssertionError("a message without a recipient does not get this far")
        return self.permission

    @property
    def sms(self) -> Sms:
        """The message of an item that breaks no rule."""
        if self.checked.sms is None:
            raise AssertionError("only a message that keeps every rule gets this far")
        return self.checked.sms

    def in_batch(self, draft: Draft) -> Draft:
        """Give what a draft says also the keys that it is counted by in the record's batch."""
        index = batch_index(self.record.batch_id, draft.type, draft.data)
        return replace(draft, index={**(draft.index or {}), **index})


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of an item's message; the latency runs from its slot to CXone's answer."""

    item: Item
    outcome: SendOutcome
    latency_ms: int = 0

    def draft(self) -> Draft:
        """Say so in the ledger."""
        return self.item.in_batch(result(self.outcome, self.latency_ms))
