"""Send one message at most once.

`sending` is in the ledger before the first byte goes to CXone; the outcome is recorded after the send. A request with
the same key finds the first request's entries and follows them: in flight, answered, to be retried, or unknown.
"""

import random
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from cxone_messaging.adapters.dynamodb.consents import ConsentStore
from cxone_messaging.domain import subjects
from cxone_messaging.domain.consents import refusal
from cxone_messaging.domain.entries import Draft, Entry
from cxone_messaging.domain.errors import Code, FieldError, MessagingError, StorageError
from cxone_messaging.domain.messages import Message, Status
from cxone_messaging.domain.outcomes import Accepted, NotAccepted, Rejected, SendOutcome
from cxone_messaging.domain.pseudonyms import Pseudonyms
from cxone_messaging.domain.retries import MOST_TRIES, pause_after, seconds_to_wait
from cxone_messaging.domain.schedule import NoSlotError, Slots
from cxone_messaging.domain.sms import Checked, Sms, SmsRequest, SmsRules, check
from cxone_messaging.domain.times import format_time
from cxone_messaging.platform.clock import CLOCK_SKEW_SECONDS, Clock, instant, milliseconds_since
from cxone_messaging.platform.deadline import Deadline
from cxone_messaging.use_cases.message_trail import MessageTrail
from cxone_messaging.use_cases.send import answers
from cxone_messaging.use_cases.send.answers import Preview, Receipt
from cxone_messaging.use_cases.send.dispatcher import NO_TIME_LEFT, Dispatcher, no_slot, outcome_draft, sending_draft
from cxone_messaging.use_cases.send.permission import Permission

# The part of an invocation's time that is reserved for recording the outcome after CXone's answer.
_OUTCOME_SECONDS = 3.0
# Another try needs at least this much time to connect and to receive the answer.
_LEAST_SECONDS = 5.0
# A pause is up to this many times the shortest one, so that messages that failed together are not retried together.
_JITTER = 1.5
_ROUNDING_SECONDS = 0.002
_READ_PAUSE_SECONDS = 0.5


