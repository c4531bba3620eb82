"""A copy of the ledger on disk during an audit: sorted by chains, although the table returns items unsorted."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from cli.audit.chains import Chain, Reread, Seen, Stored
from cxone_messaging.domain import subjects
from cxone_messaging.domain.checkpoints import Checkpoint
from cxone_messaging.domain.entries import Entry, Value

_SCHEMA = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE entry (subject TEXT, sequence INTEGER, day TEXT, attributes TEXT);
CREATE TABLE seen (subject TEXT, sequence INTEGER, day TEXT, hash TEXT);
"""
# A chain with more entries is not kept in memory, but read anew for each iteration.
LONG = 1_000
_LARGEST = 2**63 - 1  # the largest that SQLite sorts by; an entry that somebody writes with a larger one is still found
_ENTRIES = "SELECT subject, sequence, 0 AS is_seen, day, attributes FROM entry"
_SEEN = "SELECT subject, sequence, 1 AS is_seen, day, hash FROM seen"
_IN_ORDER = "ORDER BY subject, is_seen, sequence, day"


class Copy:
    """The copy, in a file of its own; in memory without a path."""

    def __init__(self, path: Path | None = None) -> None:
        self._database = sqlite3.connect(path or ":memory:")
        self._database.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def add(self, items: Iterable[Mapping[str, Value]]) -> None:
        """Add items of the table."""
        self._database.executemany("INSERT INTO entry VALUES (?, ?, ?, ?)", map(_row, items))
        self._database.execute("CREATE INDEX IF NOT EXISTS place ON entry (subject, sequence)")

    @property
    def is_empty(self) -> bool:
        """Whether the copy has no item."""
        return self._database.execute("SELECT 1 FROM entry LIMIT 1").fetchone() is None

    def see(self, checkpoint: Checkpoint) -> None:
        """Add the ends of the chains that a checkpoint lists."""
        day = checkpoint.day.isoformat()
        rows = ((head.subject, head.sequence, day, head.hash) for head in checkpoint.heads)
        self._database.executemany("INSERT INTO seen VALUES (?, ?, ?, ?)", rows)
        skipped = ((subject, 0, day, "") for subject in checkpoint.skipped)
        self._database.executemany("INSERT INTO seen VALUES (?, ?, ?, ?)", skipped)

    def chains(self) -> Iterator[Chain]:
        """Yield every chain that is stored or that a checkpoint lists, in the order of their subjects."""
        return self._chains(f"{_ENTRIES} UNION ALL {_SEEN} {_IN_ORDER}")

    def checkpoints(self) -> Iterator[Chain]:
        """Yield the checkpoints' own chains, in the order of their days."""
        return self._chains(
            f"{_ENTRIES} WHERE substr(subject, 1, {len(subjects.CHECKPOINT)}) = '{subjects.CHECKPOINT}' {_IN_ORDER}"
        )

    def days(self) -> dict[str, str]:
        """Return every day that an entry is dated on, with the first subject of that day."""
        return dict(self._database.execute("SELECT day, min(subject) FROM entry GROUP BY day ORDER BY day"))

    def _chains(self, query: str) -> Iterator[Chain]:
        rows: Iterator[tuple[str, int, int, str, str]] = iter(self._database.execute(query))
        for subject, group in groupby(rows, key=lambda row: row[0]):
            stored: list[Stored] = []
            seen: list[Seen] = []
            number = 0
            for _, sequence, is_seen, day, content in group:
                if is_seen:
                    seen.append(Seen(day, sequence, content))
                    continue
                number += 1
                if number <= LONG:
                    stored.append(_stored(content))
            yield Chain(subject, self._long(subject, number) if number > LONG else stored, seen)

    def _long(self, subject: str, number: int) -> Reread[Stored]:
        def read() -> Iterator[Stored]:
            query = "SELECT attributes FROM entry WHERE subject = ? ORDER BY sequence, day"
            return (_stored(content) for (content,) in self._database.execute(query, (subject,)))

        return Reread(read, number)


def _stored(document: str) -> Stored:
    attributes = json.loads(document)
    return Stored(attributes, Entry.from_attributes(attributes))


def _row(attributes: Mapping[str, Value]) -> tuple[Any, ...]:
    entry = Entry.from_attributes(attributes)
    return entry.subject, min(entry.sequence, _LARGEST), entry.day, json.dumps(attributes)
