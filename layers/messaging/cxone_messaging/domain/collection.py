"""How far the collector has come: what it has read of each direction, and which messages it still asks about.

The collector has no memory but this. Late, repeated and reordered pages change nothing, so it may always go back too
far, and must never go back too little.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from cxone_messaging.domain.found_messages import FoundMessage

# A search shows a message only some time after it was sent, and clocks differ. Each message is also looked at again for
# this long after it was sent, in seconds; most receipts come within it.
SLACK_SECONDS = 120.0
# A search may lag behind for longer. So a pass goes on further back than it must, for a few pages.
FURTHER_SECONDS, FURTHER_PAGES = 1_800.0, 40
# Nothing older is collected: a stack that speaks this API anew begins here.
FURTHEST_SECONDS = 3 * 86_400.0
# A message without a receipt is asked about at growing intervals, for a day.
_FIRST_PAUSE_SECONDS, _ASKED_SECONDS = 120.0, 86_400.0
_MOST_WAITING = 3_000


@dataclass(frozen=True, slots=True)
class Span:
    """What was read of one direction. Instants are in Unix seconds.

    All messages that were created before `up_to` have been read. A pass that broke off continues with `scroll`; it
    began at `began`, and goes back to `floor`.
    """

    up_to: float
    scroll: str = ""
    began: float = 0.0
    floor: float = 0.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message without a receipt: when it was created, and when it is asked about next."""

    created_at: float
    next_at: float


@dataclass(frozen=True, slots=True)
class Collection:
    """The collector's state. `ran_at` is when its last run began."""

    outbound: Span
    inbound: Span
    waiting: Mapping[str, Waiting] = field(default_factory=dict)
    ran_at: float = 0.0

    @classmethod
    def begun(cls, now: float) -> Self:
        """Return the state of a collector that has never run."""
        return cls(Span(now - SLACK_SECONDS), Span(now - SLACK_SECONDS), ran_at=now)

    @classmethod
    def parse(cls, text: str, now: float) -> Self:
        """Return a stored state. One that cannot be read is one that goes back as far as any may."""
        try:
            document = json.loads(text)
            outbound, inbound = (_span(document[name], now) for name in ("outbound", "inbound"))
            waiting = {str(id_): Waiting(float(each[0]), float(each[1])) for id_, each in document["waiting"].items()}
            return cls(outbound, inbound, waiting=waiting, ran_at=float(document["ranAt"]))
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            span = Span(now - FURTHEST_SECONDS)
            return cls(span, span, ran_at=now - FURTHEST_SECONDS)

    def text(self) -> str:
        """Return the state as it is stored."""
        document: dict[str, Any] = {
            "outbound": [self.outbound.up_to, self.outbound.scroll, self.outbound.began, self.outbound.floor],
            "inbound": [self.inbound.up_to, self.inbound.scroll, self.inbound.began, self.inbound.floor],
            "waiting": {id_: [each.created_at, each.next_at] for id_, each in self.waiting.items()},
            "ranAt": self.ran_at,
        }
        return json.dumps(document, separators=(",", ":"))


def due(waiting: Mapping[str, Waiting], now: float) -> list[str]:
    """Return the messages to ask about, the most overdue first."""
    late = [id_ for id_, each in waiting.items() if each.next_at <= now]
    return sorted(late, key=lambda id_: waiting[id_].next_at)


def asked(waiting: Mapping[str, Waiting], id_: str, now: float) -> dict[str, Waiting]:
    """Return what is waited for after a message had no receipt again; after a day it is asked about no more."""
    rest = dict(waiting)
    created_at = rest.pop(id_).created_at
    age = now - created_at
    if age < _ASKED_SECONDS:
        rest[id_] = Waiting(created_at, now + max(_FIRST_PAUSE_SECONDS, age / 4))
    return rest


def wait_for(waiting: dict[str, Waiting], message: FoundMessage, now: float) -> dict[str, Waiting]:
    """Return what is waited for, a message that has no receipt among it. If there is too much, the oldest goes."""
    if message.id not in waiting and now - message.created_at < _ASKED_SECONDS:
        waiting[message.id] = Waiting(message.created_at, now + _FIRST_PAUSE_SECONDS)
        if len(waiting) > _MOST_WAITING:
            del waiting[min(waiting, key=lambda id_: waiting[id_].created_at)]
    return waiting


def _span(values: Any, now: float) -> Span:
    up_to, scroll, began, floor = values
    # A clock that was ahead must not make the collector skip what comes until then.
    earliest = now - FURTHEST_SECONDS
    return Span(min(max(float(up_to), earliest), now), str(scroll), min(float(began), now), float(floor))
