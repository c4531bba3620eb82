"""Times as this API writes them."""

from datetime import UTC, datetime


def seconds(time: float) -> str:
    """UTC in whole seconds, cut off."""
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="seconds")


def milliseconds(time: float) -> str:
    """UTC in milliseconds."""
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds")
