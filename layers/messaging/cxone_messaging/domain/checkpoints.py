"""Checkpoints: the last entry of every chain for each day.

They show a removed tail or chain from the day after. A chain's head of a day is its last entry dated on that day. The
checkpoint of a day is a chain of its own, `checkpoint#<date>`. Its entries list the heads, in the order of their
subjects. Its last entry contains their number, their Merkle root, and the hash of the last entry of the previous day's
checkpoint. So each checkpoint vouches for all earlier ones. A copy of one checkpoint's hash, kept elsewhere, proves any
change to the entries before it.

A process that was frozen, or whose clock is slow, may append an entry dated on a day whose checkpoint is already made.
The next day's checkpoint lists the head of such a chain too, if the entry exists by then. So an entry that its own
day's checkpoint does not cover is late if the next one covers it. If neither covers it, somebody added it later.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Self

from cxone_messaging.domain.entries import Entry, EntryType, Value

# In an entry of heads after which a run had no time left: the last subject that the run had processed.
REACHED_KEY = "reached"
# In an entry of heads: the chains that could not be read in the entry's range of subjects.
SKIPPED_KEY = "skipped"
# By then every entry dated before midnight is stored, except for late ones: a function runs for a minute or less, and
# clocks differ by less.
COMPLETE_AFTER = timedelta(minutes=30)

_DAY = timedelta(days=1)
# Prefixes of the hashed values in a Merkle tree, so that a node cannot pass for a leaf (RFC 6962, section 2.1).
_LEAF, _NODE = b"\x00", b"\x01"


@dataclass(frozen=True, slots=True)
class Head:
    """The last entry of a chain: its subject, sequence and hash."""

    subject: str
    sequence: int
    hash: str

    def leaf(self) -> bytes:
        """Return the head as a Merkle leaf: the JSON array of its three values, without spaces, in UTF-8."""
        return json.dumps(self.written(), separators=(",", ":"), ensure_ascii=False).encode()

    def written(self) -> list[Value]:
        """Return the head as an entry's data contains it."""
        return [self.subject, self.sequence, self.hash]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A finished checkpoint, read from its entries.

    `hash` is the hash of its last entry. `previous` is the hash of the previous day's checkpoint, or 64 zeros for the
    very first. `skipped` are the chains that could not be read.
    """

    day: date
    heads: Sequence[Head]
    count: int
    root: str
    previous: str
    hash: str
    skipped: Sequence[str] = ()

    @classmethod
    def read(cls, day: date, entries: Sequence[Entry]) -> Self | None:
        """Return the checkpoint that `entries` record, as far as they are valid; None if it is unfinished."""
        if not is_finished(entries):
            return None
        data = entries[-1].data
        count = data.get("count")
        return cls(
            day=day,
            heads=list(heads_in(entries)),
            count=count if isinstance(count, int) else -1,
            root=str(data.get("root")),
            previous=str(data.get("previous")),
            hash=entries[-1].hash,
            skipped=list(skipped_in(entries)),
        )

    @property
    def holds(self) -> bool:
        """Whether the heads match the count and the root, and are sorted without a repeated subject."""
        in_order = all(one.subject < next_.subject for one, next_ in zip(self.heads, self.heads[1:], strict=False))
        return in_order and self.count == len(self.heads) and self.root == root_of(self.heads)


def last_complete_day(now: datetime) -> date:
    """Return the newest day that no further entry will be dated on."""
    return (now.astimezone(UTC) - COMPLETE_AFTER).date() - _DAY


def head_of(entries: Sequence[Entry], day: date) -> Head | None:
    """Return the head of a whole chain on a day; None if the chain has no entry of that day."""
    last = next((entry for entry in reversed(entries) if entry.day == day.isoformat()), None)
    return Head(last.subject, last.sequence, last.hash) if last else None


def is_head(entry: Entry, day: date, seen: Head | None, *, was_skipped: bool = False) -> bool:
    """Whether a day's checkpoint may list an entry as its chain's head.

    The highest sequence is the head. Clocks differ, so an entry of a day may follow an entry of the next day. The last
    entry of the day counts, and covers all before it. `seen` is the head that the previous day's checkpoint lists. An
    entry that is dated on that day and follows that head is late, and this checkpoint covers it. If the previous
    checkpoint skipped the chain, entries of all earlier days count.
    """
    if was_skipped:
        return entry.day <= day.isoformat()
    if entry.day == day.isoformat():
        return True
    return entry.day == (day - _DAY).isoformat() and (seen is None or entry.sequence > seen.sequence)


def reached(entries: Sequence[Entry]) -> str:
    """Return the last subject that an unfinished checkpoint has processed; empty if there is none."""
    marks = (str(entry.data.get(REACHED_KEY, "")) for entry in entries)
    return max([*(head.subject for head in heads_in(entries)), *skipped_in(entries), *marks], default="")


def is_finished(entries: Sequence[Entry]) -> bool:
    """Whether a checkpoint's entries are complete."""
    return bool(entries) and entries[-1].type == EntryType.CHECKPOINT


def heads_in(entries: Sequence[Entry]) -> Iterator[Head]:
    """Yield the heads that a checkpoint's entries list.

    Invalid items, which this code never writes, are skipped.
    """
    for entry in entries:
        listed = entry.data.get("heads")
        for each in listed if isinstance(listed, list) else ():
            match each:
                case [str(subject), int(sequence), str(hash_)]:
                    yield Head(subject, sequence, hash_)


def skipped_in(entries: Sequence[Entry]) -> Iterator[str]:
    """Yield the subjects that a checkpoint's entries list as skipped, in their order."""
    for entry in entries:
        listed = entry.data.get(SKIPPED_KEY)
        yield from (each for each in (listed if isinstance(listed, list) else ()) if isinstance(each, str))


def root_of(heads: Sequence[Head]) -> str:
    """Return the Merkle root of a day's heads, in their order."""
    return merkle_root(head.leaf() for head in heads)


def merkle_root(leaves: Iterable[bytes]) -> str:
    """Return the Merkle root of a list of leaves, 64 hex digits.

    Keeps only one hash a level in memory.
    """
    subtrees: list[tuple[int, bytes]] = []  # (height, hash) of the complete subtrees so far, in falling height
    for leaf in leaves:
        height, node = 0, sha256(_LEAF + leaf).digest()
        while subtrees and subtrees[-1][0] == height:
            node = sha256(_NODE + subtrees.pop()[1] + node).digest()
            height += 1
        subtrees.append((height, node))
    if not subtrees:
        return sha256().hexdigest()
    _, root = subtrees.pop()
    while subtrees:
        root = sha256(_NODE + subtrees.pop()[1] + root).digest()
    return root.hex()
