"""The rates of single senders, as a deployment writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxone_messaging.domain.sender_rates import LIMIT, SenderRates, canonical

DIGITS = "0123456789"
NUMBERS = st.text(DIGITS, min_size=9, max_size=15).map(lambda digits: "+" + digits)
SHORT_CODES = st.text(DIGITS, min_size=3, max_size=8)
SENDERS = NUMBERS | SHORT_CODES
PREFIXES = st.tuples(st.sampled_from(["", "+"]), st.text(DIGITS, max_size=8)).map("".join)
NAMES = SENDERS | PREFIXES.map(lambda prefix: prefix + "*")
RATES = st.integers(1, 999_999).map(lambda thousandths: thousandths / 1_000)
MAPS = st.dictionaries(NAMES, RATES, max_size=LIMIT)


def text_of(rates: dict[str, float]) -> str:
    return ", ".join(f"{name}={rate}" for name, rate in rates.items())


def test_a_blank_text_names_no_sender() -> None:
    assert SenderRates.parse(" ") == SenderRates()
    assert SenderRates.parse("").rate_of("+15550001111") is None


def test_a_senders_own_name_comes_before_a_pattern_and_a_longer_pattern_before_a_shorter_one() -> None:
    rates = SenderRates.parse("+1*=5,+1555*=4, +15550001111 = 2.5 ,12345=100")

    assert rates.rate_of("+12025550123") == ("+1*", 5)
    assert rates.rate_of("+15559998888") == ("+1555*", 4)
    assert rates.rate_of("+15550001111") == ("+15550001111", 2.5)
    assert rates.rate_of("12345") == ("12345", 100)
    assert rates.rate_of("+447700900123") is None
    assert rates.rate_of("123456") is None


def test_a_number_has_one_name_with_or_without_its_plus_sign_and_a_short_code_has_none() -> None:
    rates = SenderRates.parse("15550001111=2,+44*=3")

    assert rates.rate_of("+15550001111") == rates.rate_of(" 15550001111 ") == ("+15550001111", 2)
    assert rates.rate_of("447700900123") == ("+44*", 3)
    assert rates.rate_of("44770") is None


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("+1*", "entry 1 is not"),
        ("+1*=5,", "entry 2 is not"),
        ("=5", "entry 1 is not"),
        ("+=5", "entry 1 is not"),
        ("+1*2=5", "entry 1 is not"),
        ("**=5", "entry 1 is not"),
        ("+1 555=5", "entry 1 is not"),
        ("\u0661\u0662\u0663=5", "entry 1 is not"),
        ("12345=5,12346=0", "rate of entry 2"),
        ("12345=-1", "rate of entry 1"),
        ("12345=nan", "rate of entry 1"),
        ("12345=inf", "rate of entry 1"),
        ("12345=1e3", "rate of entry 1"),
        ("12345=5=6", "rate of entry 1"),
        ("12345=", "rate of entry 1"),
        ("12345=0.0000000001", "rate of entry 1"),
        ("12345=5,12345=6", "entry 2 names a sender"),
        ("+15550001111=5,15550001111=6", "entry 2 names a sender"),
        (",".join(f"{code}=1" for code in range(10_000, 10_001 + LIMIT)), "at most 50"),
    ],
)
def test_a_text_that_may_mean_something_else_is_refused(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        SenderRates.parse(text)


def test_the_error_quotes_no_number() -> None:
    with pytest.raises(ValueError, match="entry 1") as raised:
        SenderRates.parse("+15550001111=fast")

    assert "1555" not in str(raised.value)


@given(MAPS)
def test_what_is_written_is_read(rates: dict[str, float]) -> None:
    assert SenderRates.parse(text_of(rates)).by_name == rates


@given(MAPS, SENDERS)
def test_the_most_exact_name_sets_the_rate(rates: dict[str, float], sender: str) -> None:
    found = SenderRates.parse(text_of(rates)).rate_of(sender)

    fitting = [name for name in rates if name == sender or (name[-1] == "*" and sender.startswith(name[:-1]))]
    if not fitting:
        assert found is None
    else:
        best = sender if sender in fitting else max(fitting, key=len)
        assert found == (best, rates[best])


@given(MAPS, st.text())
def test_no_text_of_a_caller_breaks_the_search_or_finds_a_rate_that_is_not_there(
    rates: dict[str, float], sender: str
) -> None:
    found = SenderRates.parse(text_of(rates)).rate_of(sender)

    assert found is None or rates[found.name] == found.rate


@given(st.text())
def test_a_text_is_read_or_refused(text: str) -> None:
    try:
        rates = SenderRates.parse(text)
    except ValueError:
        return
    assert len(rates.by_name) <= LIMIT
    assert all(rate > 0 for rate in rates.by_name.values())


@given(st.text())
def test_a_name_has_one_form(sender: str) -> None:
    assert canonical(canonical(sender)) == canonical(sender)
