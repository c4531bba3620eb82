"""Find possible phone numbers in a text, however their digits are written and separated.

A text is read as a person would read it. Digits of all scripts are digits. Percent-encoding and the escapes of JSON and
HTML count as the characters that they encode. Only a letter ends a run of digits. Each search takes time linear in the
text.
"""

import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# Shorter runs are ids, codes and counts.
_FEWEST_DIGITS = 7
_MOST_DIGITS = 15
# A name may contain fewer digits than this without a plus sign: counters and dates have that many.
_FEWEST_IN_NAMES = 10

# One or more encoded bytes, perhaps encoded again; a JSON escape; an HTML one.
_ESCAPE = re.compile(
    r"(?P<percent>(?:%(?:25)*[0-9a-f]{2})+)|\\(?:u(?P<u>[0-9a-f]{4})|x(?P<x>[0-9a-f]{2})|[nrt])"
    r"|&(?:#x(?P<hex>[0-9a-f]{1,6})|#(?P<decimal>[0-9]{1,7})|(?P<word>[a-z]{2,8}));",
    re.ASCII | re.IGNORECASE,
)
_NESTED_PERCENT = re.compile("%(?:25)+")
_WITHOUT_LETTERS = re.compile("[^A-Za-z]+")
_DIGITS = re.compile("[0-9]+")
# No country has phone numbers that look like a date, or like an instant with its seconds.
_DATE = re.compile(r"(?:19|20)\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])", re.ASCII)
_DATE_BEFORE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]", re.ASCII)
_DATE_WITH_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:", re.ASCII)
_DATE_AND_T = 11
_TIME_BEGINS = len("T10:")
_DIGITS_OF_A_ZONE = 4
_INSTANT = re.compile(_DATE.pattern + r" \d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[+-]\d\d:?\d\d)?", re.ASCII)
_TIME = re.compile(r"(?:[01]\d|2[0-3])(?::[0-5]\d){1,2}(?:\.\d{1,9})?(?:[+-]\d\d:?\d\d)?", re.ASCII)
# UUIDs, ULIDs and hex ids, our own prefixes included: they may contain long runs of digits by chance.
_ID = re.compile(
    r"(?<![^\W_])(?:[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|[0-9a-f]{64}|[0-9a-f]{40}|[0-9a-f]{32}|[0-9a-f]{24}"
    r"|(?-i:01[0-9A-HJKMNP-TV-Z]{24}))(?![^\W_])",
    re.IGNORECASE,
)
# Letters that look empty or like a dash: fillers of Hangul, the Hangul and the Chinese stroke.
_SEPARATING_LETTERS = frozenset("\u115f\u1160\u1173\u3161\u3164\uffa0\u4e00")
_PLUS_SIGNS = frozenset("+\u2795")


@dataclass(frozen=True, slots=True)
class _Run:
    """Digits without a letter between them, from `start` to `end`.

    `after_plus` counts the digits after a plus sign.
    """

    start: int
    end: int
    digits: str
    is_one_group: bool
    after_plus: int


def mask_numbers_in(text: str) -> str:
    """Return a text with `***` in place of each possible phone number: seven digits or more.

    Dates, instants and random ids stay.
    """
    kept, at = [], 0
    for run in _runs(text):
        kept += [text[at : run.start], "***"]
        at = run.end
    return "".join(kept) + text[at:]


def holds_number(name: str) -> bool:
    """Whether a name contains a phone number: seven digits after a plus sign, or ten to fifteen digits.

    Zeros in front are not counted. More than fifteen digits in one group are an id.
    """
    return any(map(_is_number, _runs(name)))


def _is_number(run: _Run) -> bool:
    if run.after_plus >= _FEWEST_DIGITS:
        return True
    significant = len(run.digits.lstrip("0"))
    if len(run.digits) < _FEWEST_IN_NAMES or significant < _FEWEST_DIGITS:
        return False
    return significant <= _MOST_DIGITS or not run.is_one_group


def _runs(text: str) -> Iterator[_Run]:
    """Yield the runs of enough digits in a text, without those of dates, instants and random ids."""
    if len(text) < _FEWEST_DIGITS:
        return
    plain, places = _plain(text)
    ids: deque[tuple[int, int]] | None = None
    for part in _WITHOUT_LETTERS.finditer(plain):
        if part.end() - part.start() < _FEWEST_DIGITS:
            continue
        groups = list(_DIGITS.finditer(plain, *part.span()))
        if sum(group.end() - group.start() for group in groups) < _FEWEST_DIGITS:
            continue
        whole = _run(groups, places, plain.find("+", *part.span()))
        if ids is None:
            ids = deque(match.span() for match in _ID.finditer(text) if _is_random(match[0]))
        while ids and ids[0][1] <= whole.start:
            ids.popleft()
        is_in_id = ids and ids[0][0] <= whole.start and whole.end <= ids[0][1]
        if not (is_in_id or _is_time(text, whole)):
            yield from (_run(each, places, plus) for each, plus in _apart(groups, plain, part))


