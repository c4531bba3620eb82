"""Send one message in its slot.

Single and bulk sends share this, and the entries before and after a post.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from http import HTTPStatus

from cxone_messaging.adapters.cxone.sms_gateway import SmsGateway
from cxone_messaging.adapters.dynamodb.governor import Governor
from cxone_messaging.domain.attention import UNSETTLED_KEY, Attention, sends_of
from cxone_messaging.domain.consents import Consent
from cxone_messaging.domain.entries import Draft, EntryType, Value
from cxone_messaging.domain.errors import Code, MessagingError, StorageError
from cxone_messaging.domain.ledger import CXONE_MESSAGE_KEY
from cxone_messaging.domain.messages import POSTS_KEY
from cxone_messaging.domain.outcomes import Accepted, NotAccepted, OutcomeUnknown, Rejected, SendOutcome, TokenRefused
from cxone_messaging.domain.pseudonyms import Pseudonyms
from cxone_messaging.domain.schedule import (
    CircuitOpenError,
    ClockWrongError,
    NoSlotError,
    RateUsedUpError,
    SendingStoppedError,
    SlotMissedError,
    Slots,
)
from cxone_messaging.domain.sms import Sms
from cxone_messaging.platform.clock import Clock
from cxone_messaging.platform.deadline import Deadline
from cxone_messaging.platform.telemetry import Metric, Telemetry
from cxone_messaging.use_cases.send.sender_schedules import SenderSchedules, reserve_when_sure

# How far ahead, in seconds, a slot may begin that replaces a missed slot or follows a refused token.
_HORIZON_SECONDS = 5.0
# No reserved slot begins further ahead: a horizon, and a chunk of slots of the slowest account that bulk serves.
_FURTHEST_SECONDS = 2 * _HORIZON_SECONDS
SCHEDULE_UNREADABLE = NotAccepted("cxone_unavailable", "schedule_unreadable", tried=False)
NO_TIME_LEFT = NotAccepted("cxone_unavailable", "no_time_left", tried=False)


def sending_draft(
    sms: Sms, consent: Consent, pseudonyms: Pseudonyms, *, fingerprint: str, owner: str, deadline: str
) -> Draft:
    """Return the entry that precedes the first byte: sender, content, recipient, consent and deadline.

    Where lost answers are looked up, it is indexed by recipient and text, since two such messages could have one
    record.
    """
    text_hash = pseudonyms.text_hash(sms.text)
    return Draft(
        EntryType.SENDING,
        {
            "recipient": sms.to.masked,
            "recipientHash": consent.recipient_hash,
            "campaignId": sms.campaign_id,
            "from": sms.sender,
            "textHash": text_hash,
            "encoding": sms.size.encoding,
            "segments": sms.size.segments,
            "fingerprint": fingerprint,
            "owner": owner,
            "deadline": deadline,
            "consent": consent.for_message(),
        },
        {UNSETTLED_KEY: sends_of(consent.recipient_hash, text_hash)} if sms.is_looked_up else None,
    )


def outcome_draft(outcome: SendOutcome, latency_ms: int) -> Draft:
    """Return the entry of a send's outcome.

    The latency, in milliseconds, ends with CXone's answer.
    """
    data: dict[str, Value] = {"latencyMs": latency_ms}
    if not isinstance(outcome, Accepted | TokenRefused):
        data["reason"] = outcome.reason
        if outcome.http_status is not None:
            data["httpStatus"] = int(outcome.http_status)
    if isinstance(outcome, NotAccepted) and outcome.posts > 1:
        data[POSTS_KEY] = outcome.posts
    match outcome:
        case Accepted():
            key = {CXONE_MESSAGE_KEY: outcome.cxone_message_id}
            return Draft(EntryType.DISPATCHED, {**data, **key}, key)
        case Rejected():
            return Draft(EntryType.REJECTED, {**data, "error": outcome.code})
        case OutcomeUnknown():
            return Draft(EntryType.UNKNOWN, {**data, "error": Code.OUTCOME_UNKNOWN.value}, Attention.UNKNOWN.as_index())
        case NotAccepted():
            return Draft(EntryType.RETRYING, {**data, "error": outcome.code})
        case TokenRefused():
            raise AssertionError("a refused token is not the end of a send")


type MaySend = Callable[[], SendOutcome | None]


class Dispatcher:
    """Sends messages in slots of the schedule, and reports CXone's answers to the other senders."""

    def __init__(
        self,
        gateway: SmsGateway,
        governor: Governor,
        schedules: SenderSchedules,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._gateway = gateway
        self.governor = governor
        self.schedules = schedules
        self._clock = clock
        self._telemetry = telemetry

    def prepare(self, seconds: float) -> None:
        """Make sure that a token is available, within `seconds`. Raises `MessagingError`."""
        self._gateway.prepare(seconds)

    def reserve(self, count: int, horizon_seconds: float, sender: str = "") -> Slots:
        """Reserve up to `count` slots within the horizon; of a sender that has a rate of its own, slots of that.

        Those need a slot of the account too (`join`). Raises `NoSlotError`, and `StorageError`.
        """
        own = self.schedules.reserve(sender, count, horizon_seconds) if sender else None
        return own or reserve_when_sure(self.governor, count, horizon_seconds, self._clock)

    def join(self, own: Slots, horizon_seconds: float, *, early: bool = False) -> Slots:
        """Reserve a slot of the account for a sender's own slot, to be used at the later of the two times.

        `early` uses it at the time of the sender's own slot. Raises `NoSlotError`, and `StorageError`.
        """
        slot = reserve_when_sure(self.governor, 1, horizon_seconds, self._clock)
        self.governor.refuse_held()
        return replace(slot, start=own.start if early else max(own.start, slot.start), seconds=own.seconds, own=own)

    def release(self, slots: Slots) -> None:
        """Release slots that are not used, as far as the schedule can use them again."""
        self.governor.release(slots)

    def send_in_slot(
        self, slot: Slots, sms: Sms, message_id: str, deadline: Deadline, may_send: MaySend
    ) -> tuple[Slots, SendOutcome]:
        """Wait for the slot's time, then send as `send_now` does."""
        try:
            slot = self.wait_for(slot, deadline)
        except NoSlotError as error:
            return slot, no_slot(error)
        except StorageError:
            return slot, SCHEDULE_UNREADABLE
        return self.send_now(slot, sms, message_id, deadline, may_send)

    def send_now(
        self, slot: Slots, sms: Sms, message_id: str, deadline: Deadline, may_send: MaySend
    ) -> tuple[Slots, SendOutcome]:
        """Send before the deadline.

        After a refused token, send once more with a new one, in another slot. `may_send` is called at the last moment
        before any part of the message leaves; an outcome that it returns ends the send. Returns the slot that was used
        last, and the outcome. Never raises.
        """
        outcome = self._send_once(sms, message_id, deadline, may_send)
        if not isinstance(outcome, TokenRefused):
            return slot, outcome
        try:
            self.governor.succeeded(slot)  # CXone answers
            self._gateway.prepare(deadline.left)
            slot = self.wait_for(replace(self.governor.reserve(1, _HORIZON_SECONDS), own=slot.own), deadline)
        except NoSlotError as error:
            return slot, no_slot(error)
        except StorageError:
            return slot, SCHEDULE_UNREADABLE
        except MessagingError as error:
            wait = error.retry_after
            if error.code is Code.CXONE_AUTH_FAILED:
                return slot, NotAccepted("cxone_auth_failed", "credentials_refused", retry_after=wait, tried=False)
            return slot, NotAccepted("cxone_unavailable", "no_token", retry_after=wait, tried=False)
        outcome = self._send_once(sms, message_id, deadline, may_send)
        if isinstance(outcome, TokenRefused):
            outcome = NotAccepted("cxone_auth_failed", "a_new_token_was_refused_too", HTTPStatus.UNAUTHORIZED)
        if isinstance(outcome, NotAccepted) and outcome.tried:
            outcome = replace(outcome, posts=2)
        return slot, outcome

    def wait_for(self, slot: Slots, deadline: Deadline) -> Slots:
        """Wait for a slot's time, and return the slot; replace it if this process missed it.

        Raises `NoSlotError` if CXone has throttled the fleet meanwhile or the deadline comes first, and `StorageError`.
        """
        while True:
            try:
                wait_until(slot, deadline, self._clock)
                self.governor.check(slot)
            except SlotMissedError:
                slot = replace(self.governor.reserve(1, min(_HORIZON_SECONDS, deadline.left)), own=slot.own)
            else:
                return slot

    def report(self, slot: Slots, outcome: SendOutcome, sender: str) -> None:
        """Report to the other senders how CXone answered; suppress errors, to keep the message's outcome.

        A 429 on a message of a sender with a rate of its own holds that sender only. If another such sender is refused
        right after it, the account's rate was meant, and all senders are held.
        """
        governor = self.governor
        with suppress(StorageError):
            match outcome:
                case Rejected(http_status=None) | NotAccepted(tried=False):
                    governor.release(slot)
                case Accepted() | Rejected() | TokenRefused() | NotAccepted(code="cxone_auth_failed"):
                    governor.succeeded(slot)
                case NotAccepted(code=Code.RATE_LIMITED):
                    self._telemetry.add(Metric.THROTTLED)
                    own = self.schedules.of(sender)
                    if own and slot.own:
                        own.throttled(outcome.retry_after, slot.own)
                    if own and slot.own and not self.schedules.note_refusal(sender):
                        governor.succeeded(slot)
                    else:
                        governor.throttled(outcome.retry_after, slot)
                case NotAccepted() | OutcomeUnknown():
                    governor.failed(slot)

    def count(self, outcome: SendOutcome, sms: Sms, latency_ms: int, latency: Metric = Metric.DISPATCH_LATENCY) -> None:
        """Add a message to the metrics; `latency` names the metric of its latency."""
        telemetry = self._telemetry
        match outcome:
            case Accepted():
                telemetry.add(Metric.MESSAGES_DISPATCHED)
                telemetry.add(Metric.SEGMENTS_SENT, sms.size.segments)
                telemetry.add(latency, latency_ms)
            case Rejected():
                telemetry.add(Metric.MESSAGES_REJECTED)
            case OutcomeUnknown():
                telemetry.add(Metric.MESSAGES_UNKNOWN)
            case NotAccepted() | TokenRefused():
                pass

    def _send_once(self, sms: Sms, message_id: str, deadline: Deadline, may_send: MaySend) -> SendOutcome:
        ended: SendOutcome | None = None

        def hold_back() -> bool:
            nonlocal ended
            try:
                ended = may_send()
            except Exception:  # after any error, nothing has been sent and nothing may be sent
                ended = NotAccepted("cxone_unavailable", "consent_unreadable", tried=False)
            if deadline.has_passed:
                ended = NO_TIME_LEFT
            return ended is not None

        outcome = self._gateway.send(sms, message_id, deadline.left, hold_back)
        return ended or outcome


def wait_until(slot: Slots, deadline: Deadline, clock: Clock) -> None:
    """Wait for a slot's time.

    Raises `RateUsedUpError` if the deadline comes first. Raises `SlotMissedError` if the slot is further ahead than any
    reserved slot can be: then the clock was set back meanwhile.
    """
    wait = max(0.0, slot.start - clock.now())
    if wait > _FURTHEST_SECONDS:
        raise SlotMissedError
    if wait > deadline.left:
        raise RateUsedUpError(wait)
    clock.sleep(wait)


def no_slot(error: NoSlotError) -> NotAccepted:
    """Return the outcome of a send that gets no slot."""
    if isinstance(error, CircuitOpenError):
        return NotAccepted("cxone_unavailable", "circuit_open", retry_after=error.retry_after, tried=False)
    if isinstance(error, SendingStoppedError):
        return NotAccepted("cxone_unavailable", "sending_stopped", retry_after=error.retry_after, tried=False)
    if isinstance(error, ClockWrongError):
        return NotAccepted("cxone_unavailable", "clock_wrong", retry_after=error.retry_after, tried=False)
    return NotAccepted("rate_limited", "no_slot", retry_after=error.retry_after, tried=False)
