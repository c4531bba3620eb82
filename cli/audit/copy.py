"""A copy of the ledger on disk while it is audited: in the order of its chains, however the table gives its items."""

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
# A chain with more entries is not held in memory, but read anew as often as it is looked through.
LONG = 1_000
_LARGEST = 2**63 - 1  # that SQLite orders by; whoever writes a larger number past the ledger is found all the same
_ENTRIES = "SELECT subject, sequence, 0 AS is_seen, day, attributes FROM entry"
_SEEN = "SELECT subject, sequence, 1 AS is_seen, day, hash FROM seen"
_IN_ORDER = "ORDER BY subject, is_seen, sequence, day"


class Copy:
    """The copy, in a file that nobody else uses; without one in memory."""

    def __init__(self, path: Path | None = None) -> None:
        self._database = sqlite3.connect(path or ":memory:")
        self._database.executescript(_SCHEMA)

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def add(self, items: Iterable[Mapping[str, Value]]) -> None:
        """Take items of the table in."""
        self._database.executemany("INSERT INTO entry VALUES (?, ?, ?, ?)", map(_row, items))
        self._database.execute("CREATE INDEX IF NOT EXISTS place ON entry (subject, sequence)")

    @property
    def is_empty(self) -> bool:
        """Whether there was no item at all."""
        return self._database.execute("SELECT 1 FROM entry LIMIT 1").fetchone() is None

    def see(self, checkpoint: Checkpoint) -> None:
        """Take in what a checkpoint says of each chain."""
        day = checkpoint.day.isoformat()
        rows = ((head.subject, head.sequence, day, head.hash) for head in checkpoint.heads)
        self._database.executemany("INSERT INTO seen VALUES (?, ?, ?, ?)", rows)
        skipped = ((subject, 0, day, "") for subject in checkpoint.skipped)
        self._database.executemany("INSERT INTO seen VALUES (?, ?, ?, ?)", skipped)

    def chains(self) -> Iterator[Chain]:
        """Give every chain that is there or was seen, in the order of their subjects."""
        return self._chains(f"{_ENTRIES} UNION ALL {_SEEN} {_IN_ORDER}")

    def checkpoints(self) -> Iterator[Chain]:
        """Give the checkpoints' own chains, in the order of their days."""
        return self._chains(
            f"{_ENTRIES} WHERE substr(subject, 1, {len(subjects.CHECKPOINT)}) = '{subjects.CHECKPOINT}' {_IN_ORDER}"
        )

    def days(self) -> dict[str, str]:
        """Give every day that an entry is dated on, with the first of that day's subjects."""
        return dict(self._database.execute("SELECT day, min(subject) FROM entry GROUP BY day ORDER BY day"))

    def _chains(self, query: str) -> Iterator[Chain]:
        rows: Iterator[tuple[str, int, int, str, str]] = iter(self._database.execute(query))
        for subject, group in groupby(rows, key=lambda row: row[0]):
            stored: list[Stored] = []
            seen: list[Seen] = []
            number = 0
            for _, sequence, is_seen, day, told in group:
                if is_seen:
                    seen.append(Seen(day, sequence, told))
                    continue
                number += 1
                if number <= LONG:
                    stored.append(_stored(told))
            yield Chain(subject, self._long(subject, number) if number > LONG else stored, seen)

    def _long(self, subject: str, number: int) -> Reread[Stored]:
        def read() -> Iterator[Stored]:
            query = "SELECT attributes FROM entry WHERE subject = ? ORDER BY sequence, day"
            return (_stored(told) for (told,) in self._database.execute(query, (subject,)))

        return Reread(read, number)


def _stored(told: str) -> Stored:
    attributes = json.loads(told)
    return Stored(attributes, Entry.from_attributes(attributes))


def _row(attributes: Mapping[str, Value]) -> tuple[Any, ...]:
    entry = Entry.from_attributes(attributes)
    return entry.subject, min(entry.sequence, _LARGEST), entry.day, json.dumps(attributes)
