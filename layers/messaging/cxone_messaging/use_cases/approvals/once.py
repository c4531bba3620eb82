"""Ask CXone for something that it must not be asked for twice: claim it in the ledger, ask, say what came of it.

Of several that come at once one gets the claim, the others wait for what comes of it. Whoever finds a claim past its
deadline takes over from the dead: nobody alive is still asking then.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cxone_messaging.domain.approval_steps import DONE, Step, StepState, is_refusal, step_state
from cxone_messaging.domain.entries import Draft, Entry, EntryType, Value
from cxone_messaging.domain.errors import Code, CxoneCallError, MessagingError
from cxone_messaging.domain.ledger import Ledger
from cxone_messaging.domain.times import format_time
from cxone_messaging.platform.clock import Clock, instant, milliseconds_since
from cxone_messaging.platform.deadline import Deadline
from cxone_messaging.use_cases.journal import append

# Left of a request's time for entering what came of a call.
OUTCOME_SECONDS = 3.0
# How far two machines' clocks may be apart before a live owner's claim could be taken for a dead one's.
_CLOCK_SKEW_SECONDS = 5.0
_FIRST_PAUSE_SECONDS, _MAX_PAUSE_SECONDS = 0.2, 1.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request's try: who it is, on whose behalf, and until when it may ask CXone."""

    owner: str
    operator: str
    deadline: Deadline

    def sign(self, version: str) -> dict[str, Value]:
        """Give what each of its entries about a version says: who did it, and for whom."""
        return {"version": version, "operator": self.operator, "owner": self.owner}


@dataclass(frozen=True, slots=True)
class Taken:
    """A step that is done: its entry, whether it was done just now, and the subject's entries as far as known."""

    entry: Entry
    is_new: bool
    entries: list[Entry]


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for exclusively.

    `claim` says in the claim what will be asked, given the step's state before; `call` asks, given the same, and gives
    what the entry is to say; `evidence` finds in the ledger that it was done without our having had the answer.
    `known` are the subject's entries that are at hand.
    """

    subject: str
    step: Step
    version: str
    call: Callable[[StepState], Mapping[str, Value]]
    claim: Callable[[StepState], Mapping[str, Value]] = lambda _: {}
    evidence: Callable[[Sequence[Entry], StepState], Mapping[str, Value] | None] = lambda _, __: None
    known: Sequence[Entry] | None = None


class ExclusiveStep:
    """Does such steps."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock

    def take(self, asked: Asked, attempt: Attempt) -> Taken:
        """Have a step done, unless it is.

        Raises what the call raises, `in_progress` where somebody else is still at it when the time is up, and
        `StorageError`.
        """
        before, entries = self._claim(asked, attempt)
        if before.done:
            return Taken(before.done, before.done.data.get("owner") == attempt.owner, entries)
        began = self._clock.monotonic()
        try:
            told = asked.call(before)
        except MessagingError as error:
            self._append(asked, attempt, entries, EntryType.STEP_FAILED, self._failure(asked, error, began))
            raise
        data = {**told, "latencyMs": milliseconds_since(began, self._clock)}
        entries = self._append(asked, attempt, entries, DONE[asked.step], data)
        return Taken(entries[-1], True, entries)

    def failed(self, asked: Asked, attempt: Attempt, error: MessagingError) -> None:
        """Enter that a step failed which needed no claim."""
        self._append(asked, attempt, asked.known, EntryType.STEP_FAILED, self._failure(asked, error, None))

    def _claim(self, asked: Asked, attempt: Attempt) -> tuple[StepState, list[Entry]]:
        """Claim a step; give its state before, or where it is done already, that; and the subject's entries."""
        pause = _FIRST_PAUSE_SECONDS
        before = StepState(None, None, ())

        def decide(known: Sequence[Entry]) -> Draft | None:
            nonlocal before
            before = step_state(known, asked.step, asked.version)
            if before.done:
                return None
            if before.claim and str(before.claim.data.get("deadline")) >= format_time(instant(self._clock.now())):
                return None
            proof = asked.evidence(known, before)
            if proof is not None:
                return self._draft(asked, attempt, DONE[asked.step], proof)
            deadline = format_time(instant(attempt.deadline.at + _CLOCK_SKEW_SECONDS))
            claim = {**asked.claim(before), "step": asked.step.value, "deadline": deadline}
            return self._draft(asked, attempt, EntryType.STEP_CLAIMED, claim)

        known = asked.known
        while True:
            entries = append(self._ledger, self._clock, asked.subject, decide, known=known)
            now = step_state(entries, asked.step, asked.version)
            if now.done:
                return now, entries
            if now.claim and now.claim.data.get("owner") == attempt.owner:
                return before, entries
            known = None
            if pause > attempt.deadline.left:
                raise MessagingError(Code.IN_PROGRESS, f"another request is at the step `{asked.step}`", retry_after=2)
            self._clock.sleep(pause)
            pause = min(_MAX_PAUSE_SECONDS, pause * 1.5)

    def _append(
        self,
        asked: Asked,
        attempt: Attempt,
        known: Sequence[Entry] | None,
        type_: EntryType,
        data: Mapping[str, Value],
    ) -> list[Entry]:
        draft = self._draft(asked, attempt, type_, data)
        return append(self._ledger, self._clock, asked.subject, lambda _: draft, known=known)

    def _draft(self, asked: Asked, attempt: Attempt, type_: EntryType, data: Mapping[str, Value]) -> Draft:
        return Draft(type_, {**attempt.sign(asked.version), **data})

    def _failure(self, asked: Asked, error: MessagingError, began: float | None) -> dict[str, Value]:
        data: dict[str, Value] = {"step": asked.step.value, "error": error.code.value, "reason": error.detail}
        if began is not None:
            data["latencyMs"] = milliseconds_since(began, self._clock)
        if isinstance(error, CxoneCallError):
            data["inDoubt"] = error.in_doubt
            data["refused"] = is_refusal(error.code, error.http_status)
            if error.http_status is not None:
                data["httpStatus"] = int(error.http_status)
        return data
