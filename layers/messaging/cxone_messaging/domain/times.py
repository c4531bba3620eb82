"""Instants as this project writes them: RFC 3339, UTC, milliseconds, `2026-11-22T13:12:00.000Z`."""

import re
from datetime import UTC, datetime, timedelta

# RFC 3339 has leap seconds (appendix D), a datetime has none.
_LEAP_SECOND = re.compile(r"^(.{10}.\d\d:\d\d):60")


def format_time(instant: datetime) -> str:
    """Return an instant's text; equal widths make the texts sort as the instants do."""
    # Not strftime: its %Y writes the year 1, Go's zero time, with one digit.
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def parse_time(text: str) -> datetime:
    """Return the instant of an RFC 3339 text; without a zone it is in UTC. Raises `ValueError`.

    A leap second counts as the second before it.
    """
    instant = datetime.fromisoformat(_LEAP_SECOND.sub(r"\1:59", text.upper()))
    try:
        return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    except OverflowError as error:  # year 1 or 9999 with an offset
        raise ValueError("the instant is outside the calendar") from error


def time_in_the_past(text: str, now: datetime) -> str | None:
    """Return an RFC 3339 time that has a zone and is not later than `now`, in this project's form; else None."""
    try:
        if datetime.fromisoformat(_LEAP_SECOND.sub(r"\1:59", text.upper())).tzinfo is None:
            return None
        written = parse_time(text)
    except ValueError:
        return None
    return format_time(written) if written <= now else None


def day_of(written: str) -> str:
    """Return the UTC date of an instant in this project's form: `2026-11-22`."""
    return written.partition("T")[0]


def milliseconds_between(start: str, end: str) -> int:
    """Return the whole milliseconds between two instants, and 0 if clocks disagree about their order."""
    return max(0, (parse_time(end) - parse_time(start)) // timedelta(milliseconds=1))
