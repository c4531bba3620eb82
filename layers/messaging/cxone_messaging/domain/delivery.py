"""Delivery events: CXone's reports about a message, and which status word outranks which."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256

from cxone_messaging.domain.entries import Value, text_at
from cxone_messaging.domain.event_times import readable_time
from cxone_messaging.domain.written_numbers import mask_numbers_in

DELIVERED_WORD = "delivered"
FAILED_WORDS = frozenset({"undelivered", "failed", "expired", "rejected"})
FINAL_WORDS = FAILED_WORDS | {DELIVERED_WORD}
# The most characters of a CXone id: the ledger keeps it for good, and log lines contain it.
CXONE_ID_LIMIT = 128

# A double holds every integer up to this one; a larger number with a fraction part may not be the one that CXone wrote.
_EXACT = 2.0**53

# In the data of an event's entry, and true there, if CXone's signature proves what the event says about its message.
SIGNED_KEY = "signed"


def cxone_id(value: object) -> str | None:
    """Return a CXone id that JSON contains as a text or a whole number; None for any other value.

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
    """One event as received.

    `status` is any word in any letter case. `timestamp` is the event's own time, as it is written there.
    """

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
        """An id that two deliveries of the same event share, and two different events do not.

        It is a hash without the pepper, so it holds no number: whoever knows all but a few digits could find them. The
        recipient is left out, and texts are masked; a time in digits counts as the instant that it means.
        """
        return _identity(self.cxone_message_id, self.status, self.timestamp, self.error)


@lru_cache(maxsize=16)  # it is compared with each entry of a chain
def _identity(cxone_message_id: str, status: str, timestamp: str, error: str | None) -> str:
    has_number = mask_numbers_in(timestamp) != timestamp
    time = readable_time(timestamp) if has_number else timestamp
    fields = [cxone_message_id, mask_numbers_in(status), time, None if error is None else mask_numbers_in(error)]
    return sha256(json.dumps(fields).encode()).hexdigest()


def is_signed(data: Mapping[str, Value]) -> bool:
    """Whether a signature proves the event in an entry's data; otherwise only its callback URL does."""
    return data.get(SIGNED_KEY) is True


def rank(data: Mapping[str, Value]) -> tuple[bool, str, str]:
    """Return the rank of a message's event; the final event of the highest rank counts.

    Events without a final word rank lowest. A signed word outranks every word that only a URL proves, because anybody
    may hold a URL. Then the time decides.
    """
    word = text_at(data, "word")
    return (is_signed(data), text_at(data, "instant") or "", word) if word in FINAL_WORDS else (False, "", "")
