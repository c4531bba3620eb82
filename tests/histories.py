"""Random histories: what several tests' scripts of mishaps are made of, and how many are tried."""

import os
from dataclasses import dataclass

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from cxone_messaging.domain.consents import ConsentStatus
from local.simulator import Fault, Settings
from tests.wire import Trouble

_SPOILS = (
    "refuse",
    "connect_timeout",
    "reset",
    "accept_then_timeout",
    "accept_then_reset",
    "accept_then_500",
    "garbage_body",
)


def histories(number, share=1):
    """Try so many histories, or what HISTORIES says; a `share` of them where one is as long as several."""
    return settings(
        max_examples=int(os.environ.get("HISTORIES", number)) // share,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
    )


@dataclass(frozen=True, slots=True)
class Advance:
    seconds: float


@dataclass(frozen=True, slots=True)
class Deliver:
    limit: int


@dataclass(frozen=True, slots=True)
class Opt:
    status: ConsentStatus


@dataclass(frozen=True, slots=True)
class RevokeTokens:
    pass


@dataclass(frozen=True, slots=True)
class LetThrough:
    """A proxy passes on what it held back."""


spoils = st.builds(Fault, action=st.sampled_from(_SPOILS), operation=st.just("send"))
refusals = st.builds(
    Fault,
    action=st.just("status"),
    operation=st.just("send"),
    status=st.sampled_from((400, 401, 403, 429, 429, 500, 502, 503, 504)),
    retry_after_seconds=st.sampled_from([None, 0.0, 1.0, 8.0, 40.0]),
    retry_after=st.sampled_from(["seconds", "date"]),
    times=st.sampled_from([1, 1, 2, 6]),
)
token_faults = st.builds(
    Fault,
    action=st.sampled_from(["status", "refuse", "garbage_body", "accept_then_timeout"]),
    operation=st.just("token_sms"),
    status=st.sampled_from([400, 401, 429, 500, 503]),
)
simulators = st.builds(
    Settings,
    event_shuffle=st.booleans(),
    event_duplicate_probability=st.sampled_from([0.0, 0.5]),
    event_late_probability=st.sampled_from([0.0, 0.3]),
)
# Slow names, dead addresses and slow TLS end alike: in time, or given up. A freeze has no bound.
troubles = st.builds(
    Trouble,
    before=st.sampled_from([0.0, 0.0, 0.3, 2.5, 7.0, 30.0]),
    freeze=st.sampled_from([0.0, 0.0, 0.0, 3.0, 12.0, 29.0, 45.0, 4000.0]),
    then=st.sampled_from(["answer", "answer", "reset", "hold"]),
)
