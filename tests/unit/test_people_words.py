"""Replies, refusals and wordings as people and carriers write them: the tables in `tests/people/`."""

import pytest

from cxone_messaging.domain.keywords import keyword_in
from cxone_messaging.domain.opt_out_wording import names_opt_out
from cxone_messaging.domain.refusals import is_refusal
from functions.receive_webhook.handler import DeliveryBody
from tests.people import table

SENDER = "24680"


def wrong(file, answer):
    """Return the entries of a table that are answered otherwise than they should be, each with the answer."""
    return [(found, entry) for entry in table(file) if (found := answer(entry)) != entry["expected"]]


def test_what_a_reply_asks_for():
    assert wrong("a6_replies", lambda entry: keyword_in(entry["input"])) == []


def test_which_events_are_a_refusal():
    def refuses(entry):
        told = {"status": entry.get("status", "failed"), "error": entry["input"]}
        event = DeliveryBody.model_validate(told).to_domain("id")
        return is_refusal(event.word, event.error)

    assert wrong("a7_refusals", refuses) == []


def test_which_wordings_say_how_to_opt_out():
    assert wrong("d_wording", lambda entry: names_opt_out(entry["input"], SENDER)) == []


@pytest.mark.parametrize("name", ["a6_replies", "a7_refusals", "d_wording"])
def test_each_entry_has_a_reason_and_a_source_and_no_input_is_there_twice(name):
    entries = table(name)
    assert all(each["reason"] and each["source"] for each in entries)
    asked = [(str(each["input"]), type(each["input"]), each.get("status")) for each in entries]
    assert len(set(asked)) == len(asked)
