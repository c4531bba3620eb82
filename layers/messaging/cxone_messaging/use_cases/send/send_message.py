"""Send one message at most once.

`sending` is in the ledger before the first byte goes to CXone, the outcome goes in after. Whoever comes with the same
key meets the entries of whoever was first, and decides by them: in flight, answered, to be tried again, or unknown.
"""

import random
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from cxone_messaging.adapters.cxone.sms import SmsGateway
from cxone_messaging.adapters.dynamodb.consents import ConsentStore
from cxone_messaging.adapters.dynamodb.governor import Governor
from cxone_messaging.domain import subjects
from cxone_messaging.domain.consents import refusal
from cxone_messaging.domain.entries import Draft, Entry
from cxone_messaging.domain.errors import Code, MessagingError, StorageError
from cxone_messaging.domain.ledger import Ledger
from cxone_messaging.domain.messages import Message, Status, fold
from cxone_messaging.domain.outcomes import Accepted, NotAccepted, Rejected, SendOutcome
from cxone_messaging.domain.pseudonyms import Pseudonyms
from cxone_messaging.domain.retries import MOST_TRIES, pause_after, seconds_to_wait
from cxone_messaging.domain.schedule import NoSlotError, Slots
from cxone_messaging.domain.sms import Checked, Sms, SmsRequest, SmsRules, check
from cxone_messaging.domain.times import format_time
from cxone_messaging.platform.clock import Clock, instant, milliseconds_since
from cxone_messaging.platform.deadline import Deadline
from cxone_messaging.platform.telemetry import Telemetry
from cxone_messaging.use_cases.counting import count_in_batches
from cxone_messaging.use_cases.journal import append
from cxone_messaging.use_cases.send import answers
from cxone_messaging.use_cases.send.answers import Receipt
from cxone_messaging.use_cases.send.dispatcher import NO_TIME_LEFT, Dispatcher, no_slot, result, sending
from cxone_messaging.use_cases.send.permission import Permission
from cxone_messaging.use_cases.settle import settle_overdue

# Left of an invocation's time for writing the outcome once CXone's answer is there.
_OUTCOME_SECONDS = 3.0
# Another try needs at least this much time to connect and be answered in.
_LEAST_SECONDS = 5.0
# How far two machines' clocks may be apart before a live sender's entry could be taken for a dead one's.
_CLOCK_SKEW_SECONDS = 5.0
# A pause is up to so many times the shortest one, so that what failed together does not come back together.
_JITTER = 1.5
_ROUNDING_SECONDS = 0.002
_READ_PAUSE_SECONDS = 0.5


