"""Whatever is thrown at the webhook: 200 and an entry for what CXone signed, a 4xx and nothing for the rest.

`make fuzz` throws 50,000 requests, `make test` a tenth. Good requests of every scheme are mutated, a byte or a header
at a time, or made up altogether; whether what comes out is still signed is told by an oracle that shares no code with
the function.
"""

import base64
import hmac
import json
import logging
import os
import random
from hashlib import sha256

import pytest

from cxone_messaging.platform.telemetry import service
from functions.receive_webhook import handler as function
from tests.webhooks import CALLBACK, CALLBACK_PREVIOUS, CURRENT, EVENTS, PREVIOUS, SMS, Context, Webhook, proxy_event

REQUESTS = int(os.environ.get("FUZZ", "5000"))
NUMBER = "+15551234567"
LIMIT = 64 * 1024
TEXTS = ["STOP", "start", "HELP", "ça va? 🍣", "\0", "\ud800", "x" * 500]
ODD = [
    "",
    " ",
    "\0",
    "null",
    "1e9",
    "१७९५",
    "²",
    "é" * 64,
    "\ud800",
    "0" * 600,
    "a" * 70_000,
    "%00",
    "'; --",
    "\r\n",
    "-1",
]
STATUSES = ["delivered", "SENT", "failed", "carrier handoff", "", "x" * 65, NUMBER, "|", "ΐ" * 64]


