"""The state and helpers that the demo's steps share: the stack, the messages sent so far, the checks."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import requests

from cli.progress import Outcome
from local.local_target import LocalTarget
from local.options import DFO, SMS_V2

_WAIT_SECONDS = 30


class UnexpectedError(Exception):
    """A step failed; the text has the expected and the actual value."""

    def __init__(self, what: str, expected: object, got: object) -> None:
        super().__init__(f"{what}\n  expected: {expected}\n  got:      {got}")


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that was dispatched."""

    message_id: str
    to: str
    idempotency_key: str


@dataclass
class DemoState:
    """The demo so far."""

    stack: LocalTarget
    api: str = SMS_V2
    sent: list[Sent] = field(default_factory=list)

    def call(
        self, method: str, path: str, body: object = None, *, status: int, headers: Mapping[str, str] | None = None
    ) -> requests.Response:
        """Call the API, check the answer's status, and return the answer."""
        answer = self.stack.call(method, path, body, headers)
        if answer.status_code != status:
            raise UnexpectedError(f"{method} {path}", status, f"{answer.status_code} {answer.text}")
        return answer

    @property
    def speaks_dfo(self) -> bool:
        """Whether the stack speaks Digital Engagement, so that receipts and replies are collected."""
        return self.api == DFO

    def collect(self) -> None:
        """Have the scheduled function collect at once, where there is one: the demo does not wait for its minute."""
        if self.speaks_dfo:
            answer = self.stack.client("lambda").invoke(
                FunctionName=self.stack.function("collect_receipts"), Qualifier="live", Payload=b"{}"
            )
            if "FunctionError" in answer:
                raise UnexpectedError("collecting receipts", "no error", answer["Payload"].read().decode())

    def taken_by_cxone(self) -> int:
        """Return the number of messages that CXone really accepted."""
        return len(self.stack.simulator("messages")["messages"])

    def message(self, message_id: str) -> dict[str, Any]:
        """Return a message with its audit trail."""
        document: dict[str, Any] = self.call("GET", f"/messages/{message_id}", status=200).json()
        return document


def expect(what: str, expected: object, got: object) -> None:
    """Check that two values are equal. Raises `UnexpectedError`."""
    if expected != got:
        raise UnexpectedError(what, expected, got)


def wait_until[T](what: str, expected: T, look: Callable[[], T], seconds: float = _WAIT_SECONDS) -> None:
    """Check a condition that may take a moment. Raises `UnexpectedError`."""
    give_up_at = time.monotonic() + seconds
    while (got := look()) != expected:
        if time.monotonic() > give_up_at:
            raise UnexpectedError(f"{what}, after {seconds} s", expected, got)
        time.sleep(0.5)


@dataclass(frozen=True, slots=True)
class Step:
    """One step: a text that is shown while it works, and a function that sets the outcome."""

    doing: str
    run: Callable[[DemoState, Outcome], None]
