"""The preview of a campaign: its messages, its size and its duration, before anything is sent."""

from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import requests
from rich.console import Console

from cli.campaign.plan import Message, Refused
from cli.target import Api

# At most this many consents are read before the send, a call for each. For more, only the batches check consents.
CONSENTS_LIMIT = 200
_CALLERS = 4
_OK, _NOT_FOUND = 200, 404


@dataclass(slots=True)
class Preview:
    """The messages to send; `recipients` are the valid rows, if there are few enough to read each consent."""

    rows: int = 0
    good: int = 0
    segments: Counter[int] = field(default_factory=Counter)
    encodings: Counter[str] = field(default_factory=Counter)
    largest: Message | None = None
    recipients: list[Message] = field(default_factory=list)
    consents_checked: bool = False
    without_consent: int = 0

    @property
    def total_segments(self) -> int:
        """All segments of all messages."""
        return sum(size * messages for size, messages in self.segments.items())


def look_at(rows: Iterable[Message | Refused], note: Callable[[Refused], object]) -> Preview:
    """Return the preview of all rows, read once; every refused row is noted."""
    preview = Preview()
    for row in rows:
        preview.rows += 1
        if isinstance(row, Refused):
            note(row)
            continue
        preview.good += 1
        preview.segments[row.size.segments] += 1
        preview.encodings[row.size.encoding] += 1
        if preview.largest is None or _extent(row) > _extent(preview.largest):
            preview.largest = row
        if preview.good <= CONSENTS_LIMIT:
            preview.recipients.append(row)
    return preview


def look_up_consents(preview: Preview, api: Api, note: Callable[[Refused], object]) -> None:
    """Read each recipient's consent if there are few, and note recipients without one; none is removed."""
    if preview.good > CONSENTS_LIMIT:
        return
    numbers = {row.request.to for row in preview.recipients}
    try:
        with ThreadPoolExecutor(_CALLERS) as pool:
            codes = dict(zip(numbers, pool.map(lambda number: _consent_code(api, number), numbers), strict=True))
    except requests.RequestException:
        return
    if None in codes.values():
        return
    preview.consents_checked = True
    for row in preview.recipients:
        if code := codes[row.request.to]:
            preview.without_consent += 1
            note(Refused(row.line, row.masked, (code,)))


def _consent_code(api: Api, number: str) -> str | None:
    """Return the code with which a recipient would be refused; empty if none, None if that is unknown."""
    # Without its plus, a number has nothing to encode in a path (docs/api.md).
    answer = api.call("GET", f"/consents/{number.removeprefix('+')}")
    if answer.status_code == _OK:
        return "" if answer.json()["status"] == "opted_in" else "opted_out"
    return "not_opted_in" if answer.status_code == _NOT_FOUND else None


def show(preview: Preview, rate: float, console: Console) -> None:
    """Print the preview."""
    lines = [f"{_counted(preview.rows, 'row')}, {_counted(preview.good, 'message')} to send"]
    if preview.largest:
        size = preview.largest.size
        extent = f"{_counted(size.segments, 'segment')} of {size.encoding}, {size.units} units"
        lines += [
            f"{_counted(preview.total_segments, 'segment')} in all: {_distribution(preview)}",
            f"the largest: line {preview.largest.line:,}, {extent}",
            f"about {duration(preview.good / rate)} at {rate:g} a second, if nothing else is being sent",
        ]
    if preview.recipients and not preview.consents_checked:
        lines.append("consents are checked when it is sent; messages without consent are listed then")
    elif preview.without_consent:
        lines.append(f"of these, {preview.without_consent:,} without consent, which will be refused")
    for line in lines:
        console.print(f"  {line}", markup=False, soft_wrap=True)


def duration(seconds: float) -> str:
    """Return a duration as a rounded text that helps a person to plan."""
    for unit, length in (("hour", 3600), ("minute", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}s"
    return f"{max(1, round(seconds))} s"


def _extent(row: Message) -> tuple[int, int]:
    return row.size.segments, row.size.units


def _distribution(preview: Preview) -> str:
    kinds = [f"{_counted(count, 'message')} of {size}" for size, count in sorted(preview.segments.items())]
    encodings = ", ".join(f"{count:,} in {encoding}" for encoding, count in preview.encodings.most_common())
    return f"{', '.join(kinds)} ({encodings})"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
