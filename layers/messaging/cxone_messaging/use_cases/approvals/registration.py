"""Register an approved template with the carriers' gateway: once for each version.

A try with a doubtful outcome is repeated unchanged, with the same key, unless an event from CXone has proved meanwhile
that the template is registered.
"""

from collections.abc import Mapping, Sequence

from cxone_messaging.adapters.cxone.template_gateway import TemplateGateway
from cxone_messaging.domain import subjects
from cxone_messaging.domain.approval_steps import Step, StepState, request_key
from cxone_messaging.domain.approvals import Registration, registered_since
from cxone_messaging.domain.entries import Entry, Value
from cxone_messaging.domain.errors import Code, MessagingError
from cxone_messaging.domain.templates import Template
from cxone_messaging.platform.clock import Clock, milliseconds_since
from cxone_messaging.platform.telemetry import Metric, Telemetry
from cxone_messaging.use_cases.approvals.once import Attempt, Once, StepCall, StepResult


class Register:
    """Registers templates with the carriers' gateway."""

    def __init__(self, once: Once, gateway: TemplateGateway, clock: Clock, telemetry: Telemetry) -> None:
        self._once = once
        self._gateway = gateway
        self._clock = clock
        self._telemetry = telemetry

    def __call__(
        self,
        template: Template,
        requested: Registration,
        attempt: Attempt,
        known: Sequence[Entry],
        latency_from: float,
    ) -> StepResult:
        """Register a template as `requested`, or with the fields of an earlier try that may have succeeded.

        `known` are the template's entries. The approval's latency runs from `latency_from`, a reading of the clock's
        stopwatch. Raises `MessagingError`: `registration_failed`, `in_progress`; and `StorageError`.
        """

        def fields(before: StepState) -> Registration:
            doubtful = (Registration.of(entry.data) for entry in before.doubtful)
            return next((each for each in doubtful if each), requested)

        def latency() -> dict[str, Value]:
            return {"approvalLatencyMs": milliseconds_since(latency_from, self._clock)}

        def call(before: StepState) -> Mapping[str, Value]:
            sent = fields(before)
            parts = (sent.campaign_name, sent.message_class, sent.opt_in_language)
            key = request_key("register", template.id, template.version, *parts)
            receipt = self._gateway.register(template.id, sent, key, attempt.deadline)
            return {**sent.data(), "registrationId": receipt.id, **latency(), **receipt.data()}

        def evidence(entries: Sequence[Entry], before: StepState) -> Mapping[str, Value] | None:
            event = registered_since(entries, before.doubtful)
            if event is None:
                return None
            return {"toldBy": event.data.get("eventId"), **fields(before).data(), **latency()}

        step = StepCall(
            subject=subjects.template(template.id),
            kind=Step.REGISTER,
            version=template.version,
            call=call,
            claim=lambda before: fields(before).data(),
            evidence=evidence,
            known=known,
        )
        try:
            result = self._once.run(step, attempt)
        except MessagingError as error:
            if error.code is Code.IN_PROGRESS:
                raise
            detail = f"repeat the request to finish the registration: {error.detail}"
            raise MessagingError(Code.REGISTRATION_FAILED, detail, retry_after=error.retry_after) from error
        if result.is_new:
            self._telemetry.add(Metric.TEMPLATES_APPROVED)
            self._telemetry.add(Metric.APPROVAL_LATENCY, int(str(result.entry.data["approvalLatencyMs"])))
        return result
