"""The file of recipients: a CSV of numbers and values from a spreadsheet, read a row at a time."""

import csv
import re
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cxone_messaging.domain.plain_text import is_visible
from cxone_messaging.domain.written_numbers import mask_numbers_in

TO, REFERENCE, TEXT = "to", "reference", "text"
# The usual headings of the recipient's column, beside `to` itself.
_TO_NAMES = frozenset(
    {"phone", "phone number", "phonenumber", "mobile", "mobile number", "mobile phone", "cell", "cell phone"}
    | {"cell number", "telephone", "telephone number", "recipient", "msisdn"}
)
_DELIMITERS = ",;\t|"
_ENCODINGS = {
    b"\xff\xfe\0\0": "utf-32",
    b"\0\0\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
    b"\xef\xbb\xbf": "utf-8-sig",
}
_SAMPLE_BYTES = 1024
# Excel's line above the heading that names the delimiter.
_SEPARATOR_LINE = re.compile(r'\ufeff*\s*"?sep=(.)"?[,;|\s]*', re.IGNORECASE)
# What surrounds a heading or a reference and cannot be seen. Values keep theirs: an emoji may end with such a mark.
_UNSEEN = (
    "\u00ad\u061c\u180e\u2060\ufeff\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)


# What browsers and file managers add to the name of a copy.
_COPY = re.compile(r"(?: ?\([0-9]{1,3}\)| [-\u2013] (?:Copy|Kopie|Copie|copia)| copy(?: [0-9]{1,2})?)+$", re.IGNORECASE)
_COPY_OF = re.compile(r"^(?:Copy of|Kopie von|Copie de|Copia de) ", re.IGNORECASE)


def default_name(path: Path) -> str:
    """Return the campaign's name of a file: the file's own, which a copy or a second download keeps."""
    return _COPY_OF.sub("", _COPY.sub("", path.stem)) or path.stem


class CampaignError(Exception):
    """The campaign cannot be sent like this; the text says what to change and quotes no number."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row; `line` is its first line in the file.

    `values` are trimmed, and keyed by `heading()` of their column. A value without anything visible is empty.
    """

    line: int
    values: Mapping[str, str]
    has_too_many_cells: bool = False


def heading(text: str) -> str:
    """Return a column's name in the form that is compared: one letter case, one blank, one form of accents."""
    seen = "".join(each for each in text if each not in _UNSEEN) if is_visible(text) else ""
    return " ".join(unicodedata.normalize("NFC", seen.casefold()).split())


def without_unseen(text: str) -> str:
    """Return a text without the blanks and invisible marks around it."""
    return text.strip(_UNSEEN + " \t\r\n\u00a0")


class People:
    """A CSV file with a recipient's column. Raises `CampaignError` for any other file, also during reading.

    `to_column` is the column of the numbers: the one that is given, `to`, or the only one with another usual name.
    """

    def __init__(self, path: Path, to_column: str | None = None) -> None:
        self.path = path
        self._encoding = self._find_encoding()
        headers = {each: self._header(each) for each in self._delimiters()}
        self._delimiter = max(headers, key=lambda each: (_has_recipient(headers[each], to_column), len(headers[each])))
        self.columns = headers[self._delimiter]
        self.to_column = self._find_to(to_column)
        named = [column for column in self.columns if column]
        if len(set(named)) < len(named):
            raise CampaignError(f"{path.name} has two columns of the same name")

    def rows(self) -> Iterator[Row]:
        """Yield the rows, without blank ones."""
        with self._reading() as lines:
            records = self._records(lines, self._delimiter)
            next(records, None)
            for line, cells in records:
                values = dict(zip(self.columns, cells, strict=False))
                yield Row(line, values, has_too_many_cells=any(cells[len(self.columns) :]))

    def _records(self, lines: Iterator[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
        """Yield the records that hold anything visible, each with the number of its first line."""
        first = next(lines, "")
        skipped = 1 if _SEPARATOR_LINE.fullmatch(first) else 0
        reader = csv.reader(lines if skipped else _with_first(first, lines), delimiter=delimiter, strict=True)
        is_first = True
        while True:
            line = reader.line_num + skipped + 1
            try:
                record = next(reader, None)
            except csv.Error as error:
                raise CampaignError(f"{self.path.name}, line {line}: {error}") from None
            if record is None:
                return
            cells = [cell.strip() if is_visible(cell) else "" for cell in record]
            # A row of delimiters above the heading may be of others than the file's.
            if any(cell.strip(_DELIMITERS) if is_first else cell for cell in cells):
                is_first = False
                yield line, cells

    def _header(self, delimiter: str) -> tuple[str, ...]:
        try:
            with self._reading() as lines:
                _, cells = next(self._records(lines, delimiter), (0, []))
        except CampaignError:
            if len(self._delimiters()) == 1:
                raise
            return ()
        return tuple(heading(cell) for cell in cells)

    def _delimiters(self) -> str:
        with self._reading() as lines:
            found = _SEPARATOR_LINE.fullmatch(next(lines, ""))
        return found[1] if found else _DELIMITERS

    def _find_to(self, given: str | None) -> str:
        # A file without a heading begins with somebody's number.
        found = mask_numbers_in(", ".join(column for column in self.columns if column)) or "none"
        if given is not None:
            if heading(given) not in self.columns or not heading(given):
                raise CampaignError(f"{self.path.name} has no column `{given}`; its heading names: {found}")
            return heading(given)
        if TO in self.columns:
            return TO
        usual = [column for column in self.columns if _is_usual(column)]
        if len(usual) > 1:
            names = ", ".join(usual)
            raise CampaignError(
                f"{self.path.name} has several columns of numbers; choose one with --to-column: {names}"
            )
        if not usual:
            hint = f"no column `to`; name it with --to-column; its heading names: {found}"
            raise CampaignError(f"{self.path.name} has {hint}")
        return usual[0]

    def _find_encoding(self) -> str:
        try:
            with self.path.open("rb") as file:
                sample = file.read(_SAMPLE_BYTES)
        except OSError as error:
            raise CampaignError(f"{self.path} can't be read: {error.strerror}") from None
        marked = next((encoding for mark, encoding in _ENCODINGS.items() if sample.startswith(mark)), None)
        if marked:
            return marked
        # UTF-16 without a mark: the delimiters, digits and line ends have a zero byte on one side.
        zeros = sample[::2].count(0), sample[1::2].count(0)
        if max(zeros) > len(sample) // 8:
            return "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"
        return "utf-8"

    @contextmanager
    def _reading(self) -> Iterator[Iterator[str]]:
        try:
            with self.path.open(encoding=self._encoding, newline="") as lines:
                yield lines
        except UnicodeError:
            raise CampaignError(f"{self.path.name} is not UTF-8; save it as “CSV UTF-8”") from None
        except OSError as error:
            raise CampaignError(f"{self.path} can't be read: {error.strerror}") from None


def _with_first(first: str, lines: Iterator[str]) -> Iterator[str]:
    # A second byte order mark would hide the quotation mark of the first cell.
    yield first.lstrip("\ufeff")
    yield from lines


def _is_usual(column: str) -> bool:
    return " ".join(re.split(r"[\s_-]+", column)) in _TO_NAMES


def _has_recipient(columns: tuple[str, ...], given: str | None) -> bool:
    if given is not None:
        return heading(given) in columns
    return TO in columns or any(map(_is_usual, columns))
