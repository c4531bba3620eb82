"""Delivery events: what CXone tells us happened to a message, and which word beats which."""

import json
from dataclasses import dataclass
from hashlib import sha256

from cxone_messaging.domain.times import format_time, parse_time

DELIVERED_WORD = "delivered"
FAILED_WORDS = frozenset({"undelivered", "failed", "expired", "rejected"})
FINAL_WORDS = FAILED_WORDS | {DELIVERED_WORD}


@dataclass(frozen=True, slots=True)
class DeliveryEvent:
    """One event as it came; `status` is an open set of words in any letter case, `timestamp` the event's own time."""

    cxone_message_id: str
    status: str
    to: str
    timestamp: str
    error: str | None = None

    @property
    def word(self) -> str:
        """The status in the letter case that rules are written in."""
        return self.status.casefold()

    @property
    def instant(self) -> str:
        """The event's time in this project's form. Raises `ValueError` where the text is no instant."""
        return format_time(parse_time(self.timestamp))

    @property
    def identity(self) -> str:
        """A name that two deliveries of the same event share, and two different events don't.

        The recipient's number is left out: it is the same for all of a message's events, and must not be hashed bare.
        """
        told = [self.cxone_message_id, self.status, self.timestamp, self.error]
        return sha256(json.dumps(told).encode()).hexdigest()