class SendMessage:
    """Sends one message, or returns the answer to an earlier request with the same key.

    `horizon_seconds` is how long a message may wait for its slot.
    """

    def __init__(
        self,
        *,
        trail: MessageTrail,
        consents: ConsentStore,
        dispatcher: Dispatcher,
        horizon_seconds: float,
        pseudonyms: Pseudonyms,
        rules: SmsRules,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._trail = trail
        self._consents = consents
        self._dispatcher = dispatcher
        self._horizon_seconds = horizon_seconds
        self._pseudonyms = pseudonyms
        self._rules = rules
        self._clock = clock
        self._rng = rng

    def preview(self, request: SmsRequest, reference: str | None = None) -> Preview:
        """Return the check of a request, its recipient's consent included, and what its idempotency key was used for.

        Nothing is sent or recorded.
        """
        checked, _ = self._check(request)
        subject = subjects.message(self._pseudonyms.message_id(reference)) if reference else None
        entries = self._trail.journal.read(subject) if subject else []
        if not entries:
            return Preview(checked)
        earlier = Message.of(entries)
        if earlier.fingerprint != self._pseudonyms.fingerprint(request):
            reused = FieldError(Code.IDEMPOTENCY_KEY_REUSED, "reference", "another message has this reference")
            checked = replace(checked, errors=(*checked.errors, reused))
        return Preview(checked, earlier.status)

    def send(
        self,
        request: SmsRequest,
        idempotency_key: str | None,
        deadline: Deadline,
        on_id: Callable[[str], None] = lambda _: None,
    ) -> Receipt:
        """Send a message and return the receipt, or the answer to the first request with this key.

        `deadline` is the invocation's. `on_id` is called with the message's id first, so that the id is known even
        after an error. Raises `MessagingError` with any code of `POST /messages`, and `StorageError`.
        """
        attempt = _Attempt(
            message_id=self._pseudonyms.message_id(idempotency_key or uuid.uuid4().hex),
            repeatable=idempotency_key is not None,
            fingerprint=self._pseudonyms.fingerprint(request),
            owner=uuid.uuid4().hex,
            deadline=deadline.less(_OUTCOME_SECONDS),
            started=self._clock.monotonic(),
        )
        on_id(attempt.message_id)
        checked, permission = self._check(request)
        if checked.errors or checked.sms is None or permission is None:
            # A message that was sent before stays sent, even if the recipient has opted out since.
            return self._answer_if_sent(attempt, otherwise=answers.validation_failed(checked.errors))
        return self._send(checked.sms, permission, attempt)

    def _check(self, request: SmsRequest) -> tuple[Checked, Permission | None]:
        """Return the check of a request against all rules, and the recipient's consent, which one rule reads."""
        checked = check(request, self._rules)
        if checked.to is None:
            return checked, None
        permission = Permission(self._consents, self._pseudonyms.recipient_hash(checked.to), self._clock)
        refused = refusal(permission.read())
        return (replace(checked, errors=(*checked.errors, refused)) if refused else checked), permission

    def _send(self, sms: Sms, permission: Permission, attempt: "_Attempt") -> Receipt:
        for number in range(1, MOST_TRIES + 1):
            try:
                self._dispatcher.prepare(attempt.deadline.left)
                slot = self._reserve(attempt, sms.sender)
            except MessagingError as error:
                return self._answer_if_sent(attempt, otherwise=error)
            try:
                attempt.entries = self._claim(sms, permission, attempt)
            except (MessagingError, StorageError) as error:
                self._dispatcher.release(slot)
                if isinstance(error, StorageError):
                    raise
                return self._answer_if_sent(attempt, otherwise=error)
            if attempt.entries[-1].data.get("owner") != attempt.owner:
                self._dispatcher.release(slot)
                return self._answer(attempt, attempt.entries)
            outcome = self._dispatch(slot, sms, permission, attempt)
            if not isinstance(outcome, NotAccepted):
                return self._finished(attempt, outcome)
            self._back_off(attempt, outcome, number)
        raise AssertionError("the last try ends in an answer")

    def _dispatch(self, slot: Slots, sms: Sms, permission: Permission, attempt: "_Attempt") -> SendOutcome:
        """Send a message that is claimed, and record the outcome."""
        slot, outcome = self._dispatcher.send_in_slot(
            slot, sms, attempt.message_id, attempt.deadline, permission.withdrawn
        )
        latency_ms = milliseconds_since(attempt.started, self._clock)
        self._dispatcher.count(outcome, sms, latency_ms)
        try:
            attempt.entries = self._record(attempt, outcome, latency_ms)
        finally:
            self._dispatcher.report(slot, outcome, sms.sender)
        return outcome

    def _finished(self, attempt: "_Attempt", outcome: SendOutcome) -> Receipt:
        """Return or raise the answer to a request whose message is not tried again."""
        match outcome:
            case Accepted():
                return Receipt(Message.of(attempt.entries))
            case Rejected():
                raise answers.rejected(attempt.message_id, [outcome.code], outcome.reason)
            case _:
                raise answers.outcome_unknown(attempt.message_id)

    def _reserve(self, attempt: "_Attempt", sender: str) -> Slots:
        horizon = min(self._horizon_seconds, attempt.deadline.left - _LEAST_SECONDS)
        if horizon <= 0:
            raise answers.retry_later(NO_TIME_LEFT)
        try:
            own = self._dispatcher.reserve(1, horizon, sender)
            return self._dispatcher.join(own, horizon) if self._dispatcher.schedules.name(sender) else own
        except NoSlotError as error:
            raise answers.retry_later(no_slot(error)) from None

    def _claim(self, sms: Sms, permission: Permission, attempt: "_Attempt") -> list[Entry]:
        """Record that this request sends the message, unless another request does or did; return the entries.

        The entry cites a consent that is fresh when the entry is made: after any slow call the consent is read again.
        Raises `MessagingError` if the consent was withdrawn, and `StorageError`.
        """
        while True:
            consent = permission.consent()
            refused = refusal(consent)
            if refused or consent is None:
                raise answers.validation_failed([refused] if refused else [])
            draft = sending_draft(
                sms,
                consent,
                self._pseudonyms,
                fingerprint=attempt.fingerprint,
                owner=attempt.owner,
                deadline=format_time(instant(attempt.deadline.at + _OUTCOME_SECONDS + CLOCK_SKEW_SECONDS)),
            )
            try:
                return self._append_claim(draft, permission, attempt)
            except _StaleConsentError:
                if attempt.deadline.has_passed:
                    raise answers.retry_later(NO_TIME_LEFT) from None

    def _append_claim(self, draft: Draft, permission: Permission, attempt: "_Attempt") -> list[Entry]:
        def decide(known: Sequence[Entry]) -> Draft | None:
            if known and not self._may_retry(attempt, known):
                return None
            if not permission.is_fresh:
                raise _StaleConsentError
            return draft

        try:
            return self._trail.journal.append(attempt.subject, decide, known=attempt.entries).entries
        except StorageError:
            # The answer may have been lost after the write. The stored entries decide: if they contain ours, we go on.
            written = self._read_back(attempt)
            if not written or written[-1].data.get("owner") != attempt.owner:
                raise
            return written

    def _read_back(self, attempt: "_Attempt") -> list[Entry]:
        """Return a message's entries, with retries: a claim that cannot be read would become `unknown`."""
        while True:
            try:
                return self._trail.journal.read(attempt.subject)
            except StorageError:
                if attempt.deadline.left < _READ_PAUSE_SECONDS:
                    raise
                self._clock.sleep(_READ_PAUSE_SECONDS)

    def _may_retry(self, attempt: "_Attempt", entries: Sequence[Entry]) -> bool:
        """Whether this message was tried before, CXone certainly did not accept it, and its pause is over."""
        message = Message.of(entries)
        return self._is_retrying(attempt, message) and not self._pause(message)

    def _is_retrying(self, attempt: "_Attempt", message: Message) -> bool:
        return message.status is Status.RETRYING and message.fingerprint == attempt.fingerprint

    def _pause(self, message: Message) -> float:
        # The clocks that write and read an entry's milliseconds may round differently.
        wait = seconds_to_wait(message, self._clock.now())
        return wait if wait > _ROUNDING_SECONDS else 0.0

    def _answer_if_sent(self, attempt: "_Attempt", *, otherwise: MessagingError) -> Receipt:
        """Return the ledger's answer if the key's message was sent before; raise `otherwise` if it was not."""
        # Only this request itself can have written entries for a message without a key.
        entries = self._trail.journal.read(attempt.subject) if attempt.repeatable else attempt.entries
        if not entries:
            raise otherwise
        if self._is_retrying(attempt, Message.of(entries)):
            raise otherwise.about(attempt.message_id)
        return self._answer(attempt, entries)

    def _answer(self, attempt: "_Attempt", entries: list[Entry]) -> Receipt:
        """Return or raise the answer that another request's entries record."""
        message = Message.of(entries)
        if message.fingerprint != attempt.fingerprint:
            raise MessagingError(Code.IDEMPOTENCY_KEY_REUSED, "the first request with this key was different")
        if self._is_retrying(attempt, message):
            too_early = NotAccepted(_retry_code(message), "too_early", retry_after=self._pause(message), tried=False)
            raise answers.retry_later(too_early, attempt.message_id)
        entries = self._trail.mark_overdue_unknown(attempt.subject, entries)
        return answers.replay(Message.of(entries), entries)

    def _record(self, attempt: "_Attempt", outcome: SendOutcome, latency_ms: int) -> list[Entry]:
        """Record the outcome, after any delivery events that arrived meanwhile; return the entries."""
        draft = outcome_draft(outcome, latency_ms)
        try:
            appended = self._trail.journal.append(attempt.subject, lambda _: draft, known=attempt.entries)
            return self._trail.count_in_batches(attempt.subject, appended.entries)
        except StorageError:
            if isinstance(outcome, NotAccepted):
                raise
            # CXone's answer stays true, and the caller may know it. The ledger says `sending`, which becomes `unknown`
            # at its deadline. No request sends the message again, and a delivery event corrects its status.
            return [*attempt.entries, self._trail.journal.entry(draft, attempt.subject, attempt.entries)]

    def _back_off(self, attempt: "_Attempt", outcome: NotAccepted, number: int) -> None:
        """Wait before the next try, or raise if the time or the number of tries does not allow another."""
        tries = Message.of(attempt.entries).attempts
        delay = max(outcome.retry_after or 0.0, pause_after(tries, outcome.posts) * self._rng.uniform(1.0, _JITTER))
        hopeless = outcome.code == "cxone_auth_failed" or number == MOST_TRIES
        if hopeless or attempt.deadline.left < delay + _LEAST_SECONDS:
            raise answers.retry_later(replace(outcome, retry_after=delay), attempt.message_id)
        self._clock.sleep(delay)


class _StaleConsentError(Exception):
    """The consent that an entry would cite has become too old."""


def _retry_code(message: Message) -> Literal["rate_limited", "cxone_unavailable"]:
    return "rate_limited" if message.error == Code.RATE_LIMITED else "cxone_unavailable"


@dataclass(slots=True)
class _Attempt:
    """One request's try at a message, `repeatable` if it has a key.

    After its deadline nothing is sent. `entries` are the message's known entries. A new message is assumed to have
    none; if that is wrong, the insert fails. `started` is a reading of the clock's stopwatch.
    """

    message_id: str
    repeatable: bool
    fingerprint: str
    owner: str
    deadline: Deadline
    started: float
    entries: list[Entry] = field(default_factory=list)

    @property
    def subject(self) -> str:
        """The message's subject in the ledger."""
        return subjects.message(self.message_id)
