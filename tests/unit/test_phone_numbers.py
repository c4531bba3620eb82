import re
import runpy
import sys
import traceback
from contextlib import suppress

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxone_messaging.domain import phone_numbers
from cxone_messaging.domain.phone_numbers import InvalidPhoneNumberError, PhoneNumber, readings


@pytest.mark.parametrize(
    ("text", "e164", "masked"),
    [
        ("+15551234567", "+15551234567", "+*******4567"),
        ("15551234567", "+15551234567", "+*******4567"),
        ("+447911123456", "+447911123456", "+********3456"),
        ("41791234567", "+41791234567", "+*******4567"),
        ("+390612345678", "+390612345678", "+********5678"),  # an Italian zero belongs to the number
        ("+491511234567890", "+491511234567890", "+***********7890"),  # 15 digits
        ("+80012345678", "+80012345678", "+*******5678"),
        ("+29081234", "+29081234", "+****1234"),
        # the shortest that libphonenumber calls possible; never more than half of the digits are shown
        ("+492212", "+492212", "+***212"),
        ("+4922123", "+4922123", "+****123"),
        ("+49221234", "+49221234", "+****1234"),
    ],
)
def test_a_number_is_read_in_its_many_spellings(text: str, e164: str, masked: str) -> None:
    number = PhoneNumber.parse(text)
    assert number.e164 == e164
    assert number.masked == masked
    assert repr(number) == str(number) == f"{number}" == f"PhoneNumber({masked})"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "+",
        "1",
        "+1",
        "0",
        "05551234567",
        "+05551234567",
        "005551234567",
        "++15551234567",
        "15551234567+",
        "1555123456789012",  # 16 digits
        "+1555123456789012",
        "+4915112345678901",  # 16 digits, which libphonenumber calls possible
        "+1" * 200,
        "9" * 10_000,
        "+15551234567\n",
        "15551234567\r\n",
        "\n+15551234567",
        " +15551234567",
        "+15551234567 ",
        "+1 555 123 4567",
        "+1-555-123-4567",
        "+1(555)1234567",
        "+1555CALLNOW",
        "tel:+15551234567",
        "+15551234567;ext=2",
        "+1555123456x7",
        "+15551234567\x00",
        "+1555123456\u0667",  # ARABIC-INDIC DIGIT SEVEN
        "+1555123456\uff17",  # FULLWIDTH DIGIT SEVEN
        "\uff0b15551234567",  # FULLWIDTH PLUS SIGN
        "+1555123456\u00b2",  # SUPERSCRIPT TWO
        "\u200e+15551234567",  # LEFT-TO-RIGHT MARK, as pasted from an address book
    ],
)
def test_what_is_written_otherwise_is_refused(text: str) -> None:
    with pytest.raises(InvalidPhoneNumberError, match="optional plus sign"):
        PhoneNumber.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "+1555123456",  # a digit short
        "+155512345678",  # a digit long
        "+999123456789",  # no such calling code
        "+210123456789",
        "+12",
        "+491",
        "+4179123456",
        "+44791112345678",
    ],
)
def test_what_libphonenumber_calls_impossible_is_refused(text: str) -> None:
    assert re.fullmatch(r"\+?[1-9][0-9]{1,14}", text)
    with pytest.raises(InvalidPhoneNumberError, match="calling code and length"):
        PhoneNumber.parse(text)


def test_an_example_of_every_region_is_accepted() -> None:
    for region in phonenumbers.SUPPORTED_REGIONS:
        example = phonenumbers.example_number(region)
        assert example is not None
        e164 = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
        assert PhoneNumber.parse(e164).e164 == e164
        assert readings(e164.removeprefix("+"), region)[-1].e164 == e164


def test_it_is_a_value() -> None:
    number = PhoneNumber.parse("+15551234567")
    assert number == PhoneNumber.parse("15551234567")
    assert hash(number) == hash(PhoneNumber.parse("15551234567"))
    assert number != PhoneNumber.parse("+15551234568")
    with pytest.raises(AttributeError):
        number.e164 = "+15551234568"  # type: ignore[misc]


def test_its_error_is_a_value_error_without_a_cause() -> None:
    with pytest.raises(InvalidPhoneNumberError) as refused:
        PhoneNumber.parse("+999123456789")
    assert isinstance(refused.value, ValueError)
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None


def test_libphonenumber_is_loaded_at_the_first_number_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "phonenumbers"]:
        monkeypatch.delitem(sys.modules, name)
    assert phone_numbers.__file__
    fresh = runpy.run_path(phone_numbers.__file__)
    with pytest.raises(ValueError, match="optional plus sign"):
        fresh["PhoneNumber"].parse("nonsense")
    assert not [name for name in sys.modules if name.startswith("phonenumbers")]


# Random digits are seldom a possible number; digits behind a known calling code often are.
calling_codes = st.sampled_from(sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE))
subscribers = st.integers(6, 11).flatmap(lambda length: st.text("0123456789", min_size=length, max_size=length))
digits = st.text("0123456789", max_size=17)
numbers = st.one_of(
    st.builds("{}{}{}".format, st.sampled_from(["", "+"]), calling_codes, subscribers),
    st.builds("{}{}".format, st.sampled_from(["", "+"]), digits),
    st.text(alphabet="0123456789+ \n\u0663\uff13", max_size=17),
    st.text(max_size=20),
)


@settings(max_examples=400, deadline=None)
@given(numbers)
def test_accepted_is_what_matches_and_is_possible_and_nothing_shows_its_digits(text: str) -> None:
    matches = re.match(r"^\+?[1-9]\d{1,14}\Z", text, re.ASCII) is not None
    digits, forms = text.removeprefix("+"), set()
    for written, country in [("+" + digits, None), *([] if text.startswith("+") else [(digits, "US")])]:
        with suppress(phonenumbers.NumberParseException):
            parsed = phonenumbers.parse(written, country)
            if phonenumbers.is_possible_number_with_reason(parsed) == 0:
                forms.add(phonenumbers.format_number(parsed, 0))
    meant = next(iter(forms)) if len(forms) == 1 else None
    possible = matches and meant in {"+" + digits, "+1" + text}
    if possible and not text.startswith("+"):
        possible = PhoneNumber(meant).is_plausible
    try:
        number = PhoneNumber.parse(text)
    except InvalidPhoneNumberError as refused:
        assert not possible
        said = "".join(traceback.format_exception_only(refused)) + repr(refused)
        assert not re.search(r"\d", said)
        # The error's own words have no digit, and a text may be some of them.
        assert text not in said or not re.search(r"\d", text)
        return
    assert possible
    assert number.e164 == meant
    assert PhoneNumber.parse(number.e164) == number
    plain = number.e164.removeprefix("+")
    shown = re.sub(r"\D", "", number.masked)
    assert len(number.masked) == len(number.e164)
    assert plain.endswith(shown)
    assert len(shown) <= 4
    assert 2 * len(shown) <= len(plain)
    for text_form in (repr(number), str(number), f"{number}", repr([number]), repr({"to": number})):
        assert re.sub(r"\D", "", text_form) == shown
