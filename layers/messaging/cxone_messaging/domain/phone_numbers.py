"""Phone numbers: which texts are accepted, their one form, and how they are shown.

Requests are read strictly (`PhoneNumber.parse`). What a recipient's reply or a carrier names is read generously
(`readings`), because it may be an opt-out.
"""

import re
from dataclasses import dataclass
from typing import Self

from cxone_messaging.domain.plain_text import plain_text
from cxone_messaging.domain.written_numbers import mask_numbers_in, without_dates

__all__ = [
    "DEFAULT_COUNTRY",
    "InvalidPhoneNumberError",
    "PhoneNumber",
    "country_of",
    "holds_phone_number",
    "mask_numbers_in",
    "other_forms",
    "readings",
    "typed_readings",
]

# The country of a number without its calling code, where a deployment names no other.
DEFAULT_COUNTRY = "US"

# The rule of CXone's documents for a recipient; only ASCII digits, and (by fullmatch) no newline at the end.
_PATTERN = re.compile(r"\+?[1-9][0-9]{1,14}")
_SHOWN_DIGITS = 4
# A number as people write it: a plus sign, perhaps, and digits with no letter between them.
_WRITTEN = re.compile(r"(\+[^A-Za-z0-9+]*)?([0-9][^A-Za-z+]*)")
_FRACTION = re.compile(r"(?<=[0-9]{6})\.0+\s*$")
_NO_DIGIT = re.compile("[^0-9]")
# Longer texts are not numbers.
_MOST_CHARACTERS = 256
_MOST_DIGITS = 15
_DATE = re.compile(r"\b[0-3]?[0-9]([./-])[0-3]?[0-9]\1(?:19|20)[0-9]{2}\b")
_SIGNS_BETWEEN = re.compile(r"(?<=[0-9)])[\s.]+(?=[0-9(])")
_FEWEST_IN_GROUPS = 10
# A year and a running number, as orders and tickets have.
_YEAR_AND_NUMBER = re.compile(r"^(?:19|20)[0-9]{2}[-/.][0-9]{3,}$")
# A UUID, and a SHA-256, hold digits that mean nothing.
_HASHES = re.compile(r"\b(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{64})\b", re.IGNORECASE)
_FULL_DIGITS = re.compile(r"(?<![0-9])[1-9](?:[ ()./-]{0,2}[0-9]){10,14}(?![0-9])")
_THOUSANDS = re.compile(r"(?<![0-9,+])[0-9]{1,3}(?:,[0-9]{3})+(?![0-9,])")
# Signs that nobody writes in a number but to hide it.
_ODD_SIGNS = re.compile(r"(?<=[0-9)])[ ]?[,:;*#'=|&$!]{1,3}[ ]?(?=[0-9(])")
# 00 in the place of the plus sign; shorter ones are numbers of tickets.
_INTERNATIONAL = re.compile(r"(?<![0-9+])00[ ]?[1-9](?:[ ()./-]{0,2}[0-9]){9,13}(?![0-9])")
# The digits of Brazil's mobile numbers, before and since they have a ninth digit after the area.
_BRAZILIAN = range(10, 12)
# Until 2019 Mexico's mobile numbers had a 1 after the calling code when they were dialled from abroad.
_OLD_MEXICAN = re.compile(r"521([0-9]{10})")


class InvalidPhoneNumberError(ValueError):
    """A text is no phone number that a message can go to.

    The error's own text contains no part of it. `meant` are the numbers that the text probably means, in full: they are
    for the caller alone.
    """

    def __init__(self, reason: str, *, meant: tuple[str, ...] = ()) -> None:
        super().__init__(reason)
        self.meant = meant

    @property
    def hint(self) -> str:
        """The reason, and the numbers that were probably meant."""
        return f"{self}: write {' or '.join(self.meant)}" if self.meant else str(self)


