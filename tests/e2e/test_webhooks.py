"""`POST /webhooks/cxone/*` on the deployed stack: who is let in, and what comes of it."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from urllib.parse import quote

import pytest
import requests

from tests.e2e.conftest import CAMPAIGN, OPTED_IN, codes

OTHER = "msg_" + "0" * 32
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
    assert taken["webhookUrl"].startswith(client.stack.outputs["WebhookUrl"] + "/webhooks/cxone/sms?ref=")
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
        answer = client.post_event(event(message), f"?ref={OTHER}&sig={signature}")
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

    def test_an_event_dated_far_ahead_does_not_outrank_what_comes_after_it(self, client, message):
        told = event(message, status="delivered", timestamp=now())
        assert client.post_event(told, url(client, message)).json() == {"status": "accepted"}
        assert client.message(message["messageId"])["status"] == "delivered"


class TestWhereCxonePosts:
    """The HTTP API that callback URLs lead to. That what is signed gets in there, each delivered message shows."""

    @pytest.mark.parametrize(
        ("path", "status"),
        [
            ("/webhooks/cxone/sms?ref=msg_11111111111111111111111111111111&sig=00", 401),
            ("/webhooks/cxone/events", 401),
            ("/messages", 404),
        ],
    )
    def test_it_lets_in_nobody_else_and_leads_nowhere_else(self, client, path, status):
        answer = requests.post(client.stack.outputs["WebhookUrl"] + path, json={}, timeout=30)
        assert answer.status_code == status

    def test_it_tells_one_message_from_another(self, client, message):
        signed = url(client, message)
        address = client.stack.outputs["WebhookUrl"] + "/webhooks/cxone/sms"
        told = event(message, status="posted-there")
        answers = [requests.post(address + signed, json=told, timeout=30) for _ in range(2)]
        assert [each.json() for each in answers] == [{"status": "accepted"}, {"status": "duplicate"}]
        doubled = requests.post(f"{address}{signed}&ref={OTHER}", json=told, timeout=30)
        assert (doubled.status_code, doubled.json()["code"]) == (401, "invalid_signature")


LEAVER = "+12025550177"


def now():
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def reply(client, text):
    """Have a recipient text us, as CXone tells of it."""
    told = {"event": "message.inbound", "from": LEAVER, "to": "+15550100000", "text": text, "timestamp": now()}
    return client.post_subscription(told)


def replies(client):
    """Give all that replies have left in the ledger, while delivery events still come in."""
    return [item for item in client.ledger() if item["type"]["S"] in {"consent", "inbound", "event"}]


class TestSubscriptionEvents:
    def test_a_stop_is_honoured_and_a_start_ends_it(self, client):
        client.opt_in(LEAVER)
        body = {"to": LEAVER, "text": "Mind your words.", "campaignId": CAMPAIGN}
        assert client.send(body).status_code == 202
        assert reply(client, "Stop, please!").json() == {"status": "accepted"}
        refused = client.send(body)
        assert (refused.status_code, codes(refused)) == (422, ["opted_out"])
        consent = client.call("GET", f"/consents/{quote(LEAVER, safe='')}").json()
        assert (consent["status"], consent["source"]) == ("opted_out", "message.inbound")
        assert reply(client, "START").json() == {"status": "accepted"}
        assert client.send(body).status_code == 202

    def test_one_that_is_forged_or_signed_by_its_url_only_is_refused_and_not_stored(self, client, message):
        before = replies(client)
        body = json.dumps({"event": "message.inbound", "from": LEAVER, "text": "STOP", "timestamp": now()}).encode()
        for query, headers in (("", {"X-CXone-Signature": f"sha256={'0' * 64}"}), (url(client, message), {}), ("", {})):
            answer = client.post_event(body, query, headers, path="/webhooks/cxone/events")
            assert (answer.status_code, answer.json()["code"]) == (401, "invalid_signature")
        assert replies(client) == before

    def test_news_of_a_template_is_kept_with_it(self, client):
        told = {"id": "evt_1", "event": "template.approved", "template_id": "tpl-events", "timestamp": now()}
        answers = [client.post_subscription(told).json()["status"] for _ in range(2)]
        assert answers == ["accepted", "duplicate"]
        (entry,) = [item for item in client.ledger() if item["subject"]["S"] == "template#tpl-events"]
        assert entry["type"]["S"] == "template_event"

    def test_an_event_of_the_wrong_shape_is_malformed(self, client):
        answer = client.post_subscription({"messageId": "cx-1", "status": "sent"})
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request")


def test_the_sweep_joins_an_event_to_a_message_that_appeared_after_it(client, opted_in):
    text = "Mind the gap."
    usual = client.stack.simulator("settings")
    client.stack.simulator("settings", {"delivery_steps": [], "latency_median_seconds": 5}, "PUT")
    try:
        with ThreadPoolExecutor() as pool:
            sending = pool.submit(client.send, {"to": opted_in, "text": text, "campaignId": CAMPAIGN})
            give_up_at = time.monotonic() + 10
            while not (taken := [each for each in client.taken() if each["text"] == text]):
                assert time.monotonic() < give_up_at
                time.sleep(0.02)
            told = {"messageId": taken[0]["id"], "status": "delivered", "to": opted_in, "timestamp": now()}
            body = json.dumps(told).encode()
            headers = {"X-CXone-Signature": f"sha256={client.stack.signature(body)}"}
            assert client.post_event(body, headers=headers).json() == {"status": "accepted"}
            message_id = sending.result().json()["messageId"]
    finally:
        client.stack.simulator("settings", usual, "PUT")
    assert client.sweep() == {"joined": 1, "unknown": 0}
    shown = client.message(message_id)
    assert (shown["status"], shown["auditVerified"]) == ("delivered", True)
    assert client.sweep() == {"joined": 0, "unknown": 0}
