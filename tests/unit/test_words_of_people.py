"""What holds for every listed word, whatever its dress and its surroundings."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxone_messaging.domain import opt_out_words as data
from cxone_messaging.domain.keywords import Keyword, keyword_in, phrases
from cxone_messaging.domain.opt_out_wording import names_opt_out
from cxone_messaging.domain.refusals import means_opted_out
from functions.receive_webhook.handler import ReceiveWebhookSettings
from local import template

LISTED = sorted({**data.PLAIN, **data.OF_ORDERS_TOO})
CASES = [str.lower, str.upper, str.title, str.swapcase]
INVISIBLE = "\u200b\u200d\u00ad\u2060\ufeff\u180e\ufe0f\u034f\u3164\x00"
ACCENTS = "\u0301\u0302\u0327\u0308"
BLANKS = [" ", "  ", "\t", "\u00a0", "\u3000", "\u2009"]
AROUND = st.text(
    alphabet=" .!?,;:\"'()[]{}*#~_-\u201c\u201d\u00ab\u00bb\u2026\u00a1\u00bf\U0001f600\u2764\t\u00a0", max_size=6
)
# Lines of other people's making: no order is named, nothing is quoted, nothing is denied.
LINES = st.lists(
    st.sampled_from(["John Smith", "Sent from my iPhone", "I do not know you", "", "Hi!", "555"]), max_size=3
)


@st.composite
def dressed(draw):
    """Draw a listed word in any letter case, with marks, blanks and punctuation that are no part of it."""
    word = draw(st.sampled_from(CASES))(draw(st.sampled_from(LISTED)))
    letters = []
    for each in word:
        letters.append(draw(st.sampled_from(BLANKS)) if each == " " else each)
        if each.isalpha() and draw(st.integers(0, 9)) == 0:
            letters.append(draw(st.sampled_from(INVISIBLE + (ACCENTS if each.isascii() else ""))))
    return draw(AROUND) + "".join(letters) + draw(AROUND)


@given(dressed())
def test_case_accents_punctuation_blanks_and_invisible_marks_never_change_a_listed_word(text):
    assert keyword_in(text) is Keyword.OPT_OUT


@given(LINES, dressed(), LINES)
def test_a_listed_word_alone_on_a_line_is_an_opt_out(before, word, after):
    assert keyword_in("\n".join([*before, word, *after])) is Keyword.OPT_OUT


@given(st.sampled_from(sorted(data.PLAIN)), st.sampled_from(["my order is late", "cancel the appointment"]))
def test_an_unmistakable_word_on_a_line_counts_beside_an_order_too(word, order):
    assert keyword_in(f"{word}\n{order}") is Keyword.OPT_OUT


@given(st.sampled_from(sorted(data.OF_ORDERS_TOO)), st.sampled_from(["my order", "the appointment", "la cita"]))
def test_a_word_of_orders_beside_an_order_is_for_people(word, order):
    assert keyword_in(f"{word} {order}") is Keyword.OTHER
    assert keyword_in(f"{word}\n{order}") is Keyword.OTHER


@given(st.sampled_from(["Liked", "A aim\u00e9", "Le encant\u00f3", "\u00dcber"]), dressed())
def test_a_reaction_that_quotes_a_word_is_for_people(reaction, word):
    quoted = re.sub('["\u201c\u201d\u00ab\u00bb]', "", word)
    assert keyword_in(f"{reaction} \u201c{quoted}\u201d") is Keyword.OTHER
    assert keyword_in(f"{reaction} \u201cHello.\n{quoted}\nBye\u201d") is Keyword.OTHER


@given(st.text(max_size=300))
def test_a_text_is_read_the_same_twice_and_opting_in_takes_nothing_but_its_word(text):
    assert keyword_in(text) is keyword_in(text)
    if keyword_in(text) is Keyword.OPT_IN:
        assert keyword_in(text + "\nstop") is Keyword.OPT_OUT


@pytest.mark.parametrize("example", data.COUNTER_EXAMPLES)
def test_the_counter_examples_beside_the_words_are_for_people(example):
    assert keyword_in(example) is Keyword.OTHER


def test_each_word_has_a_source_and_is_of_one_kind():
    assert all(data.PLAIN.values())
    assert all(data.OF_ORDERS_TOO.values())
    assert data.PLAIN.keys().isdisjoint(data.OF_ORDERS_TOO)


UNITS = """
stop |a |stop sending |do not |\u201c|"|s t o p |aaa|stop your |not opted out |opted |on the our your |opt out list |
21610-|reply with the |text to opt |\n|. |unsub|\ufdfa|no mas |user a b c |a'
"""


@pytest.mark.parametrize("unit", UNITS[1:-1].split("|"))
def test_reading_takes_no_longer_for_an_endless_text(unit):
    text = (unit * 1_000_000)[:1_000_000]
    started = time.process_time()
    for read in (keyword_in, means_opted_out, names_opt_out):
        read(text)
    # A slow machine takes a tenth of this; time that is quadratic in the text that is read takes more.
    assert time.process_time() - started < 1


class TestExtraWords:
    def test_they_opt_out_like_the_listed_ones(self):
        extra = phrases(["Feierabend", "pas intéressé", " ", "!!"])
        for text in ("FEIERABEND!", "bitte feierabend", "Pas  interesse", "feierabend\nHans"):
            assert keyword_in(text) is Keyword.OTHER or text == "Pas  interesse"
            assert keyword_in(text, extra) is Keyword.OPT_OUT
        assert keyword_in("am Feierabend der Bestellung", extra) is Keyword.OTHER

    def test_they_do_not_take_opting_in_or_help_away(self):
        extra = phrases(["START", "unstop", "help", "Info"])
        assert keyword_in("start", extra) is Keyword.OPT_IN
        assert keyword_in("help", extra) is Keyword.HELP

    @pytest.mark.parametrize("value", ["FEIERABEND", "a,b", "pas interesse, fertig", "ВСЁ,退", "x" * 32])
    def test_the_template_and_the_function_take_words(self, value):
        assert takes(value)
        assert settings(value).extra_opt_out_words == value

    @pytest.mark.parametrize("value", [",", "a,", " a", "a,,b", "x" * 33, "a\nb", "<b>", ",".join("a" * 17)])
    def test_and_nothing_else(self, value):
        assert not takes(value)
        with pytest.raises(ValueError, match="words or phrases"):
            settings(value)


def takes(value):
    return re.fullmatch(template.load()["Parameters"]["ExtraOptOutWords"]["AllowedPattern"], value) is not None


def settings(value):
    others = dict.fromkeys(ReceiveWebhookSettings.variables(), "1") | {"DEFAULT_COUNTRY": "US"}
    return ReceiveWebhookSettings.from_environment(others | {"EXTRA_OPT_OUT_WORDS": value})
