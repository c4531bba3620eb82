"""Lists as people keep them: numbers, placeholders, values, headings (tests/people, kinds B2 to B4 and C)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.campaign.numbers import RecipientError, recipient
from cli.campaign.people import CampaignError, People, default_name
from cli.campaign.placeholders import MissingValueError, TextWithPlaceholders
from cxone_messaging.domain.errors import Code
from cxone_messaging.domain.phone_numbers import PhoneNumber, readings
from cxone_messaging.domain.sms import SmsRequest, SmsRules, check
from tests.people import inputs

COLUMNS = ("to", "name", "first name", "code")
ADA = {"to": "+14155550123", "name": "Ada", "first name": "Ada", "code": "7"}
RULES = SmsRules("campaign", "12345", 10)


@inputs("b2_cells")
def test_a_cell_is_read_as_people_type_it(entry):
    country = entry.get("country", "US")
    if entry["is"].startswith("+"):
        assert recipient(entry["cell"], country).e164 == entry["is"]
        return
    with pytest.raises(RecipientError) as caught:
        recipient(entry["cell"], country)
    assert caught.value.code == entry["is"]
    assert str(caught.value)


@inputs("b3_slips")
def test_another_programs_placeholder_is_a_slip(entry):
    if entry["is"] == "slip":
        with pytest.raises(CampaignError):
            TextWithPlaceholders(entry["text"], COLUMNS)
    else:
        assert TextWithPlaceholders(entry["text"], COLUMNS).filled(ADA) == entry["is"]


@inputs("b3_values")
def test_what_is_no_value_is_missing(entry):
    text = TextWithPlaceholders("Hi {name}", COLUMNS)
    if entry["is_missing"]:
        with pytest.raises(MissingValueError):
            text.filled(ADA | {"name": entry["value"]})
    else:
        assert text.filled(ADA | {"name": entry["value"]}) == f"Hi {entry['value']}"


@inputs("c_files")
def test_a_file_is_read_as_spreadsheets_save_it(tmp_path, entry):
    path = tmp_path / "people.csv"
    path.write_bytes(entry["text"].encode(entry.get("encoding", "utf-8")))
    if "error" in entry:
        with pytest.raises(CampaignError, match=entry["error"]):
            list(People(path, entry.get("to_column")).rows())
        return
    people = People(path, entry.get("to_column"))
    rows = [[row.values.get(people.to_column), row.values.get("name")] for row in people.rows()]
    assert rows == entry["rows"]


INVISIBLE = st.text(
    st.sampled_from("\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\u00ad\u3164\u2800\u115f \u00a0\t\u3000\u180e")
)


@given(INVISIBLE)
def test_what_holds_nothing_visible_is_no_text_and_no_value(text):
    codes = [error.code for error in check(SmsRequest("+14155550123", text), RULES).errors]
    assert codes in ([Code.TEXT_REQUIRED], [Code.INVALID_CHARACTERS])
    with pytest.raises(MissingValueError):
        TextWithPlaceholders("Hi {name}", COLUMNS).filled(ADA | {"name": text})


@given(
    st.sampled_from(["+14155550123", "+447700900123", "+4915112345678", "+819012345678", "+5511987654321"]),
    st.lists(st.sampled_from(["", "", " ", "-", ".", "\u00a0", "\u2011", "\u200e"]), min_size=14, max_size=14),
    st.sampled_from(["+", "00", "tel:+", "\u202a+", "'+"]),
)
def test_the_signs_of_a_number_do_not_change_it(e164, signs, prefix):
    written = prefix + "".join(digit + sign for digit, sign in zip(e164[1:], signs, strict=False))
    assert recipient(written, "US") == PhoneNumber(e164)
    assert readings(written, "US") == [PhoneNumber(e164)]


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("people.csv", "people"),
        ("people (1).csv", "people"),
        ("people(2).csv", "people"),
        ("people - Copy.csv", "people"),
        ("people - Copy (2).csv", "people"),
        ("Copy of people.csv", "people"),
        ("people - Kopie.csv", "people"),
        ("people copy 2.csv", "people"),
        ("people 2.csv", "people 2"),
        ("Q1 (2026).csv", "Q1 (2026)"),
        ("copyright.csv", "copyright"),
        ("(1).csv", "(1)"),
    ],
)
def test_a_copy_of_a_file_is_the_same_campaign(tmp_path, file, name):
    assert default_name(tmp_path / file) == name
