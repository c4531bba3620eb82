"""Claim: no phone number is kept or logged, however its digits are written and whatever stands between them."""

import random
import re
import time
import timeit
import unicodedata
import urllib.parse
import uuid
from datetime import date

import phonenumbers
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cxone_messaging.domain.names import loggable, name_fault
from cxone_messaging.domain.phone_numbers import mask_numbers_in

# Ten digits of a kind each.
DIGITS = [
    "0123456789",
    "".join(map(chr, range(0xFF10, 0xFF1A))),  # full width
    "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079",  # superscript
    "".join(map(chr, range(0x2080, 0x208A))),  # subscript
    "".join(map(chr, range(0x0660, 0x066A))),  # Arabic-Indic
    "".join(map(chr, range(0x06F0, 0x06FA))),
    "".join(map(chr, range(0x0966, 0x0970))),  # Devanagari
    "".join(map(chr, range(0x1D7CE, 0x1D7D8))),  # mathematical, bold
    "\u24ea" + "".join(map(chr, range(0x2460, 0x2469))),  # in circles
    "\u24ff" + "".join(map(chr, range(0x2776, 0x277F))),  # in black circles
]
SEPARATORS = [
    *" \t\n\r\0\v\f_-./\\()[]{}<>#*~^=:;,!?|'\"`$&@%",
    *"\u00a0\u2002\u2007\u202f\u3000",  # spaces
    *"\u00ad\u2010\u2011\u2012\u2013\u2014\u2015\u2043\u207b\u2212\u2e3a\ufe58\ufe63\uff0d\u301c\u30fc\uff70\u0640",
    *"\u00b7\u2022\u2027\u2219\u22c5\u30fb\uff65\u3002\uff0e\u2024",  # dots
    *"\u200b\u200c\u200d\u2060\ufeff\u180e\u2063\u00ad\u034f\u115f\u3164\u2800\ufe0f\u20e3\u202e\u2066",  # hidden
    *"\u2044\u2215\uff0f\u29f8",  # slashes
    *("%20", "%2D", "%2d", "%09", "%E2%80%93", "%C2%B7", "%2520", "%252D", "%EF%BC%8D", "%2F", "%28"),
    *("\\u2013", "\\u00a0", "\\x20", "\\n", "\\t", "&nbsp;", "&#45;", "&#x2013;", "&ndash;"),
    *("&ThinSpace;", "&ZeroWidthSpace;", "&emsp13;", "&nbsp", "&amp;nbsp;", "&#x00000020;", "&lt;br&gt;", "%26nbsp%3B"),
    *(
        "\\f",
        "\\b",
        "\\v",
        "\\u{20}",
        "\\U00000020",
        "\\\\n",
        "=2E",
        "<br>",
        "</i>",
        "<!-- and -->",
        "\\u003cbr\\u003e",
    ),
    *"\ua78f\u01c0\U00013441\u00ba\u02e1\u04cf\u0436\u05d5\u4e36\u4e00",  # letters, many like dots and bars
    *(" - ", ") ", " / ", "\u200b\u200b\u200b\u200b\u200b", "--------", " . . "),
]
PLUS_SIGNS = ["+", "\uff0b", "\u207a", "\ufe62", "\u2795", "%2B", "%2b", "%252B", "&plus;", "&#43;", "\\u002b"]
LETTERS = ["", "tel", "call ", "to: ", "campaign_", "\u00e9t\u00e9"]


def in_percents(text):
    return "".join(f"%{byte:02X}" for byte in text.encode())


@st.composite
def written(draw, fewest=8, plus=None):
    """A number of E.164, and a writing of it."""
    number = draw(st.from_regex(rf"[1-9][0-9]{{{fewest - 1},14}}", fullmatch=True))
    kind = draw(st.sampled_from([*DIGITS, None]))
    one = draw(st.sampled_from(SEPARATORS))
    between = draw(st.sampled_from([st.just(""), st.just(one), st.sampled_from(["", *SEPARATORS])]))
    padding = draw(st.sampled_from(["", "0", "00", "0" * 6, "0" * 20]))
    text = ""
    for digit in padding + number:
        form = kind or draw(st.sampled_from(DIGITS))
        glyph = form[int(digit)]
        text += (in_percents(glyph) if draw(st.integers(0, 9)) == 0 else glyph) + draw(between)
    has_plus = draw(st.booleans()) if plus is None else plus
    sign = draw(st.sampled_from(PLUS_SIGNS)) + draw(between) if has_plus else ""
    # A date is no number, though +20 has numbers of eight digits in theory.
    assume(has_plus or not re.search(r"(19|20)\d\d([-_/.])\d\d\2\d\d", text))
    return number, draw(st.sampled_from(LETTERS)) + sign + text + draw(st.sampled_from(LETTERS))


