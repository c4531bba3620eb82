"""Claim: a callback URL that was signed before the change counts for its message alone, and for 30 days.

To be deleted with `use_cases/old_urls.py`.
"""

import hmac
import json

import pytest

from cxone_messaging.domain.entries import Draft, EntryType
from cxone_messaging.use_cases.journal import Journal
from tests.building import MESSAGE_ID, SUBJECT, outcome, sending
from tests.webhooks import ARN, CALLBACK, CALLBACK_PREVIOUS, CURRENT, PREVIOUS, SMS, Webhook

DAY = 86_400
TOLD = {"messageId": "cx-1", "status": "sent", "to": "+15551234567", "timestamp": "2026-11-22T14:14:00Z"}


def old_signature(reference, secret=CURRENT):
    return hmac.digest(secret.encode(), reference.encode("utf-8", "surrogatepass"), "sha256").hex()


@pytest.fixture
def webhook(monkeypatch):
    webhook = Webhook(monkeypatch)
    write(webhook, *sending())
    return webhook


def write(webhook, type_, data):
    Journal(webhook.ledger, webhook.clock).append(SUBJECT, lambda _: Draft(type_, data))


def is_let_in(webhook, reference=MESSAGE_ID, secret=CURRENT, told=TOLD):
    before = len(webhook.ledger)
    query = {"ref": reference, "sig": old_signature(reference, secret)}
    status, _ = webhook.post(SMS, json.dumps(told).encode(), query=query)
    assert status in {200, 401}
    assert status == 200 or len(webhook.ledger) == before
    return status == 200


@pytest.mark.parametrize(("secret", "counts"), [(CURRENT, True), (PREVIOUS, True), (CALLBACK, False), ("00", False)])
def test_it_is_signed_with_the_webhook_secret_current_or_previous(webhook, secret, counts):
    assert is_let_in(webhook, secret=secret) == counts


@pytest.mark.parametrize(
    ("age", "counts"), [(0, True), (29 * DAY, True), (30 * DAY, True), (30 * DAY + 0.001, False), (-0.001, False)]
)
def test_its_message_was_sent_within_30_days_and_not_ahead_of_now(webhook, age, counts):
    webhook.clock.time += age
    assert is_let_in(webhook) == counts


def test_the_last_try_counts(webhook):
    webhook.clock.advance(20 * DAY)
    write(webhook, *outcome(EntryType.RETRYING, "cxone_unavailable"))
    write(webhook, *sending())
    webhook.clock.advance(20 * DAY)
    assert is_let_in(webhook)


def test_a_message_that_was_never_sent_has_none(monkeypatch):
    webhook = Webhook(monkeypatch)
    assert not is_let_in(webhook)
    write(webhook, *outcome(EntryType.REJECTED, "opted_out"))
    assert not is_let_in(webhook)


@pytest.mark.parametrize(
    "reference", ["msg_1", MESSAGE_ID.upper(), MESSAGE_ID + "1", " " + MESSAGE_ID, "{}", "", "\ud800"]
)
def test_it_names_a_messages_id_and_nothing_else(webhook, reference):
    assert not is_let_in(webhook, reference)


def test_it_proves_no_more_than_a_new_one(webhook):
    told = TOLD | {"status": "failed", "error": "21610", "to": "+12025550199"}
    assert is_let_in(webhook, told=told)
    assert [subject for subject in webhook.ledger.subjects() if subject.startswith("consent#")] == [
        f"consent#{'f' * 64}"  # the message's own recipient
    ]


def test_a_secret_that_was_dropped_signs_none(webhook):
    webhook.secrets.secrets[ARN] = json.dumps({"current": "ee" * 32, "previous": ""})
    assert not is_let_in(webhook)


@pytest.mark.parametrize("secret", [CALLBACK_PREVIOUS, "00" * 32])
def test_one_that_is_forged_costs_no_read_of_the_ledger(webhook, monkeypatch, secret):
    monkeypatch.setattr(webhook.ledger, "read", lambda subject: pytest.fail("the ledger was read"))
    assert not is_let_in(webhook, secret=secret)
