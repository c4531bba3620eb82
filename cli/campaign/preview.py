"""What a campaign would do, before it does it."""

from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import requests
from rich.console import Console

from cli.campaign.plan import Message, Refused
from cli.target import Api

# So few consents are looked up beforehand, a call for each; more are the batches' own matter.
CONSENTS_LIMIT = 200
_CALLERS = 4
_OK, _NOT_FOUND = 200, 404


@dataclass(slots=True)
class Preview:
    """What there is to send; `recipients` are the good rows while they are few enough to ask for each one's consent."""

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
    """Read all rows once; every refused one is noted."""
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
    """Ask for each recipient's consent where there are few, and note who has none; nothing is taken off the list."""
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
    """Say why a recipient would be refused; empty where they would not, None where nobody told."""
    # Without its plus, a number has nothing to encode in a path (docs/api.md).
    answer = api.call("GET", f"/consents/{number.removeprefix('+')}")
    if answer.status_code == _OK:
        return "" if answer.json()["status"] == "opted_in" else "opted_out"
    return "not_opted_in" if answer.status_code == _NOT_FOUND else None


def show(preview: Preview, rate: float, console: Console) -> None:
    """Print it."""
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
        lines.append("consents are checked when it is sent; who has not opted in is told then")
    elif preview.without_consent:
        lines.append(f"of these, {preview.without_consent:,} without consent, which will be refused")
    for line in lines:
        console.print(f"  {line}", markup=False, soft_wrap=True)


def duration(seconds: float) -> str:
    """Say how long something takes, in a way that a person plans with."""
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
