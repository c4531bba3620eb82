"""Instants as this project writes them: RFC 3339, UTC, milliseconds, `2026-11-22T13:12:00.000Z`."""

import re
from datetime import UTC, datetime, timedelta

# RFC 3339 has leap seconds (appendix D), a datetime has none.
_LEAP_SECOND = re.compile(r"^(.{10}.\d\d:\d\d):60")


def format_time(instant: datetime) -> str:
    """Write an instant; equal widths make the texts sort as the instants do."""
    # Not strftime: its %Y writes the year 1, Go's zero time, with one digit.
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def parse_time(text: str) -> datetime:
    """Read an RFC 3339 instant; one without a zone is taken as UTC, a leap second as the one before it.

    Raises `ValueError`.
    """
    instant = datetime.fromisoformat(_LEAP_SECOND.sub(r"\1:59", text.upper()))
    try:
        return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    except OverflowError as error:  # year 1 or 9999 with an offset
        raise ValueError("the instant lies outside the calendar") from error


def day_of(written: str) -> str:
    """Give the date, in UTC, of an instant that is written in this project's form: `2026-11-22`."""
    return written.partition("T")[0]


def milliseconds_between(start: str, end: str) -> int:
    """Whole milliseconds from one written instant to another, and 0 where clocks disagree about their order."""
    return max(0, (parse_time(end) - parse_time(start)) // timedelta(milliseconds=1))
