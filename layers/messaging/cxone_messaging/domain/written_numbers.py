"""Find possible phone numbers in a text, however their digits are written and separated.

Only a Latin letter ends a run of digits (`domain/plain_text.py`). Each search takes time linear in the text.
"""

import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# Shorter runs are ids, codes and counts. A plus sign makes a shorter run a number: countries have such numbers.
_FEWEST_DIGITS, _FEWEST_AFTER_PLUS = 7, 5
_MOST_DIGITS = 15
# A name may contain fewer digits than this without a plus sign: counters and dates have that many.
_FEWEST_IN_NAMES = 10

# The signs that begin an escape or a tag.
_MARKS = re.compile(r"[%=\\&<]")
_WITHOUT_LETTERS = re.compile("[^A-Za-z]+")
_DIGITS = re.compile("[0-9]+")
# Other years of this century look, with hours and minutes, like numbers of Egypt.
_DATE = r"(?:19\d|20[2-7])\d([-_/.])(?:0[1-9]|1[0-2])\1(?:0[1-9]|[12]\d|3[01])"
# Milliseconds or microseconds: more digits could be a number of their own.
_TIME = r"(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{3}(?:\d{3})?)?)?(?: ?[+-](?:0\d|1[0-4]):?\d\d)?"
_DATES = re.compile(rf"(?<!\d){_DATE}(?: {_TIME})?(?!\d)", re.ASCII)
_TIME_OF_DAY = re.compile(_TIME, re.ASCII)
_DATE_BEFORE_TIME = re.compile(_DATE + "[Tt]", re.ASCII)
_DATE_AND_T = 11
# A counter after a date.
_MOST_AFTER_DATES = 2
_DIGITS_OF_A_ZONE = 4
# UUIDs, ULIDs and hex ids, our own prefixes included: they may contain long runs of digits by chance.
_ID = re.compile(
    r"(?<![^\W_])(?:[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|[0-9a-f]{64}|[0-9a-f]{40}|[0-9a-f]{32}|[0-9a-f]{24}"
    r"|(?-i:01[0-9A-HJKMNP-TV-Z]{24}))(?![^\W_])",
    re.IGNORECASE,
)


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

    @property
    def is_long_enough(self) -> bool:
        return len(self.digits) >= _FEWEST_DIGITS or self.after_plus >= _FEWEST_AFTER_PLUS


def mask_numbers_in(text: str) -> str:
    """Return a text with `***` in place of each possible phone number: seven digits or more, five after a plus sign.

    Dates, instants and random ids stay.
    """
    kept, at = [], 0
    for run in _runs(text):
        kept += [text[at : run.start], "***"]
        at = run.end
    return "".join(kept) + text[at:]


def holds_number(name: str) -> bool:
    """Whether a name contains a phone number: five digits after a plus sign, or ten to fifteen digits.

    Zeros at both ends are not counted. More than fifteen digits in one group are an id.
    """
    return any(map(_is_number, _runs(name)))


def without_dates(text: str) -> str:
    """Return a text with a semicolon in place of each date and instant."""
    return _DATES.sub(";", text)


def _is_number(run: _Run) -> bool:
    if run.after_plus >= _FEWEST_AFTER_PLUS:
        return True
    if len(run.digits) < _FEWEST_IN_NAMES or len(run.digits.lstrip("0")) < _FEWEST_DIGITS:
        return False
    return len(run.digits.strip("0")) <= _MOST_DIGITS or not run.is_one_group


def _runs(text: str) -> Iterator[_Run]:
    """Yield the runs of enough digits in a text, without those of dates, instants and random ids."""
    if len(text) <= _FEWEST_AFTER_PLUS:
        return
    plain, places = _plain(text)
    ids: deque[tuple[int, int]] | None = None
    for part in _WITHOUT_LETTERS.finditer(plain):
        if part.end() - part.start() <= _FEWEST_AFTER_PLUS:
            continue
        groups = list(_DIGITS.finditer(plain, *part.span()))
        if sum(group.end() - group.start() for group in groups) < _FEWEST_AFTER_PLUS:
            continue
        whole = _run(groups, places, plain.find("+", *part.span()))
        if not whole.is_long_enough:
            continue
        if ids is None:
            ids = deque(match.span() for match in _ID.finditer(text) if _is_random(match[0]))
        while ids and ids[0][1] <= whole.start:
            ids.popleft()
        is_in_id = ids and ids[0][0] <= whole.start and whole.end <= ids[0][1] and not whole.after_plus
        if not (is_in_id or _is_time(text, whole)):
            runs = (_run(each, places, plus) for each, plus in _apart(groups, plain, part))
            yield from (run for run in runs if run.is_long_enough)


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
        if here >= 0 and counted >= _FEWEST_DIGITS and left >= _FEWEST_AFTER_PLUS:
            yield number, plus
            number, counted, plus = [], 0, here
        elif plus < 0:
            plus = here
        number.append(group)
        counted += len(group[0])
        left -= len(group[0])
    yield number, plus


def _is_time(text: str, run: _Run) -> bool:
    """Whether a run is the time in an instant of ISO 8601, or dates and instants before at most a counter."""
    if run.after_plus not in {0, _DIGITS_OF_A_ZONE}:
        return False
    written = text[run.start : run.end]
    if _TIME_OF_DAY.fullmatch(written):
        return bool(_DATE_BEFORE_TIME.fullmatch(text, max(0, run.start - _DATE_AND_T), run.start))
    dates = [match[0] for match in _DATES.finditer(written)]
    if not dates or not written.startswith(dates[0]):
        return False
    return len(run.digits) - sum(map(str.isdecimal, "".join(dates))) <= _MOST_AFTER_DATES


def _is_random(id_: str) -> bool:
    """Whether a text in an id's form is more than a phone number, with dashes or zeros around it."""
    return not id_.replace("-", "").isdecimal() or ("-" not in id_ and len(id_.strip("0")) > _MOST_DIGITS)


def _plain(text: str) -> tuple[str, list[tuple[int, int]] | None]:
    """Return a text's plain form, and the origin of each character, or None if the text is its own plain form."""
    if text.isascii() and not _MARKS.search(text):
        return text, None
    # Few texts need this, and its patterns take a millisecond to compile.
    from cxone_messaging.domain.plain_text import plain_text  # noqa: PLC0415

    return plain_text(text)
