"""Sending: the schema of a send, and the delivery events that follow an accepted one."""

import json
import random
from collections.abc import Iterator
from typing import Annotated

from pydantic import Field, StringConstraints

from local.simulator.journal import Message
from local.simulator.model import Strict
from local.simulator.settings import Settings
from local.simulator.wire import RefusedError, parse, rfc3339

type PhoneNumber = Annotated[str, StringConstraints(pattern=r"^\+?[1-9][0-9]{1,14}$")]
type Text = Annotated[str, StringConstraints(min_length=1)]
type Url = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/]+")]

_DUPLICATE_AFTER_SECONDS = 0.05


class Segmentation(Strict):
    """Whether a long text may be split."""

    enabled: bool


class SendRequest(Strict):
    """The body of a send."""

    to: Annotated[list[PhoneNumber], Field(min_length=1)]
    sender: PhoneNumber = Field(alias="from")
    text: Text
    campaign_id: Text = Field(alias="campaignId")
    webhook_url: Url | None = Field(None, alias="webhookUrl")
    segmentation: Segmentation


def sender_of(body: bytes) -> str | None:
    """The sender that a body names, which need not be valid otherwise, or None."""
    try:
        send = json.loads(body)
    except (ValueError, RecursionError):
        return None
    sender = send.get("from") if isinstance(send, dict) else None
    return sender if isinstance(sender, str) else None


def accept(body: bytes, message_id: str, settings: Settings, now: float) -> list[Message]:
    """The messages of a send, one for each recipient, all under one id."""
    send = parse(SendRequest, body)
    if not settings.takes_campaign(send.campaign_id):
        detail = f"no active campaign {send.campaign_id}"
        errors = [{"field": "campaignId", "errorCode": "campaign_not_active", "message": detail}]
        raise RefusedError(400, f"campaignId: {detail}", errors=errors)
    return [
        Message(message_id, recipient, send.sender, send.text, send.campaign_id, send.webhook_url, now)
        for recipient in send.to
    ]


def delivery_events(
    message: Message, settings: Settings, rng: random.Random
) -> Iterator[tuple[float, dict[str, object]]]:
    """Return due time and body of each delivery event; its timestamp is when the status was reached."""
    steps = settings.steps_for(message.to)
    delays = [step.delay_seconds for step in steps]
    if settings.event_shuffle:
        rng.shuffle(delays)
    for step, delay in zip(steps, delays, strict=True):
        body: dict[str, object] = {
            "messageId": message.id,
            "status": step.status,
            "to": message.to,
            "timestamp": rfc3339(message.time + step.delay_seconds),
        }
        if step.error is not None:
            body["error"] = step.error
        if rng.random() < settings.event_drop_probability:
            continue
        late = settings.event_late_seconds if rng.random() < settings.event_late_probability else 0.0
        due = message.time + delay + late
        yield due, body
        if rng.random() < settings.event_duplicate_probability:
            yield due + _DUPLICATE_AFTER_SECONDS, body
