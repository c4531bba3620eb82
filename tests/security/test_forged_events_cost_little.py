"""Claim: forged events cost next to no reads of Secrets Manager, and hide no rotation for longer than a minute."""

import json

import pytest

from cxone_messaging.domain.errors import StorageError
from cxone_messaging.domain.signatures import sign_reference
from tests.building import MESSAGE_ID
from tests.webhooks import ARN, CALLBACK_ARN, EVENTS, SMS, Webhook, callback, hex_of

TOLD = {"messageId": "cx-1", "status": "sent", "to": "", "timestamp": "2026-11-22T14:14:00Z"}
BODY = json.dumps(TOLD).encode()
FORGED = {"X-CXone-Signature": "sha256=" + "0" * 64}
NEW = "d2" * 32
TEN_MINUTES = 600.0


def forge(webhook, number):
    """Post one of the kinds of forged events."""
    match number % 3:
        case 0:
            answer = webhook.post(EVENTS, BODY, headers=FORGED)
        case 1:
            answer = webhook.post(SMS, BODY, query=callback(MESSAGE_ID, "00" * 32))
        case _:
            answer = webhook.post(SMS, BODY, query=callback(MESSAGE_ID, "00" * 32), headers=FORGED)
    assert answer[0] == 401


@pytest.fixture
def webhook(monkeypatch, log):
    return Webhook(monkeypatch)


def test_ten_thousand_in_ten_minutes_cost_about_a_dozen_reads_of_each_secret(webhook):
    reads = dict.fromkeys(webhook.secrets.secrets, 0)
    read = webhook.secrets.read

    def counted(arn):
        reads[arn] += 1
        return read(arn)

    webhook.secrets.read = counted
    for number in range(10_000):
        forge(webhook, number)
        webhook.clock.advance(TEN_MINUTES / 10_000)
    assert max(reads.values()) <= 13, reads
    assert len(webhook.ledger) == 0


def test_what_claims_no_signature_costs_none(webhook):
    for path, query in ((SMS, {}), (EVENTS, {}), (SMS, {"ref": "msg_1", "sig": "00"})):
        assert webhook.post(path, BODY, query=query)[0] == 401
    assert webhook.secrets.reads == 0


def rotate(webhook, arn):
    known = json.loads(webhook.secrets.secrets[arn])
    webhook.secrets.secrets[arn] = json.dumps({"current": NEW, "previous": known["current"]})


def post_good(webhook, arn):
    """Post a good event that is signed with the new secret."""
    if arn == CALLBACK_ARN:
        query = {"ref": MESSAGE_ID, "sig": sign_reference(NEW, MESSAGE_ID)}
        return webhook.post(SMS, BODY, query=query)[0]
    return webhook.post(SMS, BODY, headers={"X-CXone-Signature": f"sha256={hex_of(NEW, BODY)}"})[0]


@pytest.mark.parametrize("arn", [ARN, CALLBACK_ARN])
def test_after_a_rotation_the_first_good_event_is_let_in_at_once(webhook, arn):
    assert webhook.post(SMS, BODY, query=callback(MESSAGE_ID))[0] == 200
    assert webhook.event(TOLD, SMS)[0] == 200
    rotate(webhook, arn)
    webhook.clock.advance(1)
    assert post_good(webhook, arn) == 200


@pytest.mark.parametrize("arn", [ARN, CALLBACK_ARN])
@pytest.mark.parametrize("flood_seconds", [1, 31, 100, 550])
def test_even_in_a_flood_it_is_let_in_within_a_minute(webhook, arn, flood_seconds):
    for number in range(10 * flood_seconds):
        forge(webhook, number)
        webhook.clock.advance(0.1)
    rotate(webhook, arn)
    rotated_at = webhook.clock.now()
    while post_good(webhook, arn) != 200:
        webhook.clock.advance(0.5)
        forge(webhook, 2)
    assert webhook.clock.now() - rotated_at <= 60


@pytest.mark.parametrize("arn", [ARN, CALLBACK_ARN])
def test_the_runbooks_rotation_refuses_nothing_even_in_a_flood(webhook, arn):
    def post_known():
        if arn == CALLBACK_ARN:
            return webhook.post(SMS, BODY, query=callback(MESSAGE_ID))[0]
        return webhook.event(TOLD, SMS)[0]

    for number in range(100):
        forge(webhook, number)
    known = json.loads(webhook.secrets.secrets[arn])["current"]
    webhook.secrets.secrets[arn] = json.dumps({"current": known, "previous": NEW})
    for number in range(70):
        forge(webhook, number)
        assert post_known() == 200
        webhook.clock.advance(1)
    webhook.secrets.secrets[arn] = json.dumps({"current": NEW, "previous": known})
    for number in range(70):
        forge(webhook, number)
        assert post_known() == post_good(webhook, arn) == 200
        webhook.clock.advance(1)


def test_while_the_secrets_can_not_be_read_forged_events_cost_a_read_a_second(webhook):
    reads = []

    def broken(arn):
        reads.append(arn)
        raise StorageError("throttled")

    webhook.secrets.read = broken
    for _ in range(300):
        assert webhook.post(EVENTS, BODY, headers=FORGED)[0] == 500
        webhook.clock.advance(0.01)
    assert len(reads) <= 4
