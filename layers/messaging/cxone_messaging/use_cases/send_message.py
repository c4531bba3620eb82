"""Send one message at most once.

`sending` is in the ledger before the first byte goes to CXone, the outcome goes in after. Whoever comes with the same
key meets the entries of whoever was first, and decides by them: in flight, answered, to be tried again, or unknown.
"""

import math
import random
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cxone_messaging.adapters.consent_store import ConsentStore
from cxone_messaging.adapters.cxone_sms import SmsGateway
from cxone_messaging.adapters.ledger import CXONE_MESSAGE_KEY, Draft, Ledger, append
from cxone_messaging.domain.consents import Consent, refusal
from cxone_messaging.domain.entries import Entry, EntryType, Value
from cxone_messaging.domain.errors import Code, FieldError, MessagingError, StorageError
from cxone_messaging.domain.messages import Checked, Message, Sms, SmsRequest, SmsRules, Status, check, fold, subject_of
from cxone_messaging.domain.outcomes import Accepted, NotAccepted, OutcomeUnknown, Rejected, SendOutcome
from cxone_messaging.domain.pseudonyms import Pseudonyms
from cxone_messaging.domain.times import format_time
from cxone_messaging.platform.clock import Clock, instant
from cxone_messaging.platform.telemetry import Metric, Telemetry
from cxone_messaging.use_cases.settle import is_overdue, settle_overdue

