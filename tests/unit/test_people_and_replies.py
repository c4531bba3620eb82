"""A STOP opts out its line, in whatever writing its number comes (tests/people, kinds A3 and A4)."""

from contextlib import suppress

import pytest

from cxone_messaging.domain.attention import Attention
from cxone_messaging.domain.consents import ConsentStatus
from cxone_messaging.domain.phone_numbers import InvalidPhoneNumberError, PhoneNumber
from cxone_messaging.use_cases.consents import ConsentFromApi
from tests.people import inputs
from tests.webhooks import Webhook

OURS = "+15550100000"


@pytest.fixture
def webhook(monkeypatch):
    return Webhook(monkeypatch)


def opted_in(webhook, number):
    webhook.manage.record(PhoneNumber(number), ConsentFromApi(ConsentStatus.OPTED_IN, "form", None))


def status(webhook, number):
    consent = webhook.consents.find(webhook.pseudonyms.recipient_hash(PhoneNumber(number)))
    return consent and consent.status


def stop(webhook, entry):
    told = {"event": "message.inbound", "id": "r-1", "from": entry["from"], "to": entry.get("to", OURS), "text": "STOP"}
    assert webhook.event(told) == (200, {"status": "accepted"})


@inputs("a3_writings")
def test_a_stop_from_another_writing_of_the_line_is_in_force_for_all(webhook, entry):
    for number in entry["consents"]:
        opted_in(webhook, number)
    stop(webhook, entry)
    assert [status(webhook, each) for each in entry["opts_out"]] == [ConsentStatus.OPTED_OUT] * len(entry["opts_out"])
    for each in entry.get("stays", []):
        assert status(webhook, each) is ConsentStatus.OPTED_IN
    # No request sends to a writing that is not opted out: the others are refused.
    for each in {*entry["consents"], *entry["opts_out"]} - set(entry.get("stays", [])):
        with suppress(InvalidPhoneNumberError):
            assert status(webhook, PhoneNumber.parse(each).e164) is ConsentStatus.OPTED_OUT


@inputs("a4_senders")
def test_a_replys_number_is_read_as_it_is_written(webhook, entry):
    for number in [*entry.get("known", []), *entry.get("stays", [])]:
        opted_in(webhook, number)
    stop(webhook, entry)
    if entry["opts_out"] is None:
        (subject,) = webhook.ledger.flagged(Attention.REVIEW, "2020", "2100")
        assert webhook.ledger.read(subject)[0].data["keyword"] == "opt_out"
    else:
        assert status(webhook, entry["opts_out"]) is ConsentStatus.OPTED_OUT
    for each in entry.get("stays", []):
        assert status(webhook, each) is ConsentStatus.OPTED_IN
