"""A phone number as a person types it into a list or a form: read as one number, or refused."""

import re
import unicodedata

from cxone_messaging.domain.phone_numbers import InvalidPhoneNumberError, PhoneNumber, typed_readings
from cxone_messaging.domain.plain_text import is_visible, plain_text

# One number and the signs that people write in it. Letters, commas and a second plus sign begin something else.
_NUMBER = re.compile(r"(?:tel:)?[ (]*\+?[ ()./-]*[0-9][0-9 ()./-]*", re.IGNORECASE)
_DATE = re.compile(
    r"(?:[0-3]?[0-9]([./-])[0-3]?[0-9]\1(?:19|20)[0-9]{2}|(?:19|20)[0-9]{2}([./-])[0-1]?[0-9]\2[0-3]?[0-9])"
)
# Japan's long-vowel sign is a letter, and is typed for a dash.
_DASHES = str.maketrans({"\u30fc": "-", "\uff70": "-"})


def typed_number(text: str, country: str) -> PhoneNumber:
    """Return the number of a text, in a deployment whose `DefaultCountry` is `country`.

    Blanks, brackets, dashes, dots, `00`, `tel:`, invisible marks and digits of other scripts are read. Raises
    `InvalidPhoneNumberError`: its `meant` are two numbers if the text may be either.
    """
    written = text.translate(_DASHES)
    plain = plain_text(written)[0].strip()
    if not _NUMBER.fullmatch(plain) or _DATE.fullmatch(plain) or _has_letters(written):
        raise InvalidPhoneNumberError("this is not one phone number")
    numbers = typed_readings(written, country)
    if not numbers:
        reason = f"no number of {country}, and none of another country after its plus sign and calling code"
        raise InvalidPhoneNumberError(reason)
    if len(numbers) > 1:
        meant = tuple(each.e164 for each in numbers)
        raise InvalidPhoneNumberError("without a plus sign this may be either of two phone numbers", meant=meant)
    return numbers[0]


def _has_letters(text: str) -> bool:
    letters = (each for each in text if unicodedata.category(each)[0] == "L" and is_visible(each))
    return "".join(letters).lower() not in {"", "tel"}
