"""The words of a text, whatever their letter case, accents, punctuation, white space and invisible characters are."""

import unicodedata

# Other scripts' letters that look like Latin ones, and symbols that are no letters.
_ALIKE = str.maketrans(
    "\u0131\u0430\u0441\u0435\u043e\u0440\u0455\u0442\u0445\u0443\u0456\u043a\u043c\u043d\u0432\u03bf\u03c1\u03c4\u03b1\u03bd",
    "iaceopstxyikmhboptan",
)
_SYMBOLS = str.maketrans({"\u2122": " ", "\u2120": " ", "\U0001f6d1": " stop "})
# Blanks that count as letters (Hangul fillers).
_FILLERS = "\u115f\u1160\u3164\uffa0"
_APOSTROPHES = "'\u2019\u2018\u02bc\u02bb\u00b4`"


def folded(text: str, limit: int) -> str:
    """Return the first `limit` characters without letter case, accents and invisible characters, in one width."""
    letters = unicodedata.normalize("NFKD", text[:limit].translate(_SYMBOLS)).casefold().translate(_ALIKE)
    return "".join(each for each in letters if not _is_mark(each))


def words_in(text: str) -> list[str]:
    """Return the words of a folded text: its letters and digits between all other characters but apostrophes."""
    kept = (each for each in text if each not in _APOSTROPHES)
    return "".join(each if each.isalnum() else " " for each in kept).split()


def plain(text: str, limit: int) -> str:
    """Return the words of the first `limit` characters of a text, with one space between them."""
    return " ".join(words_in(folded(text, limit)))


def _is_mark(character: str) -> bool:
    if character.isascii():
        return character < " " and not character.isspace()
    if character in _FILLERS:
        return True
    category = unicodedata.category(character)
    return category in {"Mn", "Me", "Cf"} or (category == "Cc" and not character.isspace())
