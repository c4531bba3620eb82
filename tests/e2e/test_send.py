"""`POST /messages` and `GET /messages/{id}` on the deployed stack."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from requests import codes as http

from tests.e2e.conftest import CAMPAIGN, OPTED_IN, codes

GOOD = {"to": OPTED_IN, "text": "Your code is on its way.", "campaignId": CAMPAIGN}


@pytest.mark.usefixtures("opted_in")
class TestAccepted:
    def test_a_message_is_delivered_and_audited(self, client):
        told = client.send(GOOD)
        assert told.status_code == http.accepted, told.text
        answer = told.json()
        assert (answer["status"], answer["encoding"], answer["segments"]) == ("dispatched", "GSM-7", 1)
        assert answer["dispatchLatencyMs"] >= 0

        message = client.settled(answer["messageId"])
        assert message["status"] == "delivered"
        assert message["to"] == "+*******0111"
        assert message["campaignId"] == CAMPAIGN
        assert message["cxoneMessageId"] == answer["cxoneMessageId"]
        assert message["dispatchLatencyMs"] == answer["dispatchLatencyMs"]
        assert 0 < message["deliveryLatencyMs"] < 10_000
        assert message["auditVerified"] is True
        assert [entry["sequence"] for entry in message["audit"]] == list(range(1, len(message["audit"]) + 1))
        assert message["audit"][0]["type"] == "sending"

    def test_cxone_gets_what_was_asked_for(self, client):
        text = "“Grüße” 👋"
        answer = client.send({**GOOD, "text": text, "from": "24680"}).json()
        assert (answer["encoding"], answer["segments"]) == ("UCS-2", 1)
        taken = next(each for each in client.taken() if each["id"] == answer["cxoneMessageId"])
        assert (taken["to"], taken["from"], taken["text"]) == (OPTED_IN, "24680", text)
        assert taken["campaignId"] == CAMPAIGN

    def test_a_failed_delivery_says_why(self, client):
        client.opt_in("+12025550001")
        message = client.settled(client.send({**GOOD, "to": "+12025550001"}).json()["messageId"])
        assert (message["status"], message["error"]) == ("failed", "undelivered")

    def test_nobody_can_do_without_an_authorization(self, client):
        answer = client.call("POST", "/messages", GOOD, {"Authorization": None})
        assert answer.status_code in {http.unauthorized, http.forbidden}


@pytest.mark.usefixtures("opted_in")
class TestIdempotency:
    def test_the_same_request_is_replayed(self, client):
        first, again = (client.send(GOOD, "replay") for _ in range(2))
        assert first.status_code == again.status_code == http.accepted
        assert "Idempotency-Replayed" not in first.headers
        assert again.headers["Idempotency-Replayed"] == "true"
        assert again.json() == first.json()
        assert [each["id"] for each in client.taken()].count(first.json()["cxoneMessageId"]) == 1

    def test_another_request_under_the_same_key_is_refused(self, client):
        client.send(GOOD, "reuse")
        before = len(client.taken())
        answer = client.send({**GOOD, "text": "Something else."}, "reuse")
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
        assert len(client.taken()) == before

    def test_of_concurrent_requests_one_is_sent(self, client):
        body = {**GOOD, "text": "Only once, whoever asks."}
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: client.send(body, "race"), range(4)))
        assert {answer.status_code for answer in answers} <= {http.accepted, http.conflict}
        fresh = [a for a in answers if a.status_code == http.accepted and "Idempotency-Replayed" not in a.headers]
        assert len(fresh) == 1
        assert {a.json()["code"] for a in answers if a.status_code == http.conflict} <= {"in_progress"}
        assert len({a.json()["messageId"] for a in answers}) == 1
        assert [each["text"] for each in client.taken()].count(body["text"]) == 1


@pytest.fixture(scope="class")
def _nothing_comes_of_it(client, opted_in):
    """Whatever is refused reaches neither CXone nor, as a message, the ledger."""
    client.opt_in("+12025550122")
    client.opt_in("+12025550122", "opted_out")

    def traces():
        return len(client.taken()), sum(item["type"]["S"] == "sending" for item in client.ledger())

    before = traces()
    yield
    assert traces() == before


@pytest.mark.usefixtures("_nothing_comes_of_it")
class TestRefused:
    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({"to": "+12025550133"}, ["not_opted_in"]),
            ({"to": "+12025550122"}, ["opted_out"]),
            ({"to": "+1555"}, ["invalid_recipient"]),
            ({"to": "call me"}, ["invalid_recipient"]),
            ({"text": ""}, ["text_required"]),
            ({"campaignId": None}, ["campaign_required"]),
            ({"text": "a" * 1531}, ["too_many_segments"]),
            ({"text": "bell\x1b"}, ["invalid_characters"]),
            ({"to": "", "text": "", "campaignId": ""}, ["invalid_recipient", "campaign_required", "text_required"]),
        ],
    )
    def test_a_broken_rule(self, client, changes, expected):
        answer = client.send({**GOOD, **changes}, key=f"refused {expected}")
        assert answer.status_code == 422, answer.text
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert (answer.json()["code"], codes(answer)) == ("validation_failed", expected)

    @pytest.mark.parametrize("body", [b"no json", b"", b"[]", b'"text"', b'{"to": 1}', b'{"unknown": "field"}'])
    def test_a_malformed_request(self, client, body):
        answer = client.call("POST", "/messages", body)
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request")

    def test_a_large_body(self, client):
        answer = client.send({**GOOD, "text": "a" * 2_000_000})
        assert (answer.status_code, answer.json()["code"]) == (413, "request_too_large")

    def test_a_preview_tells_the_same(self, client):
        answer = client.call("POST", "/messages/preview", {"to": "+1555", "text": "€", "campaignId": CAMPAIGN})
        assert answer.status_code == http.ok
        told = answer.json()
        assert (told["valid"], codes(answer)) == (False, ["invalid_recipient"])
        assert (told["encoding"], told["segments"], told["units"]) == ("GSM-7", 1, 2)

    def test_an_unknown_message(self, client):
        answer = client.call("GET", "/messages/msg_never")
        assert (answer.status_code, answer.json()["code"]) == (404, "message_not_found")
