"""Everything that can be set, in one flat model; names are the same in Python and in the admin API."""

import random
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveInt

from local.simulator.dfo.settings import DfoSettings
from local.simulator.model import Probability, RetryAfterFormat, Strict

MAXIMUM_EVENT_WORKERS = 64


class DeliveryStep(Strict):
    """One delivery event: its status word, its delay after the send was taken, and an error text."""

    status: str
    delay_seconds: NonNegativeFloat
    error: str | None = None


def _steps(*steps: tuple[str, float], error: str | None = None) -> tuple[DeliveryStep, ...]:
    *others, (status, delay) = steps
    return (
        *(DeliveryStep(status=word, delay_seconds=wait) for word, wait in others),
        DeliveryStep(status=status, delay_seconds=delay, error=error),
    )


_DELIVERED = _steps(("queued", 0.2), ("sent", 0.4), ("delivered", 0.8))
_UNDELIVERED = _steps(("queued", 0.2), ("sent", 0.4), ("undelivered", 0.8), error="carrier rejected the number")


class Settings(DfoSettings):
    """Secrets are never shown in a dump. The client's credentials and the latencies are those of both APIs."""

    client_id: str = "local-client"
    client_secret: str = Field("local-secret&=+%", exclude=True, repr=False)
    token_lifetime_seconds: PositiveInt = 3600
    token_latency_seconds: NonNegativeFloat = 0.0
    sms_scopes: tuple[str, ...] = ("message:sms:send",)
    admin_scopes: tuple[str, ...] = ("messaging:read", "messaging:write", "a2p:write", "webhooks:write")

    requests_per_second: PositiveInt = 100
    requests_per_minute: PositiveInt | None = None  # None: only the second's limit
    sender_requests_per_second: dict[str, PositiveInt] = Field(default_factory=dict)  # by `from`, beside the account's
    # Another user of the account, from the moment that this is set until it is 0 again.
    others_per_second: NonNegativeFloat = 0.0
    others_spread: Literal["random", "even"] = "random"  # at random: a Poisson process
    # Each send reaches the limits so much later at most, evenly spread.
    arrival_jitter_seconds: NonNegativeFloat = 0.0
    retry_after: RetryAfterFormat = "seconds"
    # The answers' latency is lognormal: a sigma of 0 makes it fixed; 0.150, 0.4 and 0.400 resemble a real gateway.
    latency_median_seconds: NonNegativeFloat = 0.0
    latency_sigma: NonNegativeFloat = 0.0
    latency_maximum_seconds: NonNegativeFloat = 60.0
    hold_seconds: NonNegativeFloat = 60.0

    active_campaigns: frozenset[str] | None = None  # None: every id that is not inactive
    inactive_campaigns: frozenset[str] = frozenset({"inactive-campaign"})

    delivery_steps: tuple[DeliveryStep, ...] = _DELIVERED
    outcomes: dict[str, tuple[DeliveryStep, ...]] = Field(  # by the end of the recipient's number
        default_factory=lambda: {"0001": _UNDELIVERED}
    )
    event_shuffle: bool = False
    event_drop_probability: Probability = 0.0
    event_duplicate_probability: Probability = 0.0
    event_late_probability: Probability = 0.0
    event_late_seconds: NonNegativeFloat = 5.0
    event_signing_secret: str | None = Field(None, exclude=True, repr=False)  # None: the URL authenticates itself
    event_timeout_seconds: Annotated[float, Field(gt=0)] = 10.0
    event_workers: Annotated[int, Field(ge=1, le=MAXIMUM_EVENT_WORKERS)] = 32  # posts at the same time, over HTTP
    redelivery_first_seconds: NonNegativeFloat = 1.0
    redelivery_attempts: PositiveInt = 6
    subscription_delay_seconds: NonNegativeFloat = 0.5
    inbound_event: str = "message.inbound"  # the name of the event of replies, which no document gives
    known_events: frozenset[str] | None = None  # None: a subscription may name any event

    etags: bool = True
    idempotency_keys: bool = True  # whether registrations, subscriptions and audit records are identified by a key
    template_put_status: Literal[200, 204] = 200
    registration_status: Literal[200, 201] = 201

    def changed(self, changes: Mapping[str, object]) -> Self:
        """A copy with `changes`, validated; fields not named keep their value."""
        return self.model_validate({name: getattr(self, name) for name in Settings.model_fields} | dict(changes))

    def latency_seconds(self, rng: random.Random) -> float:
        """One answer's latency."""
        drawn = self.latency_median_seconds * (rng.lognormvariate(0, self.latency_sigma) if self.latency_sigma else 1)
        return min(drawn, self.latency_maximum_seconds)

    def takes_campaign(self, campaign_id: str) -> bool:
        """Whether a campaign is active."""
        listed = self.active_campaigns is None or campaign_id in self.active_campaigns
        return listed and campaign_id not in self.inactive_campaigns

    def steps_for(self, recipient: str) -> tuple[DeliveryStep, ...]:
        """The delivery events of a recipient: those of the longest matching suffix, else the usual ones."""
        suffixes = [suffix for suffix in self.outcomes if recipient.endswith(suffix)]
        return self.outcomes[max(suffixes, key=len)] if suffixes else self.delivery_steps
