from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxone_messaging.domain.times import format_time, milliseconds_between, parse_time

instants = st.datetimes(timezones=st.just(UTC)).map(
    lambda each: each.replace(microsecond=each.microsecond // 1000 * 1000)
)


@pytest.mark.parametrize(
    ("instant", "text"),
    [
        (datetime(2026, 11, 22, 13, 12, tzinfo=UTC), "2026-11-22T13:12:00.000Z"),
        (datetime(2026, 11, 22, 13, 12, 0, 7999, UTC), "2026-11-22T13:12:00.007Z"),
        (datetime(2026, 11, 22, 13, 12, 0, 999_999, UTC), "2026-11-22T13:12:00.999Z"),
        (datetime(2026, 11, 23, 1, 12, tzinfo=timezone(timedelta(hours=12))), "2026-11-22T13:12:00.000Z"),
        (datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00.000Z"),  # Go's zero time
        (datetime(999, 1, 1, tzinfo=UTC), "0999-01-01T00:00:00.000Z"),
    ],
)
def test_written_in_one_form(instant, text):
    assert format_time(instant) == text


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-22T13:12:00Z",
        "2026-11-22T13:12:00.0Z",
        "2026-11-22T13:12:00.000999999Z",
        "2026-11-22T13:12:00+00:00",
        "2026-11-22T13:12:00-00:00",
        "2026-11-22T18:42:00+05:30",
        "2026-11-21T23:12:00-14:00",
        "2026-11-22 13:12:00Z",
        "2026-11-22T13:12:00",  # without a zone: UTC
    ],
)
def test_an_instant_is_read_in_its_many_spellings(text):
    assert format_time(parse_time(text)) == "2026-11-22T13:12:00.000Z"


@pytest.mark.parametrize("text", ["2026-06-30T23:59:60Z", "2026-07-01t01:59:60+02:00", "2026-06-30 23:59:60.5z"])
def test_a_leap_second_is_the_second_before_it(text):
    assert format_time(parse_time(text)).startswith("2026-06-30T23:59:59.")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-06-30T23:59:61Z",
        "now",
        "1795000000",
        "2026-13-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-11-22T25:00:00Z",
        "2026-11-22T13:12:00+24:00",
        "2026-11-22T13:12:00Z\n",
        " 2026-11-22T13:12:00Z",
        "٢٠٢٦-11-22T13:12:00Z",
        "0001-01-01T00:00:00+01:00",  # before the calendar begins
        "9999-12-31T23:59:59-01:00",  # after it ends
        "\ud800",
        "2" * 10_000,
    ],
)
def test_what_is_no_instant_raises_value_error_and_nothing_else(text):
    with pytest.raises(ValueError):  # noqa: PT011
        parse_time(text)


@given(instants)
def test_reading_undoes_writing(instant):
    assert parse_time(format_time(instant)) == instant


@given(instants, instants)
def test_texts_sort_as_their_instants_do(one, other):
    assert (format_time(one) < format_time(other)) == (one < other)


@given(st.text(max_size=40))
def test_no_text_raises_anything_else(text):
    try:
        written = format_time(parse_time(text))
    except ValueError:
        return
    assert len(written) == 24


@pytest.mark.parametrize(
    ("start", "end", "milliseconds"),
    [
        ("2026-11-22T13:12:00.000Z", "2026-11-22T13:12:00.001Z", 1),
        ("2026-11-22T13:12:00.000Z", "2026-11-23T13:12:00.000Z", 86_400_000),
        ("2026-11-22T13:12:00.000Z", "2026-11-22T13:12:00.000Z", 0),
        ("2026-11-22T13:12:00.001Z", "2026-11-22T13:12:00.000Z", 0),  # clocks disagree
    ],
)
def test_milliseconds_are_counted_from_one_instant_to_another(start, end, milliseconds):
    assert milliseconds_between(start, end) == milliseconds
