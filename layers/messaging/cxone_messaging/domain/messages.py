"""A message: its request and its status.

The ledger is the message: its state is the fold of its entries. Every reader finds the same state, in whatever order
its delivery events arrived.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from cxone_messaging.domain import subjects
from cxone_messaging.domain.delivery import DELIVERED_WORD, FINAL_WORDS, is_signed, rank
from cxone_messaging.domain.entries import Entry, EntryType, Value, number_at, text_at
from cxone_messaging.domain.event_times import SKEW, event_time
from cxone_messaging.domain.times import milliseconds_between, parse_time

# A receipt that CXone does not post is looked for this long after its message was sent, in seconds.
COLLECTED_SECONDS = 86_400.0
# How many requests a try took, in the entry of a message that may be tried again; absent if it was one.
POSTS_KEY = "posts"
# A digest of a long chain keeps this many of its sender's first entries, and this many of the last.
_KEPT = 500
# Entries in a message's chain that only serve the counts of other batches, and say nothing about the message.
BATCH_NOTES = frozenset({EntryType.COUNTED, EntryType.REFUSED})


class Status(StrEnum):
    """The status of a message.

    `queued` while a batch contains it and no sender has claimed it yet. `delivered` and `failed` are final; only a
    delivery event changes `unknown`.
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
class Message:
    """A message's state, folded from its entries.

    Latencies are in milliseconds, instants in the ledger's form. `attempts` counts its tries. `tried_at` is when the
    last try ended, if another may follow; `posts` is how many requests the last try took.
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

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> "Message":
        """Return the message's state that its entries record; there must be at least one entry.

        A delivery event proves that CXone accepted the message, whatever was recorded before. Of several final events,
        `final_event` counts; words that are not final never move a message back. Of tampered entries, the valid parts
        are read, so that they can be shown.
        """
        message_id = subjects.id_in(entries[0].subject)
        # The bookkeeping of other batches says nothing about the message.
        entries = [entry for entry in entries if entry.type not in BATCH_NOTES] or entries
        sent = [entry for entry in entries if entry.type != EntryType.DELIVERY]
        events = [entry for entry in entries if entry.type == EntryType.DELIVERY]
        final = final_event(events)
        sending = [entry for entry in sent if entry.type == EntryType.SENDING]
        dispatched = next((entry for entry in sent if entry.type == EntryType.DISPATCHED), None)
        # The entry is `sending`, or `rejected` if the message broke a rule when a worker took it from the bulk queue.
        request: Mapping[str, Value] = sent[0].data if sent else {}
        began = dispatched or (sending[-1] if sending else None)
        status, error = _status(sent[-1] if sent else None, final, has_events=bool(events))
        return cls(
            message_id=message_id,
            status=status,
            recipient=text_at(request, "recipient"),
            campaign_id=text_at(request, "campaignId"),
            encoding=text_at(request, "encoding"),
            segments=number_at(request, "segments"),
            cxone_message_id=_cxone_message_id(entries, dispatched),
            created_at=entries[0].timestamp,
            updated_at=entries[-1].timestamp,
            dispatch_latency_ms=number_at(dispatched.data, "latencyMs") if dispatched else None,
            delivery_latency_ms=_latency_ms(began, final) if final and began else None,
            error=error,
            fingerprint=text_at(request, "fingerprint"),
            deadline=text_at(sending[-1].data, "deadline") if sending else None,
            attempts=len(sending),
            tried_at=sent[-1].timestamp if status is Status.RETRYING else None,
            posts=(number_at(sent[-1].data, POSTS_KEY) or 1) if sent else 0,
        )

    def is_final(self, now: datetime, *, receipts_are_collected: bool) -> bool:
        """Whether the status stays as it is, unless a person settles it.

        A receipt that CXone posts may come at any time. One that is collected is looked for during one day.
        """
        if self.status in {Status.DELIVERED, Status.FAILED, Status.REJECTED}:
            return True
        if not receipts_are_collected or self.status not in {Status.DISPATCHED, Status.UNKNOWN}:
            return False
        return now - parse_time(self.updated_at) > timedelta(seconds=COLLECTED_SECONDS)


class Digest:
    """The part of a long chain that `Message.of` reads, in bounded memory.

    Events that change nothing are left out.
    """

    def __init__(self) -> None:
        self._kept: list[Entry] = []
        self._last: deque[Entry] = deque(maxlen=_KEPT)
        self._final: Entry | None = None
        self._first_event: Entry | None = None
        self._newest: Entry | None = None

    def take(self, entry: Entry) -> None:
        """Add the next entry."""
        if entry.type in BATCH_NOTES:
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
        """Return the entries that were kept, in their order."""
        rest = [each for each in (self._first_event, self._final, self._newest) if each]
        chosen = {id(each): each for each in (*self._kept, *self._last, *rest)}
        return sorted(chosen.values(), key=lambda entry: entry.sequence)


def _cxone_message_id(entries: Sequence[Entry], dispatched: Entry | None) -> str | None:
    """Return the CXone id that the sender got, else the first signed event's, else the first event's."""
    signed = [entry for entry in entries if entry.type == EntryType.DELIVERY and is_signed(entry.data)]
    by_certainty = [*([dispatched] if dispatched else []), *signed, *entries]
    return next((id_ for entry in by_certainty if (id_ := text_at(entry.data, "cxoneMessageId"))), None)


def final_event(entries: Sequence[Entry]) -> Entry | None:
    """Return the delivery event that counts: the highest-ranked event with a final word, or None."""
    return max(
        (e for e in entries if e.type == EntryType.DELIVERY and text_at(e.data, "word") in FINAL_WORDS),
        key=lambda event: rank(event.data),
        default=None,
    )


def _status(last: Entry | None, final: Entry | None, *, has_events: bool) -> tuple[Status, str | None]:
    if final:
        if final.data["word"] == DELIVERED_WORD:
            return Status.DELIVERED, None
        return Status.FAILED, text_at(final.data, "word")
    if has_events or last is None:
        return Status.DISPATCHED, None
    return Status(last.type) if last.type in Status else Status.UNKNOWN, text_at(last.data, "error")


def _latency_ms(began: Entry, final: Entry) -> int | None:
    """Return the time until the final event's own date.

    If that date is implausibly far ahead, this is the time until the event's receipt.
    """
    try:
        time = event_time(text_at(final.data, "instant"), parse_time(final.timestamp), SKEW)
        return milliseconds_between(began.timestamp, time.instant)
    except ValueError:
        return None
