"""A restored copy of the ledger beside the ledger in use: what the ledger lacks, and what differs.

Both are read into a file, because a ledger may be larger than memory.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from cli.restore.tables import RestoreError
from cxone_messaging.adapters.dynamodb.values import attributes_of
from cxone_messaging.domain.entries import FIRST_PREVIOUS_HASH, Entry

type Item = Mapping[str, Any]

_SCHEMA = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE live (subject TEXT, sequence INTEGER, item TEXT, PRIMARY KEY (subject, sequence)) WITHOUT ROWID;
CREATE TABLE copy (subject TEXT, sequence INTEGER, item TEXT, PRIMARY KEY (subject, sequence)) WITHOUT ROWID;
"""
_DIFFERENT = """
SELECT copy.subject, copy.sequence, copy.item, live.item IS NULL FROM copy LEFT JOIN live USING (subject, sequence)
WHERE live.item IS NULL OR live.item <> copy.item ORDER BY copy.subject, copy.sequence
"""
_IN_BOTH = "SELECT 1 FROM copy JOIN live USING (subject, sequence) WHERE copy.item = live.item LIMIT 1"
_LARGEST = 2**63 - 1  # the largest that SQLite sorts by


@dataclass(frozen=True, slots=True)
class Difference:
    """An entry of the copy that the ledger lacks (`missing`) or has with another content.

    A missing entry `fits` if it is intact and follows the ledger's entry before it, and the one after follows it.
    """

    subject: str
    sequence: int
    item: Item
    missing: bool
    fits: bool = False

    def __str__(self) -> str:
        return f"{self.subject}, entry {self.sequence}"


class Comparison:
    """The two tables, in a file of their own; in memory without a path."""

    def __init__(self, path: Path | None = None) -> None:
        self._database = sqlite3.connect(path or ":memory:")
        self._database.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def add_ledger(self, items: Iterable[Item]) -> None:
        """Add the items of the ledger in use."""
        self._database.executemany("INSERT OR REPLACE INTO live VALUES (?, ?, ?)", map(_row, items))

    def add_copy(self, items: Iterable[Item]) -> None:
        """Add the items of the restored copy."""
        self._database.executemany("INSERT OR REPLACE INTO copy VALUES (?, ?, ?)", map(_row, items))

    def check_kinship(self) -> None:
        """Raise `RestoreError` if the copy is empty, or of another ledger: both have entries, and none in common."""
        if not self._has_any("copy"):
            raise RestoreError("the copy has no entry: nothing can be put back from it")
        if self._has_any("live") and not self._database.execute(_IN_BOTH).fetchone():
            raise RestoreError("the copy and the ledger have no entry in common: this is a copy of another ledger")

    def differences(self) -> Iterator[Difference]:
        """Yield the copy's entries that the ledger lacks or has otherwise, in the order of their chains."""
        rows = self._database.execute(_DIFFERENT)
        for subject, group in groupby(rows, key=lambda row: row[0]):
            put_back: Entry | None = None
            for _, sequence, document, missing in group:
                item = json.loads(document)
                entry = Entry.from_attributes(attributes_of(item))
                if not missing:
                    yield Difference(subject, sequence, item, missing=False)
                    continue
                fits = self._fits(entry, put_back)
                put_back = entry if fits else None
                yield Difference(subject, sequence, item, missing=True, fits=fits)

    def _fits(self, entry: Entry, put_back: Entry | None) -> bool:
        before: str | None = FIRST_PREVIOUS_HASH
        if entry.sequence > 1:
            before = self._live(entry.subject, entry.sequence - 1, "hash")
            if before is None and put_back and put_back.sequence == entry.sequence - 1:
                before = put_back.hash
        after = self._live(entry.subject, entry.sequence + 1, "previousHash")
        is_intact = entry.hash == entry.computed_hash()
        return is_intact and entry.previous_hash == before and after in {None, entry.hash}

    def _live(self, subject: str, sequence: int, attribute: str) -> str | None:
        """Return a text of the ledger's entry, an empty one if it has none; None if there is no entry."""
        query = "SELECT item FROM live WHERE subject = ? AND sequence = ?"
        found = self._database.execute(query, (subject, sequence)).fetchone()
        return str(json.loads(found[0]).get(attribute, {}).get("S", "")) if found else None

    def _has_any(self, table: str) -> bool:
        return self._database.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() is not None  # noqa: S608


def _row(item: Item) -> tuple[str, int, str]:
    sequence = item["sequence"]["N"]
    number = int(sequence) if sequence.lstrip("-").isdecimal() else -1
    return item["subject"]["S"], min(number, _LARGEST), json.dumps(item, sort_keys=True, default=repr)
