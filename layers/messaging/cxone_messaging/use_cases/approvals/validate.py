"""Check a template against all rules at once; nothing is changed or recorded."""

from dataclasses import dataclass

from cxone_messaging.adapters.cxone.template_gateway import TemplateGateway
from cxone_messaging.domain.errors import Code, FieldError, MessagingError
from cxone_messaging.domain.templates import Advice, advice, is_template_id, size_of, violations
from cxone_messaging.platform.deadline import Deadline
from cxone_messaging.segments import SegmentCount
from cxone_messaging.use_cases.approvals.once import OUTCOME_SECONDS


@dataclass(frozen=True, slots=True)
class Validation:
    """The result of a check; `size` is None if no encoding can carry the content."""

    violations: tuple[FieldError, ...]
    advice: tuple[Advice, ...]
    size: SegmentCount | None


class ValidateTemplate:
    """Checks a template against the rules; changes and records nothing."""

    def __init__(self, gateway: TemplateGateway) -> None:
        self._gateway = gateway

    def __call__(self, template_id: str, deadline: Deadline) -> Validation:
        """Return the result for the template at CXone.

        Raises `MessagingError`, also with `template_not_found`.
        """
        template = self._gateway.fetch(checked_id(template_id), deadline.less(OUTCOME_SECONDS))
        return Validation(violations(template), advice(template), size_of(template))


def checked_id(template_id: str) -> str:
    """Return the id if a template can have it. Raises `template_not_found` otherwise."""
    if not is_template_id(template_id):
        raise MessagingError(Code.TEMPLATE_NOT_FOUND, "no template can have this id")
    return template_id
