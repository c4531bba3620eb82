"""A campaign's text: its `{placeholders}` are filled from a row's values, and slips of other systems are found."""

import re
from collections.abc import Collection, Iterator, Mapping

from cli.campaign.people import CampaignError, heading
from cxone_messaging.domain.plain_text import is_visible

# A doubled brace is a literal one; any other single brace is a mistake.
_BRACES = re.compile(r"(?P<doubled>\{\{|\}\})|\{(?P<name>[^{}]*)\}|[{}]")
# The signs with which other systems mark a field; a name between them is a slip if a column has this name.
_MARKED = (
    ("{", "}"),
    ("\uff5b", "\uff5d"),
    ("((", "))"),
    ("%", "%"),
    ("#", "#"),
    ("[", "]"),
    ("\uff3b", "\uff3d"),
    ("\u3010", "\u3011"),
    ("<", ">"),
    ("\u2039", "\u203a"),
    ("\u00ab", "\u00bb"),
    ("*|", "|*"),
    ("__", "__"),
    ("@", "@"),
    ("$$", "$$"),
)
_LONGEST_NAME = 100
# Fields that other programs fill in: between signs they are slips, whatever the file's columns.
USUAL_FIELDS = (
    "name",
    "first name",
    "last name",
    "full name",
    "fname",
    "lname",
    "surname",
    "company",
    "email",
    "first",
)
_SLIPS = [
    re.compile(f"{re.escape(begin)}(?P<name>[^\\n]{{1,{_LONGEST_NAME}}}?){re.escape(end)}") for begin, end in _MARKED
]
_SHELL = re.compile(r"\$(?P<name>[^\W\d]\w*)")
# More signs may surround a name within the signs, and the signs themselves. Braces may hold a path or a default too.
_SIGNS = "{}()[]<>%#*|_@$=&-\uff5b\uff5d"
_AROUND = _SIGNS + " \t\u00a0"
_DEFAULT = re.compile(r"[|,:]")
# It would send the row's value in braces, and elsewhere it means the value without them.
_TRIPLE = re.compile(r"(?<!\{)\{\{\{(?P<name>[^{}]+)\}\}\}(?!\})")
_SEPARATORS = re.compile(r"[\s_.-]+")
# What spreadsheets and databases write where there is no value. Null, Nan and None are names of people.
_ERRORS = re.compile(
    r"#+|#[\u00a1\u00bf]?[A-Z\u00c0-\u00de_]+(?:[/ ][0A-Z]+)?[!?]?|Err:[0-9]{3}|NaN|nan|NaT|NULL|null|<NA>|<null>"
    r"|\(null\)|\(blank\)|\\N|N/A|n/a|undefined|\[object Object\]"
)
_HASHTAG = re.compile(r"#[A-Z\u00c0-\u00de_]+")
_ERRORS_WITHOUT_SIGN = frozenset({"#NV", "#SPILL", "#N_A", "#GETTING_DATA"})


class MissingValueError(Exception):
    """A row has no value for a placeholder."""


class TextWithPlaceholders:
    """A text for all recipients. Raises `CampaignError` if it names a column that does not exist, or has a slip.

    A slip is a column's name between signs that mark a field elsewhere, such as `{{name}}`. `is_literal` sends it.
    """

    def __init__(self, text: str, columns: Collection[str], *, is_literal: bool = False) -> None:
        self._text = text
        self._columns = {*columns, *USUAL_FIELDS}
        self._is_literal = is_literal
        for match in _BRACES.finditer(text):
            name = match["name"]
            if name is None and match["doubled"] is None:
                raise CampaignError("the text has a brace on its own; write {{ or }} for a brace that is to be sent")
            if name is not None and heading(name) not in columns:
                raise CampaignError(f"the text has {{{name}}}, but the file has no such column")
        triple = _TRIPLE.search(text)
        slip = (triple[0], heading(triple["name"])) if triple else slip_in(_without_placeholders(text), columns)
        if slip and not is_literal:
            written, column = slip
            raise CampaignError(f"the text has {written}: write {{{column}}} for the row's value, or give --literal")

    def _is_unfilled(self, value: str) -> bool:
        """Whether a value is another program's placeholder."""
        slip = None if self._is_literal else slip_in(value, self._columns)
        return slip is not None and slip[0] == value

    def filled(self, values: Mapping[str, str]) -> str:
        """Return the text with its placeholders filled; braces in values stay. Raises `MissingValueError`."""

        def value(match: re.Match[str]) -> str:
            if match["doubled"]:
                return match["doubled"][0]
            found = values.get(heading(match["name"]))
            if not found or not is_visible(found) or is_error_value(found) or self._is_unfilled(found):
                raise MissingValueError
            return found

        return _BRACES.sub(value, self._text)


def slip_in(text: str, columns: Collection[str]) -> tuple[str, str] | None:
    """Return the first marked name of a column in a text that is sent as it is, and the column; None without one."""
    names = {_compared(column): column for column in columns if column}
    for pattern in (*_SLIPS, _SHELL):
        at = 0
        while found := pattern.search(text, at):
            column = next((names[each] for each in _names_in(found) if each in names), None)
            if column:
                return _with_signs(text, found), column
            # The sign that ends one pair may begin the next.
            at = found.start() + 1
    return None


def _names_in(found: re.Match[str]) -> Iterator[str]:
    name = found["name"].strip(_AROUND)
    yield _compared(name)
    if found[0].startswith(("{", "\uff5b")):
        path = _DEFAULT.split(name)[0]
        yield _compared(path)
        yield _compared(path.rpartition(".")[2])


def _with_signs(text: str, found: re.Match[str]) -> str:
    before, after = text[: found.start()], text[found.end() :]
    begin = before[len(before.rstrip(_SIGNS)) :]
    return begin + found[0] + after[: len(after) - len(after.lstrip(_SIGNS))]


def is_error_value(value: str) -> bool:
    """Whether a value is a spreadsheet's error or a database's null, such as `#N/A`."""
    if _HASHTAG.fullmatch(value):
        return value in _ERRORS_WITHOUT_SIGN
    return bool(_ERRORS.fullmatch(value))


def _compared(name: str) -> str:
    return _SEPARATORS.sub("", heading(name))


def _without_placeholders(text: str) -> str:
    """Return a text with its placeholders left out and each literal brace doubled, as it was written."""
    return _BRACES.sub(lambda match: match[0] if match["doubled"] else "\n", text)