def _run(groups: Sequence[re.Match[str]], places: Sequence[tuple[int, int]] | None, plus: int) -> _Run:
    first, last = groups[0].start(), groups[-1].end() - 1
    start, end = (first, last + 1) if places is None else (places[first][0], places[last][1])
    digits = "".join(group[0] for group in groups)
    after_plus = sum(len(group[0]) for group in groups if 0 <= plus < group.start())
    return _Run(start, end, digits, len(groups) == 1, after_plus)


def _apart(
    groups: Sequence[re.Match[str]], plain: str, part: re.Match[str]
) -> Iterator[tuple[Sequence[re.Match[str]], int]]:
    """Yield the groups of each number, and the place of its plus sign or -1.

    A plus sign begins a new number if enough digits precede and follow it.
    """
    left = sum(len(group[0]) for group in groups)
    number: list[re.Match[str]] = []
    counted, begins = 0, part.start()
    plus = plain.find("+", begins, groups[0].start())
    for group in groups:
        here = plain.find("+", number[-1].end() if number else begins, group.start())
        if here >= 0 and counted >= _FEWEST_DIGITS <= left:
            yield number, plus
            number, counted, plus = [], 0, here
        elif plus < 0:
            plus = here
        number.append(group)
        counted += len(group[0])
        left -= len(group[0])
    yield number, plus


def _is_time(text: str, run: _Run) -> bool:
    """Whether a run is a date, or the time in an instant of ISO 8601."""
    written = text[run.start : run.end]
    if _TIME.fullmatch(written):
        return bool(_DATE_BEFORE_TIME.fullmatch(text, max(0, run.start - _DATE_AND_T), run.start))
    if run.after_plus in {0, _DIGITS_OF_A_ZONE} and _INSTANT.fullmatch(written):
        return True
    if run.after_plus:
        return False
    return bool(_DATE.fullmatch(written) or _DATE_WITH_TIME.fullmatch(text, run.start, run.end + _TIME_BEGINS))


def _is_random(id_: str) -> bool:
    """Whether a text in an id's form is more than a phone number with zeros in front."""
    digits = id_.replace("-", "").lstrip("0")
    return not digits.isdecimal() or len(digits) > _MOST_DIGITS


def _plain(text: str) -> tuple[str, list[tuple[int, int]] | None]:
    """Return a text as ASCII digits, letters, plus signs and separators, and the origin of each character.

    The origins are None if each character is its own plain form.
    """
    if text.isascii() and not ("%" in text or "\\" in text or "&" in text):
        return text, None
    plain: list[str] = []
    places: list[tuple[int, int]] = []
    at = 0
    for match in _ESCAPE.finditer(text):
        _add(text, at, match.start(), plain, places)
        # An encoded letter never ends a run: `%55` may also be a percent sign before two digits.
        plain_form = _unescaped(match).replace("a", " ") or " "
        plain += plain_form
        places += [match.span()] * len(plain_form)
        at = match.end()
    _add(text, at, len(text), plain, places)
    return "".join(plain), places


def _add(text: str, start: int, end: int, plain: list[str], places: list[tuple[int, int]]) -> None:
    for at in range(start, end):
        plain_form = _character(text[at])
        plain += plain_form
        places += [(at, at + 1)] * len(plain_form)


def _unescaped(match: re.Match[str]) -> str:
    if encoded := match["percent"]:
        encoded = _NESTED_PERCENT.sub("%", encoded)
        decoded = bytes.fromhex(encoded.replace("%", "")).decode("utf-8", "replace")
        read = "".join(map(_character, decoded))
        digits = sum(map(str.isdecimal, encoded))
        # If all of the code is digits, they count: it is better to mask too many digits than too few.
        return encoded if digits == len(encoded) // 3 * 2 and not _DIGITS.search(read) else read
    if match["word"]:
        return "+" if match["word"].lower() == "plus" else " "
    number = match["u"] or match["x"] or match["hex"]
    code = int(number, 16) if number else int(match["decimal"] or "32")
    return _character(chr(code)) if code < 0x110000 else " "  # noqa: PLR2004


def _character(character: str) -> str:
    """Return a character's plain form: ASCII digits, `a` for a letter, a plus sign, or a space."""
    if character.isascii():
        return "a" if character.isalpha() else character
    # Few functions process a text beyond ASCII, so the import waits for the first one.
    import unicodedata  # noqa: PLC0415

    plain_form = ""
    for each in unicodedata.normalize("NFKC", character):
        value = unicodedata.numeric(each, -1)
        if each in _SEPARATING_LETTERS or unicodedata.category(each) == "Lm":
            plain_form += " "
        elif each.isalpha():
            plain_form += "a"
        elif value >= 0 and value.is_integer():
            plain_form += str(int(value))
        else:
            plain_form += "+" if each in _PLUS_SIGNS else " "
    return plain_form
