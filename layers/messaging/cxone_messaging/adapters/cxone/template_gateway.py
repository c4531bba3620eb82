"""What the use cases may ask of CXone about templates, where its API can do that."""

from collections.abc import Sequence
from typing import Protocol

from cxone_messaging.domain.approvals import AuditRecord, Receipt, Registration
from cxone_messaging.domain.templates import Template
from cxone_messaging.platform.deadline import Deadline


class TemplateGateway(Protocol):
    """CXone's operations on templates. After its deadline no byte of a request leaves.

    All raise `CxoneCallError`, or `MessagingError` if no request is sent. `key` identifies a request, so that CXone
    can recognise a repeated one.
    """

    def fetch(self, template_id: str, deadline: Deadline) -> Template:
        """Return the current template."""
        ...

    def approve(self, template: Template, deadline: Deadline) -> Receipt:
        """Approve a template as it was fetched.

        Raises `template_conflict` if it has changed since, or if another user holds it.
        """
        ...

    def register(self, template_id: str, registration: Registration, key: str, deadline: Deadline) -> Receipt:
        """Register an approved template with the carriers' gateway."""
        ...

    def subscribe(self, url: str, secret: str, events: Sequence[str], key: str, deadline: Deadline) -> Receipt:
        """Subscribe a URL to the named events; `secret` signs them."""
        ...

    def publish(self, record: AuditRecord, key: str, deadline: Deadline) -> Receipt:
        """Record an approval in CXone's audit log."""
        ...
