"""Send one message at most once.

`sending` is in the ledger before the first byte goes to CXone, the outcome goes in after. Whoever comes with the same
key meets the entries of whoever was first, and decides by them: in flight, answered, to be tried again, or unknown.
"""

import random
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from cxone_messaging.adapters.consent_store import ConsentStore
from cxone_messaging.adapters.cxone_sms import SmsGateway
from cxone_messaging.adapters.governor import Governor
from cxone_messaging.adapters.ledger import Draft, Ledger, append
from cxone_messaging.domain import answers
from cxone_messaging.domain.answers import Receipt
from cxone_messaging.domain.consents import Consent, refusal
from cxone_messaging.domain.entries import Entry
from cxone_messaging.domain.errors import Code, MessagingError, StorageError
from cxone_messaging.domain.messages import Checked, Sms, SmsRequest, SmsRules, Status, check, fold, subject_of
from cxone_messaging.domain.outcomes import Accepted, NotAccepted, OutcomeUnknown, Rejected, SendOutcome, TokenRefused
from cxone_messaging.domain.pseudonyms import Pseudonyms
from cxone_messaging.domain.schedule import NoSlotError, Slots, backoff
from cxone_messaging.domain.times import format_time
from cxone_messaging.platform.clock import Clock, instant, milliseconds_since
from cxone_messaging.platform.telemetry import Telemetry
from cxone_messaging.use_cases.counting import count_in_batches
from cxone_messaging.use_cases.dispatch import measure, no_slot, result, send_in_slot, sending, tell_fleet
from cxone_messaging.use_cases.settle import settle_overdue

