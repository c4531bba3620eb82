"""Approve a template: fetch, validate, approve, register, subscribe, publish.

Each finished step is an entry. A repeated request does the remaining steps. CXone's template shows whether it is
approved; the ledger shows the other steps. The approval itself needs no claim: CXone accepts it once for each version
(`If-Match`, `meta.updated_at`).
"""

import random
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from cxone_messaging.adapters.cxone.template_gateway import TemplateGateway
from cxone_messaging.domain import subjects
from cxone_messaging.domain.approval_steps import Step, StepState, request_key
from cxone_messaging.domain.approvals import Approval, AuditRecord, Registration
from cxone_messaging.domain.entries import Draft, Entry, EntryType, Value
from cxone_messaging.domain.errors import Code, CxoneCallError, FieldError, MessagingError
from cxone_messaging.domain.names import name_fault
from cxone_messaging.domain.templates import Advice, Template, advice, size_of, violations
from cxone_messaging.platform.clock import Clock, milliseconds_since
from cxone_messaging.platform.deadline import Deadline
from cxone_messaging.use_cases.approvals.once import OUTCOME_SECONDS, Attempt, Once, StepCall
from cxone_messaging.use_cases.approvals.registration import Register
from cxone_messaging.use_cases.approvals.subscription import Subscribe
from cxone_messaging.use_cases.approvals.validate import checked_id
from cxone_messaging.use_cases.journal import Journal

# How often a template that changes, or that another user holds, is tried before that is reported.
_PUTS = 4
# The pause after a conflict without any change, which means another user's lock; doubling, with jitter.
_FIRST_BACKOFF_SECONDS = 0.5
# Codes of warnings.
_SUBSCRIPTION_FAILED = "subscription_failed"
_AUDIT_FAILED = "audit_failed"
_REGISTERED_OTHERWISE = "registered_otherwise"


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """A request to approve; the operator is the person that answers for it."""

    registration: Registration
    operator: str | None = None


@dataclass(frozen=True, slots=True)
class Approved:
    """An approval, and warnings that do not prevent it."""

    approval: Approval
    warnings: tuple[Advice, ...]


