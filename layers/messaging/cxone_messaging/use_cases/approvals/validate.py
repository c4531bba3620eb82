"""Check a template against the rules, all of them at once; nothing is changed, nothing recorded."""

from collections.abc import Callable
from dataclasses import dataclass

from cxone_messaging.adapters.cxone.admin import TemplateGateway
from cxone_messaging.domain.errors import Code, FieldError, MessagingError
from cxone_messaging.domain.templates import Advice, advice, is_template_id, size_of, violations
from cxone_messaging.platform.clock import Clock
from cxone_messaging.platform.deadline import Deadline
from cxone_messaging.segments import SegmentCount
from cxone_messaging.use_cases.approvals.once import OUTCOME_SECONDS


@dataclass(frozen=True, slots=True)
class Validation:
    """What was found; `size` is None where the content holds what no encoding can carry."""

    violations: tuple[FieldError, ...]
    advice: tuple[Advice, ...]
    size: SegmentCount | None


class ValidateTemplate:
    """The use case."""

    def __init__(self, gateway: TemplateGateway, clock: Clock) -> None:
        self._gateway = gateway
        self._clock = clock

    def __call__(self, template_id: str, seconds_left: Callable[[], float]) -> Validation:
        """Check a template as CXone has it. Raises `MessagingError`: `template_not_found`, those of calling CXone."""
        deadline = Deadline.after(self._clock, seconds_left() - OUTCOME_SECONDS)
        template = self._gateway.fetch(checked_id(template_id), deadline)
        return Validation(violations(template), advice(template), size_of(template))


def checked_id(template_id: str) -> str:
    """Let through what can be a template's id. Raises `template_not_found`."""
    if not is_template_id(template_id):
        raise MessagingError(Code.TEMPLATE_NOT_FOUND, "no template can have this id")
    return template_id