@dataclass(frozen=True, slots=True, repr=False)
class PhoneNumber:
    """A phone number in its one form, `e164`: a plus sign and 2 to 15 digits. Made by `parse` and `readings`.

    `repr`, and so `str`, is masked; `e164` is the full number.
    """

    e164: str

    @classmethod
    def parse(cls, text: str, country: str = DEFAULT_COUNTRY) -> Self:
        """Return the number of a text: digits with or without a plus sign, and no other character.

        The text must match `^\\+?[1-9]\\d{1,14}$`, and libphonenumber must call the number possible in full. It must be
        libphonenumber's own E.164: one line has one form. Without a plus sign it may be a number of `country` (an ISO
        3166 code) instead, and must be plausible. Raises `InvalidPhoneNumberError`, also if two numbers are possible.
        """
        if not _PATTERN.fullmatch(text):
            raise InvalidPhoneNumberError(
                "a phone number is an optional plus sign and two to fifteen digits, the first not zero",
                meant=_meant(text, country),
            )
        digits = text.removeprefix("+")
        forms = [_canonical(f"+{digits}"), None if text.startswith("+") else _canonical(digits, country)]
        meant = tuple(dict.fromkeys(each for each in forms if each))
        if not meant:
            raise InvalidPhoneNumberError("no country has phone numbers of this calling code and length")
        if len(meant) > 1:
            raise InvalidPhoneNumberError("without a plus sign this may be either of two phone numbers", meant=meant)
        (e164,) = meant
        if not text.startswith("+") and not cls(e164).is_plausible:
            raise InvalidPhoneNumberError("no country has phone numbers of these first digits; write the plus sign")
        if e164 not in {f"+{digits}", f"+{_calling_code(country)}{text}"}:
            raise InvalidPhoneNumberError("this is another writing of a phone number", meant=meant)
        return cls(e164)

    @property
    def masked(self) -> str:
        """The number with only its last four digits shown, at most half of them: `+*******4567`."""
        digits = len(self.e164) - 1
        hidden = digits - min(_SHOWN_DIGITS, digits // 2)
        return "+" + "*" * hidden + self.e164[1 + hidden :]

    @property
    def is_canonical(self) -> bool:
        """Whether a message can go to this form: some forms of a line are only read."""
        return _canonical(self.e164) == self.e164

    @property
    def is_plausible(self) -> bool:
        """Whether libphonenumber's general pattern of the country matches, as for every number that is in use.

        A possible number only has the right length.
        """
        import phonenumbers  # noqa: PLC0415

        parsed = phonenumbers.parse(self.e164)
        region = phonenumbers.region_code_for_country_code(parsed.country_code or 0)
        metadata = phonenumbers.PhoneMetadata.metadata_for_region(region, None)
        pattern = metadata.general_desc.national_number_pattern if metadata and metadata.general_desc else None
        return not pattern or bool(re.fullmatch(pattern, phonenumbers.national_significant_number(parsed)))

    def __repr__(self) -> str:
        return f"PhoneNumber({self.masked})"


def readings(text: str, country: str = DEFAULT_COUNTRY) -> list[PhoneNumber]:
    """Return the numbers that a text as people write it may mean, the most likely first; none if it names no number.

    Blanks, brackets, invisible marks, digits of other scripts, `tel:`, and `00` in the place of the plus sign are
    read. Without a plus sign, the number of `country` comes first, then the international one.
    """
    # A number that a program took for a fraction: 14155550123.0
    found = _WRITTEN.search(_FRACTION.sub("", plain_text(text[:_MOST_CHARACTERS])[0]))
    if not found:
        return []
    digits = _NO_DIGIT.sub("", found[2])
    is_american = _calling_code(country) == 1
    prefix = next((each for each in ("00", "011") if digits.startswith(each) and (each == "00" or is_american)), "")
    if found[1] or prefix:
        forms = [_canonical("+" + digits.removeprefix(prefix))]
    else:
        forms = [_canonical(digits, country), _canonical("+" + digits)]
    return [PhoneNumber(each) for each in dict.fromkeys(forms) if each]


def country_of(text: str | None, otherwise: str) -> str:
    """Return the country of a number, or `otherwise`, as for a short code."""
    from phonenumbers import phonenumberutil  # noqa: PLC0415

    numbers = readings(text or "", otherwise)
    if len(numbers) != 1:
        return otherwise
    parsed = phonenumberutil.parse(numbers[0].e164)
    return phonenumberutil.region_code_for_number(parsed) or phonenumberutil.region_code_for_country_code(
        parsed.country_code or 0
    )


def other_forms(number: PhoneNumber) -> list[PhoneNumber]:
    """Return the other forms in which the same line may have a consent.

    They are those with a trunk prefix, which requests could use before; Mexico's old 1 and Argentina's 9 of mobile
    numbers; and Brazil's mobile numbers before their ninth digit.
    """
    import phonenumbers  # noqa: PLC0415

    parsed = phonenumbers.parse(number.e164)
    code, national = parsed.country_code or 0, phonenumbers.national_significant_number(parsed)
    region = phonenumbers.region_code_for_country_code(code)
    metadata = phonenumbers.PhoneMetadata.metadata_for_region(region, None)
    prefixes = {"0", (metadata.national_prefix if metadata else None) or "0"}
    forms = [
        form for form in (f"+{code}{each}{national}" for each in sorted(prefixes)) if _canonical(form) == number.e164
    ]
    match region:
        case "MX":
            forms.append(f"+521{national}")
        case "AR":
            forms.append(f"+54{national.removeprefix('9')}" if national.startswith("9") else f"+549{national}")
        case "BR" if len(national) in _BRAZILIAN:
            area, line = national[:2], national[2:]
            forms.append(f"+55{area}{line.removeprefix('9') if len(national) == max(_BRAZILIAN) else '9' + line}")
    return [PhoneNumber(each) for each in forms if len(each) <= 1 + _MOST_DIGITS and each != number.e164]


def holds_phone_number(text: str, country: str = DEFAULT_COUNTRY) -> bool:
    """Whether a text contains a phone number, as libphonenumber finds them; dates and ticket numbers are none.

    Found are a possible number after a plus sign or `00`, and a valid one of `country`. So are ten digits or more in
    groups that are no date, and digits that begin with the country's calling code: numbers of films are not valid. So
    is a valid number of any country, of eleven digits or more without a sign.
    """
    from phonenumbers import Leniency, PhoneNumberMatcher  # noqa: PLC0415

    text = _HASHES.sub(" ", text)
    undated = _DATE.sub(";", without_dates(plain_text(text)[0]))
    plain = _evenly_separated(undated)
    oddly_separated = _ODD_SIGNS.sub("-", _THOUSANDS.sub(";", undated))
    if any(
        not _YEAR_AND_NUMBER.fullmatch(each.raw_string)
        for written in (plain, oddly_separated)
        for each in PhoneNumberMatcher(written, country, Leniency.VALID)
    ):
        return True
    # As they are too: `=14` may be mail's writing of a character, and the begin of a number in a URL.
    if any(_is_number_in_full(each[0]) for written in (plain, text) for each in _FULL_DIGITS.finditer(written)):
        return True
    if any(_canonical("+" + _NO_DIGIT.sub("", each[0])[2:]) for each in _INTERNATIONAL.finditer(plain)):
        return True
    for found in PhoneNumberMatcher(plain, country, Leniency.POSSIBLE):
        digits = _NO_DIGIT.sub("", found.raw_string)
        is_grouped = len(digits) >= _FEWEST_IN_GROUPS and len(digits) < len(found.raw_string)
        is_full = len(digits) > _FEWEST_IN_GROUPS and digits.startswith(str(_calling_code(country)))
        is_other = any(each.search(found.raw_string) for each in (_DATE, _YEAR_AND_NUMBER))
        is_other = is_other or mask_numbers_in(found.raw_string) == found.raw_string
        if "+" in found.raw_string or ((is_grouped or is_full) and not is_other):
            return True
    return False


def _evenly_separated(plain: str) -> str:
    """Return a plain text as libphonenumber's matcher can read it: with one sign between digits.

    The matcher knows no underscores, and at most four signs in a row.
    """
    return _SIGNS_BETWEEN.sub(lambda signs: "." if "." in signs[0] else " ", plain.replace("_", " "))


def _is_number_in_full(digits: str) -> bool:
    """Whether digits are a valid number of a country that is no year's, as many are written without a plus sign."""
    from phonenumbers import phonenumberutil  # noqa: PLC0415

    try:
        return phonenumberutil.is_valid_number(phonenumberutil.parse("+" + digits))
    except phonenumberutil.NumberParseException:
        return False


def _meant(text: str, country: str) -> tuple[str, ...]:
    """Return what a text that is no number of a request probably means; nothing if it may hold several numbers."""
    plain = plain_text(text[:_MOST_CHARACTERS])[0].lower().strip().removeprefix("tel:")
    if re.search("[a-z,;/|\n]", plain) or len(text) > _MOST_CHARACTERS:
        return ()
    return tuple(each.e164 for each in typed_readings(text, country))


def typed_readings(text: str, country: str) -> list[PhoneNumber]:
    """Return the `readings` of a typed text, without one that no country has or that was hardly meant.

    Such is a number of another country, typed as it is at home: its first zero is no part of a number, and what looks
    like America's 011 may be the zero and the area of São Paulo.
    """
    plain, numbers = plain_text(text)[0], readings(text, country)
    digits = _NO_DIGIT.sub("", plain)
    if "+" in plain or len(numbers) != 1:
        return numbers
    is_area = digits.startswith("011") and _calling_code(country) == 1 and len(digits) < len("011") + _FEWEST_IN_GROUPS
    return [] if is_area or not numbers[0].is_plausible else numbers


def _canonical(text: str, country: str | None = None) -> str | None:
    """Return libphonenumber's E.164 of a number that is possible in full, or None."""
    # Imported at the first number: the import takes longer than the rest of the domain together, and not every function
    # that imports this module parses a number.
    from phonenumbers import phonenumberutil  # noqa: PLC0415

    try:
        number = phonenumberutil.parse(text, country)
    except phonenumberutil.NumberParseException:
        return None
    if phonenumberutil.is_possible_number_with_reason(number) == phonenumberutil.ValidationResult.IS_POSSIBLE:
        e164 = phonenumberutil.format_number(number, phonenumberutil.PhoneNumberFormat.E164)
        return e164 if len(e164) <= 1 + _MOST_DIGITS else None
    old = _OLD_MEXICAN.fullmatch(text.removeprefix("+"))
    return _canonical(f"+52{old[1]}") if old else None


def _calling_code(country: str) -> int:
    from phonenumbers import phonenumberutil  # noqa: PLC0415

    return phonenumberutil.country_code_for_region(country)
