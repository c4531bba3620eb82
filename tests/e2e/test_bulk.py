"""`POST /messages/bulk`, `GET /batches/{batchId}` and the bulk queue itself on the deployed stack."""

import json
import os
import time
from collections import Counter

import pytest
from requests import codes as http

from tests.e2e.conftest import CAMPAIGN, OPTED_IN

COUNT = 500 if os.environ.get("PROOF") == "1" else 60
MESSAGE = {"to": OPTED_IN, "text": "To many at once."}


def submit(client, body, key="bulk"):
    headers = {"Idempotency-Key": key} if key else None
    return client.call("POST", "/messages/bulk", body, headers)


def counts(client, batch_id):
    answer = client.call("GET", f"/batches/{batch_id}")
    assert answer.status_code == http.ok, answer.text
    told = answer.json()
    assert told["batchId"] == batch_id
    assert sum(told["counts"].values()) == told["total"], told
    return told["counts"]


def wait_for(seconds, ready):
    give_up_at = time.monotonic() + seconds
    while not (found := ready()):
        assert time.monotonic() < give_up_at, "it takes too long"
        time.sleep(0.3)
    return found


def taken_by_text(client):
    return Counter(message["text"] for message in client.taken())


@pytest.mark.usefixtures("opted_in")
class TestRefused:
    def test_a_batch_needs_a_key(self, client):
        answer = submit(client, {"messages": [MESSAGE]}, key=None)
        assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_required")

    @pytest.mark.parametrize(
        "body",
        [b"no json", b"[]", {}, {"messages": []}, {"messages": [MESSAGE] * 10_001}, {"messages": [{"unknown": 1}]}],
        ids=["no json", "no object", "no messages", "an empty batch", "more than 10,000", "an unknown field"],
    )
    def test_a_malformed_request(self, client, body):
        answer = submit(client, body, key="malformed")
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request")

    def test_more_than_five_megabytes(self, client):
        answer = submit(client, {"messages": [MESSAGE], "text": "a" * 5 * 1024 * 1024}, key="large")
        assert (answer.status_code, answer.json()["code"]) == (413, "request_too_large")

    def test_another_batch_under_the_same_key(self, client):
        assert submit(client, {"messages": [{"to": "?"}]}, key="reused").status_code == http.accepted
        answer = submit(client, {"messages": [{"to": "!"}]}, key="reused")
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")

    def test_an_unknown_batch(self, client):
        answer = client.call("GET", "/batches/bat_never")
        assert (answer.status_code, answer.json()["code"]) == (404, "batch_not_found")


@pytest.fixture(scope="module")
def submitted(client, opted_in):
    """Submit a batch whose last five messages are refused, each for a reason of its own."""
    client.opt_in("+12025550144", "opted_out")
    good = [{"to": opted_in, "text": f"Message {number} of many."} for number in range(COUNT - 1)]
    messages = [
        *good,
        {"to": opted_in, "reference": "a reference of its own"},
        {"to": "+12025550133"},
        {"to": "+12025550144"},
        {"to": "call me"},
        {"to": opted_in, "text": ""},
        {"to": opted_in, "reference": "a reference of its own"},
    ]
    body = {"messages": messages, "text": "What all have in common.", "campaignId": CAMPAIGN}
    return body, submit(client, body)


@pytest.mark.usefixtures("opted_in")
class TestBatch:
    def test_each_refused_message_is_listed_with_its_codes(self, submitted):
        _, answer = submitted
        assert answer.status_code == http.accepted, answer.text
        told = answer.json()
        assert told["accepted"] == COUNT
        assert {each["index"]: [error["code"] for error in each["errors"]] for each in told["rejected"]} == {
            COUNT: ["not_opted_in"],
            COUNT + 1: ["opted_out"],
            COUNT + 2: ["invalid_recipient"],
            COUNT + 3: ["text_required"],
            COUNT + 4: ["idempotency_key_reused"],
        }

    def test_it_ends_in_delivered_each_message_once_and_counts_add_up_all_the_way(self, client, submitted):
        batch_id = submitted[1].json()["batchId"]
        final = wait_for(120, lambda: (now := counts(client, batch_id)).get("delivered") == COUNT and now)
        assert final == {"delivered": COUNT}
        sent = taken_by_text(client)
        assert {sent[f"Message {number} of many."] for number in range(COUNT - 1)} == {1}
        assert sent["What all have in common."] == 1

    def test_the_same_request_again_queues_nothing(self, client, submitted):
        body, first = submitted
        before = len(client.taken())
        again = submit(client, body)
        assert (again.status_code, again.json()) == (first.status_code, first.json())
        assert again.headers["Idempotency-Replayed"] == "true"
        time.sleep(2)
        assert len(client.taken()) == before

    def test_a_single_send_with_a_messages_reference_is_a_replay(self, client, submitted):
        body = {"to": OPTED_IN, "text": "What all have in common.", "campaignId": CAMPAIGN}
        answer = client.send(body, key="a reference of its own")
        assert (answer.status_code, answer.headers.get("Idempotency-Replayed")) == (http.accepted, "true")
        message = client.settled(answer.json()["messageId"])
        assert (message["status"], message["auditVerified"]) == ("delivered", True)


@pytest.mark.usefixtures("opted_in")
def test_records_that_anybody_puts_on_the_queue_end_where_they_belong(client):
    """A good one twice, one without consent, and one that can't be read."""
    sqs, outputs = client.stack.client("sqs"), client.stack.outputs
    good = {"reference": "from elsewhere", "to": OPTED_IN, "text": "Straight on the queue.", "campaignId": CAMPAIGN}
    refused = {**good, "reference": "refused elsewhere", "to": "+12025550133"}
    malformed = json.dumps({**good, "reference": 5})
    for body in (json.dumps(good), malformed, json.dumps(refused), json.dumps(good)):
        sqs.send_message(QueueUrl=outputs["BulkQueueUrl"], MessageBody=body)

    def dead_letter():
        answer = sqs.receive_message(
            QueueUrl=outputs["BulkDeadLetterQueueUrl"], MessageAttributeNames=["All"], VisibilityTimeout=0
        )
        return next((each for each in answer.get("Messages", []) if each["Body"] == malformed), None)

    def rejected():
        return [item for item in client.ledger() if item["type"]["S"] == "rejected" and "not_opted_in" in str(item)]

    reason = wait_for(30, dead_letter)["MessageAttributes"]["reason"]["StringValue"]
    assert reason == "malformed_record"
    wait_for(30, lambda: taken_by_text(client)["Straight on the queue."])
    wait_for(30, rejected)
    time.sleep(3)
    assert taken_by_text(client)["Straight on the queue."] == 1
