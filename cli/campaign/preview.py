"""The preview of a campaign: its messages, its size and its duration, before anything is sent."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import requests
from rich.console import Console

from cli.campaign.plan import Message, Refused
from cli.plain import visible
from cli.status_bar import as_text
from cli.target import Api

# At most this many messages are checked by the API before the send, a call for each. The batches check all of them.
LOOKED_UP = 200
_CALLERS = 4
_OK = 200


@dataclass(slots=True)
class Preview:
    """The messages to send; `first` are the first valid rows, which the API checks beforehand.

    `earlier` counts those of them that were sent before, by status, once `looked_up` of them are checked.
    """

    rows: int = 0
    good: int = 0
    segments: Counter[int] = field(default_factory=Counter)
    encodings: Counter[str] = field(default_factory=Counter)
    countries: Counter[str] = field(default_factory=Counter)
    largest: Message | None = None
    first: list[Message] = field(default_factory=list)
    rewritten: Message | None = None
    rewritten_numbers: int = 0
    repeats: int = 0
    looked_up: int = 0
    refused: int = 0
    earlier: Counter[str] = field(default_factory=Counter)

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
        preview.countries[row.country] += 1
        preview.repeats += row.repeats
        preview.rewritten_numbers += row.rewritten
        if row.rewritten and preview.rewritten is None:
            preview.rewritten = row
        if preview.largest is None or _extent(row) > _extent(preview.largest):
            preview.largest = row
        if len(preview.first) < LOOKED_UP:
            preview.first.append(row)
    return preview


def look_up(preview: Preview, api: Api, note: Callable[[Refused], object]) -> None:
    """Have the API check the first messages, and note those that it would refuse; none is removed."""
    try:
        with ThreadPoolExecutor(_CALLERS) as pool:
            answers = list(pool.map(lambda row: _preview_of(api, row), preview.first))
    except requests.RequestException:
        return
    if None in answers:
        return
    preview.looked_up = len(answers)
    for row, answer in zip(preview.first, answers, strict=True):
        if not answer:
            continue
        errors = [error for error in answer["errors"] if answer["earlier"] is None or error["field"] == "reference"]
        if errors:
            preview.refused += 1
            codes = tuple(error["code"] for error in errors)
            note(Refused(row.line, row.masked, codes, _reused(codes)))
        elif answer["earlier"]:
            preview.earlier[answer["earlier"]] += 1


def _preview_of(api: Api, row: Message) -> dict[str, Any] | None:
    """Return the API's check of a message, or None if there is none: an older stack knows no references here."""
    answer = api.call("POST", "/messages/preview", row.alone())
    return answer.json() if answer.status_code == _OK else None


def _reused(codes: Collection[str]) -> str:
    return "another message was sent under this reference" if "idempotency_key_reused" in codes else ""


def show(preview: Preview, rate: float, console: Console, name: str) -> None:
    """Print the preview of the campaign `name`."""
    lines = [f"{_counted(preview.rows, 'row')}, {_counted(preview.good, 'message')} to send"]
    if preview.countries:
        lines.append(", ".join(f"{count:,} to {country}" for country, count in preview.countries.most_common()))
    if preview.rewritten:
        row = preview.rewritten
        lines.append(
            f"{_counted(preview.rewritten_numbers, 'number')} in another writing in the file:"
            f" the first, of line {row.line:,}, is used as {row.request.to}"
        )
    if preview.repeats:
        lines.append(
            f"{_counted(preview.repeats, 'message')} with the number and text of an earlier row, and another reference"
        )
    if preview.largest:
        size = preview.largest.size
        extent = f"{_counted(size.segments, 'segment')} of {size.encoding}, {size.units} units"
        lines += [
            f"{_counted(preview.total_segments, 'segment')} in all: {_distribution(preview)}",
            f"the largest: line {preview.largest.line:,}, {extent}",
            f"about {duration(preview.good / rate)} at {rate:g} a second, if nothing else is being sent",
        ]
    lines += _looked_up(preview, name)
    for line in lines:
        console.print(f"  {line}", markup=False, soft_wrap=True)
    if preview.first:
        row = preview.first[0]
        console.print(f"  line {row.line:,} to {row.masked} reads:", markup=False, soft_wrap=True)
        for line in visible(row.request.text, lines=True).splitlines():
            console.print(f"  │ {line}", markup=False, highlight=False, soft_wrap=True)


def _looked_up(preview: Preview, name: str) -> list[str]:
    if not preview.looked_up:
        return ["consents, and what was sent before, are checked when it is sent"] if preview.good else []
    among = "of these" if preview.looked_up == preview.good else f"of the first {preview.looked_up:,}"
    before = f"under the name “{visible(name)}”, or under the row's reference"
    lines = [f"{among}, none was sent before {before}"]
    if sent := preview.earlier.total():
        lines = [
            f"{among}, {_counted(sent, 'message')} sent before {before}, and not again: {as_text(preview.earlier)}"
        ]
    if preview.refused:
        lines.append(f"{among}, {_counted(preview.refused, 'message')} that will be refused")
    return lines


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
