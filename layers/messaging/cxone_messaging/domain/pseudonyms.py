"""Names for what must not be stored in the clear: hashes keyed with a secret pepper.

Phone numbers, one-time passwords and idempotency keys have so few possible values that a plain hash of one can be
undone by trying them all; an HMAC can't, as long as the pepper stays secret. The pepper is never rotated: a recipient's
hash is the key of their consent.
"""

import hmac
import json
from collections.abc import Sequence
from hashlib import sha256

from cxone_messaging.domain.phone_numbers import PhoneNumber
from cxone_messaging.domain.sms import SmsRequest


class Pseudonyms:
    """Makes all pseudonyms from one pepper; each kind has its own prefix, so that none says anything of another."""

    def __init__(self, pepper: str) -> None:
        self._pepper = pepper.encode()

    def recipient_hash(self, number: PhoneNumber) -> str:
        """Hash a recipient: 64 hex digits, the same for every message to that number."""
        return self._hmac(number.e164)

    def text_hash(self, text: str) -> str:
        """Hash a message's text, so that somebody who has the text can prove that it was this one."""
        return self._hmac("text:" + text)

    def message_id(self, idempotency_key: str) -> str:
        """Derive the one id that all requests with this key share."""
        return "msg_" + self._hmac("key:" + idempotency_key)[:32]

    def batch_id(self, idempotency_key: str) -> str:
        """Derive the one id that all submissions of a batch with this key share."""
        return "bat_" + self._hmac("batch:" + idempotency_key)[:32]

    def batch_fingerprint(self, requests: Sequence[SmsRequest], references: Sequence[str | None]) -> str:
        """Hash all that a batch asks for."""
        asked = [[each.to, each.text, each.campaign_id, each.sender] for each in requests]
        return self._hmac("batch-request:" + json.dumps([asked, list(references)]))

    def fingerprint(self, request: SmsRequest) -> str:
        """Hash all that was asked, so that another request under the same key is told apart."""
        asked = [request.to, request.text, request.campaign_id, request.sender]
        return self._hmac("request:" + json.dumps(asked))

    def event_id(self, told: Sequence[str | None]) -> str:
        """Name an event by all that it tells, a number and a text included."""
        return self._hmac("event:" + json.dumps(told))

    def _hmac(self, text: str) -> str:
        # A lone surrogate gets this far only in an idempotency key or in a text that is refused later on.
        return hmac.new(self._pepper, text.encode("utf-8", "surrogatepass"), sha256).hexdigest()
