"""A2P registrations, audit records, and webhook subscriptions with the events they are sent."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, StringConstraints

from local.simulator.events import EventQueue
from local.simulator.model import Strict
from local.simulator.settings import Settings
from local.simulator.sms import PhoneNumber, Text, Url
from local.simulator.wire import RefusedError, rfc3339

type EventName = Annotated[str, StringConstraints(min_length=1, max_length=128)]
type Timestamp = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$")]


class RegistrationRequest(Strict):
    """The body of an A2P registration."""

    template_id: Text
    campaign_name: Text
    message_class: Text
    opt_in_language: Text


class SubscriptionRequest(Strict):
    """The body of a webhook subscription."""

    url: Url
    events: Annotated[list[EventName], Field(min_length=1)]
    secret: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class AuditRequest(Strict):
    """The body of an audit record."""

    timestamp: Timestamp
    template_id: Text
    action: Literal["TEMPLATE_APPROVAL"]
    status: Text
    latency_ms: NonNegativeInt
    operator_id: Text
    carrier_ready: bool


class Inbound(Strict):
    """An inbound message."""

    sender: PhoneNumber = Field(alias="from")
    to: PhoneNumber
    text: str


@dataclass(frozen=True, slots=True)
class _Fact:
    name: str
    event: dict[str, object]
    due: float


class Subscriptions:
    """The subscriptions and their events. An event without a subscriber waits for the first one."""

    def __init__(self, queue: EventQueue) -> None:
        self._queue = queue
        self._subscribed: list[SubscriptionRequest] = []
        self._unsent: list[_Fact] = []

    def add(self, subscription: SubscriptionRequest, settings: Settings) -> None:
        """Subscribe a URL to the events that it names; subscribing it again makes a second subscription.

        Raises `RefusedError` (422) for a name that `known_events` lacks.
        """
        if settings.known_events is not None and not settings.known_events.issuperset(subscription.events):
            raise RefusedError(422, "events: there is no event of this name")
        self._subscribed.append(subscription)
        unsent, self._unsent = self._unsent, []
        for fact in unsent:
            self._tell(fact)

    def announce(self, name: str, template_id: str, event_id: str, now: float, delay: float) -> None:
        """Post an event about a template to its subscribers."""
        event: dict[str, object] = {
            "id": event_id,
            "event": name,
            "template_id": template_id,
            "timestamp": rfc3339(now),
        }
        self._tell(_Fact(name, event, now + delay))

    def inbound(self, message: Inbound, event_id: str, settings: Settings, now: float) -> list[str]:
        """Post an inbound message to every URL that is subscribed to such events, once; 409 if there is none."""
        name = settings.inbound_event
        event = {"id": event_id, "event": name, **message.model_dump(by_alias=True)}
        latest = {each.url: each for each in self._subscribed if name in each.events}
        if not latest:
            raise RefusedError(409, f"no URL is subscribed to {name}")
        for url, subscription in latest.items():
            self._queue.add("subscription", url, {**event, "timestamp": rfc3339(now)}, now, subscription.secret)
        return list(latest)

    def _tell(self, fact: _Fact) -> None:
        listeners = [subscription for subscription in self._subscribed if fact.name in subscription.events]
        for subscription in listeners:
            self._queue.add("subscription", subscription.url, fact.event, fact.due, subscription.secret)
        if not listeners:
            self._unsent.append(fact)
