"""The records that are being sent together, and what happens to each record afterwards."""

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
from cxone_messaging.use_cases.send.dispatcher import outcome_draft
from cxone_messaging.use_cases.send.permission import Permission

_MIN_LATER_SECONDS, _MAX_LATER_SECONDS = 1.0, 10.0


@dataclass(frozen=True, slots=True)
class Done:
    """The record is finished, now or earlier."""


@dataclass(frozen=True, slots=True)
class Later:
    """The record goes back on the queue, invisible for `seconds`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Unusable:
    """Only a person can resolve the record; it goes to the dead-letter queue with the reason."""

    reason: str


type Disposition = Done | Later | Unusable


def later(rng: random.Random, seconds: float = 0) -> Later:
    """Return a jittered delay, on top of `seconds`, so that records do not come back all at once."""
    return Later(seconds + rng.uniform(_MIN_LATER_SECONDS, _MAX_LATER_SECONDS))


@dataclass(slots=True)
class InFlight:
    """A record that is being sent; it is finished once it has a disposition.

    It has a permission if it names a recipient. After a try that CXone refused, the next is due at `due_at`, a reading
    of the clock's stopwatch. `unconfirmed` is a claim that may be stored although no answer confirmed it.
    """

    record: BulkRecord
    message_id: str
    fingerprint: str
    checked: Checked
    permission: Permission | None = None
    entries: Sequence[Entry] = ()
    disposition: Disposition | None = None
    status: str = ""
    due_at: float = 0.0
    unconfirmed: Entry | None = None

    def done(self, status: str) -> None:
        """Finish the record; `status` is its message's."""
        self.disposition, self.status = Done(), status

    @property
    def label(self) -> str:
        """The record's result in a word: its message's status, `waiting`, or why it is unusable."""
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
        """Every rule that the message breaks; consent is included once it is read."""
        refused = refusal(self.permission.last) if self.permission else None
        return [*self.checked.errors, *([refused] if refused else [])]

    @property
    def allowed(self) -> Permission:
        """The permission of a record that names a recipient."""
        if self.permission is None:
            raise AssertionError("a message without a recipient does not get this far")
        return self.permission

    @property
    def sms(self) -> Sms:
        """The message of a record that breaks no rule."""
        if self.checked.sms is None:
            raise AssertionError("only a message that keeps every rule gets this far")
        return self.checked.sms

    @property
    def sender(self) -> str:
        """The sender of a message that keeps every rule; empty of one that does not."""
        return self.checked.sms.sender if self.checked.sms else ""

    def in_batch(self, draft: Draft) -> Draft:
        """Return a draft with the batch index keys added."""
        index = batch_index(self.record.batch_id, draft.type, draft.data)
        return replace(draft, index={**(draft.index or {}), **index})


@dataclass(frozen=True, slots=True)
class Sent:
    """A record's message and its outcome; the latency runs from its slot to CXone's answer."""

    record: InFlight
    outcome: SendOutcome
    latency_ms: int = 0

    def draft(self) -> Draft:
        """Return the outcome as a ledger entry."""
        return self.record.in_batch(outcome_draft(self.outcome, self.latency_ms))


def postpone(items: Sequence[InFlight], disposition: Later) -> None:
    """Give items a disposition, unless they have one."""
    for item in items:
        item.disposition = item.disposition or disposition
