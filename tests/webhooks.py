"""The webhook function in memory: its real handler and use cases over fakes, and events signed as CXone signs them."""

import base64
import hmac
import json
from typing import Any

from cxone_messaging.adapters.secrets import WebhookSecrets
from cxone_messaging.domain.entries import Draft
from cxone_messaging.domain.pseudonyms import Pseudonyms
from cxone_messaging.domain.signatures import sign_reference
from cxone_messaging.platform.deadline import Deadline
from cxone_messaging.use_cases.journal import Journal
from functions.manage_consents.handler import manage_consents
from functions.read_ledger.handler import read_message
from functions.receive_webhook import handler as function
from functions.sweep_ledger.handler import sweep
from tests.building import SUBJECT, dispatched, sending
from tests.fakes import FakeClock, FakeConsentStore, FakeLedger, FakeSecretStore, FakeTelemetry

ARN, CALLBACK_ARN = "arn:webhook", "arn:callback"
# What bodies are signed with, and callback URLs.
CURRENT, PREVIOUS = "c0" * 32, "b1" * 32
CALLBACK, CALLBACK_PREVIOUS = "ca" * 32, "cb" * 32
PATIENCE_SECONDS = 3600
SMS, EVENTS = "/webhooks/cxone/sms", "/webhooks/cxone/events"


class Context:
    aws_request_id = "request-1"

    @staticmethod
    def get_remaining_time_in_millis():
        return 12_500


class Webhook:
    """One function; `monkeypatch` puts its use case in place of the one that AWS would be asked for."""

    def __init__(
        self, monkeypatch, *, ledger=None, consents=None, clock=None, telemetry=None, reply_event="", words=""
    ):
        self.clock = clock or FakeClock()
        self.ledger = FakeLedger() if ledger is None else ledger
        self.consents = FakeConsentStore() if consents is None else consents
        self.telemetry = telemetry or FakeTelemetry()
        self.secrets = FakeSecretStore(
            **{
                ARN: json.dumps({"current": CURRENT, "previous": PREVIOUS}),
                CALLBACK_ARN: json.dumps({"current": CALLBACK, "previous": CALLBACK_PREVIOUS}),
            }
        )
        self.pseudonyms = Pseudonyms("pepper")
        self.manage = manage_consents(self.ledger, self.consents, self.pseudonyms, self.clock)
        receive = function.receive_event(
            ledger=self.ledger,
            consents=self.consents,
            pseudonyms=lambda: self.pseudonyms,
            secrets=WebhookSecrets(self.secrets, ARN, self.clock),
            callback_secrets=WebhookSecrets(self.secrets, CALLBACK_ARN, self.clock),
            clock=self.clock,
            telemetry=self.telemetry,
            reply_event=reply_event,
            extra_opt_out_words=words,
        )
        self.read = read_message(self.ledger, self.clock, self.telemetry)
        self._sweep = sweep(self.ledger, self.clock, self.telemetry, PATIENCE_SECONDS)
        monkeypatch.setattr(function, "use_case", lambda: receive)

    def has_sent(self, number):
        """Have the message of `tests/building.py`, which CXone took as `cx-1`, to this number."""
        journal, hash_ = Journal(self.ledger, self.clock), self.pseudonyms.recipient_hash(number)
        type_, data = sending()
        journal.append(SUBJECT, lambda _: Draft(type_, {**data, "recipientHash": hash_}))
        type_, data = dispatched("cx-1")
        journal.append(SUBJECT, lambda _: Draft(type_, data, {"cxoneMessageId": "cx-1"}))
        return self

    def sweep(self, seconds=60.0):
        """Sweep the ledger, with so many seconds to do it in."""
        return self._sweep(Deadline.after(self.clock, seconds))

    def post(self, path, body, *, query=None, headers=None, is_base64=False):
        """Post raw bytes as API Gateway hands them over; gives the answer's status and its JSON."""
        text = base64.b64encode(body).decode() if is_base64 else body.decode("utf-8", "surrogatepass")
        answer = function.handler(proxy_event(path, text, query, headers, is_base64=is_base64), Context())
        return answer["statusCode"], json.loads(answer["body"])

    def event(self, told, path=EVENTS, **changes):
        """Post an event with a signed body."""
        body = json.dumps(told).encode()
        return self.post(path, body, headers=self.signed(body), **changes)

    def delivery(self, told, reference=None):
        """Post a delivery event: to the signed URL of a message, or else with a signed body."""
        if reference is None:
            return self.event(told, SMS)
        return self.post(SMS, json.dumps(told).encode(), query=callback(reference))

    def signed(self, body, secret=CURRENT):
        timestamp = str(int(self.clock.now()))
        return {
            "X-CXone-Timestamp": timestamp,
            "X-CXone-Signature": "sha256=" + hex_of(secret, timestamp.encode() + b"." + body),
        }


def callback(reference, secret=CALLBACK):
    return {"ref": reference, "sig": sign_reference(secret, reference)}


def hex_of(secret, signed):
    return hmac.new(secret.encode(), signed, "sha256").hexdigest()


def proxy_event(path, body, query=None, headers=None, *, is_base64=False) -> dict[str, Any]:
    """Make what the webhook's HTTP API hands to the function."""
    return {
        "version": "2.0",
        "routeKey": f"POST {path}",
        "rawPath": path,
        "queryStringParameters": query,
        "headers": headers,
        "body": body,
        "isBase64Encoded": is_base64,
    }