class ApproveTemplate:
    """Approves templates."""

    def __init__(
        self,
        *,
        journal: Journal,
        gateway: TemplateGateway,
        once: Once,
        register: Register,
        subscribe: Subscribe,
        default_operator: str,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._journal = journal
        self._gateway = gateway
        self._once = once
        self._register = register
        self._subscribe = subscribe
        self._default_operator = default_operator
        self._clock = clock
        self._rng = rng

    def __call__(self, template_id: str, request: ApprovalRequest, deadline: Deadline) -> Approved:
        """Approve a template, or do the remaining steps. `deadline` is the invocation's.

        Raises `MessagingError`: `validation_failed` with all violations, `template_not_found`, `template_conflict`,
        `registration_failed`, `in_progress`, and the codes of a failed call to CXone. Also raises `StorageError`.
        """
        subject = subjects.template(checked_id(template_id))
        attempt = Attempt(uuid.uuid4().hex, self._operator(request), deadline.less(OUTCOME_SECONDS))
        run = _Run(template_id, subject, attempt, self._journal.read(subject))
        template = self._approve(run)
        registered = self._register(template, request.registration, attempt, run.entries, run.started)
        run.entries, registration = registered.entries, registered.entry
        warnings = [
            *advice(template),
            *self._difference(registration, request.registration),
            *self._warned(_SUBSCRIPTION_FAILED, lambda: self._subscribe_url(run, template)),
            *self._warned(_AUDIT_FAILED, lambda: self._publish(run, template, registration)),
        ]
        return Approved(Approval.of(self._journal.read(subject)), tuple(warnings))

    def _operator(self, request: ApprovalRequest) -> str:
        operator = request.operator or self._default_operator
        fault = name_fault(operator) if operator else "is missing: the stack has no default"
        if fault:
            error = FieldError(Code.MALFORMED_REQUEST, "operatorId", f"the operator's name {fault}")
            raise MessagingError(
                Code.MALFORMED_REQUEST, "an approval needs an operator: name one in operatorId", errors=[error]
            )
        return operator

    def _approve(self, run: "_Run") -> Template:
        """Approve the template as it was validated; validate it again whenever it changes meanwhile."""
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
        detail = "another user holds the template, or keeps changing it: try again later"
        raise self._not_approved(run, template, MessagingError(Code.TEMPLATE_CONFLICT, detail, retry_after=10))

    def _after_conflict(self, run: "_Run", template: Template, error: CxoneCallError, number: int) -> Template:
        """Fetch the template after a conflict, or after an answer that leaves the approval in doubt."""
        if not error.in_doubt and error.code is not Code.TEMPLATE_CONFLICT:
            raise self._not_approved(run, template, error)
        again = self._fetch_after(run, template, error)
        if again.is_approved:
            return again
        if error.in_doubt:
            raise self._not_approved(run, template, error)
        if again.state == template.state:
            pause = _FIRST_BACKOFF_SECONDS * 2**number * self._rng.uniform(0.5, 1.5)
            self._clock.sleep(max(0.0, min(pause, run.attempt.deadline.left)))
            again = self._fetch_after(run, template, error)
        return again

    def _fetch_after(self, run: "_Run", template: Template, error: CxoneCallError) -> Template:
        """Fetch the template after a failed approval. If that fails too, raise the original error."""
        try:
            return self._fetch(run)
        except MessagingError as unseen:
            raise self._not_approved(run, template, error) from unseen

    def _not_approved(self, run: "_Run", template: Template, error: MessagingError) -> MessagingError:
        step = StepCall(run.subject, Step.APPROVE, template.version, call=lambda _: {}, known=run.entries)
        self._once.record_failure(step, run.attempt, error)
        return error

    def _fetch(self, run: "_Run") -> Template:
        began = self._clock.monotonic()
        template = self._gateway.fetch(run.template_id, run.attempt.deadline)
        data: dict[str, Value] = {**template.evidence, "httpStatus": 200}
        self._record(run, template, EntryType.FETCHED, {**data, **self._latency(began)}, unless_same=("version",))
        return template

    def _validate(self, run: "_Run", template: Template) -> None:
        began = self._clock.monotonic()
        found, size = violations(template), size_of(template)
        codes: list[Value] = [each.code.value for each in found]
        data: dict[str, Value] = {"valid": not found, "violations": codes}
        data |= {"encoding": size.encoding, "units": size.units} if size else {}
        self._record(
            run, template, EntryType.VALIDATED, {**data, **self._latency(began)}, unless_same=("version", *data)
        )
        if found:
            raise MessagingError(Code.VALIDATION_FAILED, "the template was not approved", errors=found)

    def _subscribe_url(self, run: "_Run", template: Template) -> None:
        """Subscribe to CXone's events; once for the URL, whatever the template."""
        data = self._subscribe(run.attempt)
        self._record(run, template, EntryType.SUBSCRIBED, data, unless_same=("version", *data))

    def _publish(self, run: "_Run", template: Template, registered: Entry) -> None:
        """Publish the approval in CXone's audit log, with the fields of the registration's entry."""
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

        step = StepCall(run.subject, Step.PUBLISH, template.version, call, known=run.entries)
        self._once.run(step, run.attempt)

    def _warned(self, code: str, do: Callable[[], None]) -> list[Advice]:
        try:
            do()
        except MessagingError as error:
            return [Advice(code, f"{error.detail}; the next request tries again")]
        return []

    def _difference(self, registered: Entry, requested: Registration) -> list[Advice]:
        if Registration.of(registered.data) in {None, requested}:
            return []
        detail = "the template stays registered with another campaign name, message class or opt-in language"
        return [Advice(_REGISTERED_OTHERWISE, detail)]

    def _record(
        self,
        run: "_Run",
        template: Template,
        type_: EntryType,
        data: Mapping[str, Value],
        *,
        unless_same: Sequence[str] | None = None,
    ) -> None:
        """Record a step, unless the last entry of its type has the same values of `unless_same`."""
        stamped = {**run.attempt.stamp(template.version), **data}
        draft = Draft(type_, stamped)

        def decide(known: Sequence[Entry]) -> Draft | None:
            if unless_same is None:
                return draft
            latest = next((entry for entry in reversed(known) if entry.type == type_), None)
            is_same = latest is not None and all(latest.data.get(name) == stamped[name] for name in unless_same)
            return None if is_same else draft

        run.entries = self._journal.append(run.subject, decide, known=run.entries).entries

    def _latency(self, began: float) -> dict[str, Value]:
        return {"latencyMs": milliseconds_since(began, self._clock)}


@dataclass(slots=True)
class _Run:
    """A request in progress.

    `entries` are the template's known entries, `started` is its first validation.
    """

    template_id: str
    subject: str
    attempt: Attempt
    entries: list[Entry]
    started: float = field(default=0.0)
