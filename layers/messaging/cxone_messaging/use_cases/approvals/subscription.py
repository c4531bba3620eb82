"""Have CXone tell us of approvals: one subscription for our URL and secret, whatever the template.

The ledger remembers it under a subject of its own, with a fingerprint of the secret. Where the secret was rotated, the
URL is subscribed anew: nothing is known of how CXone could be told another secret for a subscription that it has.
"""

import hmac
from collections.abc import Callable, Mapping
from hashlib import sha256

from cxone_messaging.adapters.cxone.admin import TemplateGateway
from cxone_messaging.domain import subjects
from cxone_messaging.domain.approval_steps import Step, StepState, request_key
from cxone_messaging.domain.entries import Value
from cxone_messaging.domain.errors import Code, MessagingError, StorageError
from cxone_messaging.use_cases.approvals.once import Asked, Attempt, ExclusiveStep


class Subscribe:
    """The use case. `secret` gives what CXone is to sign with."""

    def __init__(self, steps: ExclusiveStep, gateway: TemplateGateway, url: str, secret: Callable[[], str]) -> None:
        self._steps = steps
        self._gateway = gateway
        self._url = url
        self._secret = secret

    def __call__(self, attempt: Attempt) -> Mapping[str, Value]:
        """See to it that the URL is subscribed with the secret as it is now; give what there is to say of it.

        Raises `MessagingError`, `in_progress` among them, and `StorageError`.
        """
        secret = self._current_secret()
        fingerprint = _fingerprint(secret, self._url)
        key = request_key("subscribe", self._url, fingerprint)

        def call(_: StepState) -> Mapping[str, Value]:
            receipt = self._gateway.subscribe(self._url, secret, key, attempt.deadline)
            return {"url": self._url, "subscriptionId": receipt.id, **receipt.data()}

        asked = Asked(subjects.subscription(self._url), Step.SUBSCRIBE, fingerprint, call)
        entry = self._steps.take(asked, attempt).entry
        return {"subscriptionId": entry.data.get("subscriptionId"), "secretFingerprint": fingerprint}

    def _current_secret(self) -> str:
        try:
            return self._secret()
        except StorageError as error:
            raise MessagingError(Code.INTERNAL_ERROR, "the webhook secret could not be read") from error


def _fingerprint(secret: str, url: str) -> str:
    """Tell one secret from another without telling it; hashed once more, so that it is no signature of anything."""
    return sha256(hmac.digest(secret.encode(), url.encode(), "sha256")).hexdigest()
