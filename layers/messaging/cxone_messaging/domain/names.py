"""Names that others give: which of them the ledger keeps for good, and how log lines name ids.

The ledger can't forget, and logs are read by many, so neither may hold anybody's phone number under another heading.
"""

import re
from hashlib import sha256

from cxone_messaging.domain.written_numbers import holds_number, mask_numbers_in

NAME_LIMIT = 128

_ID = re.compile(r"[A-Za-z0-9._:-]+")
# So few that thousands of phone numbers share each value, and enough to follow one id through a day's lines.
_HASH_DIGITS = 6


def name_fault(name: str) -> str | None:
    """Return what is wrong with a campaign's or an operator's name, in words that go on from its field's; None if fine.

    Nothing of the name is quoted.
    """
    if len(name) > NAME_LIMIT:
        return f"has at most {NAME_LIMIT} characters"
    if not name.isprintable():
        return "can't have line breaks or other characters that are not printable"
    if holds_number(name):
        return "can't hold a phone number: it is kept for good"
    return None


def loggable(id_: str) -> str:
    """Return an id where it looks like one; otherwise, or where it might be a phone number, a short hash of it."""
    if len(id_) <= NAME_LIMIT and _ID.fullmatch(id_) and mask_numbers_in(id_) == id_:
        return id_
    return "#" + sha256(id_.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_DIGITS]
