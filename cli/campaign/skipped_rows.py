"""The rows that are not sent: the first ones on the screen, all of them in a file if one is given."""

import csv
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from rich.console import Console

from cli.campaign.people import CampaignError
from cli.campaign.plan import Refused
from cli.plain import visible

_SHOWN = 20
_HEADING = ("line", "number", "codes", "reason")


class SkippedRows:
    """Collects refused rows, each once, although the preview and the API may refuse the same row."""

    def __init__(self, writer: Any = None) -> None:
        self.total = 0
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
        self.total += 1
        self._counts.update(row.codes)
        if len(self._first) < _SHOWN:
            self._first.append(row)
        if self._writer:
            self._writer.writerow([row.line, row.masked, " ".join(row.codes), row.hint])

    def show(self, console: Console) -> None:
        """Print the rows that were collected since the last call."""
        if not self._counts:
            return
        kinds = ", ".join(f"{count:,} {code}" for code, count in self._counts.most_common())
        console.print(f"  not sent: {kinds}", style="yellow", markup=False, soft_wrap=True)
        for row in sorted(self._first, key=lambda each: each.line):
            hint = f": {visible(row.hint)}" if row.hint else ""
            line = f"    line {row.line:>7,}  {row.masked:<16}  {', '.join(row.codes)}{hint}"
            console.print(line, markup=False, soft_wrap=True)
        if len(self._first) == _SHOWN:
            console.print(f"    these are the first {_SHOWN}; --refused FILE writes all of them to a file")
        self._counts, self._first = Counter(), []


@contextmanager
def skipped_rows(path: Path | None, people: Path | None = None) -> Iterator[SkippedRows]:
    """Yield a collector of refused rows, which also writes a CSV file if there is a path.

    The file appears at the end, in the place of an earlier one. An error before any row was read leaves the earlier
    file. Raises `CampaignError` if the path is `people`, the list itself, or cannot be written.
    """
    if path is None:
        yield SkippedRows()
        return
    try:
        place = _place(path, people)
        file = NamedTemporaryFile(  # noqa: SIM115  closed below
            "w", encoding="utf-8", newline="", dir=place.parent, prefix=f".{place.name}.", delete=False
        )
    except OSError as error:
        raise CampaignError(f"{path} can't be written: {error.strerror}") from None
    beside = Path(file.name)
    writer = csv.writer(file)
    writer.writerow(_HEADING)
    rows = SkippedRows(writer)
    is_whole = False
    try:
        yield rows
        is_whole = True
    finally:
        file.close()
        if is_whole or rows.total:
            beside.replace(place)
        else:
            beside.unlink()


def _place(path: Path, people: Path | None) -> Path:
    place = path.resolve()
    if people and (place == people.resolve() or (place.exists() and people.exists() and place.samefile(people))):
        raise CampaignError(f"{path} is the list itself; name another file for the refused rows")
    if place.exists() and not place.is_file():
        raise CampaignError(f"{path} is no ordinary file; name another one for the refused rows")
    if place.exists() and not _is_ours(place):
        raise CampaignError(f"{path} holds something else; name another file for the refused rows")
    return place


def _is_ours(place: Path) -> bool:
    """Whether a file is empty, or was written for refused rows, by this or an earlier version."""
    with place.open("rb") as file:
        begin = file.readline(100).strip()
    return not begin or begin.startswith(",".join(_HEADING[:-1]).encode())
