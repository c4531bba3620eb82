"""A message: what was asked, the rules it must keep before it is sent, and what has become of it.

The ledger is the message: its state is the fold of its entries, whoever reads them and in whatever order its delivery
events came.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from cxone_messaging import segments
from cxone_messaging.domain.delivery import DELIVERED_WORD, FINAL_WORDS, SKEW, is_signed, plausible_instant, rank
from cxone_messaging.domain.entries import Entry, EntryType, Value, number_at, text_at
from cxone_messaging.domain.errors import Code, FieldError
from cxone_messaging.domain.names import name_fault
from cxone_messaging.domain.phone_numbers import InvalidPhoneNumberError, PhoneNumber
from cxone_messaging.domain.times import milliseconds_between, parse_time

_PREFIX = "message#"
# How many requests a try took, in the entry of a message that may be tried again; absent where it was one.
POSTS_KEY = "posts"
# Of a long chain, so many of its sender's first entries are held, and so many of the last.
_KEPT = 500
# Entries in a message's chain that are there for batches which did not bring it.
TOLD_TO_BATCHES = frozenset({EntryType.COUNTED, EntryType.REFUSED})


class Status(StrEnum):
    """Where a message stands; `queued` where a batch holds it and no sender has taken it yet.

    `delivered` and `failed` are final; `unknown` is settled by a delivery event only.
    """

    QUEUED = "queued"
    SENDING = "sending"
    RETRYING = "retrying"
    DISPATCHED = "dispatched"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class SmsRequest:
    """One SMS as the caller asked for it, before any default is filled in."""

    to: str = ""
    text: str = ""
    campaign_id: str | None = None
    sender: str | None = None


@dataclass(frozen=True, slots=True)
class Sms:
    """An SMS that keeps every rule that can be checked without asking anybody."""

    to: PhoneNumber
    text: str
    campaign_id: str
    sender: str
    size: segments.SegmentCount


@dataclass(frozen=True, slots=True)
class SmsRules:
    """What a request is checked against, and what stands in where it says nothing."""

    default_campaign_id: str
    default_sender: str
    max_segments: int


@dataclass(frozen=True, slots=True)
class Checked:
    """A request after its check: every violation, and as much of the message as could be read."""

    errors: tuple[FieldError, ...]
    to: PhoneNumber | None
    size: segments.SegmentCount | None
    sms: Sms | None


def check(request: SmsRequest, rules: SmsRules) -> Checked:
    """Check a request against all rules at once, so that a caller can mend everything in one go."""
    errors: list[FieldError] = []
    to: PhoneNumber | None = None
    try:
        to = PhoneNumber.parse(request.to)
    except InvalidPhoneNumberError as error:
        errors.append(FieldError(Code.INVALID_RECIPIENT, "to", str(error)))
    # What was named but is blank is a slip of the caller's, and not a wish for the default.
    campaign_id = rules.default_campaign_id if request.campaign_id is None else request.campaign_id
    if not campaign_id.strip():
        errors.append(FieldError.by_code(Code.CAMPAIGN_REQUIRED, "campaignId"))
    elif fault := name_fault(campaign_id):
        errors.append(FieldError(Code.INVALID_CHARACTERS, "campaignId", f"a campaign's name {fault}"))
    sender = rules.default_sender if request.sender is None else request.sender
    if not sender.strip():
        errors.append(FieldError.by_code(Code.SENDER_REQUIRED, "from"))
    size: segments.SegmentCount | None = None
    if not request.text.strip():
        errors.append(FieldError.by_code(Code.TEXT_REQUIRED, "text"))
    elif "\0" in request.text:
        errors.append(FieldError(Code.INVALID_CHARACTERS, "text", "U+0000 can't be sent in a message"))
    else:
        try:
            size = segments.count(request.text)
        except segments.InvalidCharacterError as error:
            errors.append(FieldError(Code.INVALID_CHARACTERS, "text", str(error)))
    if size and size.segments > rules.max_segments:
        told = f"the text takes {size.segments} segments of {size.encoding}, at most {rules.max_segments} are allowed"
        errors.append(FieldError(Code.TOO_MANY_SEGMENTS, "text", told))
    if errors or to is None or size is None:
        return Checked(tuple(errors), to, size, None)
    return Checked((), to, size, Sms(to, request.text, campaign_id, sender, size))


@dataclass(frozen=True, slots=True)
class Message:
    """What a message's entries amount to. Latencies are in milliseconds, instants as the ledger writes them.

    `attempts` counts its tries; `tried_at` is when the last one ended, where another one may follow, and `posts` how
    many requests that one took.
    """

    message_id: str
    status: Status
    recipient: str | None
    campaign_id: str | None
    encoding: str | None
    segments: int | None
    cxone_message_id: str | None
    created_at: str
    updated_at: str
    dispatch_latency_ms: int | None
    delivery_latency_ms: int | None
    error: str | None
    fingerprint: str | None
    deadline: str | None
    attempts: int
    tried_at: str | None
    posts: int


def subject_of(message_id: str) -> str:
    """Name a message's subject in the ledger."""
    return f"{_PREFIX}{message_id}"


