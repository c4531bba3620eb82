"""Approve a template: fetch, validate, approve, register, subscribe, publish; each finished step is an entry.

A repeated request does what is left. What is done already is told by CXone, for the approval, and by the ledger, for
the rest. The approval itself needs no claim: CXone takes it once for each version (`If-Match`, `meta.updated_at`).
"""

import random
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from cxone_messaging.adapters.cxone.admin import TemplateGateway
from cxone_messaging.domain import approvals, subjects
from cxone_messaging.domain.approval_steps import Step, StepState, request_key
from cxone_messaging.domain.approvals import Approval, AuditRecord, Registration
from cxone_messaging.domain.entries import Draft, Entry, EntryType, Value
from cxone_messaging.domain.errors import Code, CxoneCallError, FieldError, MessagingError
from cxone_messaging.domain.ledger import Ledger
from cxone_messaging.domain.names import name_fault
from cxone_messaging.domain.templates import Advice, Template, advice, size_of, violations
from cxone_messaging.platform.clock import Clock, milliseconds_since
from cxone_messaging.platform.deadline import Deadline
from cxone_messaging.use_cases.approvals.once import OUTCOME_SECONDS, Asked, Attempt, ExclusiveStep
from cxone_messaging.use_cases.approvals.registration import Register
from cxone_messaging.use_cases.approvals.subscription import Subscribe
from cxone_messaging.use_cases.approvals.validate import checked_id
from cxone_messaging.use_cases.journal import append

# How often a template that changes, or is held by somebody, is tried before that is reported.
_PUTS = 4
# After a conflict without any change, which is somebody's lock; doubling, with jitter.
_FIRST_BACKOFF_SECONDS = 0.5
# Codes of warnings.
_SUBSCRIPTION_FAILED = "subscription_failed"
_AUDIT_FAILED = "audit_failed"
_REGISTERED_OTHERWISE = "registered_otherwise"


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """What is asked for; the operator is who answers for it."""

    registration: Registration
    operator: str | None = None


@dataclass(frozen=True, slots=True)
class Approved:
    """An approval, and what is to be said about it that doesn't stand in its way."""

    approval: Approval
    warnings: tuple[Advice, ...]


