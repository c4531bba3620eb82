"""Phone numbers: which texts are accepted, their one form, and how they are shown."""

import re
from dataclasses import dataclass
from typing import Self

from cxone_messaging.domain.written_numbers import mask_numbers_in

__all__ = ["InvalidPhoneNumberError", "PhoneNumber", "mask_numbers_in"]

# The rule of CXone's documents for a recipient; only ASCII digits, and (by fullmatch) no newline at the end.
_PATTERN = re.compile(r"\+?[1-9][0-9]{1,14}")
_SHOWN_DIGITS = 4


class InvalidPhoneNumberError(ValueError):
    """A text is no phone number that a message can go to.

    The error's own text contains no part of it.
    """


@dataclass(frozen=True, slots=True, repr=False)
class PhoneNumber:
    """A phone number in its one form, `e164`: a plus sign and 2 to 15 digits. Made by `parse`.

    Digits are never rewritten. `+440...` passes, because libphonenumber ignores a trunk zero, but it stays a different
    number from the one without the zero. `repr`, and so `str`, is masked; `e164` is the full number.
    """

    e164: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the number of a text: digits with or without a plus sign, and no other character.

        The text must match `^\\+?[1-9]\\d{1,14}$`, and libphonenumber must call the number possible: a known country
        calling code and a length that exists there. Raises `InvalidPhoneNumberError`.
        """
        if not _PATTERN.fullmatch(text):
            raise InvalidPhoneNumberError(
                "a phone number is an optional plus sign and two to fifteen digits, the first not zero"
            )
        e164 = "+" + text.removeprefix("+")
        if not _is_possible(e164):
            raise InvalidPhoneNumberError("no country has phone numbers of this calling code and length")
        return cls(e164)

    @property
    def masked(self) -> str:
        """The number with only its last four digits shown, at most half of them: `+*******4567`."""
        digits = len(self.e164) - 1
        hidden = digits - min(_SHOWN_DIGITS, digits // 2)
        return "+" + "*" * hidden + self.e164[1 + hidden :]

    def __repr__(self) -> str:
        return f"PhoneNumber({self.masked})"


def _is_possible(e164: str) -> bool:
    # Imported at the first number: the import takes longer than the rest of the domain together, and not every function
    # that imports this module parses a number.
    from phonenumbers import phonenumberutil  # noqa: PLC0415

    return phonenumberutil.is_possible_number_string(e164, phonenumberutil.UNKNOWN_REGION)
