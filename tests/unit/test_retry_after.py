"""One reading of `Retry-After`: whatever an answer says, a wait is between nothing and a quarter of an hour."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxone_messaging.adapters.cxone.http import retry_after
from cxone_messaging.domain.schedule import MAX_HOLD_SECONDS
from tests.fakes import EPOCH, FakeClock

NOW = EPOCH
CLOCK = FakeClock()
IMF, RFC_850, ASCTIME = "%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"


def date(seconds, form=IMF):
    return time.strftime(form, time.gmtime(NOW + seconds))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("1", 1),
        (" 7 ", 7),
        ("1.5", 1.5),
        ("007", 7),
        ("899", 899),
        ("901", 900),
        ("9" * 400, 900),
        ("1, 7", 7),
        ("7,1", 7),
        (date(3), 3),
        (date(3, RFC_850), 3),
        (date(3, ASCTIME), 3),
        (date(0), 0),
        (date(-3), 0),
        (date(-10_000_000), 0),
        (date(86_400 * 400), 900),
        (f"{date(3)}, {date(8)}", 8),
        (f"{date(3, RFC_850)}, 9", 9),
        (f"soon, {date(3)}", 3),
    ],
)
def test_seconds_and_dates_are_read(text, seconds):
    assert retry_after({"Retry-After": text}, CLOCK) == seconds


@pytest.mark.parametrize(
    "text", ["", " ", "-5", "+5", "1e5", "nan", "inf", "0x10", "5 s", "٣", "soon", ",", "Sun, 06 Nov 1994 99:99:99 GMT"]
)
def test_nonsense_asks_for_nothing(text):
    assert retry_after({"Retry-After": text}, CLOCK) is None


def test_an_answer_without_the_header_asks_for_nothing():
    assert retry_after({}, CLOCK) is None


@pytest.mark.parametrize("skew", [-86_400, -600, -5, 0, 5, 600, 86_400])
@pytest.mark.parametrize("form", [IMF, RFC_850, ASCTIME])
def test_a_date_counts_from_the_answers_own_date(skew, form):
    assert retry_after({"Date": date(skew), "Retry-After": date(skew + 2, form)}, CLOCK) == 2


def test_a_date_counts_from_our_clock_where_the_answers_date_makes_no_sense():
    assert retry_after({"Date": "yesterday", "Retry-After": date(2)}, CLOCK) == 2


@given(text=st.text() | st.floats().map(str) | st.integers().map(str), sent_at=st.text())
def test_whatever_an_answer_says_the_wait_is_bounded(text, sent_at):
    wait = retry_after({"Retry-After": text, "Date": sent_at}, CLOCK)
    assert wait is None or 0 <= wait <= MAX_HOLD_SECONDS
