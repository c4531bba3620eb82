"""Read a text as a person would: digits of any script, Latin letters, plus signs, and separators.

Percent-encoding and the escapes of JSON, HTML and mail count as the characters that they encode. A letter in an escape
or a tag is no letter of the text. The reading takes time linear in the text.
"""

import re
from collections.abc import Sequence

# One or more encoded bytes, perhaps encoded again, also as mail encodes them; UTF-16 in JSON; other escapes of
# programs; entities of HTML, whose semicolon may be missing.
_ESCAPE = re.compile(
    r"(?P<percent>(?:%(?:25)*[0-9a-f]{2})+|(?:=[0-9a-f]{2})+)|(?P<utf16>(?:\\{1,4}u[0-9a-f]{4})+)"
    r"|\\(?:x([0-9a-f]{2})|u\{([0-9a-f]{1,6})\}|(?-i:U)00([0-9a-f]{6}))|(?P<letter>\\[a-z])"
    r"|&#x0*([0-9a-f]{1,6});?|&#0*(?P<decimal>[0-9]{1,7});?|&(?P<word>#x|[a-z]+);?",
    re.ASCII | re.IGNORECASE,
)
_TAG = re.compile("<[/!?]?[A-Za-z-][^<>]*>")
_NESTED_PERCENT = re.compile("%(?:25)+")
# An escape may encode the sign that begins another one.
_LEVELS = 3
_NAMED = {"amp": "&", "lt": "<", "gt": ">", "plus": "+", "percnt": "%", "bsol": "\\", "equals": "="}
_LETTER = re.compile("[A-Za-z]")
_DIGIT = re.compile("[0-9]")
_PLUS_SIGNS = frozenset("+\u2795")
# The Chinese one looks like a dash, so it is a digit and ends a group of digits.
_CHINESE_ONE = "\u4e00"
_TEN = 10
# Letters and symbols that are shown as blanks: Hangul fillers, and a braille pattern without dots.
_BLANK_LETTERS = frozenset("\u115f\u1160\u3164\uffa0\u2800")
# SQS refuses the last two of the first plane (SendMessage, *Message body*). Unicode assigns none of these (23.7).
_NOT_CARRIED = frozenset(
    [
        "\0",
        *map(chr, range(0xFDD0, 0xFDF0)),
        *(chr(plane + last) for plane in range(0, 0x110000, 0x10000) for last in (0xFFFE, 0xFFFF)),
    ]
)


def plain_text(text: str) -> tuple[str, list[tuple[int, int]]]:
    """Return a text as ASCII digits, letters, plus signs and separators, and the origin of each character.

    Each origin is the start and the end of the piece of the text that the character stands for.
    """
    characters: list[str] = []
    places: list[tuple[int, int]] = []
    for at, character in enumerate(text):
        plain_form = _character(character)
        characters += plain_form
        places += [(at, at + 1)] * len(plain_form)
    read = "".join(characters)
    for _ in range(_LEVELS):
        read, places, found = _decoded(read, places)
        if not found:
            break
    return _TAG.sub(lambda tag: _LETTER.sub(" ", tag[0]), read), places


def same_to_a_reader(text: str) -> str:
    """Return the form in which two texts are equal if their reader sees no difference: accents and white space."""
    import unicodedata  # noqa: PLC0415

    return " ".join(unicodedata.normalize("NFC", text).split())


def is_visible(text: str) -> bool:
    """Whether a text holds anything that can be seen: letters, digits, signs or symbols.

    Blanks, control characters, invisible marks and letters that are shown as blanks are not seen.
    """
    if text.isascii():
        return bool(text.strip()) and any("!" <= each <= "~" for each in text)
    import unicodedata  # noqa: PLC0415

    return any(unicodedata.category(each)[0] in "LNPS" and each not in _BLANK_LETTERS for each in text)


def character_fault(text: str) -> str | None:
    """Return which character of a text no message and no queue can carry; None where it has none.

    Those are the null character and Unicode's 66 noncharacters, U+FFFE and U+FFFF among them.
    """
    if _NOT_CARRIED.isdisjoint(text):
        return None
    character = next(each for each in text if each in _NOT_CARRIED)
    return f"U+{ord(character):04X} cannot be sent in a message"


def _decoded(text: str, places: Sequence[tuple[int, int]]) -> tuple[str, list[tuple[int, int]], bool]:
    """Return a text with its escapes decoded once, the origins of its characters, and whether it had escapes."""
    pieces: list[str] = []
    origins: list[tuple[int, int]] = []
    at = 0
    for match in _ESCAPE.finditer(text):
        start, end = match.span()
        decoded = _unescaped(match)
        pieces += [text[at:start], decoded]
        origins += places[at:start]
        origins += [(places[start][0], places[end - 1][1])] * len(decoded)
        at = end
    return "".join(pieces) + text[at:], [*origins, *places[at:]], at > 0


def _unescaped(match: re.Match[str]) -> str:
    """Return the plain form of an escape, without letters: `%55` may also be a percent sign before two digits."""
    kind, code = match.lastgroup, match[match.lastindex or 0]
    if kind == "letter":
        return " "
    if kind == "word":
        return _NAMED.get(code.lower(), " ")
    if kind == "percent":
        code = _NESTED_PERCENT.sub("%", code).replace("%", "").replace("=", "")
        decoded = bytes.fromhex(code).decode("utf-8", "replace")
    elif kind == "utf16":
        code = code.lower().replace("\\", "").replace("u", "")
        decoded = bytes.fromhex(code).decode("utf-16-be", "replace")
    else:
        number = int(code, 10 if kind == "decimal" else 16)
        decoded = chr(number) if number < 0x110000 else " "  # noqa: PLR2004
    read = _LETTER.sub(" ", "".join(map(_character, decoded)))
    # If all of the code is digits, they count: it is better to mask too many digits than too few.
    return read if not code.isdecimal() or "+" in read or _DIGIT.search(read) else f" {code} {read}"


def _character(character: str) -> str:
    """Return a character's plain form: ASCII as it is, digits, `a` for a Latin letter, a plus sign, or a space."""
    if character.isascii():
        return character
    # Few functions process a text beyond ASCII, so the import waits for the first one.
    import unicodedata  # noqa: PLC0415

    category = unicodedata.category(character)
    if category in {"Lu", "Ll", "Lt"}:
        return "a" if _LETTER.match(unicodedata.normalize("NFKD", character)) else " "
    plain_form = ""
    for each in unicodedata.normalize("NFKC", character):
        value = unicodedata.numeric(each, -1)
        # Chinese letters for ten, a hundred and more are words.
        if each == _CHINESE_ONE:
            plain_form += " 1 "
        elif value >= 0 and value.is_integer() and (value < _TEN or category[0] == "N"):
            plain_form += str(int(value))
        elif each in _PLUS_SIGNS:
            plain_form += "+"
        else:
            plain_form += each if each.isascii() and not each.isalpha() else " "
    return plain_form