def digits_of(text):
    """All digits that a person can read in a text."""
    decoded = text
    for _ in range(3):
        decoded = urllib.parse.unquote(decoded)
    values = (unicodedata.numeric(each, -1) for each in decoded)
    return "".join(str(int(each)) for each in values if each >= 0 and each.is_integer())


@given(written())
def test_no_writing_of_a_number_is_left_in_a_word_a_source_or_an_error(both):
    number, text = both
    masked = mask_numbers_in(text)
    assert "***" in masked
    assert number[:6] not in digits_of(masked)
    assert number[-6:] not in digits_of(masked)


@pytest.mark.parametrize("form", ["&#{};", "&#{}", "&#0{}", "&#x{:x};", "&#x{:x}", "&amp;#{}", "%{:x}", "={:x}"])
def test_no_encoding_of_each_digit_passes(form):
    text = "".join(form.format(ord(digit)) for digit in "12025550101")
    assert mask_numbers_in(text) == "***"
    assert name_fault(text)


@given(written(plus=True) | written(fewest=10))
def test_no_writing_of_a_number_is_a_name(both):
    _, text = both
    assert name_fault(text)


@given(written())
def test_no_writing_of_a_number_is_logged(both):
    _, text = both
    assert re.fullmatch("#[0-9a-f]{6}", loggable(text))


WRITINGS = [
    "+1_555_123_4567",
    "+1\u2013555\u2013123\u20134567",
    "+1%20555%20123%204567",
    "%2B15551234567",
    "1\u00b7555\u00b7123\u00b74567",
    "0000015551234567",
    "1/555/123/4567",
    "1\t555\t123\t4567",
    "1\u200b5\u200b5\u200b5\u200b1\u200b2\u200b3\u200b4\u200b5\u200b6\u200b7",
    "+1%555%123%4567",
    "00000000-0000-0000-0000-015551234567",
    "0" * 21 + "15551234567",
    "2026-11-26 15551234567",
    "+2026-11-26",
    "+2026-11-26 10:00:00",
    "+12025550-1010-0000-0000-000000000000",
    "tel:+12025550-1010-0000-0000-000000000000",
    "12025550-1010-0000-0000-000000000000",
    "12025550101000000000000000000000",
    "1&ThinSpace;202&ThinSpace;555&ThinSpace;0101",
    "+1&nbsp202&nbsp555&nbsp0101",
    "+1<b>202</b>555<i>0101",
    "+1202\\f555\\b0101",
    "\\ud835\\udfcf\\ud835\\udfd0\\ud835\\udfce 255 501 01",
    "1\ua78f202\ua78f555\ua78f0101",
    "1\u01c0202\u01c0555\u01c00101",
    "1\U00013441202\U00013441555\U000134410101",
    "\u4e8c\u3007\u4e8c\u4e94\u4e94\u4e94\u3007\u4e00\u3007\u4e00",
    "+431234",
    "+43 123",
    "1 2025-12-25 12",
    "2025-11-22 123",
    "2010-11-22 14:30",
    "2025-13-22 14:30",
]


@pytest.mark.parametrize("text", WRITINGS)
def test_a_writing_that_was_kept_is_kept_no_more(text):
    assert not re.search(r"\d{3}", mask_numbers_in(text))
    assert name_fault(text)
    assert loggable(text) != text


@pytest.mark.parametrize("text", ["9123-45-67T10:", "2025-01-01T12:00:00.120255501", "2025-01-01T12:02:55.50101Z"])
def test_no_number_is_logged_as_an_instant(text):
    assert re.fullmatch("#[0-9a-f]{6}", loggable(text))


DATES = st.dates(date(1900, 1, 1), date(2099, 12, 31))
PRECISIONS = ["minutes", "seconds", "milliseconds", "microseconds"]


