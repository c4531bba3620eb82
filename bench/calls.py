"""Watch the AWS calls of a process, of all its clients."""

from collections.abc import Callable, Mapping
from typing import Any

from botocore.client import BaseClient

type Report = Callable[[str, Mapping[str, Any], Mapping[str, Any]], None]


def watch(report: Report) -> None:
    """Report each later call's operation, parameters and answer, which is empty if the call failed."""
    original: Any = BaseClient._make_api_call  # type: ignore[attr-defined]  # the one place that all clients share

    def watched(client: Any, operation: str, parameters: Any) -> Any:
        answer: Any = None
        try:
            answer = original(client, operation, parameters)
        finally:
            report(operation, parameters, answer or {})
        return answer

    BaseClient._make_api_call = watched  # type: ignore[attr-defined]
