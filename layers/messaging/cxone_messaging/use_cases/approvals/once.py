"""Do a step at CXone once: claim it in the ledger, make the call, record the result.

Of several requests at once, one gets the claim and the others wait for its result. A request that finds a claim past
its deadline takes over: the claim's owner must be dead by then.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cxone_messaging.domain.approval_steps import DONE, Step, StepState, is_refusal, step_state
from cxone_messaging.domain.entries import Draft, Entry, EntryType, Value
from cxone_messaging.domain.errors import Code, CxoneCallError, MessagingError
from cxone_messaging.domain.times import format_time
from cxone_messaging.platform.clock import CLOCK_SKEW_SECONDS, Clock, instant, milliseconds_since
from cxone_messaging.platform.deadline import Deadline
from cxone_messaging.use_cases.journal import Journal

# The part of a request's time that is reserved for recording the result of a call.
OUTCOME_SECONDS = 3.0
_FIRST_PAUSE_SECONDS, _MAX_PAUSE_SECONDS = 0.2, 1.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request's try: its id, the operator that it acts for, and until when it may call CXone."""

    owner: str
    operator: str
    deadline: Deadline

    def stamp(self, version: str) -> dict[str, Value]:
        """Return the data in each of its entries about a version: version, request and operator."""
        return {"version": version, "operator": self.operator, "owner": self.owner}


@dataclass(frozen=True, slots=True)
class StepResult:
    """A finished step: its entry, whether this request did it, and the subject's entries as far as known."""

    entry: Entry
    is_new: bool
    entries: list[Entry]


@dataclass(frozen=True, slots=True)
class StepCall:
    """A step, and the call that does it.

    Given the step's state, `claim` returns data for the claim, and `call` makes the call and returns data for the entry
    of its result. `evidence` returns data if the ledger already proves that the step was done. `known` are the
    subject's entries as far as read.
    """

    subject: str
    kind: Step
    version: str
    call: Callable[[StepState], Mapping[str, Value]]
    claim: Callable[[StepState], Mapping[str, Value]] = lambda _: {}
    evidence: Callable[[Sequence[Entry], StepState], Mapping[str, Value] | None] = lambda _, __: None
    known: Sequence[Entry] | None = None


class Once:
    """Does each step once, however many requests need it."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock

    def run(self, step: StepCall, attempt: Attempt) -> StepResult:
        """Do a step, or return the result of the request that did it.

        Raises the call's errors, `in_progress` if another request has the claim until the deadline, and `StorageError`.
        """
        before, entries = self._claim(step, attempt)
        if before.done:
            return StepResult(before.done, before.done.data.get("owner") == attempt.owner, entries)
        began = self._clock.monotonic()
        try:
            result = step.call(before)
        except MessagingError as error:
            self._append(step, attempt, entries, EntryType.STEP_FAILED, self._failure(step, error, began))
            raise
        data = {**result, "latencyMs": milliseconds_since(began, self._clock)}
        entries = self._append(step, attempt, entries, DONE[step.kind], data)
        return StepResult(entries[-1], True, entries)

    def record_failure(self, step: StepCall, attempt: Attempt, error: MessagingError) -> None:
        """Record the failure of a step that takes no claim."""
        self._append(step, attempt, step.known, EntryType.STEP_FAILED, self._failure(step, error, None))

    def _claim(self, step: StepCall, attempt: Attempt) -> tuple[StepState, list[Entry]]:
        """Claim a step; return its state before the claim, or its present state if done, and the entries."""
        pause = _FIRST_PAUSE_SECONDS
        before = StepState(None, None, ())

        def decide(known: Sequence[Entry]) -> Draft | None:
            nonlocal before
            before = step_state(known, step.kind, step.version)
            if before.done:
                return None
            if before.claim and str(before.claim.data.get("deadline")) >= format_time(instant(self._clock.now())):
                return None
            proof = step.evidence(known, before)
            if proof is not None:
                return self._draft(step, attempt, DONE[step.kind], proof)
            deadline = format_time(instant(attempt.deadline.at + CLOCK_SKEW_SECONDS))
            claim = {**step.claim(before), "step": step.kind.value, "deadline": deadline}
            return self._draft(step, attempt, EntryType.STEP_CLAIMED, claim)

        known = step.known
        while True:
            entries = self._journal.append(step.subject, decide, known=known).entries
            now = step_state(entries, step.kind, step.version)
            if now.done:
                return now, entries
            if now.claim and now.claim.data.get("owner") == attempt.owner:
                return before, entries
            known = None
            if pause > attempt.deadline.left:
                detail = f"another request is doing the step `{step.kind}`: try again in 2 seconds"
                raise MessagingError(Code.IN_PROGRESS, detail, retry_after=2)
            self._clock.sleep(pause)
            pause = min(_MAX_PAUSE_SECONDS, pause * 1.5)

    def _append(
        self,
        step: StepCall,
        attempt: Attempt,
        known: Sequence[Entry] | None,
        type_: EntryType,
        data: Mapping[str, Value],
    ) -> list[Entry]:
        draft = self._draft(step, attempt, type_, data)
        return self._journal.append(step.subject, lambda _: draft, known=known).entries

    def _draft(self, step: StepCall, attempt: Attempt, type_: EntryType, data: Mapping[str, Value]) -> Draft:
        return Draft(type_, {**attempt.stamp(step.version), **data})

    def _failure(self, step: StepCall, error: MessagingError, began: float | None) -> dict[str, Value]:
        data: dict[str, Value] = {"step": step.kind.value, "error": error.code.value, "reason": error.detail}
        if began is not None:
            data["latencyMs"] = milliseconds_since(began, self._clock)
        if isinstance(error, CxoneCallError):
            data["inDoubt"] = error.in_doubt
            data["refused"] = is_refusal(error.code, error.http_status)
            if error.http_status is not None:
                data["httpStatus"] = int(error.http_status)
        return data