class Fuzzer:
    """Makes requests, each with whether it may be let in."""

    def __init__(self, rng, now):
        self.rng = rng
        self.now = now

    def request(self):
        rng = self.rng
        path = rng.choice([SMS, EVENTS])
        body = self.body(path)
        query, headers = self.proofs(path, body)
        for _ in range(rng.choice([0, 0, 1, 1, 2, 4])):
            body, query, headers = rng.choice([self.change_body, self.change_query, self.change_headers])(
                body, query, headers
            )
        is_base64 = rng.random() < 0.3 or not is_text(body)
        text = base64.b64encode(body).decode() if is_base64 else body.decode("utf-8", "surrogatepass")
        if is_base64 and rng.random() < 0.05:
            text, body = text[:-1] + rng.choice(["é", "*", "\n"]), None
        if rng.random() < 0.02:
            query = headers = None
        event = proxy_event(path, text or None, query, headers, is_base64=is_base64)
        return event, body is not None and len(body) <= LIMIT and self.may_enter(path, body, query or {}, headers or {})

    def body(self, path):
        rng = self.rng
        time = rng.choice(["2026-11-18T11:06:40Z", "2026-11-18T11:06:41.5", "2999-01-01T00:00:00Z", rng.choice(ODD)])
        if path == SMS:
            told = {
                "messageId": rng.choice(["cx-1", "cx-2", rng.choice(ODD)]),
                "status": rng.choice(STATUSES),
                "to": rng.choice([NUMBER, "nobody"]),
                "timestamp": time,
                "error": rng.choice([None, "30007", "21610", rng.choice(ODD)]),
            }
        else:
            told = {
                "id": rng.choice(["evt_1", 7, None, [], rng.random()]),
                "event": rng.choice(["message.inbound", "template.approved", "a2p.registered", "other", *ODD[:6]]),
                "from": rng.choice([NUMBER, "24680", rng.choice(ODD)]),
                "text": rng.choice(TEXTS),
                "template_id": rng.choice(["t", "t2", rng.choice(ODD)]),
                "timestamp": time,
            }
        if rng.random() < 0.1:
            told.pop(rng.choice(list(told)))
        if rng.random() < 0.1:
            told[rng.choice(list(told))] = rng.choice([None, 5, 1.5, True, [], {}, [[]] * 50, 10**400])
        odd = [b"", b"null", b"[]", b"[" * 5000, b'{"a":' * 3000, b"\xff\xfe{", b"9" * 5000, rng.randbytes(30)]
        return (
            rng.choice(odd) if rng.random() < 0.05 else json.dumps(told).encode(rng.choice(["utf-8"] * 9 + ["utf-16"]))
        )

    def proofs(self, path, body):
        """Sign a body, or a URL, in one scheme or in several, by a secret that counts or by one that doesn't."""
        rng = self.rng
        query, headers = {}, {"Content-Type": "application/json"}
        secret = rng.choice([CURRENT, CURRENT, PREVIOUS, "ab" * 32])
        timestamp = str(self.now + rng.choice([0, 0, 0, 299, -299, 301, -301]))
        scheme = rng.choice(["url", "body", "timed", "standard", "none", "both"])
        if scheme == "url" or (path == SMS and rng.random() < 0.2):
            query = {"ref": rng.choice(["msg_" + "1" * 32, "msg_" + "2" * 32])}
            key = rng.choice([CALLBACK, CALLBACK, CALLBACK_PREVIOUS, "ab" * 32, CURRENT])
            query["sig"] = hex_of(key, b"callback-url:/webhooks/cxone/sms:" + query["ref"].encode())
        if scheme in {"body", "both"}:
            headers["X-CXone-Signature"] = "sha256=" + hex_of(secret, body)
        if scheme == "timed":
            headers["x-cxone-timestamp"] = timestamp
            headers["x-cxone-signature"] = "sha256=" + hex_of(secret, timestamp.encode() + b"." + body)
        if scheme in {"standard", "both"}:
            signed = b"evt_1." + timestamp.encode() + b"." + body
            good = base64.b64encode(hmac.digest(bytes.fromhex(secret), signed, sha256)).decode()
            signatures = [f"v1,{good}", *["v1,AAAA", "v1a,AAAA", "x"][: rng.randrange(4)]]
            rng.shuffle(signatures)
            headers |= {
                "Webhook-Id": "evt_1",
                "webhook-timestamp": timestamp,
                "WEBHOOK-SIGNATURE": " ".join(signatures),
            }
        return query, headers

    def change_body(self, body, query, headers):
        rng, at = self.rng, self.rng.randrange(len(body) + 1)
        changed = rng.choice(
            [
                body[:at] + rng.randbytes(1) + body[at + 1 :],
                body[:at] + body[at + 1 :],
                body[:at] + rng.randbytes(3) + body[at:],
                body + b" " * rng.choice([1, LIMIT - len(body), LIMIT + 1]),
                b"\xef\xbb\xbf" + body,
            ]
        )
        return changed, query, headers

    def change_query(self, body, query, headers):
        return body, self.change(query, ["ref", "sig"]), headers

    def change_headers(self, body, query, headers):
        names = ["x-cxone-signature", "x-cxone-timestamp", "webhook-id", "webhook-timestamp", "webhook-signature", "A"]
        return body, query, self.change(headers, names)

    def change(self, values, names):
        rng = self.rng
        values = dict(values)
        name = rng.choice([*values, *names])
        value = values.get(name, "")
        at = rng.randrange(len(value) + 1)
        way = rng.randrange(8)
        if way == 0:
            values.pop(name, None)
        else:
            values[name] = [
                value[:at] + rng.choice("0fF٣\0 é\ud800") + value[at + 1 :],
                value[:at],
                value + rng.choice(["0", " ", ".0", "\n", "٣"]),
                rng.choice(["0", " ", "+", "sha256="]) + value,
                value.upper(),
                value.translate(str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")),
                rng.choice(ODD),
            ][way - 1]
        return values

    def may_enter(self, path, body, query, headers):
        """Tell, as interface.md has it, whether a request proves that it is CXone's."""
        sent = {name.lower(): value for name, value in headers.items()}
        claims = {name for name in sent if name.startswith(("x-cxone-", "webhook-"))}
        reference, signature = query.get("ref", ""), query.get("sig", "")
        if claims:
            return self.body_is_signed(sent, body)
        encoded = b"callback-url:/webhooks/cxone/sms:" + reference.encode("utf-8", "surrogatepass")
        signed = in_lower_case(signature) in {hex_of(secret, encoded) for secret in (CALLBACK, CALLBACK_PREVIOUS)}
        is_id = reference.startswith("msg_") and len(reference) == 36 and set(reference[4:]) <= set("0123456789abcdef")
        return path == SMS and is_id and signed

    def body_is_signed(self, sent, body):
        cxone = [sent.get("x-cxone-signature"), sent.get("x-cxone-timestamp")]
        if cxone != [None, None]:
            signature, timestamp = cxone
            if timestamp is not None and not self.is_recent(timestamp):
                return False
            signed = body if timestamp is None else timestamp.encode() + b"." + body
            good = {"sha256=" + hex_of(secret, signed) for secret in (CURRENT, PREVIOUS)}
            if in_lower_case(signature or "") not in good:
                return False
        standard = [sent.get(f"webhook-{name}") for name in ("id", "timestamp", "signature")]
        if standard != [None] * 3:
            id_, timestamp, signatures = standard
            if None in standard or not id_ or len(id_) > 512 or not self.is_recent(timestamp):
                return False
            signed = f"{id_}.{timestamp}.".encode("utf-8", "surrogatepass") + body
            good = {
                "v1," + base64.b64encode(hmac.digest(bytes.fromhex(secret), signed, sha256)).decode()
                for secret in (CURRENT, PREVIOUS)
            }
            return len(signatures) <= 512 and not good.isdisjoint(signatures.split(" "))
        return True

    def is_recent(self, timestamp):
        plain = timestamp != "" and set(timestamp) <= set("0123456789") and len(timestamp) < 12
        return plain and abs(int(timestamp) - self.now) <= 300


def hex_of(secret, signed):
    return hmac.digest(secret.encode(), signed, sha256).hex()


def is_text(body):
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


@pytest.fixture(autouse=True)
def _silence():
    logger = logging.getLogger(service())
    before, logger.level = logger.level, logging.CRITICAL
    yield
    logger.level = before


def test_nothing_unsigned_gets_in_and_nothing_at_all_breaks_it(monkeypatch):
    webhook = Webhook(monkeypatch)
    # Stopped, so that a timestamp's age is what the fuzzer made it; a STOP's answer would wait.
    monkeypatch.setattr(webhook.clock, "sleep", lambda seconds: None)
    fuzzer = Fuzzer(random.Random(20261122), int(webhook.clock.now()))
    seen = {200: 0, 400: 0, 401: 0, 413: 0}
    entries = 0
    for number in range(REQUESTS):
        if number % 500 == 0:
            webhook = Webhook(monkeypatch)  # whose subjects are short again
            monkeypatch.setattr(webhook.clock, "sleep", lambda seconds: None)
            entries = 0
        event, may_enter = fuzzer.request()
        answer = function.handler(event, Context())
        status, before, entries = answer["statusCode"], entries, len(webhook.ledger)
        assert status in seen, (status, event)
        seen[status] += 1
        json.loads(answer["body"])
        if may_enter:
            assert status in {200, 400}, (status, event)
            assert entries == before or status == 200
        else:
            assert status in {400, 401, 413}, (status, event)
            assert entries == before, event
            assert status != 400 or event["isBase64Encoded"], "without a signature nothing is read"
    print(f"{REQUESTS} requests: {seen}")
    assert min(seen.values()) > REQUESTS / 500, seen


def in_lower_case(text):
    """Give a text with its ASCII letters in lower case: no letter of another script becomes one of a signature's."""
    return "".join(each.lower() if each.isascii() else each for each in text)
