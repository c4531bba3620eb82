"""How far the collector has come: what it has read of each direction, and which messages it still asks about.

The collector has no memory but this. Late, repeated and reordered pages change nothing, so it may always go back too
far, and must never go back too little.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from cxone_messaging.domain.found_messages import Direction, FoundMessage
from cxone_messaging.domain.messages import COLLECTED_SECONDS

# A search shows a message only some time after it was sent, and clocks differ. Each message is also looked at again for
# this long after it was sent, in seconds; most receipts come within it.
SLACK_SECONDS = 120.0
# A search may lag behind for longer. So a pass goes on further back than it must, for a few pages. Replies are few, and
# one of them may be a STOP.
FURTHER_SECONDS, FURTHER_PAGES = {Direction.OUTBOUND: 1_800.0, Direction.INBOUND: 6 * 3_600.0}, 40
# Nothing older is collected: a stack that speaks this API anew begins here.
FURTHEST_SECONDS = 3 * 86_400.0
# CXone documents 120,000 reads an hour, which all of a tenant's programs share. Runs take less than half, however often
# they come. What a run did not use, the next one has for a minute's worth at most.
_READS_A_SECOND, _SAVED_SECONDS, _LEAST_READS = 15.8, 60.0, 20
# A place in a search that is longer is not stored, and its pass begins anew.
_SCROLL_LIMIT = 8_192
# A message without a receipt is asked about at growing intervals.
_FIRST_PAUSE_SECONDS = 120.0
# Together with the two places of the searches, these fit into the 400 KB of an item.
_MOST_WAITING_BYTES = 350_000


def reads_allowed(since: float, now: float) -> int:
    """Return how many reads a run may have made by now that has reads since an instant."""
    return round((now - since) * _READS_A_SECOND)


def spent_from(spent_to: float, now: float) -> float:
    """Return from when a run that begins now has reads; at least a few, and a minute's worth at most."""
    return min(max(spent_to, now - _SAVED_SECONDS), now - _LEAST_READS / _READS_A_SECOND)


def spent_with(spent_from: float, reads: int) -> float:
    """Return up to when all is spent, after a run that had reads from `spent_from` and made so many."""
    return spent_from + reads / _READS_A_SECOND


@dataclass(frozen=True, slots=True)
class Span:
    """What was read of one direction. Instants are in Unix seconds.

    All messages that were created before `up_to` have been read, as far as the search showed any; the last pass that
    came to its end began at `ended`. A pass that broke off continues with `scroll`; it began at `began`, goes back to
    `floor`, and has seen a message of `newest`.
    """

    up_to: float
    ended: float = 0.0
    scroll: str = ""
    began: float = 0.0
    floor: float = 0.0
    newest: float = 0.0

    def begun(self, now: float) -> "Span":
        """Return the span with a new pass."""
        return Span(self.up_to, self.ended, "", now, min(self.up_to, now) - SLACK_SECONDS)

    def storable(self) -> "Span":
        """Return the span, without its pass if that cannot be stored."""
        return self.broken_off() if len(self.scroll) > _SCROLL_LIMIT else self

    def broken_off(self) -> "Span":
        """Return the span without its pass."""
        return Span(self.up_to, self.ended)

    def finished(self) -> "Span":
        """Return the span after a pass came to its end.

        A search that stands still shows nothing new, so only what it has shown counts as read.
        """
        return Span(max(self.up_to, min(self.began, self.newest)), self.began)

    def turned(self, scroll: str, newest: float) -> "Span":
        """Return the span after a page whose newest message has a date, and that is followed by another."""
        return replace(self, scroll=scroll, newest=max(self.newest, newest))


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message without a receipt: when it was created, and when it is asked about next."""

    created_at: float
    next_at: float


@dataclass(frozen=True, slots=True)
class Collection:
    """The collector's state.

    `ran_at` is when its last run began that came to its end. All reads were spent up to `spent_to`.
    """

    outbound: Span
    inbound: Span
    waiting: Mapping[str, Waiting] = field(default_factory=dict)
    ran_at: float = 0.0
    spent_to: float = 0.0

    @classmethod
    def begun(cls, now: float) -> Self:
        """Return the state of a collector that has never run."""
        span = Span(now - SLACK_SECONDS, now)
        return cls(span, span, ran_at=now - 60.0)

    @classmethod
    def parse(cls, text: str, now: float) -> Self:
        """Return a stored state. One that cannot be read is one that goes back as far as any may."""
        try:
            document = json.loads(text)
            outbound, inbound = (_span(document[name], now) for name in ("outbound", "inbound"))
            waiting = {str(id_): Waiting(float(each[0]), float(each[1])) for id_, each in document["waiting"].items()}
            ran_at, spent_to = (min(float(document[name]), now) for name in ("ranAt", "spentTo"))
            return cls(outbound, inbound, waiting=waiting, ran_at=ran_at, spent_to=spent_to)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            span = Span(now - FURTHEST_SECONDS)
            return cls(span, span, ran_at=now - FURTHEST_SECONDS)

    def text(self) -> str:
        """Return the state as it is stored."""
        document: dict[str, Any] = {
            name: [span.up_to, span.ended, span.scroll, span.began, span.floor, span.newest]
            for name, span in (("outbound", self.outbound.storable()), ("inbound", self.inbound.storable()))
        }
        document["waiting"] = {id_: [each.created_at, each.next_at] for id_, each in self.waiting.items()}
        return json.dumps({**document, "ranAt": self.ran_at, "spentTo": self.spent_to}, separators=(",", ":"))

    def behind(self, now: float) -> float:
        """Return how many seconds ago the last passes of both directions began that came to their end."""
        return now - min(self.outbound.ended, self.inbound.ended)


def due(waiting: Mapping[str, Waiting], now: float) -> list[str]:
    """Return the messages to ask about, the most overdue first."""
    late = [id_ for id_, each in waiting.items() if each.next_at <= now]
    return sorted(late, key=lambda id_: waiting[id_].next_at)


def postponed(waiting: Mapping[str, Waiting], id_: str, now: float) -> dict[str, Waiting]:
    """Return what is waited for after a message had no receipt again; after a day it is asked about no more."""
    rest = dict(waiting)
    created_at = rest.pop(id_).created_at
    age = now - created_at
    if age < COLLECTED_SECONDS:
        rest[id_] = Waiting(created_at, now + max(_FIRST_PAUSE_SECONDS, age / 4))
    return rest


def wait_for(waiting: dict[str, Waiting], message: FoundMessage, now: float) -> bool:
    """Have a message that has no receipt waited for; return False if too many wait already."""
    if message.id in waiting or now - message.created_at >= COLLECTED_SECONDS:
        return True
    # Its id in quotes, and two times of at most 18 characters. All ids of a tenant's are of one length.
    if (len(waiting) + 1) * (len(message.id) + 42) > _MOST_WAITING_BYTES:
        return False
    waiting[message.id] = Waiting(message.created_at, now + _FIRST_PAUSE_SECONDS)
    return True


def _span(values: Any, now: float) -> Span:
    up_to, ended, scroll, began, floor, newest = values
    # A clock that was ahead must not make the collector skip what comes until then.
    span = Span(
        min(max(float(up_to), now - FURTHEST_SECONDS), now),
        min(float(ended), now),
        str(scroll),
        min(float(began), now),
        max(float(floor), now - FURTHEST_SECONDS),
        float(newest),
    )
    return span if scroll else span.broken_off()
