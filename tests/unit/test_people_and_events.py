"""No JSON value in a side field loses a signed event (tests/people, kind A5)."""

import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cxone_messaging.domain.attention import Attention
from cxone_messaging.domain.consents import ConsentStatus
from cxone_messaging.domain.messages import Message
from cxone_messaging.domain.phone_numbers import PhoneNumber
from tests.building import MESSAGE_ID, SUBJECT
from tests.people import inputs
from tests.webhooks import EVENTS, SMS, Webhook

LINE = PhoneNumber.parse("+14155550123")
STOP = {"event": "message.inbound", "from": LINE.e164, "text": "STOP"}


def inside(inner):
    return st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=300)
JSON = PLAIN | inside(PLAIN | inside(PLAIN))


@pytest.fixture
def webhook(monkeypatch):
    return Webhook(monkeypatch).has_sent(LINE)


def status(webhook):
    consent = webhook.consents.find(webhook.pseudonyms.recipient_hash(LINE))
    return consent and consent.status.value


@inputs("a5_events")
def test_only_what_an_entry_cannot_do_without_is_strict(webhook, entry):
    path = SMS if entry.get("route") == "sms" else EVENTS
    before = len(webhook.ledger)
    if entry.get("url"):
        code, _ = webhook.delivery(entry["event"], MESSAGE_ID)
    else:
        code, _ = webhook.event(entry["event"], path)
    match entry["is"]:
        case int(expected):
            assert (code, len(webhook.ledger)) == (expected, before)
        case "opted_out":
            assert (code, status(webhook)) == (200, ConsentStatus.OPTED_OUT)
        case "review":
            assert (code, status(webhook)) == (200, None)
            assert list(webhook.ledger.flagged(Attention.REVIEW, "2020", "2100"))
        case "recorded":
            assert (code, len(webhook.ledger)) == (200, before + 1)
            assert not list(webhook.ledger.flagged(Attention.REVIEW, "2020", "2100"))
        case message:
            assert (code, Message.of(webhook.ledger.read(SUBJECT)).status.value) == (200, message)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(["id", "timestamp", "to", "template_id", "status", "error", "more"]), JSON))
@example({"timestamp": 10**400})
@example({"id": -0.0, "timestamp": 1e308})
@example({"status": "delivered"})
def test_any_json_in_side_fields_of_a_stop_leaves_it_in_force(monkeypatch, sides):
    webhook = Webhook(monkeypatch)
    code, answer = webhook.post(EVENTS, body := json.dumps(STOP | sides).encode(), headers=webhook.signed(body))
    assert (code, answer, status(webhook)) == (200, {"status": "accepted"}, ConsentStatus.OPTED_OUT)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(["messageId", "timestamp", "to", "error", "id", "more"]), JSON))
def test_any_json_in_side_fields_of_a_delivery_event_leaves_it_recorded(monkeypatch, sides):
    webhook = Webhook(monkeypatch).has_sent(LINE)
    code, _ = webhook.delivery({"status": "delivered"} | sides, MESSAGE_ID)
    assert code == 200
    assert Message.of(webhook.ledger.read(SUBJECT)).status.value == "delivered"


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(["event", "id", "timestamp", "to", "from", "text", "template_id"]), JSON))
def test_any_signed_object_without_a_status_is_kept(monkeypatch, told):
    webhook = Webhook(monkeypatch)
    code, answer = webhook.post(EVENTS, body := json.dumps(told).encode(), headers=webhook.signed(body))
    assert (code, answer) == (200, {"status": "accepted"})
    assert len(webhook.ledger) > 0


def test_two_events_that_differ_in_fields_that_are_not_read_are_two(webhook):
    before = len(webhook.ledger)
    for number in ("+14155550123", "+14155550124", "+14155550124"):
        assert webhook.event({"event": "message.inbound", "data": {"sender": number, "content": "STOP"}})[0] == 200
    assert len(webhook.ledger) == before + 2
