"""Numbers in requests are one number beyond doubt, or refused; evidence is never rewritten (kinds B1 and B5)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxone_messaging.domain.errors import Code
from cxone_messaging.domain.phone_numbers import InvalidPhoneNumberError, PhoneNumber, other_forms, readings
from functions.manage_consents import handler as consents_api
from functions.manage_consents.handler import ConsentBody
from tests.people import inputs


@inputs("b1_national_numbers")
def test_a_recipient_is_one_number_beyond_doubt_or_refused(entry):
    country = entry.get("country", "US")
    if entry["is"]:
        assert PhoneNumber.parse(entry["to"], country).e164 == entry["is"]
        return
    with pytest.raises(InvalidPhoneNumberError) as caught:
        PhoneNumber.parse(entry["to"], country)
    assert sorted(caught.value.meant) == sorted(entry.get("meant", caught.value.meant))
    for number in caught.value.meant:
        assert number in caught.value.hint
        assert PhoneNumber.parse(number, country).e164 == number


@inputs("b5_sources")
def test_a_source_is_kept_whole_or_refused(monkeypatch, entry):
    monkeypatch.setattr(consents_api, "default_country", lambda: "US")
    body = ConsentBody(status="opted_in", source=entry["text"])
    faults = [(each.code, each.field) for each in consents_api._faults(body, None)]
    assert faults == ([(Code.HOLDS_PHONE_NUMBER, "source")] if entry["holds"] else [])


NUMBERS = st.from_regex(r"\+(1|20|44|49|52|54|55|7|81|91|39|61)[0-9]{6,12}", fullmatch=True)
COUNTRIES = st.sampled_from(["US", "GB", "DE", "EG", "MX", "AR", "BR", "RU", "IT", "IN"])
MARKS = st.sampled_from(["", " ", "-", ".", "/", "(", ")", "\u00a0", "\u2011", "\u200e", "\u202a", "_"])


@given(NUMBERS, COUNTRIES)
def test_what_is_taken_is_its_own_one_form_and_read_as_itself(text, country):
    try:
        number = PhoneNumber.parse(text, country)
    except InvalidPhoneNumberError:
        return
    assert number.e164 == text
    assert readings(text, country) == [number]
    assert number not in other_forms(number)
    for form in other_forms(number):
        # No request sends to another form of a line that one can send to, or it is that line for replies as well.
        assert number in {*readings(form.e164, country), *other_forms(form)}


@given(NUMBERS, COUNTRIES, st.lists(MARKS, min_size=15, max_size=15))
def test_signs_between_digits_do_not_change_whom_a_reply_comes_from(text, country, marks):
    written = "+" + "".join(mark + digit for digit, mark in zip(text[1:], marks, strict=False))
    assert readings(written, country) == readings(text, country)


@given(st.from_regex(r"[1-9][0-9]{6,13}", fullmatch=True), COUNTRIES)
def test_without_a_plus_sign_no_request_picks_one_of_two_numbers(text, country):
    possible = readings(text, country)
    try:
        number = PhoneNumber.parse(text, country)
    except InvalidPhoneNumberError:
        return
    assert possible == [number]
    assert number.e164.endswith(text)
