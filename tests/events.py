"""The events of `events/`, handed to the functions in this process as AWS hands them over."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from cxone_messaging.platform import aws
from local import template
from tests import functions

FOLDER = template.ROOT / "events"
NAMES = sorted(str(path.relative_to(FOLDER).with_suffix("")) for path in FOLDER.rglob("*.json"))
FUNCTIONS = {
    each["CodeUri"].removeprefix("functions/"): each
    for each in template.resources("AWS::Serverless::Function").values()
}
# What events and callback URLs are signed with, and what the ids in events are made with. No stack has any of these.
WEBHOOK_SECRET, CALLBACK_SECRET = "ab" * 32, "cd" * 32
PEPPER = "ab" * 32


def read(name: str) -> dict[str, Any]:
    """Read an event by its folder and name, say `send_message/preview`."""
    event: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return event


class Functions:
    """All functions as one execution environment each, which finds its settings in the variables given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        self.forget()

    def play(self, name: str) -> dict[str, Any]:
        """Hand an event to its function; gives the function's answer."""
        return self.hand(name.partition("/")[0], read(name))

    @staticmethod
    def hand(function: str, event: dict[str, Any]) -> dict[str, Any]:
        """Hand any event to a function; gives its answer."""
        milliseconds = FUNCTIONS[function]["Timeout"] * 1000
        context = SimpleNamespace(get_remaining_time_in_millis=lambda: milliseconds, aws_request_id="test")
        answer: dict[str, Any] = functions.module(function).handler(event, context)
        return answer

    @staticmethod
    def forget() -> None:
        """Let all functions build anew whatever they keep for an execution environment's life."""
        for module in (aws, *map(functions.module, FUNCTIONS)):
            for each in vars(module).values():
                if hasattr(each, "cache_clear") and each.__module__ == module.__name__:
                    each.cache_clear()
