"""A recipient's number in a file: read as people write it, and refused where it could be two numbers or none."""

import re
import unicodedata

from cxone_messaging.domain.phone_numbers import PhoneNumber, readings
from cxone_messaging.domain.plain_text import is_visible, plain_text

INVALID, AMBIGUOUS, SPREADSHEET = "invalid_recipient", "ambiguous_recipient", "spreadsheet_number"

# One number and the signs that people write in it. Letters, commas and a second plus sign begin something else.
_NUMBER = re.compile(r"(?:tel:)?[ (]*\+?[ ()./-]*[0-9][0-9 ()./-]*", re.IGNORECASE)
_SCIENTIFIC = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]*)? ?(?:e|[x*] ?10 ?\^?) ?[+-]?[0-9]+", re.IGNORECASE)
_DECIMAL = re.compile(r"\+?[0-9]{6,}[.,]0+")
_DATE = re.compile(
    r"(?:[0-3]?[0-9]([./-])[0-3]?[0-9]\1(?:19|20)[0-9]{2}|(?:19|20)[0-9]{2}([./-])[0-1]?[0-9]\2[0-3]?[0-9])"
)
# Japan's long-vowel sign is a letter, and is typed for a dash.
_DASHES = str.maketrans({"\u30fc": "-", "\uff70": "-"})
_TEXT_CELL = re.compile(r"'|=\"(.*)\"")


class RecipientError(ValueError):
    """A cell is no one phone number: `code` names the reason, and the text says what to write instead."""

    def __init__(self, code: str, hint: str) -> None:
        super().__init__(hint)
        self.code = code


def recipient(cell: str, country: str) -> PhoneNumber:
    """Return the number of a cell, in a stack whose `DefaultCountry` is `country`. Raises `RecipientError`.

    Blanks, brackets, dashes, dots, `00`, `tel:`, invisible marks and digits of other scripts are read.
    """
    if not is_visible(cell):
        raise RecipientError(INVALID, "the cell is empty")
    written = _text_of(cell).translate(_DASHES)
    plain = plain_text(written)[0].strip()
    if _SCIENTIFIC.fullmatch(plain) or _DECIMAL.fullmatch(plain):
        hint = "a spreadsheet saved this as a number: format the column as text, and enter the numbers again"
        raise RecipientError(SPREADSHEET, hint)
    if not _NUMBER.fullmatch(plain) or _DATE.fullmatch(plain) or _has_letters(written):
        raise RecipientError(INVALID, "the cell is not one phone number")
    numbers = readings(written, country)
    if not numbers:
        hint = f"no number of {country}, and none of another country after its plus sign and calling code"
        raise RecipientError(INVALID, hint)
    if len(numbers) > 1:
        meant = " or ".join(each.e164 for each in numbers)
        raise RecipientError(AMBIGUOUS, f"without a plus sign this may be either of two numbers: write {meant}")
    return numbers[0]


def is_as_written(cell: str, number: PhoneNumber) -> bool:
    """Whether a cell has a number in the form of the API: its digits, with or without the plus sign."""
    return cell.removeprefix("+") == number.e164.removeprefix("+")


def _text_of(cell: str) -> str:
    """Return a cell without the signs by which a spreadsheet keeps it a text: `'+1…` and `="+1…"`."""
    found = _TEXT_CELL.match(cell.strip())
    if not found:
        return cell
    return cell.strip()[1:] if found[1] is None else found[1]


def _has_letters(text: str) -> bool:
    letters = (each for each in text if unicodedata.category(each)[0] == "L" and is_visible(each))
    return "".join(letters).lower() not in {"", "tel"}