# Left of an invocation's time for writing the outcome once CXone's answer is there.
_OUTCOME_SECONDS = 3.0
# Another try needs at least this much time to connect and be answered in.
_LEAST_SECONDS = 5.0
# How far two machines' clocks may be apart before a live sender's entry could be taken for a dead one's.
_CLOCK_SKEW_SECONDS = 5.0
# Exponential with full jitter, where CXone names no time.
_FIRST_BACKOFF_SECONDS = 0.5
_MAX_BACKOFF_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the caller of a dispatched message gets; `replayed` when it was dispatched by an earlier request."""

    message: Message
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Preview:
    """What would become of a request: its violations and, where the text can be sent, its size."""

    errors: tuple[FieldError, ...]
    checked: Checked


class SendMessage:
    """The use case. `callback_url` makes the URL that a message's delivery events are posted to."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        consents: ConsentStore,
        gateway: SmsGateway,
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
        self._pseudonyms = pseudonyms
        self._rules = rules
        self._callback_url = callback_url
        self._clock = clock
        self._telemetry = telemetry
        self._rng = rng

    def preview(self, request: SmsRequest) -> Preview:
        """Check a request as a send would, its recipient's consent included; nothing is sent or recorded."""
        checked = check(request, self._rules)
        refused = refusal(self._consent(checked)) if checked.to else None
        return Preview((*checked.errors, *([refused] if refused else [])), checked)

    def send(self, request: SmsRequest, idempotency_key: str | None, seconds_left: Callable[[], float]) -> Receipt:
        """Send a request, or answer as the first request with this key was answered.

        Raises `MessagingError` with any code of `POST /messages`, and `StorageError`.
        """
        attempt = _Attempt(
            message_id=self._pseudonyms.message_id(idempotency_key or uuid.uuid4().hex),
            fingerprint=self._pseudonyms.fingerprint(request),
            owner=uuid.uuid4().hex,
            give_up_at=self._clock.monotonic() + seconds_left() - _OUTCOME_SECONDS,
        )
        checked = check(request, self._rules)
        consent = self._consent(checked) if checked.to else None
        refused = refusal(consent) if checked.to else None
        errors = [*checked.errors, *([refused] if refused else [])]
        if errors or checked.sms is None or consent is None:
            # What was sent once stays sent, whatever the recipient has said since.
            entries = self._ledger.read(subject_of(attempt.message_id)) if idempotency_key is not None else []
            if entries:
                return self._answer(attempt, entries)
            raise MessagingError(Code.VALIDATION_FAILED, "nothing was sent", errors=errors)
        return self._dispatch(checked.sms, consent, attempt)

    def _dispatch(self, sms: Sms, consent: Consent, attempt: "_Attempt") -> Receipt:
        started = self._clock.monotonic()
        entries: list[Entry] = []  # a new message has none; where that is wrong, the INSERT fails and tells
        while True:
            self._gateway.prepare(self._seconds_left(attempt))
            entries = self._claim(sms, consent, attempt, entries)
            if entries[-1].data.get("owner") != attempt.owner:
                return self._answer(attempt, entries)
            callback_url = self._callback_url(attempt.message_id)
            outcome = self._gateway.send(sms, callback_url, self._seconds_left(attempt))
            latency_ms = round((self._clock.monotonic() - started) * 1000)
            entries = self._record(attempt, entries, outcome, latency_ms)
            match outcome:
                case Accepted():
                    self._telemetry.add(Metric.MESSAGES_DISPATCHED)
                    self._telemetry.add(Metric.SEGMENTS_SENT, sms.size.segments)
                    self._telemetry.add(Metric.DISPATCH_LATENCY, latency_ms)
                    return Receipt(fold(attempt.message_id, entries))
                case Rejected():
                    self._telemetry.add(Metric.MESSAGES_REJECTED)
                    raise refused(attempt.message_id, outcome.code, outcome.reason)
                case OutcomeUnknown():
                    self._telemetry.add(Metric.MESSAGES_UNKNOWN)
                    raise unknown(attempt.message_id)
                case NotAccepted():
                    self._back_off(attempt, outcome, fold(attempt.message_id, entries).attempts)

    def _claim(self, sms: Sms, consent: Consent, attempt: "_Attempt", entries: list[Entry]) -> list[Entry]:
        """Enter that we are sending, unless the entries say that this is somebody else's to do, or is done."""
        deadline = self._clock.now() + self._seconds_left(attempt) + _OUTCOME_SECONDS + _CLOCK_SKEW_SECONDS
        sending = Draft(
            EntryType.SENDING,
            {
                "recipient": sms.to.masked,
                "recipientHash": consent.recipient_hash,
                "campaignId": sms.campaign_id,
                "from": sms.sender,
                "textHash": self._pseudonyms.text_hash(sms.text),
                "encoding": sms.size.encoding,
                "segments": sms.size.segments,
                "fingerprint": attempt.fingerprint,
                "owner": attempt.owner,
                "deadline": format_time(instant(deadline)),
                "consent": consent.evidence(),
            },
        )

        def decide(known: Sequence[Entry]) -> Draft | None:
            if not known:
                return sending
            message = fold(attempt.message_id, known)
            ours = message.fingerprint == attempt.fingerprint
            return sending if ours and message.status is Status.RETRYING else None

        return append(self._ledger, self._clock, subject_of(attempt.message_id), decide, known=entries)

    def _answer(self, attempt: "_Attempt", entries: Sequence[Entry]) -> Receipt:
        """Answer as the message's entries say, which somebody else wrote."""
        message = fold(attempt.message_id, entries)
        if message.fingerprint != attempt.fingerprint:
            raise MessagingError(Code.IDEMPOTENCY_KEY_REUSED, "the first request with this key was another one")
        if is_overdue(message, self._clock):
            message = settle_overdue(self._ledger, self._clock, self._telemetry, message.message_id, entries)
        match message.status:
            case Status.SENDING | Status.RETRYING:
                told = "ask again in a moment"
                raise MessagingError(Code.IN_PROGRESS, told, message_id=message.message_id, retry_after=1)
            case Status.UNKNOWN:
                raise unknown(message.message_id, replayed=True)
            case Status.REJECTED:
                stored = next(entry.data for entry in reversed(entries) if entry.type == EntryType.REJECTED)
                raise refused(message.message_id, str(stored["error"]), str(stored["reason"]), replayed=True)
            case Status.DISPATCHED | Status.DELIVERED | Status.FAILED:
                return Receipt(message, replayed=True)

    def _record(self, attempt: "_Attempt", entries: list[Entry], outcome: SendOutcome, latency_ms: int) -> list[Entry]:
        """Enter what came of it, behind whatever delivery events have come meanwhile."""
        draft = _draft(outcome, latency_ms)
        try:
            return append(self._ledger, self._clock, subject_of(attempt.message_id), lambda _: draft, known=entries)
        except StorageError:
            # What CXone said stays true, and the caller may know it. The ledger says `sending`, which turns `unknown`
            # at its deadline, is sent by nobody again, and is settled by a delivery event.
            return [*entries, draft.following(entries, subject_of(attempt.message_id), self._clock)]

    def _back_off(self, attempt: "_Attempt", outcome: NotAccepted, attempts: int) -> None:
        """Wait before the next try, or raise where the time left doesn't allow for one."""
        if outcome.throttled:
            self._telemetry.add(Metric.THROTTLED)
        delay = outcome.retry_after
        if delay is None:
            delay = self._rng.uniform(0, min(_MAX_BACKOFF_SECONDS, _FIRST_BACKOFF_SECONDS * 2**attempts))
        if self._seconds_left(attempt) < delay + _LEAST_SECONDS:
            code = Code.RATE_LIMITED if outcome.throttled else Code.CXONE_UNAVAILABLE
            told = f"CXone did not take the message in {attempts} tries ({outcome.reason}); it may be sent again"
            raise MessagingError(code, told, message_id=attempt.message_id, retry_after=max(1, math.ceil(delay)))
        self._clock.sleep(delay)

    def _seconds_left(self, attempt: "_Attempt") -> float:
        return attempt.give_up_at - self._clock.monotonic()

    def _consent(self, checked: Checked) -> Consent | None:
        return self._consents.find(self._pseudonyms.recipient_hash(checked.to)) if checked.to else None


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One request's try at a message; `give_up_at` is an instant of the clock's stopwatch."""

    message_id: str
    fingerprint: str
    owner: str
    give_up_at: float


def _draft(outcome: SendOutcome, latency_ms: int) -> Draft:
    data: dict[str, Value] = {"latencyMs": latency_ms}
    if not isinstance(outcome, Accepted):
        data["reason"] = outcome.reason
        if outcome.http_status is not None:
            data["httpStatus"] = int(outcome.http_status)
    match outcome:
        case Accepted():
            key = {CXONE_MESSAGE_KEY: outcome.cxone_message_id}
            return Draft(EntryType.DISPATCHED, {**data, **key}, key)
        case Rejected():
            return Draft(EntryType.REJECTED, {**data, "error": outcome.code})
        case OutcomeUnknown():
            return Draft(EntryType.UNKNOWN, {**data, "error": Code.OUTCOME_UNKNOWN.value})
        case NotAccepted():
            code = Code.RATE_LIMITED if outcome.throttled else Code.CXONE_UNAVAILABLE
            return Draft(EntryType.RETRYING, {**data, "error": code.value})


def refused(message_id: str, code: str, reason: str, *, replayed: bool = False) -> MessagingError:
    """Make the answer to a send that CXone rejected."""
    return MessagingError(Code(code), reason, message_id=message_id, replayed=replayed)


def unknown(message_id: str, *, replayed: bool = False) -> MessagingError:
    """Make the answer to a send whose outcome nobody knows."""
    told = "the message may have gone out and must not be sent again; a delivery event will settle it"
    return MessagingError(Code.OUTCOME_UNKNOWN, told, message_id=message_id, replayed=replayed)