class SendMessage:
    """The use case. `callback_url` makes the URL that a message's delivery events are posted to."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        consents: ConsentStore,
        gateway: SmsGateway,
        governor: Governor,
        horizon_seconds: float,
        pseudonyms: Pseudonyms,
        rules: SmsRules,
        callback_url: Callable[[str], str],
        clock: Clock,
        telemetry: Telemetry,
        rng: random.Random,
    ) -> None:
        self._ledger = ledger
        self._consents = consents
        self._gateway = gateway
        self._governor = governor
        self._horizon_seconds = horizon_seconds
        self._pseudonyms = pseudonyms
        self._rules = rules
        self._callback_url = callback_url
        self._clock = clock
        self._telemetry = telemetry
        self._rng = rng
        self._dispatcher = Dispatcher(gateway, governor, clock, telemetry)

    def preview(self, request: SmsRequest) -> Checked:
        """Check a request as a send would, its recipient's consent included; nothing is sent or recorded."""
        checked, _ = self._check(request)
        return checked

    def send(
        self,
        request: SmsRequest,
        idempotency_key: str | None,
        seconds_left: Callable[[], float],
        name: Callable[[str], None] = lambda _: None,
    ) -> Receipt:
        """Send a request, or answer as the first request with this key was answered.

        `name` is told the message's id before anything is done, so that it is known whatever happens. Raises
        `MessagingError` with any code of `POST /messages`, and `StorageError`.
        """
        attempt = _Attempt(
            message_id=self._pseudonyms.message_id(idempotency_key or uuid.uuid4().hex),
            repeatable=idempotency_key is not None,
            fingerprint=self._pseudonyms.fingerprint(request),
            owner=uuid.uuid4().hex,
            deadline=Deadline.after(self._clock, seconds_left() - _OUTCOME_SECONDS),
            started=self._clock.monotonic(),
        )
        name(attempt.message_id)
        checked, permission = self._check(request)
        if checked.errors or checked.sms is None or permission is None:
            # What was sent once stays sent, whatever the recipient has said since.
            return self._answer_if_sent(attempt, otherwise=answers.refused(checked.errors))
        return self._send(checked.sms, permission, attempt)

    def _check(self, request: SmsRequest) -> tuple[Checked, Permission | None]:
        """Check a request against all rules; its recipient's consent, which is one of them, is read."""
        checked = check(request, self._rules)
        if checked.to is None:
            return checked, None
        permission = Permission(self._consents, self._pseudonyms.recipient_hash(checked.to), self._clock)
        refused = refusal(permission.read())
        return (replace(checked, errors=(*checked.errors, refused)) if refused else checked), permission

    def _send(self, sms: Sms, permission: Permission, attempt: "_Attempt") -> Receipt:
        callback_url = self._callback_url(attempt.message_id)
        for number in range(1, MOST_TRIES + 1):
            try:
                self._gateway.prepare(attempt.deadline.left)
                slot = self._reserve(attempt)
            except MessagingError as error:
                return self._answer_if_sent(attempt, otherwise=error)
            try:
                attempt.entries = self._claim(sms, permission, attempt)
            except (MessagingError, StorageError) as error:
                self._governor.give_back(slot)
                if isinstance(error, StorageError):
                    raise
                return self._answer_if_sent(attempt, otherwise=error)
            if attempt.entries[-1].data.get("owner") != attempt.owner:
                self._governor.give_back(slot)
                return self._answer(attempt, attempt.entries)
            outcome = self._dispatch(slot, sms, callback_url, permission, attempt)
            if not isinstance(outcome, NotAccepted):
                return self._finished(attempt, outcome)
            self._back_off(attempt, outcome, number)
        raise AssertionError("the last try ends in an answer")

    def _dispatch(
        self, slot: Slots, sms: Sms, callback_url: str, permission: Permission, attempt: "_Attempt"
    ) -> SendOutcome:
        """Send a message that is claimed, and record the outcome."""
        slot, outcome = self._dispatcher.send_in_slot(slot, sms, callback_url, attempt.deadline, permission.withdrawn)
        latency_ms = milliseconds_since(attempt.started, self._clock)
        self._dispatcher.count(outcome, sms, latency_ms)
        try:
            attempt.entries = self._record(attempt, outcome, latency_ms)
        finally:
            self._dispatcher.report(slot, outcome)
        return outcome

    def _finished(self, attempt: "_Attempt", outcome: SendOutcome) -> Receipt:
        """Answer a request whose message is not tried again."""
        match outcome:
            case Accepted():
                return Receipt(fold(attempt.message_id, attempt.entries))
            case Rejected():
                raise answers.rejected(attempt.message_id, [outcome.code], outcome.reason)
            case _:
                raise answers.unknown(attempt.message_id)

    def _reserve(self, attempt: "_Attempt") -> Slots:
        horizon = min(self._horizon_seconds, attempt.deadline.left - _LEAST_SECONDS)
        if horizon <= 0:
            raise answers.not_now(NO_TIME_LEFT)
        try:
            return self._governor.reserve(1, horizon)
        except NoSlotError as error:
            raise answers.not_now(no_slot(error)) from None

    def _claim(self, sms: Sms, permission: Permission, attempt: "_Attempt") -> list[Entry]:
        """Enter that we are sending, unless the entries say that this is somebody else's to do, or is done.

        The entry cites a consent that is fresh when the entry is made: whatever takes long before, the consent is read
        again. Raises `MessagingError` where it is gone, and `StorageError`.
        """
        while True:
            consent = permission.consent()
            refused = refusal(consent)
            if refused or consent is None:
                raise answers.refused([refused] if refused else [])
            draft = sending(
                sms,
                consent,
                self._pseudonyms,
                fingerprint=attempt.fingerprint,
                owner=attempt.owner,
                deadline=format_time(instant(attempt.deadline.at + _OUTCOME_SECONDS + _CLOCK_SKEW_SECONDS)),
            )
            try:
                return self._enter(draft, permission, attempt)
            except _StaleConsentError:
                if attempt.deadline.has_passed:
                    raise answers.not_now(NO_TIME_LEFT) from None

    def _enter(self, draft: Draft, permission: Permission, attempt: "_Attempt") -> list[Entry]:
        def decide(known: Sequence[Entry]) -> Draft | None:
            if known and not self._may_retry(attempt, known):
                return None
            if not permission.is_fresh:
                raise _StaleConsentError
            return draft

        try:
            return append(
                self._ledger, self._clock, subjects.message(attempt.message_id), decide, known=attempt.entries
            )
        except StorageError:
            # Only the answer may have been lost: what stands there decides, and if it is ours, we go on.
            written = self._read_back(attempt)
            if not written or written[-1].data.get("owner") != attempt.owner:
                raise
            return written

    def _read_back(self, attempt: "_Attempt") -> list[Entry]:
        """Read a message's entries, for as long as there is time: unread, a claim of ours would end `unknown`."""
        while True:
            try:
                return self._ledger.read(subjects.message(attempt.message_id))
            except StorageError:
                if attempt.deadline.left < _READ_PAUSE_SECONDS:
                    raise
                self._clock.sleep(_READ_PAUSE_SECONDS)

    def _may_retry(self, attempt: "_Attempt", entries: Sequence[Entry]) -> bool:
        """Whether this very message was tried before, certainly not taken, and its pause is over."""
        message = fold(attempt.message_id, entries)
        return self._is_retrying(attempt, message) and not self._pause(message)

    def _is_retrying(self, attempt: "_Attempt", message: Message) -> bool:
        return message.status is Status.RETRYING and message.fingerprint == attempt.fingerprint

    def _pause(self, message: Message) -> float:
        # Clocks that write and read an entry's milliseconds may round apart.
        wait = seconds_to_wait(message, self._clock.now())
        return wait if wait > _ROUNDING_SECONDS else 0.0

    def _answer_if_sent(self, attempt: "_Attempt", *, otherwise: MessagingError) -> Receipt:
        """Answer from the ledger where the key's message was sent before; raise the error where it wasn't."""
        # A request without a key has entries that nobody but itself can have written.
        entries = self._ledger.read(subjects.message(attempt.message_id)) if attempt.repeatable else attempt.entries
        if not entries:
            raise otherwise
        if self._is_retrying(attempt, fold(attempt.message_id, entries)):
            raise otherwise.about(attempt.message_id)
        return self._answer(attempt, entries)

    def _answer(self, attempt: "_Attempt", entries: list[Entry]) -> Receipt:
        """Answer as the message's entries say, which somebody else wrote."""
        message = fold(attempt.message_id, entries)
        if message.fingerprint != attempt.fingerprint:
            raise MessagingError(Code.IDEMPOTENCY_KEY_REUSED, "the first request with this key was another one")
        if self._is_retrying(attempt, message):
            too_early = NotAccepted(_retry_code(message), "too_early", retry_after=self._pause(message), tried=False)
            raise answers.not_now(too_early, attempt.message_id)
        subject = subjects.message(attempt.message_id)
        settled = settle_overdue(self._ledger, self._clock, self._telemetry, subject, entries)
        return answers.stored(fold(attempt.message_id, settled), settled)

    def _record(self, attempt: "_Attempt", outcome: SendOutcome, latency_ms: int) -> list[Entry]:
        """Enter what came of it, behind whatever delivery events have come meanwhile."""
        subject = subjects.message(attempt.message_id)
        draft = result(outcome, latency_ms)
        try:
            entered = append(self._ledger, self._clock, subject, lambda _: draft, known=attempt.entries)
            return count_in_batches(self._ledger, self._clock, subject, entered)
        except StorageError:
            if isinstance(outcome, NotAccepted):
                raise
            # What CXone said stays true, and the caller may know it. The ledger says `sending`, which turns `unknown`
            # at its deadline, is sent by nobody again, and is settled by a delivery event.
            return [*attempt.entries, draft.following(attempt.entries, subject, instant(self._clock.now()))]

    def _back_off(self, attempt: "_Attempt", outcome: NotAccepted, number: int) -> None:
        """Wait before the next try, or raise where the time left or the number of tries doesn't allow for one."""
        tries = fold(attempt.message_id, attempt.entries).attempts
        delay = max(outcome.retry_after or 0.0, pause_after(tries, outcome.posts) * self._rng.uniform(1.0, _JITTER))
        hopeless = outcome.code == "cxone_auth_failed" or number == MOST_TRIES
        if hopeless or attempt.deadline.left < delay + _LEAST_SECONDS:
            raise answers.not_now(replace(outcome, retry_after=delay), attempt.message_id)
        self._clock.sleep(delay)


class _StaleConsentError(Exception):
    """The consent that an entry was to cite has become too old."""


def _retry_code(message: Message) -> Literal["rate_limited", "cxone_unavailable"]:
    return "rate_limited" if message.error == Code.RATE_LIMITED else "cxone_unavailable"


@dataclass(slots=True)
class _Attempt:
    """One request's try at a message, `repeatable` where it has a key; after its deadline nothing is sent.

    `entries` are the message's as far as they are known. A new message has none; where that is wrong, the INSERT fails
    and says so. `started` is of the clock's stopwatch.
    """

    message_id: str
    repeatable: bool
    fingerprint: str
    owner: str
    deadline: Deadline
    started: float
    entries: list[Entry] = field(default_factory=list)
