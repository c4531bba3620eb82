import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxone_messaging.domain.keywords import Keyword, keyword_in
from cxone_messaging.domain.refusals import means_opted_out

WORDS = "stop,stop all,stopall,unsubscribe,cancel,end,quit,revoke,opt out,opt-out,optout,remove,arret"


@pytest.mark.parametrize(
    "written",
    ["{}", " {} ", "{}.", "{}!", '"{}"', "{} please", "Please {}", "{}, thanks!", "{}\n", "{} 🛑", "\u200b{}"],
)
def test_every_opt_out_word_in_any_dress(written):
    replies = [written.format(case(word)) for case in (str.lower, str.upper, str.title) for word in WORDS.split(",")]
    assert [each for each in replies if keyword_in(each) is not Keyword.OPT_OUT] == []


@pytest.mark.parametrize(
    "text",
    [
        "STOP STOP STOP",
        "stop texting me",
        "Stop sending me these messages!!!",
        "I want to unsubscribe",
        "please unsubscribe me from your list",
        "STOP ALL messages",
        "stop-all",
        "remove me",
        "ARRÊT",
        "Arrêtez",
        "ＳＴＯＰ",  # noqa: RUF001  full width
        "S\u0301TOP",
        "\u200bstop",  # invisible
        "opt\u2011out",  # a hyphen that doesn't break
        "stop this now",
        "cancel it",
    ],
)
def test_what_carriers_and_the_fcc_would_take_for_an_opt_out(text):
    assert keyword_in(text) is Keyword.OPT_OUT


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "!!!",
        "Yes",
        "Don't stop",
        "do not stop",
        "Can you stop by at 5?",
        "stopwatch",
        "nonstop",
        "st op",
        "cancel my appointment",
        "Please cancel my order",
        "the weekend",
        "when does it end",
        "STOP START",
        "START now",
        "please start",
        "restart",
        "x" * 100_000,
    ],
)
def test_what_is_for_people_to_read(text):
    assert keyword_in(text) is Keyword.OTHER


@pytest.mark.parametrize("text", ["START", "start", " Start. ", "UNSTOP", "unstop!"])
def test_opting_in_takes_the_word_alone(text):
    assert keyword_in(text) is Keyword.OPT_IN


@pytest.mark.parametrize("text", ["HELP", "help!", "Info", "help me please"])
def test_words_for_help_neither_opt_in_nor_out(text):
    assert keyword_in(text) is Keyword.HELP


@given(st.one_of(st.text(), st.sampled_from(["start", "Unstop"])))
def test_any_text_is_some_keyword_and_opting_in_never_holds_more_than_its_word(text):
    if keyword_in(text) is Keyword.OPT_IN:
        assert keyword_in(text + " please") is Keyword.OTHER


@pytest.mark.parametrize(
    "error",
    [
        "21610",
        "Error 21610: Attempt to send to unsubscribed recipient",
        "40300",
        "4775 carrier rejected due to user opt out",
        "recipient has OPTED OUT",
        "opted-out",
        "OPTED_OUT",
        "opt_out",
        "Message cannot be sent, because the customer has replied with STOP",
        "unsubscribed",
    ],
)
def test_errors_that_mean_an_opt_out(error):
    assert means_opted_out(error)


@pytest.mark.parametrize(
    "error",
    [
        "",
        "30007",
        "no such subscriber",
        "blocked by a spam filter",
        "216100",
        "not opted in",
        "no opt-out wording",
        "stop",
    ],
)
def test_errors_that_do_not(error):
    assert not means_opted_out(error)