@given(DATES, st.sampled_from("-_/."), st.times(), st.sampled_from(PRECISIONS))
def test_a_date_and_a_time_that_pass_are_a_number_of_no_country(day, separator, hour, precision):
    written = day.strftime(f"%Y{separator}%m{separator}%d")
    for text in (written, f"{written} {hour.isoformat(precision)}"):
        digits = re.sub(r"\D", "", text)
        if mask_numbers_in(text) == text and len(digits) <= 15:
            assert not phonenumbers.is_valid_number(phonenumbers.parse("+" + digits))


@given(DATES, st.sampled_from("-_/."), st.from_regex("[0-9]{3,7}", fullmatch=True))
def test_a_number_that_begins_with_a_date_passes_nowhere(day, separator, more):
    for text in (day.strftime(f"%Y{separator}%m{separator}%d ") + more, f"1 {day} {more[0]}", f"+{day} {more[:2]}"):
        assert "***" in mask_numbers_in(text)
        assert name_fault(text)


RANDOM = random.Random(12)


def of(alphabet, length):
    return "".join(RANDOM.choices(alphabet, k=length))


def ids():
    for _ in range(500):
        yield str(uuid.UUID(int=RANDOM.getrandbits(128)))
        yield f"msg_{RANDOM.getrandbits(128):032x}"
        yield f"bat_{RANDOM.getrandbits(128):032x}"
        yield "01" + of("0123456789ABCDEFGHJKMNPQRSTVWXYZ", 24)
        for length in (24, 40, 64):
            yield of("0123456789abcdef", length)


NAMES = [
    *("2026-11-26", "2026-11-26T10:00:00Z", "2026-11-26T10:00:00.123Z", "2026-11-26T10:00:00.123456+02:00"),
    *("2026-11-26 10:00:00", "2026-11-26 10:00:00.123456+02:00", "2026-11-26 10:00:00.123456 +0000"),
    *(
        "2026-11-26 10:00",
        "2026-11-22/2026-11-29",
        "2026-11-22..2026-11-29",
        "summer-2026-11-22-01",
        "sale_2026_11_22_14",
        "2026/11/22",
    ),
    *(
        "spring-2026-11",
        "spring-2026-11-26",
        "camp_123456",
        "cx-1",
        "a:b_c.d",
        "v1.2.3",
        "welcome",
        "24680",
        "10.0.0.1",
    ),
]


def test_ids_names_and_dates_pass_everywhere():
    for text in (*ids(), *NAMES):
        assert mask_numbers_in(text) == text
        assert name_fault(text) is None
        assert not {*"+ /"}.isdisjoint(text) or loggable(text) == text


def test_a_fraction_of_a_second_is_no_hiding_place():
    assert mask_numbers_in("2026-11-26T10:00:00.15551234567Z") == "2026-11-26T***Z"


def test_an_id_after_a_plus_sign_is_masked_as_a_number_is():
    assert mask_numbers_in("+12025550-101a-0000-0000-000000000000") == "+***a-0000-0000-000000000000"


def test_an_id_in_a_sentence_stays_beside_a_number_that_goes():
    id_ = "12345678-1234-4321-8765-123456789abc"
    assert (
        mask_numbers_in(f"{id_}: +1 555 123 4567, at 2026-11-26T10:00:00Z") == f"{id_}: +***, at 2026-11-26T10:00:00Z"
    )
    assert mask_numbers_in("+15551234567 (+1 555-123-4567)") == "+*** (+***)"


UNITS = ["+", "%", "1", "1-", "+1", "%25", "%2", "\u200b", "1\u0660", "-", "2026-11-26T", "2026-11-26 ", "\\", "&#1;"]
UNITS += ["&", "&amp;", "&#0", "<", "<a", "=20", "\\u", "\\\\u0020", "%26", "=", "0"]


@pytest.mark.parametrize("unit", UNITS)
def test_a_search_takes_linear_time(unit):
    def seconds(length):
        text = unit * (length // len(unit))
        # Without garbage collection, whose time depends on all that other tests have left.
        return min(timeit.repeat(lambda: mask_numbers_in(text), timer=time.process_time, number=1, repeat=3))

    # Sixteen times the text in far less than 256 times the time; what is too short to measure is fast enough.
    assert seconds(32_000) < 80 * max(seconds(2_000), 0.001)
