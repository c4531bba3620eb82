"""The APIs that the conformance suite is run on. To add one, add a `Dialect` to `DIALECTS`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cxone_messaging.use_cases.events.record_events import RecordEvents
from cxone_messaging.use_cases.events.subscription import SubscriptionEvent
from cxone_messaging.wiring.events import record_events
from tests.dfo_worlds import DfoWorld
from tests.worlds import RECIPIENT, World

ACCEPTED, REJECTED, RETRIED, UNKNOWN, TOKEN = "accepted", "rejected", "tried again", "unknown", "tried with a new token"


@dataclass(frozen=True, slots=True)
class Dialect:
    """One API: how its world is made, what its operations are called, and what each status of a send means.

    `page` maps the API to ours. `collects` says that receipts are collected, so that a lost answer is looked up.
    """

    name: str
    world: Callable[[], World]
    send: str
    token: str
    statuses: Mapping[int, str]
    reply: Callable[[World, str], object]
    page: Path
    collects: bool = False
    delivered_within: float = 60.0
    lost: tuple[str, ...] = field(default=("accept_then_reset", "accept_then_timeout", "accept_then_500"))


def _posted(world: World, text: str) -> object:
    """Post a reply as an authenticated event."""
    record: RecordEvents = record_events(
        ledger=world.ledger,
        consents=world.consents,
        pseudonyms=lambda: world.pseudonyms,
        clock=world.clock,
        telemetry=world.telemetry,
    )
    stamp = f"{world.clock.now():.0f}"
    event = SubscriptionEvent("message.inbound", f"reply {stamp}", stamp, None, RECIPIENT.e164, None, text)
    return record.record_subscription(event)


def _collected(world: World, text: str) -> object:
    """Have a reply stand in CXone's records, and collect it."""
    assert isinstance(world, DfoWorld)
    world.reply(text, RECIPIENT.e164.removeprefix("+"))
    return world.collect()


SMS_V2 = Dialect(
    name="sms-v2",
    world=World,
    send="send",
    token="token_sms",
    statuses={
        303: UNKNOWN,
        400: REJECTED,
        401: TOKEN,
        403: REJECTED,
        404: REJECTED,
        408: UNKNOWN,
        413: REJECTED,
        422: REJECTED,
        429: RETRIED,
        500: UNKNOWN,
        502: RETRIED,
        503: RETRIED,
        504: UNKNOWN,
    },
    reply=_posted,
    page=Path("docs/message-states.md"),
)
DFO = Dialect(
    name="dfo-3.0",
    world=DfoWorld,
    send="dfo.send",
    token="dfo.token",
    statuses={
        303: UNKNOWN,
        400: REJECTED,
        401: TOKEN,
        403: REJECTED,
        408: UNKNOWN,
        409: REJECTED,
        413: REJECTED,
        422: REJECTED,
        425: RETRIED,
        429: RETRIED,
        500: UNKNOWN,
        502: UNKNOWN,
        503: UNKNOWN,
        504: UNKNOWN,
    },
    reply=_collected,
    page=Path("docs/dfo.md"),
    collects=True,
)
DIALECTS = (SMS_V2, DFO)