# Left of an invocation's time for writing the outcome once CXone's answer is there.
_OUTCOME_SECONDS = 3.0
# Another try needs at least this much time to connect and be answered in.
_LEAST_SECONDS = 5.0
# How far two machines' clocks may be apart before a live sender's entry could be taken for a dead one's.
_CLOCK_SKEW_SECONDS = 5.0
# Exponential with full jitter, where CXone names no time.
_FIRST_BACKOFF_SECONDS = 0.5
_MAX_BACKOFF_SECONDS = 10.0


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
            give_up_at=self._clock.monotonic() + seconds_left() - _OUTCOME_SECONDS,
        )
        name(attempt.message_id)
        checked, consent = self._check(request)
        if checked.errors or checked.sms is None or consent is None:
            # What was sent once stays sent, whatever the recipient has said since.
            return self._answer_if_sent(attempt, otherwise=answers.refused(checked.errors))
        return self._dispatch(checked.sms, consent, attempt)

    def _check(self, request: SmsRequest) -> tuple[Checked, Consent | None]:
        """Check a request against all rules, and read its recipient's consent, which is one of them."""
        checked = check(request, self._rules)
        if checked.to is None:
            return checked, None
        consent = self._consents.find(self._pseudonyms.recipient_hash(checked.to))
        refused = refusal(consent)
        return (replace(checked, errors=(*checked.errors, refused)) if refused else checked), consent

    def _dispatch(self, sms: Sms, consent: Consent, attempt: "_Attempt") -> Receipt:
        started = self._clock.monotonic()
        callback_url = self._callback_url(attempt.message_id)
        entries: list[Entry] = []  # a new message has none; where that is wrong, the INSERT fails and tells
        while True:
            try:
                self._gateway.prepare(self._seconds_left(attempt))
                slot = self._reserve(attempt)
            except MessagingError as error:
                return self._answer_if_sent(attempt, otherwise=error, known=entries)
            entries = self._claim(sms, consent, attempt, entries)
            if entries[-1].data.get("owner") != attempt.owner:
                self._governor.give_back(slot)
                return self._answer(attempt, entries)
            seconds = self._seconds_left(attempt)
            slot, outcome = send_in_slot(
                slot, sms, callback_url, seconds, gateway=self._gateway, governor=self._governor, clock=self._clock
            )
            latency_ms = milliseconds_since(started, self._clock)
            measure(outcome, sms, latency_ms, self._telemetry)
            try:
                entries = self._record(attempt, entries, outcome, latency_ms)
            finally:
                tell_fleet(slot, outcome, self._governor, self._telemetry)
            match outcome:
                case Accepted():
                    return Receipt(fold(attempt.message_id, entries))
                case Rejected():
                    raise answers.rejected(attempt.message_id, [outcome.code], outcome.reason)
                case OutcomeUnknown():
                    raise answers.unknown(attempt.message_id)
                case NotAccepted():
                    self._back_off(attempt, outcome, fold(attempt.message_id, entries).attempts)
                    consent = self._still_given(consent)
                case TokenRefused():
                    raise AssertionError("a refused token is not the end of a send")

    def _still_given(self, consent: Consent) -> Consent:
        """Read a consent again after a wait: who has opted out meanwhile gets nothing."""
        now = self._consents.find(consent.recipient_hash)
        refused = refusal(now)
        if refused or now is None:
            raise answers.refused([refused] if refused else [])
        return now

    def _reserve(self, attempt: "_Attempt") -> Slots:
        horizon = min(self._horizon_seconds, self._seconds_left(attempt) - _LEAST_SECONDS)
        if horizon <= 0:
            raise answers.not_now(NotAccepted("cxone_unavailable", "no_time_left", tried=False))
        try:
            return self._governor.reserve(1, horizon)
        except NoSlotError as error:
            raise answers.not_now(no_slot(error)) from None

    def _claim(self, sms: Sms, consent: Consent, attempt: "_Attempt", entries: list[Entry]) -> list[Entry]:
        """Enter that we are sending, unless the entries say that this is somebody else's to do, or is done."""
        deadline = self._clock.now() + self._seconds_left(attempt) + _OUTCOME_SECONDS + _CLOCK_SKEW_SECONDS
        draft = sending(
            sms,
            consent,
            self._pseudonyms,
            fingerprint=attempt.fingerprint,
            owner=attempt.owner,
            deadline=format_time(instant(deadline)),
        )

        def decide(known: Sequence[Entry]) -> Draft | None:
            return draft if not known or self._may_retry(attempt, known) else None

        try:
            return append(self._ledger, self._clock, subject_of(attempt.message_id), decide, known=entries)
        except StorageError:
            # Only the answer may have been lost: what stands there decides, and if it is ours, we go on.
            written = self._ledger.read(subject_of(attempt.message_id))
            if not written or written[-1].data.get("owner") != attempt.owner:
                raise
            return written

    def _may_retry(self, attempt: "_Attempt", entries: Sequence[Entry]) -> bool:
        """Whether this very message was tried before and certainly not taken."""
        message = fold(attempt.message_id, entries)
        return message.status is Status.RETRYING and message.fingerprint == attempt.fingerprint

    def _answer_if_sent(
        self, attempt: "_Attempt", *, otherwise: MessagingError, known: Sequence[Entry] = ()
    ) -> Receipt:
        """Answer from the ledger where the key's message was sent before; raise the error where it wasn't.

        `known` are the entries of a request without a key, which nobody but itself can have written.
        """
        entries = self._ledger.read(subject_of(attempt.message_id)) if attempt.repeatable else list(known)
        if not entries:
            raise otherwise
        if self._may_retry(attempt, entries):
            raise otherwise.about(attempt.message_id)
        return self._answer(attempt, entries)

    def _answer(self, attempt: "_Attempt", entries: list[Entry]) -> Receipt:
        """Answer as the message's entries say, which somebody else wrote."""
        message = fold(attempt.message_id, entries)
        if message.fingerprint != attempt.fingerprint:
            raise MessagingError(Code.IDEMPOTENCY_KEY_REUSED, "the first request with this key was another one")
        subject = subject_of(attempt.message_id)
        settled = settle_overdue(self._ledger, self._clock, self._telemetry, subject, entries)
        return answers.stored(fold(attempt.message_id, settled), settled)

    def _record(self, attempt: "_Attempt", entries: list[Entry], outcome: SendOutcome, latency_ms: int) -> list[Entry]:
        """Enter what came of it, behind whatever delivery events have come meanwhile."""
        subject = subject_of(attempt.message_id)
        draft = result(outcome, latency_ms)
        try:
            entered = append(self._ledger, self._clock, subject, lambda _: draft, known=entries)
            return count_in_batches(self._ledger, self._clock, subject, entered)
        except StorageError:
            if isinstance(outcome, NotAccepted):
                raise
            # What CXone said stays true, and the caller may know it. The ledger says `sending`, which turns `unknown`
            # at its deadline, is sent by nobody again, and is settled by a delivery event.
            return [*entries, draft.following(entries, subject, self._clock)]

    def _back_off(self, attempt: "_Attempt", outcome: NotAccepted, attempts: int) -> None:
        """Wait before the next try, or raise where the time left doesn't allow for one."""
        delay = outcome.retry_after
        if delay is None:
            delay = self._rng.uniform(0, backoff(_FIRST_BACKOFF_SECONDS, attempts, _MAX_BACKOFF_SECONDS))
        hopeless = outcome.code == "cxone_auth_failed"
        if hopeless or self._seconds_left(attempt) < delay + _LEAST_SECONDS:
            raise answers.not_now(replace(outcome, retry_after=delay), attempt.message_id)
        self._clock.sleep(delay)

    def _seconds_left(self, attempt: "_Attempt") -> float:
        return attempt.give_up_at - self._clock.monotonic()


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One request's try at a message, `repeatable` where it has a key; `give_up_at` is of the clock's stopwatch."""

    message_id: str
    repeatable: bool
    fingerprint: str
    owner: str
    give_up_at: float
