"""Callback URLs of messages that were sent before callback URLs had their own secret.

TO BE DELETED 30 days after all senders of a deployment sign with the callback secret: this module, its test
`tests/security/test_old_urls_count_for_30_days.py`, and each line that names `OldUrls` (docs/decisions.md 72).

Their signature is an HMAC under the webhook secret of the bare message id.
"""

import hmac
from datetime import timedelta

from cxone_messaging.adapters.secrets import WebhookSecrets
from cxone_messaging.domain import subjects
from cxone_messaging.domain.entries import EntryType
from cxone_messaging.domain.times import format_time
from cxone_messaging.platform.clock import Clock, instant
from cxone_messaging.use_cases.journal import Journal

_COUNT_FOR = timedelta(days=30)


class OldUrls:
    """Verifies old URLs. `secrets` are the values of the webhook secret."""

    def __init__(self, secrets: WebhookSecrets, journal: Journal, clock: Clock) -> None:
        self._secrets = secrets
        self._journal = journal
        self._clock = clock

    def count(self, message_id: str, signature: str) -> bool:
        """Whether an old URL still counts: its message was sent within 30 days, and its signature is right.

        `message_id` has the form of one. Raises `StorageError`.
        """
        expected = (hmac.digest(each.encode(), message_id.encode(), "sha256") for each in self._secrets.accepted())
        if not any([hmac.compare_digest(each.hex(), signature) for each in expected]):  # noqa: C419  all are compared
            return False
        now = instant(self._clock.now())
        since, until = format_time(now - _COUNT_FOR), format_time(now)
        return any(
            entry.type == EntryType.SENDING and since <= entry.timestamp <= until
            for entry in self._journal.oldest(subjects.message(message_id))
        )
