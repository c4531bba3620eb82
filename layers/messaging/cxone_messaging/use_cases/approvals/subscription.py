"""Subscribe to CXone's events: those of templates, and replies.

One subscription for our URL and secret serves all templates.

The ledger records it under its own subject, with a fingerprint of the secret. After a rotation of the secret, and for
another list of events, the URL is subscribed anew with the whole list. The documents describe no way to read, change
or end a subscription.
"""

import hmac
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256

from cxone_messaging.adapters.cxone.template_gateway import TemplateGateway
from cxone_messaging.domain import subjects
from cxone_messaging.domain.approval_steps import Step, StepState, request_key
from cxone_messaging.domain.entries import Entry, Value
from cxone_messaging.domain.errors import Code, CxoneCallError, MessagingError, StorageError
from cxone_messaging.domain.event_names import TEMPLATE_EVENTS, subscribed_events
from cxone_messaging.domain.subscriptions import Standing, is_refused, version_of
from cxone_messaging.platform.clock import Clock, instant
from cxone_messaging.use_cases.approvals.once import Attempt, Once, StepCall
from cxone_messaging.use_cases.journal import Journal


class Subscribe:
    """Subscribes the deployment's URL to CXone's events.

    `secret` returns the secret that CXone signs with. `reply_event` is the name of the event of replies; if it is
    empty, nobody subscribes to them here.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        once: Once,
        gateway: TemplateGateway,
        url: str,
        secret: Callable[[], str],
        reply_event: str,
        clock: Clock,
    ) -> None:
        self._journal = journal
        self._once = once
        self._gateway = gateway
        self._url = url
        self._secret = secret
        self._events = subscribed_events(reply_event)
        self._clock = clock

    def __call__(self, attempt: Attempt, *, at_once: bool = False) -> Mapping[str, Value]:
        """Subscribe the URL with the current secret, once; return data for the template's entry.

        If CXone refuses the name of replies, the other events are subscribed. That request is repeated after a day;
        with `at_once`, now. Raises `MessagingError`, also with `in_progress`, and `StorageError`.
        """
        secret = self._current_secret()
        fingerprint = fingerprint_of(secret, self._url)
        known = self._journal.read(subjects.subscription(self._url))
        whole = Standing.of(known, version_of(fingerprint, self._events))
        entry = None
        if at_once or not (whole.refusal and whole.must_wait(instant(self._clock.now()))):
            entry = self._unless_refused(secret, fingerprint, attempt, known)
        if entry is None:
            entry = self._done(secret, fingerprint, TEMPLATE_EVENTS, attempt, None)
        return {"subscriptionId": entry.data.get("subscriptionId"), "secretFingerprint": fingerprint}

    def _unless_refused(self, secret: str, fingerprint: str, attempt: Attempt, known: Sequence[Entry]) -> Entry | None:
        """Subscribe to all events; return None if CXone refuses that, and the name of replies may be the reason."""
        try:
            return self._done(secret, fingerprint, self._events, attempt, known)
        except CxoneCallError as error:
            if self._events == TEMPLATE_EVENTS or not is_refused(error.code, error.http_status):
                raise
            return None

    def _done(
        self, secret: str, fingerprint: str, events: Sequence[str], attempt: Attempt, known: Sequence[Entry] | None
    ) -> Entry:
        version = version_of(fingerprint, events)
        key = request_key("subscribe", self._url, version)

        def call(_: StepState) -> Mapping[str, Value]:
            receipt = self._gateway.subscribe(self._url, secret, events, key, attempt.deadline)
            return {"url": self._url, "events": list(events), "subscriptionId": receipt.id, **receipt.data()}

        step = StepCall(subjects.subscription(self._url), Step.SUBSCRIBE, version, call, known=known)
        return self._once.run(step, attempt).entry

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
