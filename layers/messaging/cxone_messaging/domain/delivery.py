"""Delivery events: what CXone tells us happened to a message, and which word beats which."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from cxone_messaging.domain.entries import Value, text_at
from cxone_messaging.domain.times import format_time, parse_time

DELIVERED_WORD = "delivered"
FAILED_WORDS = frozenset({"undelivered", "failed", "expired", "rejected"})
FINAL_WORDS = FAILED_WORDS | {DELIVERED_WORD}
# So many characters an id of CXone's may have: it stands in the ledger for good, and in log lines.
CXONE_ID_LIMIT = 128

# A double holds every integer up to this one; a larger number with a fraction part may not be the one that CXone wrote.
_EXACT = 2.0**53

# In the data of an event's entry, and true there, where CXone's signature proves what the event says of its message.
SIGNED_KEY = "signed"

# A signed event may be dated this far ahead of its receipt: a clock that gives the time of its own zone without naming
# the zone is ahead by up to 14 hours, and orders its events well all the same.
AHEAD = timedelta(days=1)
# Two clocks that are set right may be this far apart. An event on its URL's word alone may be dated no further ahead.
SKEW = timedelta(minutes=5)


def plausible_instant(timestamp: str, received_at: datetime, ahead: timedelta = AHEAD) -> str:
    """Give an event's own time in this project's form; one without a zone is taken as UTC.

    What is dated further `ahead` of its receipt is taken to have happened when it came, or it would outrank whatever
    comes in all the time until then. Raises `ValueError` where the text is no instant.
    """
    told = parse_time(timestamp)
    return format_time(received_at if told > received_at + ahead else told)


def cxone_id(value: object) -> str | None:
    """Return an id of CXone's that stands in JSON as a text or a whole number; None for whatever is no id.

    A number is its digits: 12345 and 12345.0 are "12345". An id has 1 to `CXONE_ID_LIMIT` characters, all of them
    printable ASCII.
    """
    match value:
        case bool():
            return None
        case float():
            if not (value.is_integer() and abs(value) < _EXACT):
                return None
            text = str(int(value))
        case int():
            # Python refuses to write out numbers of thousands of digits.
            text = str(value) if abs(value) < 10**CXONE_ID_LIMIT else ""
        case str():
            text = value
        case _:
            return None
    return text if 0 < len(text) <= CXONE_ID_LIMIT and text.isascii() and text.isprintable() else None


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
    def identity(self) -> str:
        """A name that two deliveries of the same event share, and two different events don't.

        The recipient's number is left out: it is the same for all of a message's events, and must not be hashed bare.
        """
        told = [self.cxone_message_id, self.status, self.timestamp, self.error]
        return sha256(json.dumps(told).encode()).hexdigest()


def is_signed(data: Mapping[str, Value]) -> bool:
    """Whether an entry's data says that a signature proves the event; otherwise only its callback URL does."""
    return data.get(SIGNED_KEY) is True


def rank(data: Mapping[str, Value]) -> tuple[bool, str, str]:
    """Return what orders a message's events: the greatest final word counts, and what is not final comes first.

    A signed word comes after every word on a URL alone, because a URL's holder may be anybody; then the time decides.
    """
    word = text_at(data, "word")
    return (is_signed(data), text_at(data, "instant") or "", word) if word in FINAL_WORDS else (False, "", "")
