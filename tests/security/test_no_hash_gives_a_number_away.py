"""Nothing that is kept without the pepper lets somebody find a number by trying its missing digits."""

import json
from hashlib import sha256

import pytest

from cxone_messaging.domain.consents import ConsentStatus
from cxone_messaging.domain.delivery import DeliveryEvent
from cxone_messaging.domain.phone_numbers import PhoneNumber
from tests.building import MESSAGE_ID, SUBJECT
from tests.webhooks import SMS, Webhook, callback

NUMBER = PhoneNumber.parse("+14155552671")


@pytest.fixture
def webhook(monkeypatch):
    return Webhook(monkeypatch).has_sent(NUMBER)


@pytest.mark.parametrize("field", ["status", "timestamp", "error"])
@pytest.mark.parametrize("text", ["{}", "to {} failed", "{}:"])
def test_an_events_identity_is_the_same_for_each_number_in_it(field, text):
    fields = {"cxone_message_id": "cx-1", "status": "failed", "to": "", "timestamp": "", "error": None}
    numbers = ("+14155552671", "+14155559999", "4155552671", "9995552671")
    plus, other, ten, another = (DeliveryEvent(**{**fields, field: text.format(each)}).identity for each in numbers)
    assert plus == other
    assert ten == another


def test_events_of_different_times_and_words_stay_different():
    times = ("2026-11-26T10:00:00Z", "2026-11-26T10:00:01Z", "1795687200", "1795687201", "")
    events = [DeliveryEvent("cx-1", word, "", time) for word in ("sent", "failed") for time in times]
    assert len({each.identity for each in events}) == len(events)


@pytest.mark.parametrize("value", [["+14155552671"], {"a": 14155552671}, "+14155552671 ü"])
def test_what_is_in_the_place_of_an_id_is_neither_logged_nor_kept(webhook, capsys, value):
    body = {"messageId": value, "status": "sent"}
    assert webhook.post(SMS, json.dumps(body).encode(), query=callback(MESSAGE_ID))[0] == 200
    kept = json.dumps(
        [each.attributes() for subject in webhook.ledger.subjects() for each in webhook.ledger.read(subject)]
    )
    for hidden in (sha256(json.dumps(value).encode()).hexdigest(), "4155552671"):
        assert hidden not in kept + capsys.readouterr().out


@pytest.mark.parametrize("time", ["4155552671", 4155552671, "415555267100", 9995552671.5])
def test_a_number_in_the_place_of_a_time_is_not_kept(webhook, time):
    webhook.delivery({"messageId": "cx-1", "status": "sent", "timestamp": time})
    (*_, entry) = webhook.ledger.read(SUBJECT)
    assert "told" not in entry.data


def test_a_signed_refusal_of_another_message_is_one_of_the_urls_refusals(webhook):
    for number in range(30):
        told = {"messageId": f"cx-{number + 7}", "status": "failed", "to": "+12025550142", "error": "opted out"}
        body = json.dumps(told | {"timestamp": f"2026-11-22T10:00:{number:02}Z"}).encode()
        webhook.post(SMS, body, query=callback(MESSAGE_ID), headers=webhook.signed(body))
    chain = webhook.ledger.read(f"consent#{webhook.pseudonyms.recipient_hash(NUMBER)}")
    deliveries = [each for each in webhook.ledger.read(SUBJECT) if each.type == "delivery"]
    assert len(chain) <= len(deliveries) + 1
    assert chain[-1].data["status"] == ConsentStatus.OPTED_OUT
