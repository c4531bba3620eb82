"""Ledger entries and their hash chain, which reveals a change to any of them.

An entry's `hash` is the SHA-256 of its canonical JSON without the hash itself: sorted keys, no spaces, UTF-8 and not
escaped to ASCII. Its `previousHash` is the hash of the entry before it, so one changed entry breaks all later ones.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Self

from cxone_messaging.domain.times import day_of, format_time

type Value = str | int | bool | list[Value] | dict[str, Value] | None

FIRST_PREVIOUS_HASH = "0" * 64
_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode
# The index key of the first entry that a subject has on a day.
DAY_KEY = "day"


class EntryType(StrEnum):
    """What an entry records."""

    SENDING = "sending"
    DISPATCHED = "dispatched"
    REJECTED = "rejected"
    RETRYING = "retrying"
    UNKNOWN = "unknown"
    LOOKED_UP = "looked_up"
    DELIVERY = "delivery"
    COUNTED = "counted"
    REFUSED = "refused"
    CONSENT = "consent"
    BATCH = "batch"
    BATCH_QUEUED = "batch_queued"
    BATCH_SUBMITTED = "batch_submitted"
    FETCHED = "fetched"
    VALIDATED = "validated"
    APPROVED = "approved"
    REGISTERED = "registered"
    SUBSCRIBED = "subscribed"
    PUBLISHED = "published"
    STEP_CLAIMED = "step_claimed"
    STEP_FAILED = "step_failed"
    TEMPLATE_EVENT = "template_event"
    CHECKPOINT_HEADS = "checkpoint_heads"
    CHECKPOINT = "checkpoint"
    INBOUND = "inbound"
    EVENT = "event"
    PACE_SET = "pace.set"


@dataclass(frozen=True, slots=True)
class Entry:
    """One fact about one subject.

    `index` holds the attributes that the table's sparse indexes are keyed by.
    """

    subject: str
    sequence: int
    type: str
    timestamp: str
    data: Mapping[str, Value]
    previous_hash: str
    hash: str
    index: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def following(
        cls,
        previous: Self | None,
        *,
        subject: str,
        type: EntryType,  # noqa: A002  the attribute's name in the table
        timestamp: str,
        data: Mapping[str, Value],
        index: Mapping[str, str] | None = None,
    ) -> Self:
        """Return the entry after `previous`, or a subject's first entry."""
        unsealed = cls(
            subject=subject,
            sequence=previous.sequence + 1 if previous else 1,
            type=type.value,
            timestamp=timestamp,
            data=data,
            previous_hash=previous.hash if previous else FIRST_PREVIOUS_HASH,
            hash="",
            index=index or {},
        )
        return cls.from_attributes({**unsealed.attributes(), "hash": unsealed.computed_hash()})

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, Value]) -> Self:
        """Return the entry with these stored attributes.

        Every attribute beside the fixed ones is an index key. This code never writes attributes of another type, nor
        leaves any out. Such an entry gets no hash: it can be shown, and breaks its chain.
        """
        rest = dict(attributes)
        sequence, data = rest.pop("sequence", None), rest.pop("data", None)
        entry = cls(
            subject=str(rest.pop("subject", "")),
            sequence=sequence if isinstance(sequence, int) else 0,
            type=str(rest.pop("type", "")),
            timestamp=str(rest.pop("timestamp", "")),
            data=data if isinstance(data, dict) else {},
            previous_hash=str(rest.pop("previousHash", "")),
            hash=str(rest.pop("hash", "")),
            index={key: str(value) for key, value in rest.items()},
        )
        return entry if entry.attributes() == attributes else replace(entry, hash="")

    @property
    def day(self) -> str:
        """The date, in UTC, that the entry was made on."""
        return day_of(self.timestamp)

    def attributes(self) -> dict[str, Value]:
        """Return the entry's stored attributes."""
        return {
            **self.index,
            "subject": self.subject,
            "sequence": self.sequence,
            "type": self.type,
            "timestamp": self.timestamp,
            "data": dict(self.data),
            "previousHash": self.previous_hash,
            "hash": self.hash,
        }

    def computed_hash(self) -> str:
        """Return the hash of the entry's present content.

        It equals `hash` unless the entry was changed.
        """
        sealed = self.attributes()
        del sealed["hash"]
        return sha256(_canonical(sealed).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Draft:
    """The content of a future entry; its place in the chain is found when it is appended."""

    type: EntryType
    data: Mapping[str, Value]
    index: Mapping[str, str] | None = None

    def following(self, entries: Sequence[Entry], subject: str, at: datetime) -> Entry:
        """Return the entry after a subject's `entries`.

        The first entry on a day has the day as an index key.
        """
        previous = entries[-1] if entries else None
        timestamp = format_time(at)
        day = day_of(timestamp)
        found_by_day = {} if previous and previous.day == day else {DAY_KEY: day}
        return Entry.following(
            previous,
            subject=subject,
            type=self.type,
            timestamp=timestamp,
            data=self.data,
            index={**(self.index or {}), **found_by_day},
        )


def first_broken(subject: str, entries: Iterable[Entry]) -> int | None:
    """Return the sequence at which a subject's whole chain breaks first, or None if it is intact.

    A changed entry, a gap, a swap, an insertion and an entry of another subject all break it. The chain alone does not
    show that its last entries were removed; a checkpoint does.
    """
    previous_hash = FIRST_PREVIOUS_HASH
    for position, entry in enumerate(entries, start=1):
        intact = (
            entry.subject == subject
            and entry.sequence == position
            and entry.previous_hash == previous_hash
            and entry.hash == entry.computed_hash()
        )
        if not intact:
            return position
        previous_hash = entry.hash
    return None


def unbroken(entries: Sequence[Entry]) -> Sequence[Entry]:
    """Return the entries before the first gap in a chain's sequences.

    Without a gap, these are all entries. An entry below the next sequence, such as a fraction, is left out: no append
    writes there.
    """
    if all(entry.sequence == place for place, entry in enumerate(entries, start=1)):
        return entries
    kept: list[Entry] = []
    for entry in entries:
        following = len(kept) + 1
        if entry.sequence > following:
            break
        if entry.sequence == following:
            kept.append(entry)
    return kept


def text_at(data: Mapping[str, Value], key: str) -> str | None:
    """Return a text of an entry's data; None if it is absent or, after tampering, not a text."""
    value = data.get(key)
    return value if isinstance(value, str) else None


def number_at(data: Mapping[str, Value], key: str) -> int | None:
    """Return a number of an entry's data; None if it is absent or, after tampering, not a number."""
    value = data.get(key)
    return value if isinstance(value, int) else None
