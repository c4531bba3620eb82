"""A recipient's number in a file: read as people type it, and refused where it could be two numbers or none."""

import re

from cxone_messaging.domain.phone_numbers import InvalidPhoneNumberError, PhoneNumber
from cxone_messaging.domain.plain_text import is_visible, plain_text
from cxone_messaging.domain.typed_numbers import typed_number

INVALID, AMBIGUOUS, SPREADSHEET = "invalid_recipient", "ambiguous_recipient", "spreadsheet_number"

_SCIENTIFIC = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]*)? ?(?:e|[x*] ?10 ?\^?) ?[+-]?[0-9]+", re.IGNORECASE)
_DECIMAL = re.compile(r"\+?[0-9]{6,}[.,]0+")
_TEXT_CELL = re.compile(r"'|=\"(.*)\"")


class RecipientError(ValueError):
    """A cell is no one phone number: `code` names the reason, and the text says what to write instead."""

    def __init__(self, code: str, hint: str) -> None:
        super().__init__(hint)
        self.code = code


def recipient(cell: str, country: str) -> PhoneNumber:
    """Return the number of a cell, in a stack whose `DefaultCountry` is `country`. Raises `RecipientError`."""
    if not is_visible(cell):
        raise RecipientError(INVALID, "the cell is empty")
    written = _text_of(cell)
    plain = plain_text(written)[0].strip()
    if _SCIENTIFIC.fullmatch(plain) or _DECIMAL.fullmatch(plain):
        hint = "a spreadsheet saved this as a number: format the column as text, and enter the numbers again"
        raise RecipientError(SPREADSHEET, hint)
    try:
        return typed_number(written, country)
    except InvalidPhoneNumberError as error:
        raise RecipientError(AMBIGUOUS if error.meant else INVALID, error.hint) from None


def is_as_written(cell: str, number: PhoneNumber) -> bool:
    """Whether a cell has a number in the form of the API: its digits, with or without the plus sign."""
    return cell.removeprefix("+") == number.e164.removeprefix("+")


def _text_of(cell: str) -> str:
    """Return a cell without the signs by which a spreadsheet keeps it a text: `'+1…` and `="+1…"`."""
    found = _TEXT_CELL.match(cell.strip())
    if not found:
        return cell
    return cell.strip()[1:] if found[1] is None else found[1]