class ApproveTemplate:
    """The use case."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        gateway: TemplateGateway,
        steps: ExclusiveStep,
        register: Register,
        subscribe: Subscribe,
        default_operator: str,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._ledger = ledger
        self._gateway = gateway
        self._steps = steps
        self._register = register
        self._subscribe = subscribe
        self._default_operator = default_operator
        self._clock = clock
        self._rng = rng

    def __call__(self, template_id: str, request: ApprovalRequest, seconds_left: Callable[[], float]) -> Approved:
        """Approve a template, or do what is left of it.

        Raises `MessagingError`: `validation_failed` with all violations, `template_not_found`, `template_conflict`,
        `registration_failed`, `in_progress`, those of calling CXone; and `StorageError`.
        """
        subject = subjects.template(checked_id(template_id))
        deadline = Deadline.after(self._clock, seconds_left() - OUTCOME_SECONDS)
        attempt = Attempt(uuid.uuid4().hex, self._operator(request), deadline)
        run = _Run(template_id, subject, attempt, self._ledger.read(subject))
        template = self._approve(run)
        taken = self._register(template, request.registration, attempt, run.entries, run.started)
        run.entries, registered = taken.entries, taken.entry
        warnings = [
            *advice(template),
            *self._differs(registered, request.registration),
            *self._warned(_SUBSCRIPTION_FAILED, lambda: self._watch(run, template)),
            *self._warned(_AUDIT_FAILED, lambda: self._publish(run, template, registered)),
        ]
        return Approved(approvals.fold(template_id, self._ledger.read(subject)), tuple(warnings))

    def _operator(self, request: ApprovalRequest) -> str:
        operator = request.operator or self._default_operator
        fault = name_fault(operator) if operator else "is missing: the stack has no default"
        if fault:
            told = FieldError(Code.MALFORMED_REQUEST, "operatorId", f"the operator's name {fault}")
            raise MessagingError(Code.MALFORMED_REQUEST, "it must be known who approves", errors=[told])
        return operator

    def _approve(self, run: "_Run") -> Template:
        """Have the template approved as it was validated; whatever changes meanwhile is validated anew."""
        template = self._fetch(run)
        run.started = self._clock.monotonic()
        for number in range(_PUTS + 1):
            self._validate(run, template)
            if template.is_approved:
                self._record(run, template, EntryType.APPROVED, {"found": template.status}, unless_same=("version",))
                return template
            if number == _PUTS:
                break
            began = self._clock.monotonic()
            try:
                receipt = self._gateway.approve(template, run.attempt.deadline)
            except CxoneCallError as error:
                template = self._after_conflict(run, template, error, number)
            else:
                self._record(run, template, EntryType.APPROVED, {**receipt.data(), **self._latency(began)})
                return template
        told = "somebody else holds the template, or keeps changing it: try again later"
        raise self._not_approved(run, template, MessagingError(Code.TEMPLATE_CONFLICT, told, retry_after=10))

    def _after_conflict(self, run: "_Run", template: Template, error: CxoneCallError, number: int) -> Template:
        """Look again after a conflict, or an answer that leaves open whether the template is approved now."""
        if not error.in_doubt and error.code is not Code.TEMPLATE_CONFLICT:
            raise self._not_approved(run, template, error)
        again = self._look_again(run, template, error)
        if again.is_approved:
            return again
        if error.in_doubt:
            raise self._not_approved(run, template, error)
        if again.state == template.state:
            pause = _FIRST_BACKOFF_SECONDS * 2**number * self._rng.uniform(0.5, 1.5)
            self._clock.sleep(max(0.0, min(pause, run.attempt.deadline.left)))
            again = self._look_again(run, template, error)
        return again

    def _look_again(self, run: "_Run", template: Template, error: CxoneCallError) -> Template:
        """Fetch the template after an attempt at it failed; that attempt is what is told of where this fails too."""
        try:
            return self._fetch(run)
        except MessagingError as unseen:
            raise self._not_approved(run, template, error) from unseen

    def _not_approved(self, run: "_Run", template: Template, error: MessagingError) -> MessagingError:
        asked = Asked(run.subject, Step.APPROVE, template.version, call=lambda _: {}, known=run.entries)
        self._steps.failed(asked, run.attempt, error)
        return error

    def _fetch(self, run: "_Run") -> Template:
        began = self._clock.monotonic()
        template = self._gateway.fetch(run.template_id, run.attempt.deadline)
        told: dict[str, Value] = {"status": template.status, "updatedAt": template.updated_at, "httpStatus": 200}
        self._record(run, template, EntryType.FETCHED, {**told, **self._latency(began)}, unless_same=("version",))
        return template

    def _validate(self, run: "_Run", template: Template) -> None:
        began = self._clock.monotonic()
        found, size = violations(template), size_of(template)
        codes: list[Value] = [each.code.value for each in found]
        told: dict[str, Value] = {"valid": not found, "violations": codes}
        told |= {"encoding": size.encoding, "units": size.units} if size else {}
        self._record(
            run, template, EntryType.VALIDATED, {**told, **self._latency(began)}, unless_same=("version", *told)
        )
        if found:
            raise MessagingError(Code.VALIDATION_FAILED, "the template was not approved", errors=found)

    def _watch(self, run: "_Run", template: Template) -> None:
        """See to it that CXone tells us of approvals; once for the URL, whatever the template."""
        told = self._subscribe(run.attempt)
        self._record(run, template, EntryType.SUBSCRIBED, told, unless_same=("version", *told))

    def _publish(self, run: "_Run", template: Template, registered: Entry) -> None:
        """Enter the approval in CXone's audit log, in the words of the registration's entry whoever does it."""
        record = AuditRecord(
            template_id=run.template_id,
            timestamp=registered.timestamp,
            latency_ms=int(str(registered.data["approvalLatencyMs"])),
            operator_id=str(registered.data["operator"]),
            carrier_ready=True,
        )
        key = request_key("publish", run.template_id, template.version)

        def call(_: StepState) -> Mapping[str, Value]:
            return self._gateway.publish(record, key, run.attempt.deadline).data()

        asked = Asked(run.subject, Step.PUBLISH, template.version, call, known=run.entries)
        self._steps.take(asked, run.attempt)

    def _warned(self, code: str, do: Callable[[], None]) -> list[Advice]:
        try:
            do()
        except MessagingError as error:
            return [Advice(code, f"{error.detail}; the next request tries again")]
        return []

    def _differs(self, registered: Entry, asked: Registration) -> list[Advice]:
        known = Registration.of(registered.data)
        if known in {None, asked}:
            return []
        told = "it was registered before under another campaign, class or language, and stays so"
        return [Advice(_REGISTERED_OTHERWISE, told)]

    def _record(
        self,
        run: "_Run",
        template: Template,
        type_: EntryType,
        data: Mapping[str, Value],
        *,
        unless_same: Sequence[str] | None = None,
    ) -> None:
        """Enter a step; not where the last entry of its type says the same, as far as named."""
        told = {**run.attempt.sign(template.version), **data}
        draft = Draft(type_, told)

        def decide(known: Sequence[Entry]) -> Draft | None:
            if unless_same is None:
                return draft
            latest = next((entry for entry in reversed(known) if entry.type == type_), None)
            is_same = latest is not None and all(latest.data.get(name) == told[name] for name in unless_same)
            return None if is_same else draft

        run.entries = append(self._ledger, self._clock, run.subject, decide, known=run.entries)

    def _latency(self, began: float) -> dict[str, Value]:
        return {"latencyMs": milliseconds_since(began, self._clock)}


@dataclass(slots=True)
class _Run:
    """One request at work; `entries` are the template's as far as they are known, `started` its first validation."""

    template_id: str
    subject: str
    attempt: Attempt
    entries: list[Entry]
    started: float = field(default=0.0)
