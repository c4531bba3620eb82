"""Audit trails in pages: a response has at most 6 MB, and a function has seconds to read a chain."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

from cxone_messaging.domain.entries import Entry
from cxone_messaging.domain.errors import Code, MessagingError

# The most entries, and bytes, of a page: quotes count twice in a Lambda response.
PAGE = 200
_PAGE_BYTES = 2_500_000

_LONGEST_NUMBER = 12
_BETWEEN_CHECKS = 500
# The time that is reserved for the answer.
_SPARE_SECONDS = 3.0


def in_time(entries: Iterable[Entry], left: "TimeLeft | None") -> Iterator[Entry]:
    """Yield entries while time is left. Raises `MessagingError` with `audit_too_long`."""
    for number, entry in enumerate(entries, start=1):
        if left and number % _BETWEEN_CHECKS == 0 and left.left < _SPARE_SECONDS:
            detail = "the audit trail is too long to be read by one request; the audit command reads it"
            raise MessagingError(Code.AUDIT_TOO_LONG, detail)
        yield entry


class TimeLeft(Protocol):
    """A deadline; `left` is the seconds until it."""

    @property
    def left(self) -> float:
        """The seconds that are left."""
        ...


class AuditPage:
    """The entries after a sequence, or the first entries.

    `next_after` is set if another page follows it.
    """

    def __init__(self, after: int | None = None) -> None:
        self.entries: list[Entry] = []
        self.next_after: int | None = None
        self._after = after
        self._bytes = 0

    def take(self, entry: Entry) -> None:
        """Add the next entry of the chain if it belongs to the page."""
        if self.next_after is not None or (self._after is not None and entry.sequence <= self._after):
            return
        self._bytes += len(json.dumps(entry.attributes()))
        if self.entries and (len(self.entries) == PAGE or self._bytes > _PAGE_BYTES):
            self.next_after = self.entries[-1].sequence
        else:
            self.entries.append(entry)

    @classmethod
    def of(cls, entries: Iterable[Entry], after: int | None) -> "AuditPage":
        """Return a page of a whole chain."""
        page = cls(after)
        for entry in entries:
            page.take(entry)
        return page


def page_after(text: str | None) -> int | None:
    """Return the sequence after which a page begins, or None.

    Raises `MessagingError` (`malformed_request`).
    """
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER):
        raise MessagingError(Code.MALFORMED_REQUEST, "after is the sequence of an entry, a whole number")
    return int(text)


def audit_page(entries: Sequence[Entry], next_after: int | None) -> dict[str, Any]:
    """Return the fields of an answer that contain a page of an audit trail."""
    more = {} if next_after is None else {"auditTruncated": True, "auditNextAfter": next_after}
    return {**more, "audit": [entry.attributes() for entry in entries]}
