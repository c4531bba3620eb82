"""The core of every send: what is entered before, how one message goes out in its slot, what is entered after."""

from contextlib import suppress
from http import HTTPStatus

from cxone_messaging.adapters.cxone_sms import SmsGateway
from cxone_messaging.adapters.governor import Governor
from cxone_messaging.adapters.ledger import CXONE_MESSAGE_KEY, Draft
from cxone_messaging.domain.consents import Consent
from cxone_messaging.domain.entries import EntryType, Value
from cxone_messaging.domain.errors import Code, MessagingError, StorageError
from cxone_messaging.domain.messages import Sms
from cxone_messaging.domain.outcomes import Accepted, NotAccepted, OutcomeUnknown, Rejected, SendOutcome, TokenRefused
from cxone_messaging.domain.pseudonyms import Pseudonyms
from cxone_messaging.domain.schedule import CircuitOpenError, NoSlotError, SlotMissedError, Slots
from cxone_messaging.domain.unsettled import Unsettled
from cxone_messaging.platform.clock import Clock
from cxone_messaging.platform.telemetry import Metric, Telemetry

# How far ahead a slot may lie that is exchanged for a missed one, or needed after a refused token; in seconds.
_HORIZON_SECONDS = 5.0
SCHEDULE_UNREADABLE = NotAccepted("cxone_unavailable", "schedule_unreadable", tried=False)


def sending(
    sms: Sms, consent: Consent, pseudonyms: Pseudonyms, *, fingerprint: str, owner: str, deadline: str
) -> Draft:
    """Say, before the first byte goes out, who sends what to whom, why they may, and until when they will be done."""
    return Draft(
        EntryType.SENDING,
        {
            "recipient": sms.to.masked,
            "recipientHash": consent.recipient_hash,
            "campaignId": sms.campaign_id,
            "from": sms.sender,
            "textHash": pseudonyms.text_hash(sms.text),
            "encoding": sms.size.encoding,
            "segments": sms.size.segments,
            "fingerprint": fingerprint,
            "owner": owner,
            "deadline": deadline,
            "consent": consent.evidence(),
        },
    )


def result(outcome: SendOutcome, latency_ms: int) -> Draft:
    """Say what came of it; the latency runs from the request's arrival to CXone's answer."""
    data: dict[str, Value] = {"latencyMs": latency_ms}
    if not isinstance(outcome, Accepted | TokenRefused):
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
            return Draft(EntryType.UNKNOWN, {**data, "error": Code.OUTCOME_UNKNOWN.value}, Unsettled.UNKNOWN.as_index())
        case NotAccepted():
            return Draft(EntryType.RETRYING, {**data, "error": outcome.code})
        case TokenRefused():
            raise AssertionError("a refused token is not the end of a send")


def send_in_slot(
    slot: Slots, sms: Sms, callback_url: str, seconds: float, *, gateway: SmsGateway, governor: Governor, clock: Clock
) -> tuple[Slots, SendOutcome]:
    """Send at a slot's time, and once more with a new token, in a slot of its own, where the old one is refused.

    `seconds` bound the whole of it. Gives the slot that was used in the end, and what came of it.
    """
    give_up_at = clock.monotonic() + seconds
    try:
        slot = wait_for(slot, give_up_at, governor, clock)
    except NoSlotError as error:
        return slot, no_slot(error)
    except StorageError:
        return slot, SCHEDULE_UNREADABLE
    return send_now(slot, sms, callback_url, give_up_at, gateway=gateway, governor=governor, clock=clock)


def send_now(
    slot: Slots,
    sms: Sms,
    callback_url: str,
    give_up_at: float,
    *,
    gateway: SmsGateway,
    governor: Governor,
    clock: Clock,
) -> tuple[Slots, SendOutcome]:
    """Send, and where the token is refused once more with a new one, in another slot. Never raises."""
    outcome = gateway.send(sms, callback_url, give_up_at - clock.monotonic())
    if not isinstance(outcome, TokenRefused):
        return slot, outcome
    try:
        governor.succeeded(slot)  # it answers
        gateway.prepare(give_up_at - clock.monotonic())
        slot = wait_for(governor.reserve(1, _HORIZON_SECONDS), give_up_at, governor, clock)
    except NoSlotError as error:
        return slot, no_slot(error)
    except StorageError:
        return slot, SCHEDULE_UNREADABLE
    except MessagingError as error:
        if error.code is Code.CXONE_AUTH_FAILED:
            return slot, NotAccepted("cxone_auth_failed", "credentials_refused", tried=False)
        return slot, NotAccepted("cxone_unavailable", "no_token", tried=False)
    outcome = gateway.send(sms, callback_url, give_up_at - clock.monotonic())
    if isinstance(outcome, TokenRefused):
        outcome = Rejected("cxone_auth_failed", "a new token was refused too", HTTPStatus.UNAUTHORIZED)
    return slot, outcome


def wait_for(slot: Slots, give_up_at: float, governor: Governor, clock: Clock) -> Slots:
    """Wait for a slot's time; one that was missed, since this process was held up, is exchanged for another.

    Raises `NoSlotError` where the fleet was told to wait meanwhile, and `StorageError`.
    """
    while True:
        clock.sleep(max(0.0, slot.start - clock.now()))
        try:
            governor.check(slot)
        except SlotMissedError:
            slot = governor.reserve(1, min(_HORIZON_SECONDS, give_up_at - clock.monotonic()))
        else:
            return slot


def tell_fleet(slot: Slots, outcome: SendOutcome, governor: Governor, telemetry: Telemetry) -> None:
    """Tell the other senders how CXone took it; that this fails must not hide what came of the message."""
    with suppress(StorageError):
        match outcome:
            case Accepted() | Rejected():
                governor.succeeded(slot)
            case NotAccepted(tried=False):
                governor.give_back(slot)
            case NotAccepted(code=Code.RATE_LIMITED):
                telemetry.add(Metric.THROTTLED)
                governor.succeeded(slot)  # it answers
                governor.throttled(outcome.retry_after)
            case NotAccepted() | OutcomeUnknown():
                governor.failed(slot)
            case TokenRefused():
                governor.succeeded(slot)


def measure(outcome: SendOutcome, sms: Sms, latency_ms: int, telemetry: Telemetry) -> None:
    """Count a message that was sent."""
    match outcome:
        case Accepted():
            telemetry.add(Metric.MESSAGES_DISPATCHED)
            telemetry.add(Metric.SEGMENTS_SENT, sms.size.segments)
            telemetry.add(Metric.DISPATCH_LATENCY, latency_ms)
        case Rejected():
            telemetry.add(Metric.MESSAGES_REJECTED)
        case OutcomeUnknown():
            telemetry.add(Metric.MESSAGES_UNKNOWN)
        case NotAccepted() | TokenRefused():
            pass


def no_slot(error: NoSlotError) -> NotAccepted:
    """Put into the words of an outcome that the schedule has no slot."""
    if isinstance(error, CircuitOpenError):
        return NotAccepted("cxone_unavailable", "circuit_open", retry_after=error.retry_after, tried=False)
    return NotAccepted("rate_limited", "no_slot", retry_after=error.retry_after, tried=False)
