"""Pseudonyms for values that must not be stored in the clear: hashes keyed with a secret pepper.

Phone numbers, one-time passwords and idempotency keys have so few possible values that a trial of all of them reverses
a plain hash. An HMAC cannot be reversed like that, as long as the pepper stays secret. The pepper is never rotated: a
recipient's hash is the key of their consent.
"""

import hmac
import json
from collections.abc import Sequence
from hashlib import sha256

from cxone_messaging.domain.phone_numbers import PhoneNumber
from cxone_messaging.domain.sms import SmsRequest


class Pseudonyms:
    """Makes all pseudonyms from one pepper.

    Each kind has its own prefix, so that none reveals another.
    """

    def __init__(self, pepper: str) -> None:
        self._pepper = pepper.encode()

    def recipient_hash(self, number: PhoneNumber) -> str:
        """Return the hash of a recipient: 64 hex digits, the same for every message to that number."""
        return self._hmac(number.e164)

    def text_hash(self, text: str) -> str:
        """Return the hash of a message's text.

        With it, a holder of the text can prove that it was sent.
        """
        return self._hmac("text:" + text)

    def message_id(self, idempotency_key: str) -> str:
        """Return the one id that all requests with this key share."""
        return "msg_" + self._hmac("key:" + idempotency_key)[:32]

    def batch_id(self, idempotency_key: str) -> str:
        """Return the one id that all submissions of a batch with this key share."""
        return "bat_" + self._hmac("batch:" + idempotency_key)[:32]

    def batch_fingerprint(
        self, requests: Sequence[SmsRequest], references: Sequence[str | None], *, refuses_duplicates: bool = False
    ) -> str:
        """Return the hash of a batch's whole request."""
        fields = [[each.to, each.text, each.campaign_id, each.sender] for each in requests]
        # Requests that were made before there was a choice keep their hash.
        choices = ["refuse duplicates"] if refuses_duplicates else []
        return self._hmac("batch-request:" + json.dumps([fields, list(references), *choices]))

    def fingerprint(self, request: SmsRequest) -> str:
        """Return the hash of a whole request, which distinguishes another request with the same key."""
        fields = [request.to, request.text, request.campaign_id, request.sender]
        return self._hmac("request:" + json.dumps(fields))

    def event_id(self, fields: Sequence[str | None]) -> str:
        """Return the id of an event, a hash of all its fields, a number and a text included."""
        return self._hmac("event:" + json.dumps(fields))

    def _hmac(self, text: str) -> str:
        # A lone surrogate can occur here only in an idempotency key, or in a text that is rejected later.
        return hmac.new(self._pepper, text.encode("utf-8", "surrogatepass"), sha256).hexdigest()
