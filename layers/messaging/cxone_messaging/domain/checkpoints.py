"""Checkpoints: for each day, what every chain ended with, so that a tail that was cut off or a whole chain that was
removed shows from the day after.

A chain's head of a day is its last entry dated on that day. The checkpoint of a day is a chain of its own,
`checkpoint#<date>`: entries that list the heads, in the order of their subjects, and a last one with their number,
their Merkle root, and the hash of the last entry of the checkpoint of the day before. So each checkpoint vouches for
all earlier ones, and whoever keeps one checkpoint's hash elsewhere can prove any change to what lies before it.

A process that was frozen, or whose clock is slow, may enter something dated on a day after that day's checkpoint was
made. The next day's checkpoint lists the head of such a chain too, if it was entered by then. So an entry that its own
day's checkpoint did not see is late where the next one saw it, and added by somebody where that did not either.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Self

from cxone_messaging.domain.entries import Entry, EntryType, Value

# In an entry of heads after which a run had no time left: the last subject that it had dealt with.
REACHED_KEY = "reached"
# In an entry of heads: the chains of that part that could not be read.
SKIPPED_KEY = "skipped"
# By then every entry dated before midnight is in, but for late ones: a function lives for a minute or less, and clocks
# differ by less.
SETTLED_AFTER = timedelta(minutes=30)

_DAY = timedelta(days=1)
# Prefixes of what is hashed in a Merkle tree, so that nobody can pass a node off as a leaf (RFC 6962, section 2.1).
_LEAF, _NODE = b"\x00", b"\x01"


@dataclass(frozen=True, slots=True)
class Head:
    """What a chain ended with."""

    subject: str
    sequence: int
    hash: str

    def leaf(self) -> bytes:
        """Give the head as a leaf of the Merkle tree: the JSON array of its three values, without spaces, in UTF-8."""
        return json.dumps(self.written(), separators=(",", ":"), ensure_ascii=False).encode()

    def written(self) -> list[Value]:
        """Give the head as it stands in an entry."""
        return [self.subject, self.sequence, self.hash]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A finished checkpoint as its entries tell it.

    `hash` is its last entry's, `previous` that of the checkpoint of the day before, or 64 zeros for the very first.
    `skipped` are the chains that could not be read.
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
        """Read a checkpoint, however much of it makes sense; None where it is not finished."""
        if not is_finished(entries):
            return None
        told = entries[-1].data
        count = told.get("count")
        return cls(
            day=day,
            heads=list(heads_in(entries)),
            count=count if isinstance(count, int) else -1,
            root=str(told.get("root")),
            previous=str(told.get("previous")),
            hash=entries[-1].hash,
            skipped=list(skipped_in(entries)),
        )

    @property
    def holds(self) -> bool:
        """Whether its heads are as many as it says, hash to its root, and stand in their order, no subject twice."""
        in_order = all(one.subject < next_.subject for one, next_ in zip(self.heads, self.heads[1:], strict=False))
        return in_order and self.count == len(self.heads) and self.root == root_of(self.heads)


def settled_day(now: datetime) -> date:
    """Give the newest day that no entry will be dated on any more."""
    return (now.astimezone(UTC) - SETTLED_AFTER).date() - _DAY


def head_of(entries: Sequence[Entry], day: date) -> Head | None:
    """Find what a whole chain ended with on a day; None where it has no entry of that day."""
    last = next((entry for entry in reversed(entries) if entry.day == day.isoformat()), None)
    return Head(last.subject, last.sequence, last.hash) if last else None


def is_head(entry: Entry, day: date, seen: Head | None, *, was_skipped: bool = False) -> bool:
    """Whether a day's checkpoint may list an entry as its chain's head; of several the one with the highest number is.

    Clocks differ, so an entry of a day may follow one of the next: the last one counts, and covers all before it.
    `seen` is the head that the checkpoint of the day before lists; an entry dated on that day and behind its head is
    late, and covered by this checkpoint. Where that checkpoint skipped the chain, entries of all days before count.
    """
    if was_skipped:
        return entry.day <= day.isoformat()
    if entry.day == day.isoformat():
        return True
    return entry.day == (day - _DAY).isoformat() and (seen is None or entry.sequence > seen.sequence)


def reached(entries: Sequence[Entry]) -> str:
    """Return the last subject that an unfinished checkpoint has dealt with; empty where it has none."""
    marks = (str(entry.data.get(REACHED_KEY, "")) for entry in entries)
    return max([*(head.subject for head in heads_in(entries)), *skipped_in(entries), *marks], default="")


def is_finished(entries: Sequence[Entry]) -> bool:
    """Whether a checkpoint's entries have come to their end."""
    return bool(entries) and entries[-1].type == EntryType.CHECKPOINT


def heads_in(entries: Sequence[Entry]) -> Iterator[Head]:
    """Read the heads that a checkpoint's entries list; what is none, which nobody here writes, is passed over."""
    for entry in entries:
        listed = entry.data.get("heads")
        for each in listed if isinstance(listed, list) else ():
            match each:
                case [str(subject), int(sequence), str(hash_)]:
                    yield Head(subject, sequence, hash_)


def skipped_in(entries: Sequence[Entry]) -> Iterator[str]:
    """Name the chains that a checkpoint's entries list as skipped, in their order."""
    for entry in entries:
        listed = entry.data.get(SKIPPED_KEY)
        yield from (each for each in (listed if isinstance(listed, list) else ()) if isinstance(each, str))


def root_of(heads: Sequence[Head]) -> str:
    """Hash a day's heads, in their order, to one Merkle root."""
    return merkle_root(head.leaf() for head in heads)


def merkle_root(leaves: Iterable[bytes]) -> str:
    """Hash a list of leaves to its root, 64 hex digits. Keeps no more than one hash a level, however long the list."""
    subtrees: list[tuple[int, bytes]] = []  # (height, hash) of the complete ones so far, each lower than the one before
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
