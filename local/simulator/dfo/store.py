"""Contacts and messages, in lines that are sorted by creation, so that a page of them is found by bisection."""

import itertools
import math
import uuid
from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Literal

from local.simulator.dfo.settings import Delivery

type Direction = Literal["inbound", "outbound"]
type Key = tuple[float, int]  # creation in epoch seconds, number

_FIRST_CONTACT = 127_035_285_501
_NAMESPACE = uuid.UUID(int=0x0DF0)
KEY = attrgetter("key")
MILLISECOND = 0.001


@dataclass(slots=True, eq=False)
class Contact:
    """One conversation with one number on one channel; `changes` has what it was from when on."""

    number: str
    channel: str
    digits: str
    direction: Direction
    key: Key
    changes: list[tuple[float, str, dict[str, str]]]  # since when; status; custom fields by ident
    messages: "list[Stored]" = field(default_factory=list)

    @property
    def thread(self) -> str:
        """The thread's id on the external platform."""
        return f"{self.channel}_{self.digits}"

    def as_of(self, now: float) -> tuple[float, str, dict[str, str]] | None:
        """What it was at a time, or None if it was not there."""
        return next((change for change in reversed(self.changes) if change[0] <= now), None)

    def change(self, now: float, status: str | None, fields: dict[str, str]) -> None:
        """Change its status, if any is given, and these of its fields."""
        _, old_status, old_fields = self.changes[-1]
        changed = (now, status or old_status, old_fields | fields)
        if changed[1:] != self.changes[-1][1:]:
            self.changes.append(changed)


@dataclass(slots=True, eq=False)
class Stored:
    """One message; `kept` is when it was stored, which is not when it was created if it was created in the past."""

    id: str
    key: Key
    kept: float
    direction: Direction
    contact: Contact
    recipient: dict[str, object]
    text: str
    delivery: Delivery
    folded: str  # the text, for searches

    @property
    def created(self) -> float:
        """When it was created."""
        return self.key[0]

    @property
    def external_id(self) -> str:
        """Its id on the external platform."""
        return f"ext-{self.id}"


class Store:
    """All that a tenant has."""

    def __init__(self) -> None:
        self.contacts: dict[str, Contact] = {}
        self.by_id: dict[str, Stored] = {}
        self.past: list[Stored] = []  # those created in the past, in the order in which they were stored
        self._lines: dict[tuple[str, Direction], list[Stored]] = {}
        self._of: dict[tuple[str, str], list[Contact]] = {}
        self._numbers = itertools.count(1)

    def open_contact(self, channel: str, digits: str) -> Contact | None:
        """The contact that a message to, or from, a number belongs to: the latest (which one is a choice)."""
        found = self._of.get((channel, digits))
        return found[-1] if found else None

    def contacts_with(self, channels: list[str], digits: set[str]) -> Iterator[Contact]:
        """The contacts of these channels, or of all, with these numbers."""
        for channel in dict.fromkeys(channels or (channel for channel, _ in self._of)):
            for number in digits:
                yield from self._of.get((channel, number), ())

    def add_contact(self, channel: str, digits: str, direction: Direction, now: float) -> Contact:
        """Open a contact."""
        number = next(self._numbers)
        contact = Contact(str(_FIRST_CONTACT + number), channel, digits, direction, (now, number), [(now, "new", {})])
        self.contacts[contact.number] = contact
        self._of.setdefault((channel, digits), []).append(contact)
        return contact

    def add_message(
        self,
        contact: Contact,
        direction: Direction,
        text: str,
        recipient: dict[str, object],
        delivery: Delivery,
        *,
        created: float,
        now: float,
    ) -> Stored:
        """Store a message; `created` may lie in the past."""
        number = next(self._numbers)
        created = math.floor(created * 1_000 + 0.01) / 1_000  # as it is shown; the rest is the float's own error
        message_id = str(uuid.uuid5(_NAMESPACE, f"{number} {created}"))
        folded = text.casefold()
        stored = Stored(message_id, (created, number), now, direction, contact, recipient, text, delivery, folded)
        self.by_id[message_id] = stored
        for line in (self.line(contact.channel, direction), contact.messages):
            insort(line, stored, key=KEY)
        if now - created > 2 * MILLISECOND:
            self.past.append(stored)
        return stored

    def erase(self, message_id: str) -> None:
        """Forget a message as if it had never been stored, with what it did to its contact."""
        stored = self.by_id.pop(message_id)
        for line in (self.line(stored.contact.channel, stored.direction), stored.contact.messages):
            del line[bisect_left(line, stored.key, key=KEY)]
        contact = stored.contact
        contact.changes = [change for change in contact.changes if change[0] < stored.kept] or contact.changes[:1]
        if not contact.messages:
            del self.contacts[contact.number]
            self._of[contact.channel, contact.digits].remove(contact)

    def line(self, channel: str, direction: Direction) -> list[Stored]:
        """The messages of a channel in one direction."""
        return self._lines.setdefault((channel, direction), [])

    def lines(self, channels: list[str], direction: Direction | None) -> list[list[Stored]]:
        """The lines of these channels, or of all, in one direction or in both."""
        return [
            line
            for (channel, way), line in self._lines.items()
            if (not channels or channel in channels) and direction in {None, way}
        ]
