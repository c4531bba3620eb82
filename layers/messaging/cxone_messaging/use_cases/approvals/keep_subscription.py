"""Keep the subscription to CXone's events, replies among them, on a schedule and at an operator's word.

A run with nothing to do makes no call to CXone. It reports at each run whether CXone posts replies: without them no
STOP arrives.
"""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cxone_messaging.domain import subjects
from cxone_messaging.domain.entries import number_at, text_at
from cxone_messaging.domain.errors import MessagingError, StorageError
from cxone_messaging.domain.subscriptions import Judgement, Replies
from cxone_messaging.platform.clock import Clock, instant
from cxone_messaging.platform.deadline import Deadline
from cxone_messaging.platform.telemetry import Metric, Telemetry
from cxone_messaging.use_cases.approvals.once import OUTCOME_SECONDS, Attempt
from cxone_messaging.use_cases.approvals.subscription import Subscribe, fingerprint_of
from cxone_messaging.use_cases.journal import Journal


@dataclass(frozen=True, slots=True)
class Kept:
    """The result of a run: whether CXone posts replies, and why not.

    `arrive` is True if replies arrive all the same, signed with the previous secret. `since` is the time of the
    subscription.
    """

    replies: Replies
    reply_event: str
    arrive: bool
    since: str | None = None
    reason: str | None = None
    http_status: int | None = None


class KeepSubscription:
    """Keeps the subscription of the deployment's URL.

    `secrets` returns the values of the webhook secret that are accepted, the current one first.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        subscribe: Subscribe,
        url: str,
        secrets: Callable[[], Sequence[str]],
        reply_event: str,
        operator: str,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._journal = journal
        self._subscribe = subscribe
        self._url = url
        self._secrets = secrets
        self._reply_event = reply_event
        self._operator = operator
        self._clock = clock
        self._telemetry = telemetry

    def __call__(self, deadline: Deadline, *, at_once: bool = False) -> Kept:
        """Subscribe what is not subscribed, and return how it stands.

        A refusal is repeated after a day, as are other failures once there is a day of them; with `at_once`, now.
        Raises `StorageError`.
        """
        subject = subjects.subscription(self._url)
        try:
            current, *previous = (fingerprint_of(each, self._url) for each in self._secrets())
        except StorageError:
            return self._reported(
                Kept(Replies.FAILED, self._reply_event, False, reason="the webhook secret is unreadable")
            )
        now = instant(self._clock.now())
        failure = None
        if at_once or not Judgement.must_wait(self._journal.read(subject), current, self._reply_event, now):
            attempt = Attempt(uuid.uuid4().hex, self._operator, deadline.less(OUTCOME_SECONDS))
            try:
                self._subscribe(attempt, at_once=at_once)
            except MessagingError as error:
                failure = error.detail
        entries = self._journal.read(subject)
        judged = Judgement.of(entries, current, self._reply_event)
        entry = judged.entry
        is_well = judged.replies in {Replies.SUBSCRIBED, Replies.BY_HAND}
        others = (Judgement.of(entries, each, self._reply_event).replies for each in previous)
        recorded = text_at(entry.data, "reason") if entry and not is_well else None
        return self._reported(
            Kept(
                judged.replies,
                self._reply_event,
                is_well or Replies.SUBSCRIBED in others,
                since=entry.timestamp if entry and is_well else None,
                reason=(recorded or failure) if not is_well else failure,
                http_status=number_at(entry.data, "httpStatus") if entry and not is_well else None,
            )
        )

    def _reported(self, kept: Kept) -> Kept:
        self._telemetry.add(Metric.REPLIES_NOT_SUBSCRIBED, 0 if kept.arrive else 1)
        return kept
