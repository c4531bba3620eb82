"""Claim: a signature is good for what it was made for, and for nothing else.

The matrix is generated: every kind of proof, made under every key, is presented as every kind of proof, at both routes,
whole and mutated. What may be let in is told by the few lines of `may_enter`; all the rest must be refused, and leave
nothing behind.
"""

import base64
import hmac
import itertools
import json

import pytest

from cxone_messaging.domain.entries import Draft
from cxone_messaging.use_cases.journal import Journal
from tests.building import MESSAGE_ID, SUBJECT, sending
from tests.webhooks import CALLBACK, CALLBACK_PREVIOUS, CURRENT, EVENTS, PREVIOUS, SMS, Webhook

PEPPER, UNKNOWN = "99" * 32, "00" * 32
KEYS = {
    "callback": CALLBACK,
    "callback, previous": CALLBACK_PREVIOUS,
    "webhook": CURRENT,
    "webhook, previous": PREVIOUS,
    "pepper": PEPPER,
    "unknown": UNKNOWN,
}
PROOFS = ("url", "old url", "body", "timed body", "standard")
BODIES = {
    SMS: {"messageId": "cx-1", "status": "sent", "to": "+15551234567", "timestamp": "2026-11-22T14:14:00Z"},
    EVENTS: {"event": "message.inbound", "from": "+15551234567", "text": "HELP", "timestamp": "2026-11-22T14:14:00Z"},
}
MUTATIONS = {
    "whole": lambda text: text,
    "stripped": lambda text: "",
    "doubled": lambda text: text + text,
    "truncated": lambda text: text[:-1],
    "upper case": str.upper,
    "spaced": lambda text: f" {text}",
}
DAY = 86_400


def signed_text(proof, body, now):
    """Give the bytes that a proof of a body, or of our message's URL, is a signature of."""
    return {
        "url": f"callback-url:/webhooks/cxone/sms:{MESSAGE_ID}".encode(),
        "old url": MESSAGE_ID.encode(),
        "body": body,
        "timed body": f"{now}.".encode() + body,
        "standard": f"evt_1.{now}.".encode() + body,
    }[proof]


def digest(proof, secret, text):
    key = bytes.fromhex(secret) if proof == "standard" else secret.encode()
    return hmac.digest(key, text, "sha256")


def presented(proof, signature, mutate, now, reference=MESSAGE_ID):
    """Give the query and the headers that present 32 bytes as a proof of some kind."""
    if proof in {"url", "old url"}:
        return {"ref": reference, "sig": mutate(signature.hex())}, {}
    if proof == "standard":
        value = "v1," + mutate(base64.b64encode(signature).decode())
        return {}, {"webhook-id": "evt_1", "webhook-timestamp": str(now), "webhook-signature": value}
    headers = {"X-CXone-Signature": "sha256=" + mutate(signature.hex())}
    return {}, headers | ({"X-CXone-Timestamp": str(now)} if proof == "timed body" else {})


def may_enter(proof, key, made_for, shown_as, route):
    if proof != shown_as and {proof, shown_as} != {"url", "old url"}:  # both are shown in the same place
        return False
    if proof == "url":
        return route == SMS and key.startswith("callback")
    if proof == "old url":
        return route == SMS and key.startswith("webhook")
    return route == made_for and key.startswith("webhook")


@pytest.fixture
def webhook(monkeypatch):
    webhook = Webhook(monkeypatch)
    type_, data = sending()
    Journal(webhook.ledger, webhook.clock).append(SUBJECT, lambda _: Draft(type_, data))
    return webhook


def is_let_in(webhook, route, body, query, headers):
    before = len(webhook.ledger)
    status, _ = webhook.post(route, body, query=query, headers=headers)
    assert status in {200, 400, 401}
    assert status == 200 or len(webhook.ledger) == before, "what is refused leaves nothing behind"
    return status == 200


