"""Faults on order: rules that disturb requests before they are processed, or the answers of accepted ones."""

import random
from dataclasses import dataclass, replace
from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt, model_validator

from local.simulator.model import Probability, RetryAfterFormat, Strict
from local.simulator.wire import Behaviour, Refusal, Response, problem, retry_after

type Operation = Literal[
    "token_sms",
    "token_admin",
    "send",
    "template_get",
    "template_put",
    "register",
    "subscribe",
    "audit",
    "dfo.discovery",
    "dfo.keys",
    "dfo.configuration",
    "dfo.token",
    "dfo.send",
    "dfo.messages",
    "dfo.message",
    "dfo.contacts",
    "dfo.contact_messages",
    "dfo.channels",
    "dfo.custom_fields",
    "dfo.me",
]
type Action = Literal[
    "status",
    "delay",
    "reset",
    "refuse",
    "connect_timeout",
    "accept_then_timeout",
    "accept_then_reset",
    "accept_then_500",
    "accept_then_status",
    "garbage_body",
    "edit_template",
    "no_message_id",
    "send_without_record",
]

_BEFORE = {"status", "delay", "reset", "refuse", "connect_timeout"}  # the other actions spoil an accepted answer
UNCONNECTED = frozenset({"refuse", "connect_timeout"})  # no connection is made, so no body is written
_BEHAVIOURS = {
    "reset": Behaviour.RESET,
    "refuse": Behaviour.REFUSE,
    "connect_timeout": Behaviour.CONNECT_TIMEOUT,
    "accept_then_timeout": Behaviour.HOLD,
    "accept_then_reset": Behaviour.RESET,
}
_OPERATIONS = {"edit_template": "template_get", "no_message_id": "dfo.send", "send_without_record": "dfo.send"}
_STATUS = frozenset({"status", "accept_then_500", "accept_then_status", "send_without_record"})


class Fault(Strict):
    """One rule. It skips the first `after` requests that it matches and then acts `times` times."""

    action: Action
    operation: Operation | Literal["any"] = "any"
    times: PositiveInt | Literal["forever"] = 1
    after: NonNegativeInt = 0
    probability: Probability = 1.0
    status: Annotated[int, Field(ge=300, le=599)] | None = None
    retry_after_seconds: NonNegativeFloat | None = None
    retry_after: RetryAfterFormat = "seconds"
    delay_seconds: NonNegativeFloat = 0.0
    html: bool = False  # whether an answer with `status` is a page, as of a gateway before the API
    content: str | None = None  # what `edit_template` writes; neither of the two: an exclamation mark more
    template_status: str | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.action in {"status", "accept_then_status"} and self.status is None:
            raise ValueError(f"action {self.action} needs a status")
        if self.action == "delay" and not self.delay_seconds:
            raise ValueError("action delay needs delay_seconds")
        if self.action == "accept_then_500" and self.status is not None and self.status < 500:  # noqa: PLR2004
            raise ValueError("action accept_then_500 needs a status from 500 on, or none")
        if (needed := _OPERATIONS.get(self.action)) and self.operation != needed:
            raise ValueError(f"action {self.action} needs the operation {needed}")
        return self

    def spoil(self, response: Response, now: float, refusal: Refusal = problem) -> Response:
        """Return the answer that replaces `response`; `refusal` makes one with a status, of the API's shape."""
        behaviour = _BEHAVIOURS.get(self.action)
        if self.action == "send_without_record" and self.status is None:
            behaviour = Behaviour.RESET
        if behaviour:
            return replace(response, behaviour=behaviour)
        if self.action == "garbage_body":
            return replace(response, content=b"<html>upstream said yes", headers={"Content-Type": "text/html"})
        if self.action == "no_message_id" and isinstance(response.json, dict):
            return replace(response, json={name: value for name, value in response.json.items() if name != "message"})
        if self.action in _STATUS:
            headers = {}
            if self.retry_after_seconds is not None:
                headers = retry_after(self.retry_after, self.retry_after_seconds, now)
            status = self.status or 500
            if self.html:
                return Response(status, headers={**headers, "Content-Type": "text/html"}, content=b"<html>gateway")
            return refusal(status, "a fault on order", headers)
        return response


@dataclass(slots=True)
class _Armed:
    number: int
    fault: Fault
    matched: int = 0
    acted: int = 0

    def acts(self, operation: Operation, accepted: bool, rng: random.Random) -> bool:
        fault = self.fault
        if fault.operation not in {"any", operation} or (fault.action in _BEFORE) is accepted or self.spent:
            return False
        self.matched += 1
        if self.matched <= fault.after or (fault.probability < 1 and rng.random() >= fault.probability):
            return False
        self.acted += 1
        return True

    @property
    def spent(self) -> bool:
        return self.fault.times != "forever" and self.acted >= self.fault.times


class Faults:
    """The rules in force; the first that matches acts."""

    def __init__(self) -> None:
        self._armed: list[_Armed] = []
        self._last = 0

    def add(self, fault: Fault) -> int:
        """Arm a rule; returns its number."""
        self._last += 1
        self._armed.append(_Armed(self._last, fault))
        return self._last

    def remove(self, number: int) -> bool:
        """Remove one rule; return False if there is none."""
        kept = [armed for armed in self._armed if armed.number != number]
        removed = len(kept) < len(self._armed)
        self._armed = kept
        return removed

    def clear(self) -> None:
        """Remove all rules."""
        self._armed.clear()

    def take(self, operation: Operation, rng: random.Random, *, accepted: bool) -> Fault | None:
        """Return the rule that acts on this request, before it is processed or once it is accepted."""
        return next((armed.fault for armed in self._armed if armed.acts(operation, accepted, rng)), None)

    def as_json(self) -> list[dict[str, object]]:
        """The rules, and how often each matched and acted."""
        return [
            {"id": a.number, **a.fault.model_dump(mode="json"), "matched": a.matched, "acted": a.acted}
            for a in self._armed
        ]
