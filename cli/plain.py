"""Foreign texts, made harmless for the places that show them: a terminal and a spreadsheet."""

import unicodedata

# Control characters with their terminal escapes, marks that turn or hide text, halves of pairs, unassigned characters.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def visible(text: str, *, lines: bool = False) -> str:
    """Return a text with its control characters written as escapes; with `lines`, line breaks stay."""
    return "".join(_written(each) if _is_hidden(each) and not (lines and each == "\n") else each for each in text)


def cell(text: str) -> str:
    """Return a text for a spreadsheet, with an apostrophe before it if it looks like a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _is_hidden(character: str) -> bool:
    return unicodedata.category(character) in _HIDDEN


def _written(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii") if not character.isascii() else f"\\x{ord(character):02x}"