def is_message(subject: str) -> bool:
    """Whether a subject in the ledger is a message."""
    return subject.startswith(_PREFIX)


def fold(message_id: str, entries: Sequence[Entry]) -> Message:
    """Read a message's state off its entries, of which there is at least one.

    A delivery event proves that CXone took the message, whatever we had recorded. Among final words a signed one counts
    before those on a URL's word alone, then the one with the later event time; words that aren't final never move a
    message back. Entries that somebody tampered with are read as far as they make sense, so that they can be shown;
    what can't be read is as good as absent.
    """
    # What is told to batches says nothing new of the message.
    entries = [entry for entry in entries if entry.type not in TOLD_TO_BATCHES] or entries
    sent = [entry for entry in entries if entry.type != EntryType.DELIVERY]
    events = [entry for entry in entries if entry.type == EntryType.DELIVERY]
    final = final_event(events)
    sending = [entry for entry in sent if entry.type == EntryType.SENDING]
    dispatched = next((entry for entry in sent if entry.type == EntryType.DISPATCHED), None)
    # `sending`, or `rejected` where the message broke a rule when its turn came on the bulk queue.
    asked: Mapping[str, Value] = sent[0].data if sent else {}
    began = dispatched or (sending[-1] if sending else None)
    status, error = _standing(sent[-1] if sent else None, final, heard_of=bool(events))
    return Message(
        message_id=message_id,
        status=status,
        recipient=text_at(asked, "recipient"),
        campaign_id=text_at(asked, "campaignId"),
        encoding=text_at(asked, "encoding"),
        segments=number_at(asked, "segments"),
        cxone_message_id=_cxone_message_id(entries, dispatched),
        created_at=entries[0].timestamp,
        updated_at=entries[-1].timestamp,
        dispatch_latency_ms=number_at(dispatched.data, "latencyMs") if dispatched else None,
        delivery_latency_ms=_latency_ms(began, final) if final and began else None,
        error=error,
        fingerprint=text_at(asked, "fingerprint"),
        deadline=text_at(sending[-1].data, "deadline") if sending else None,
        attempts=len(sending),
        tried_at=sent[-1].timestamp if status is Status.RETRYING else None,
        posts=(number_at(sent[-1].data, POSTS_KEY) or 1) if sent else 0,
    )


class Digest:
    """As much of a long chain as `fold` reads, in bounded memory: delivery events that change nothing are left out."""

    def __init__(self) -> None:
        self._kept: list[Entry] = []
        self._last: deque[Entry] = deque(maxlen=_KEPT)
        self._final: Entry | None = None
        self._first_event: Entry | None = None
        self._newest: Entry | None = None

    def take(self, entry: Entry) -> None:
        """Take in the next entry."""
        if entry.type in TOLD_TO_BATCHES:
            return
        self._newest = entry
        if entry.type != EntryType.DELIVERY:
            if len(self._kept) < _KEPT:
                self._kept.append(entry)
            else:
                self._last.append(entry)
            return
        is_better = self._first_event is None or is_signed(entry.data) > is_signed(self._first_event.data)
        if is_better and text_at(entry.data, "cxoneMessageId"):
            self._first_event = entry
        self._final = final_event([each for each in (self._final, entry) if each])

    def entries(self) -> list[Entry]:
        """Give the entries, in their order."""
        rest = [each for each in (self._first_event, self._final, self._newest) if each]
        chosen = {id(each): each for each in (*self._kept, *self._last, *rest)}
        return sorted(chosen.values(), key=lambda entry: entry.sequence)


def _cxone_message_id(entries: Sequence[Entry], dispatched: Entry | None) -> str | None:
    """Return CXone's id as the sender got it, else as the first signed event has it, else as the first event does."""
    signed = [entry for entry in entries if entry.type == EntryType.DELIVERY and is_signed(entry.data)]
    known = [*([dispatched] if dispatched else []), *signed, *entries]
    return next((id_ for entry in known if (id_ := text_at(entry.data, "cxoneMessageId"))), None)


def final_event(entries: Sequence[Entry]) -> Entry | None:
    """Find the delivery event that counts: of those with a final word the one of the highest rank."""
    return max(
        (e for e in entries if e.type == EntryType.DELIVERY and text_at(e.data, "word") in FINAL_WORDS),
        key=lambda event: rank(event.data),
        default=None,
    )


def _standing(last: Entry | None, final: Entry | None, *, heard_of: bool) -> tuple[Status, str | None]:
    if final:
        if final.data["word"] == DELIVERED_WORD:
            return Status.DELIVERED, None
        return Status.FAILED, text_at(final.data, "word")
    if heard_of or last is None:
        return Status.DISPATCHED, None
    return Status(last.type) if last.type in Status else Status.UNKNOWN, text_at(last.data, "error")


def _latency_ms(began: Entry, final: Entry) -> int | None:
    """Measure up to the event's own time, or until it came where that is dated too far ahead to be a time at all."""
    try:
        happened_at = plausible_instant(text_at(final.data, "instant") or "", parse_time(final.timestamp), SKEW)
        return milliseconds_between(began.timestamp, happened_at)
    except ValueError:
        return None