@pytest.mark.parametrize(("proof", "shown_as"), list(itertools.product(PROOFS, PROOFS)))
def test_a_signature_made_for_one_purpose_is_refused_for_every_other(webhook, proof, shown_as):
    now = int(webhook.clock.now())
    let_in = 0
    for (made_for, told), (key, secret), (mutation, mutate) in itertools.product(
        BODIES.items(), KEYS.items(), MUTATIONS.items()
    ):
        body = json.dumps(told).encode()
        text = signed_text(proof, body, now)
        signature = digest(proof, secret, text)
        for route, posted in itertools.product((SMS, EVENTS), (body, text)):
            query, headers = presented(shown_as, signature, mutate, now)
            # A URL is good for any body that is an event of its route; a signed body is good for itself.
            by_url = proof in {"url", "old url"}
            # Hex is the same in either case, base64 is not.
            is_whole = mutation == "whole" or (mutation == "upper case" and shown_as != "standard")
            expected = may_enter(proof, key, made_for, shown_as, route) and is_whole
            expected = expected and posted == body and (not by_url or made_for == SMS)
            where = (key, mutation, made_for, route, posted)
            assert is_let_in(webhook, route, posted, query, headers) == expected, where
            let_in += expected
    assert (let_in > 0) == (proof == shown_as or {proof, shown_as} == {"url", "old url"})


@pytest.mark.parametrize("proof", ["body", "timed body", "standard"])
@pytest.mark.parametrize("body", [b"{}", b'{"event":"ping"}', b'"msg_"', MESSAGE_ID.encode(), b"1795000000"])
def test_a_body_that_cxone_signed_is_no_callback_url(webhook, proof, body):
    """The finding: whatever text CXone signed was good as `ref`, with the body's signature as `sig`."""
    now = int(webhook.clock.now())
    told = json.dumps(BODIES[SMS]).encode()
    webhook.clock.advance(31 * DAY)
    for secret in KEYS.values():
        text = signed_text(proof, body, now)
        signature = digest(proof, secret, text)
        for reference in (text.decode(), body.decode(), MESSAGE_ID):
            query, _ = presented("url", signature, str, now, reference)
            assert not is_let_in(webhook, SMS, told, query, {}), reference


@pytest.mark.parametrize("route", BODIES)
@pytest.mark.parametrize("proof", ["body", "timed body", "standard"])
def test_a_body_that_is_signed_for_one_route_is_malformed_at_the_other(webhook, proof, route):
    now = int(webhook.clock.now())
    (other,) = {SMS, EVENTS} - {route}
    for told in (BODIES[route], {**BODIES[SMS], **BODIES[EVENTS]} if route == EVENTS else BODIES[route]):
        body = json.dumps(told).encode()
        query, headers = presented(proof, digest(proof, CURRENT, signed_text(proof, body, now)), str, now)
        before = len(webhook.ledger)
        assert webhook.post(other, body, query=query, headers=headers)[0] == 400
        assert len(webhook.ledger) == before


@pytest.mark.parametrize(
    ("proof", "key", "ages"),
    [
        ("url", "callback", {0: True, 301: True, 31 * DAY: True, 400 * DAY: True}),
        ("old url", "webhook", {0: True, 301: True, 30 * DAY: True, 30 * DAY + 1: False, -1: False}),
        ("body", "webhook", {0: True, 301: True, 400 * DAY: True}),
        ("timed body", "webhook", {0: True, 300: True, 301: False, -301: False}),
        ("standard", "webhook", {0: True, 300: True, 301: False, -301: False}),
    ],
)
def test_an_aged_signature_counts_as_long_as_it_is_meant_to(webhook, proof, key, ages):
    made_at = int(webhook.clock.now())
    body = json.dumps(BODIES[SMS]).encode()
    query, headers = presented(proof, digest(proof, KEYS[key], signed_text(proof, body, made_at)), str, made_at)
    for age, expected in ages.items():
        webhook.clock.time = made_at + age
        assert is_let_in(webhook, SMS, body, query, headers) == expected, age


@pytest.mark.parametrize("secret", [CALLBACK, CURRENT])
def test_one_key_for_both_purposes_would_still_not_mix_them_up(monkeypatch, secret):
    """What is signed names its purpose, so a deployment that gives both secrets one value is not open either."""
    webhook = Webhook(monkeypatch)
    for arn in webhook.secrets.secrets:
        webhook.secrets.secrets[arn] = json.dumps({"current": secret, "previous": ""})
    now = int(webhook.clock.now())
    for proof in ("body", "timed body", "standard"):
        for body in (json.dumps(BODIES[SMS]).encode(), MESSAGE_ID.encode()):
            signature = digest(proof, secret, signed_text(proof, body, now))
            query, _ = presented("url", signature, str, now)
            assert not is_let_in(webhook, SMS, json.dumps(BODIES[SMS]).encode(), query, {})
