"""The file of recipients: a CSV of numbers and values from a spreadsheet, read a row at a time."""

import csv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TO, REFERENCE, TEXT = "to", "reference", "text"
_DELIMITERS = ",;\t|"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


class CampaignError(Exception):
    """The campaign cannot be sent like this; the text says what to change and quotes no number."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row; `line` is its first line in the file.

    `values` are trimmed, and keyed by their column's name in lower case.
    """

    line: int
    values: Mapping[str, str]
    has_too_many_cells: bool = False


class People:
    """A CSV file with a column `to`. Raises `CampaignError` for any other file, also during reading."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._reading() as lines:
            header = next((line for line in lines if line.strip()), "")
        self._delimiter = max(_DELIMITERS, key=lambda each: _fitness(header, each))
        self.columns = _cells(header, self._delimiter)
        if TO not in self.columns:
            found = ", ".join(column for column in self.columns if column) or "none"
            raise CampaignError(f"{path.name} has no column `to`; its first line names: {found}")
        named = [column for column in self.columns if column]
        if len(set(named)) < len(named):
            raise CampaignError(f"{path.name} has two columns of the same name")

    def rows(self) -> Iterator[Row]:
        """Yield the rows, without blank ones."""
        with self._reading() as lines:
            reader = csv.reader(lines, delimiter=self._delimiter, strict=True)
            header_is_read = False
            while True:
                line = reader.line_num + 1
                try:
                    cells = next(reader, None)
                except csv.Error as error:
                    raise CampaignError(f"{self.path.name}, line {line}: {error}") from None
                if cells is None:
                    return
                cells = [cell.strip() for cell in cells]
                if not any(cells):
                    continue
                if header_is_read:
                    yield self._row(line, cells)
                header_is_read = True

    def _row(self, line: int, cells: list[str]) -> Row:
        values = dict(zip(self.columns, cells, strict=False))
        return Row(line, values, has_too_many_cells=any(cells[len(self.columns) :]))

    @contextmanager
    def _reading(self) -> Iterator[Iterator[str]]:
        try:
            with self.path.open("rb") as file:
                encoding = "utf-16" if file.read(2) in _UTF16_MARKS else "utf-8-sig"
            with self.path.open(encoding=encoding, newline="") as lines:
                yield lines
        except UnicodeError:
            raise CampaignError(f"{self.path.name} is not UTF-8; save it as “CSV UTF-8”") from None
        except OSError as error:
            raise CampaignError(f"{self.path} can't be read: {error.strerror}") from None


def _fitness(header: str, delimiter: str) -> tuple[bool, int]:
    cells = _cells(header, delimiter)
    return TO in cells, len(cells)


def _cells(line: str, delimiter: str) -> tuple[str, ...]:
    return tuple(cell.strip().lower() for cell in next(csv.reader([line], delimiter=delimiter), []))
