"""Replies, refusals and wordings as people and carriers write them: the tables in `tests/people/`."""

from pathlib import Path

import pytest
import yaml

from cxone_messaging.domain.keywords import keyword_in
from cxone_messaging.domain.opt_out_wording import names_opt_out
from cxone_messaging.domain.refusals import is_refusal
from functions.receive_webhook.handler import DeliveryBody

PEOPLE = Path(__file__).resolve().parent.parent / "people"
SENDER = "24680"


def table(name):
    entries = yaml.load((PEOPLE / name).read_text(), yaml.CSafeLoader)
    return [pytest.param(each, id=f"{number}-{str(each['input'])[:30]!a}") for number, each in enumerate(entries)]


@pytest.mark.parametrize("entry", table("a6_replies.yaml"))
def test_what_a_reply_asks_for(entry):
    assert keyword_in(entry["input"]) == entry["expected"], entry["reason"]


@pytest.mark.parametrize("entry", table("a7_refusals.yaml"))
def test_which_events_are_a_refusal(entry):
    told = {"status": entry.get("status", "failed"), "error": entry["input"]}
    event = DeliveryBody.model_validate(told).to_domain("id")
    assert is_refusal(event.word, event.error) is entry["expected"], entry["reason"]


@pytest.mark.parametrize("entry", table("d_wording.yaml"))
def test_which_wordings_say_how_to_opt_out(entry):
    assert names_opt_out(entry["input"], SENDER) is entry["expected"], entry["reason"]


@pytest.mark.parametrize("name", ["a6_replies.yaml", "a7_refusals.yaml", "d_wording.yaml"])
def test_each_entry_has_a_reason_and_a_source_and_no_input_is_there_twice(name):
    entries = yaml.load((PEOPLE / name).read_text(), yaml.CSafeLoader)
    assert all(each["reason"] and each["source"] for each in entries)
    asked = [(str(each["input"]), type(each["input"]), each.get("status")) for each in entries]
    assert len(set(asked)) == len(asked)
