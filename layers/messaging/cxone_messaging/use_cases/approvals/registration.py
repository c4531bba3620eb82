"""Register an approved template with the carriers' gateway: once for each version.

A try whose outcome is in doubt is repeated to the letter, under the same key, unless an event of CXone's has told
meanwhile that it went through.
"""

from collections.abc import Mapping, Sequence

from cxone_messaging.adapters.cxone.admin import TemplateGateway
from cxone_messaging.domain import subjects
from cxone_messaging.domain.approval_steps import Step, StepState, request_key
from cxone_messaging.domain.approvals import Registration, registered_since
from cxone_messaging.domain.entries import Entry, Value
from cxone_messaging.domain.errors import Code, MessagingError
from cxone_messaging.domain.templates import Template
from cxone_messaging.platform.clock import Clock, milliseconds_since
from cxone_messaging.platform.telemetry import Metric, Telemetry
from cxone_messaging.use_cases.approvals.once import Asked, Attempt, ExclusiveStep, Taken


class Register:
    """The use case."""

    def __init__(self, steps: ExclusiveStep, gateway: TemplateGateway, clock: Clock, telemetry: Telemetry) -> None:
        self._steps = steps
        self._gateway = gateway
        self._clock = clock
        self._telemetry = telemetry

    def __call__(
        self,
        template: Template,
        wanted: Registration,
        attempt: Attempt,
        known: Sequence[Entry],
        latency_from: float,
    ) -> Taken:
        """Have a template registered as it is wanted, or as an earlier try may have registered it.

        `known` are the template's entries, and the approval's latency runs from `latency_from`, by the clock's
        stopwatch. Raises `MessagingError`: `registration_failed`, `in_progress`; and `StorageError`.
        """

        def words(before: StepState) -> Registration:
            doubtful = (Registration.of(entry.data) for entry in before.doubtful)
            return next((each for each in doubtful if each), wanted)

        def latency() -> dict[str, Value]:
            return {"approvalLatencyMs": milliseconds_since(latency_from, self._clock)}

        def call(before: StepState) -> Mapping[str, Value]:
            told = words(before)
            spelt = (told.campaign_name, told.message_class, told.opt_in_language)
            key = request_key("register", template.id, template.version, *spelt)
            receipt = self._gateway.register(template.id, told, key, attempt.deadline)
            return {**told.data(), "registrationId": receipt.id, **latency(), **receipt.data()}

        def evidence(entries: Sequence[Entry], before: StepState) -> Mapping[str, Value] | None:
            event = registered_since(entries, before.doubtful)
            if event is None:
                return None
            return {"toldBy": event.data.get("eventId"), **words(before).data(), **latency()}

        asked = Asked(
            subject=subjects.template(template.id),
            step=Step.REGISTER,
            version=template.version,
            call=call,
            claim=lambda before: words(before).data(),
            evidence=evidence,
            known=known,
        )
        try:
            taken = self._steps.take(asked, attempt)
        except MessagingError as error:
            if error.code is Code.IN_PROGRESS:
                raise
            told = f"the same request goes on from here: {error.detail}"
            raise MessagingError(Code.REGISTRATION_FAILED, told, retry_after=error.retry_after) from error
        if taken.is_new:
            self._telemetry.add(Metric.TEMPLATES_APPROVED)
            self._telemetry.add(Metric.APPROVAL_LATENCY, int(str(taken.entry.data["approvalLatencyMs"])))
        return taken
