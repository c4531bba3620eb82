"""Subscribe to CXone's events about approvals.

One subscription for our URL and secret serves all templates.

The ledger records it under its own subject, with a fingerprint of the secret. After a rotation of the secret, the URL
is subscribed anew: the documents describe no way to change the secret of an existing subscription.
"""

import hmac
from collections.abc import Callable, Mapping
from hashlib import sha256

from cxone_messaging.adapters.cxone.admin import TemplateGateway
from cxone_messaging.domain import subjects
from cxone_messaging.domain.approval_steps import Step, StepState, request_key
from cxone_messaging.domain.entries import Value
from cxone_messaging.domain.errors import Code, MessagingError, StorageError
from cxone_messaging.use_cases.approvals.once import Attempt, Once, StepCall


class Subscribe:
    """Subscribes the deployment's URL to CXone's events.

    `secret` returns the secret that CXone signs with.
    """

    def __init__(self, once: Once, gateway: TemplateGateway, url: str, secret: Callable[[], str]) -> None:
        self._once = once
        self._gateway = gateway
        self._url = url
        self._secret = secret

    def __call__(self, attempt: Attempt) -> Mapping[str, Value]:
        """Subscribe the URL with the current secret, once; return data for the template's entry.

        Raises `MessagingError`, also with `in_progress`, and `StorageError`.
        """
        secret = self._current_secret()
        fingerprint = fingerprint_of(secret, self._url)
        key = request_key("subscribe", self._url, fingerprint)

        def call(_: StepState) -> Mapping[str, Value]:
            receipt = self._gateway.subscribe(self._url, secret, key, attempt.deadline)
            return {"url": self._url, "subscriptionId": receipt.id, **receipt.data()}

        step = StepCall(subjects.subscription(self._url), Step.SUBSCRIBE, fingerprint, call)
        entry = self._once.run(step, attempt).entry
        return {"subscriptionId": entry.data.get("subscriptionId"), "secretFingerprint": fingerprint}

    def _current_secret(self) -> str:
        try:
            return self._secret()
        except StorageError as error:
            raise MessagingError(Code.INTERNAL_ERROR, "the webhook secret could not be read") from error


def fingerprint_of(secret: str, url: str) -> str:
    """Return an id of a secret that does not reveal it.

    A second hash makes it useless as a signature.
    """
    return sha256(hmac.digest(secret.encode(), url.encode(), "sha256")).hexdigest()
