"""When an event happened, as CXone says it, and whether that can be believed.

An event may have no time, one of a zero date, one without a zone, or one that lies ahead. Such an event counts as of
its receipt, and its time decides nothing against an opt-out.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cxone_messaging.domain.times import format_time, parse_time

# A signed event may be dated this far ahead of its receipt. A clock that shows its own zone's time without naming the
# zone is ahead by up to 14 hours, and still orders its events correctly.
AHEAD = timedelta(days=1)
# Two clocks that are set right may be this far apart. An event that only its URL proves may be dated no further ahead.
SKEW = timedelta(minutes=5)
# Nobody delivers a recipient's reply so late.
BEHIND = timedelta(days=30)
# Opt-outs that cannot be distinguished are recorded once in so long a time.
COPIES = timedelta(minutes=1)
# Earlier times are zero dates, such as the years 1, 1900, 1970 and 2001, or those of a clock that was never set.
_EARLIEST = datetime(2010, 1, 1, tzinfo=UTC)

# Ten digits of a later time are rather a phone number of America.
_LATEST = datetime(2033, 1, 1, tzinfo=UTC)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"([0-9]{1,20})(\.[0-9]{1,20})?")
# Epoch times of this century have these many digits in seconds, milliseconds, microseconds and nanoseconds.
_UNITS = {9: 1, 10: 1, 12: 10**3, 13: 10**3, 15: 10**6, 16: 10**6, 18: 10**9, 19: 10**9}
_SECOND = re.compile("[Tt ][0-9]{2}:?[0-9]{2}:?[0-9]{2}")
_ZONE = re.compile(r"(?:Z|[+-][0-9]{2}:?[0-9]{2})$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class EventTime:
    """When an event happened: `instant`, its own time or that of its receipt.

    `written` is its own time if that was readable, in this project's form. `is_certain` means that the instant is its
    own time, has a zone, and lies neither `SKEW` ahead of its receipt nor `BEHIND` it. `is_precise` means that it also
    names a second, so that it can distinguish two events.
    """

    instant: str
    written: str | None
    is_certain: bool
    is_precise: bool = False


def event_time(
    text: str | None, received_at: datetime, ahead: timedelta = AHEAD, behind: timedelta | None = None
) -> EventTime:
    """Return the time of an event that was received at `received_at`.

    `text` is RFC 3339, without a zone in UTC, or a number of seconds or of smaller units since 1970. An event dated
    further `ahead` of its receipt or `behind` it counts as of its receipt: otherwise it would outrank all events until
    its date, or none.
    """
    happened_at = _instant(text or "")
    if happened_at is None:
        return EventTime(format_time(received_at), None, is_certain=False)
    earliest = _EARLIEST if behind is None else received_at - behind
    is_plausible = earliest <= happened_at <= received_at + ahead
    has_zone = _NUMBER.fullmatch(text or "") is not None or _ZONE.search(text or "") is not None
    is_certain = is_plausible and has_zone and received_at - BEHIND <= happened_at <= received_at + SKEW
    # A number that is no plausible time may be anything, such as a phone number, which is not kept.
    is_time = is_plausible or not _NUMBER.fullmatch(text or "")
    return EventTime(
        format_time(happened_at if is_plausible else received_at),
        format_time(happened_at) if is_time else None,
        is_certain=is_certain,
        is_precise=is_certain and (_NUMBER.fullmatch(text or "") or _SECOND.search(text or "")) is not None,
    )


def readable_time(text: str) -> str | None:
    """Return the instant that a text means, in this project's form, or None for what no event can be dated."""
    found = _instant(text)
    return format_time(found) if found and _EARLIEST <= found < _LATEST else None


def _instant(text: str) -> datetime | None:
    try:
        if number := _NUMBER.fullmatch(text):
            unit = _UNITS.get(len(number[1]))
            return _EPOCH + timedelta(seconds=float(number[0]) / unit) if unit else None
        return parse_time(text)
    except (ValueError, OverflowError):
        return None
