"""Watches the AWS calls of a process, of whatever client."""

from collections.abc import Callable, Mapping
from typing import Any

from botocore.client import BaseClient

type Tell = Callable[[str, Mapping[str, Any], Mapping[str, Any]], None]


def watch(tell: Tell) -> None:
    """Tell from now on of each call its operation, its parameters and its answer, which is empty where it failed."""
    original: Any = BaseClient._make_api_call  # type: ignore[attr-defined]  # the one place that all clients share

    def watched(client: Any, operation: str, parameters: Any) -> Any:
        answer: Any = None
        try:
            answer = original(client, operation, parameters)
        finally:
            tell(operation, parameters, answer or {})
        return answer

    BaseClient._make_api_call = watched  # type: ignore[attr-defined]
