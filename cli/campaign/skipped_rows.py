"""The rows that are not sent: the first ones on the screen, all of them in a file if one is given."""

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


class SkippedRows:
    """Collects refused rows, each once, although the preview and the API may refuse the same row."""

    def __init__(self, writer: Any = None) -> None:
        self._writer = writer
        self._noted: set[tuple[int, tuple[str, ...]]] = set()
        self._counts: Counter[str] = Counter()
        self._first: list[Refused] = []

    def note(self, row: Refused, *, again: bool = False) -> None:
        """Collect a row; `again` means that the API may refuse it a second time."""
        key = (row.line, row.codes)
        if key in self._noted:
            return
        if again:
            self._noted.add(key)
        self._counts.update(row.codes)
        if len(self._first) < _SHOWN:
            self._first.append(row)
        if self._writer:
            self._writer.writerow([row.line, row.masked, " ".join(row.codes)])

    def show(self, console: Console) -> None:
        """Print the rows that were collected since the last call."""
        if not self._counts:
            return
        kinds = ", ".join(f"{count:,} {code}" for code, count in self._counts.most_common())
        console.print(f"  not sent: {kinds}", style="yellow", markup=False, soft_wrap=True)
        for row in sorted(self._first, key=lambda each: each.line):
            line = f"    line {row.line:>7,}  {row.masked:<16}  {', '.join(row.codes)}"
            console.print(line, markup=False, soft_wrap=True)
        if len(self._first) == _SHOWN:
            console.print(f"    these are the first {_SHOWN}; --refused FILE writes all of them to a file")
        self._counts, self._first = Counter(), []


@contextmanager
def skipped_rows(path: Path | None) -> Iterator[SkippedRows]:
    """Yield a collector of refused rows, which also writes a CSV file if there is a path."""
    if path is None:
        yield SkippedRows()
        return
    try:
        file = path.open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise CampaignError(f"{path} can't be written: {error.strerror}") from None
    with file:
        writer = csv.writer(file)
        writer.writerow(["line", "number", "codes"])
        yield SkippedRows(writer)
