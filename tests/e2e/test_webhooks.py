"""`POST /webhooks/cxone/sms` on the deployed stack: who is let in, and what comes of it."""

import json
import time

import pytest

from tests.e2e.conftest import CAMPAIGN, OPTED_IN

FUTURE = "2999-01-01T00:00:00Z"  # later than whatever the simulator says


@pytest.fixture(scope="module")
def message(client, opted_in):
    """Send a message and have it delivered."""
    answer = client.send({"to": OPTED_IN, "text": "Mind the events.", "campaignId": CAMPAIGN})
    return client.settled(answer.json()["messageId"])


def event(message, **changes):
    return {
        "messageId": message["cxoneMessageId"],
        "status": "sent",
        "to": OPTED_IN,
        "timestamp": FUTURE,
    } | changes


def url(client, message):
    """Give the query of the callback URL that CXone got for a message."""
    taken = next(each for each in client.taken() if each["id"] == message["cxoneMessageId"])
    assert taken["webhookUrl"].startswith(client.stack.api_url + "/webhooks/cxone/sms?ref=")
    return "?" + taken["webhookUrl"].partition("?")[2]


@pytest.fixture(scope="class")
def _nothing_is_stored(client, message):
    before = len(client.ledger())
    yield
    assert len(client.ledger()) == before


@pytest.mark.usefixtures("_nothing_is_stored")
class TestRefused:
    def test_an_unsigned_event(self, client, message):
        answer = client.post_event(event(message))
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_signature")

    def test_a_forged_url(self, client, message):
        answer = client.post_event(event(message), f"?ref={message['messageId']}&sig={'0' * 64}")
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_signature")

    def test_another_messages_url(self, client, message):
        signature = url(client, message).partition("sig=")[2]
        answer = client.post_event(event(message), f"?ref=msg_other&sig={signature}")
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_signature")

    def test_a_good_url_does_not_save_a_wrong_body_signature(self, client, message):
        headers = {"X-CXone-Signature": f"sha256={'0' * 64}"}
        answer = client.post_event(event(message), url(client, message), headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_signature")

    def test_an_old_signature(self, client, message):
        body, then = json.dumps(event(message)).encode(), str(int(time.time()) - 301)
        signature = client.stack.signature(then.encode() + b"." + body)
        headers = {"X-CXone-Signature": f"sha256={signature}", "X-CXone-Timestamp": then}
        assert client.post_event(body, headers=headers).status_code == 401

    @pytest.mark.parametrize("body", [b"", b"no json", b"{}", b"[]"])
    def test_a_signed_url_with_a_body_that_is_no_event(self, client, message, body):
        answer = client.post_event(body, url(client, message))
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request")

    def test_other_methods_are_not_routed(self, client):
        assert client.call("GET", "/webhooks/cxone/sms").status_code in {403, 404, 405}


class TestLetIn:
    def test_a_signed_url_and_once(self, client, message):
        told = event(message, status="Carrier-Handoff")
        answers = [client.post_event(told, url(client, message)) for _ in range(2)]
        assert [(each.status_code, each.json()["status"]) for each in answers] == [
            (200, "accepted"),
            (200, "duplicate"),
        ]
        now = client.message(message["messageId"])
        assert [entry["data"].get("status") for entry in now["audit"]].count("Carrier-Handoff") == 1
        assert (now["status"], now["auditVerified"]) == ("delivered", True)  # a word that isn't final moves nothing

    @pytest.mark.parametrize("timed", [False, True])
    def test_a_signed_body(self, client, message, timed):
        body = json.dumps(event(message, status=f"signed-{timed}")).encode()
        headers, signed = {}, body
        if timed:
            headers["X-CXone-Timestamp"] = str(int(time.time()))
            signed = headers["X-CXone-Timestamp"].encode() + b"." + body
        headers["X-CXone-Signature"] = f"sha256={client.stack.signature(signed)}"
        answer = client.post_event(body, headers=headers)
        assert (answer.status_code, answer.json()) == (200, {"status": "accepted"})
        assert client.message(message["messageId"])["audit"][-1]["data"]["status"] == f"signed-{timed}"

    def test_an_event_of_a_message_that_nobody_knows_is_kept(self, client, message):
        body = json.dumps(event(message, messageId="cx-unknown")).encode()
        headers = {"X-CXone-Signature": f"sha256={client.stack.signature(body)}"}
        assert client.post_event(body, headers=headers).json() == {"status": "accepted"}
        assert "delivery#cx-unknown" in {item["subject"]["S"] for item in client.ledger()}

    def test_the_later_of_two_final_words_counts_and_both_stay(self, client, message):
        told = event(message, status="undelivered", error="no such subscriber")
        assert client.post_event(told, url(client, message)).json() == {"status": "accepted"}
        now = client.message(message["messageId"])
        assert (now["status"], now["error"], now["auditVerified"]) == ("failed", "undelivered", True)
        assert {"delivered", "undelivered"} <= {entry["data"].get("word") for entry in now["audit"]}
