"""The rows that are not sent: the first of each run on the screen, all of them in a file where one is wanted."""

import csv
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from cli.campaign.people import CampaignError
from cli.campaign.plan import Refused

_SHOWN = 20


class Refusals:
    """Notes refused rows, each once, though the preview and then the API may refuse the same."""

    def __init__(self, writer: Any = None) -> None:
        self._writer = writer
        self._known: set[tuple[int, tuple[str, ...]]] = set()
        self._counts: Counter[str] = Counter()
        self._first: list[Refused] = []

    def note(self, row: Refused, *, again: bool = False) -> None:
        """Note a row; `again` where it may come a second time, from somebody else."""
        known = (row.line, row.codes)
        if known in self._known:
            return
        if again:
            self._known.add(known)
        self._counts.update(row.codes)
        if len(self._first) < _SHOWN:
            self._first.append(row)
        if self._writer:
            self._writer.writerow([row.line, row.masked, " ".join(row.codes)])

    def show(self, console: Console) -> None:
        """Print what was noted since the last time."""
        if not self._counts:
            return
        kinds = ", ".join(f"{count:,} {code}" for code, count in self._counts.most_common())
        console.print(f"  not sent: {kinds}", style="yellow", markup=False, soft_wrap=True)
        for row in sorted(self._first, key=lambda each: each.line):
            told = f"    line {row.line:>7,}  {row.masked:<16}  {', '.join(row.codes)}"
            console.print(told, markup=False, soft_wrap=True)
        if len(self._first) == _SHOWN:
            console.print(f"    these are the first {_SHOWN}; --refused FILE writes down all of them")
        self._counts, self._first = Counter(), []


@contextmanager
def refusals(path: Path | None) -> Iterator[Refusals]:
    """Note refused rows, in a CSV file too where there is a path."""
    if path is None:
        yield Refusals()
        return
    try:
        file = path.open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise CampaignError(f"{path} can't be written: {error.strerror}") from None
    with file:
        writer = csv.writer(file)
        writer.writerow(["line", "number", "codes"])
        yield Refusals(writer)
