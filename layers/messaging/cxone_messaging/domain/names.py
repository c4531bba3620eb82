"""Names from outside: which of them the ledger may keep, and how log lines show ids.

The ledger is permanent, and many people read logs, so neither may contain a phone number under another heading.
"""

import re
from hashlib import sha256

from cxone_messaging.domain.written_numbers import holds_number, mask_numbers_in

NAME_LIMIT = 128

_ID = re.compile(r"[A-Za-z0-9._:-]+")
# Few enough that thousands of phone numbers share each value, and enough to follow one id through a day's lines.
_HASH_DIGITS = 6


def name_fault(name: str) -> str | None:
    """Return why a campaign's or operator's name is invalid, as a phrase after its field's name, or None.

    The phrase quotes no part of the name.
    """
    if len(name) > NAME_LIMIT:
        return f"has at most {NAME_LIMIT} characters"
    if not name.isprintable():
        return "can't have line breaks or other characters that are not printable"
    if holds_number(name):
        return "can't hold a phone number: it is kept for good"
    return None


def loggable(id_: str) -> str:
    """Return an id for a log line.

    If it looks like no id, or may be a phone number, the result is a short hash of it.
    """
    if len(id_) <= NAME_LIMIT and _ID.fullmatch(id_) and mask_numbers_in(id_) == id_:
        return id_
    return "#" + sha256(id_.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_DIGITS]
