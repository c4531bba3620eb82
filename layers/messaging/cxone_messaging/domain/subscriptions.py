"""The subscription to CXone's events, as the entries of `subscription#<hash of the URL>` record it.

A subscription is a step that is done once for a secret and a list of events.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from http import HTTPStatus

from cxone_messaging.domain.approval_steps import Step, step_state
from cxone_messaging.domain.entries import Entry, EntryType, number_at, text_at
from cxone_messaging.domain.errors import Code
from cxone_messaging.domain.event_names import TEMPLATE_EVENTS, subscribed_events
from cxone_messaging.domain.times import parse_time

# A refusal is tried again after nearly a day, so that a daily run does not miss it. After a day of hourly failures,
# other failures wait as long: each try adds two entries to a chain that is read whole.
_WAIT = timedelta(hours=23, minutes=30)
_MOST_HOURLY_FAILURES = 24


class Replies(StrEnum):
    """Whether CXone posts replies: it is subscribed to them, it refuses to, the try failed, or a person sees to it.

    Or its API posts none, and they are collected.
    """

    SUBSCRIBED = "subscribed"
    COLLECTED = "collected"
    REFUSED = "refused"
    FAILED = "failed"
    BY_HAND = "by_hand"


def version_of(fingerprint: str, events: Sequence[str]) -> str:
    """Return the version of a subscription's step, for a secret's fingerprint and the events.

    The events of templates alone have the bare fingerprint, as every subscription had before replies were one.
    """
    if tuple(events) == TEMPLATE_EVENTS:
        return fingerprint
    return sha256(json.dumps([fingerprint, *events]).encode()).hexdigest()


def is_made_with(subscribed: Entry, fingerprint: str) -> bool:
    """Whether a subscription's entry is of a secret, whatever its events are; old entries have the bare fingerprint."""
    events = subscribed.data.get("events")
    names = [str(each) for each in events] if isinstance(events, list) else TEMPLATE_EVENTS
    return subscribed.data.get("version") == version_of(fingerprint, names)


@dataclass(frozen=True, slots=True)
class Standing:
    """What a chain records of one version: the entry of its subscription, and all failures of it."""

    done: Entry | None
    failures: tuple[Entry, ...]

    @classmethod
    def of(cls, entries: Iterable[Entry], version: str) -> "Standing":
        """Return the standing of a version."""
        own = [each for each in entries if each.data.get("version") == version]
        failed = (each for each in own if each.type == EntryType.STEP_FAILED)
        return cls(
            step_state(own, Step.SUBSCRIBE, version).done,
            tuple(each for each in failed if each.data.get("step") == Step.SUBSCRIBE),
        )

    @property
    def refusal(self) -> Entry | None:
        """The last failure, if it was CXone's refusal of this request; None otherwise, and once it is subscribed."""
        last = self.failures[-1] if self.failures and not self.done else None
        if last is None or not is_refused(text_at(last.data, "error"), number_at(last.data, "httpStatus")):
            return None
        return last

    def must_wait(self, now: datetime) -> bool:
        """Whether it is too early to try again without a person's word."""
        if self.done or not self.failures:
            return False
        if self.refusal is None and len(self.failures) < _MOST_HOURLY_FAILURES:
            return False
        return now - parse_time(self.failures[-1].timestamp) < _WAIT


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether CXone posts replies under one secret, and the entry that says so; None if nothing was tried."""

    replies: Replies
    entry: Entry | None

    @classmethod
    def of(cls, entries: Sequence[Entry], fingerprint: str, reply_event: str) -> "Judgement":
        """Return the judgement of a chain for a secret's fingerprint.

        The name of the event is refused if CXone refused the request with it and took the others. Where both are
        refused, the name is not the reason.
        """
        whole = Standing.of(entries, version_of(fingerprint, subscribed_events(reply_event)))
        if whole.done:
            return cls(Replies.SUBSCRIBED if reply_event else Replies.BY_HAND, whole.done)
        templates = Standing.of(entries, fingerprint)
        if not reply_event:
            return cls(Replies.BY_HAND, None)
        if whole.refusal and templates.done:
            return cls(Replies.REFUSED, whole.refusal)
        failures = templates.failures if whole.refusal and templates.failures else whole.failures
        return cls(Replies.FAILED, failures[-1] if failures else None)

    @staticmethod
    def must_wait(entries: Sequence[Entry], fingerprint: str, reply_event: str, now: datetime) -> bool:
        """Whether it is too early to try again without a person's word."""
        whole = Standing.of(entries, version_of(fingerprint, subscribed_events(reply_event)))
        templates = Standing.of(entries, fingerprint)
        return whole.must_wait(now) and (not whole.refusal or bool(templates.done) or templates.must_wait(now))


def is_refused(code: str | None, http_status: int | None) -> bool:
    """Whether CXone refused the request, as far as its status says; a redirect judges nothing."""
    return code == Code.CXONE_REJECTED and http_status is not None and http_status >= HTTPStatus.BAD_REQUEST
