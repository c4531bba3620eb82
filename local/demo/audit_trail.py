"""An audit trail from the API: verified by the published description alone, and shown as a table."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table

from local.demo.state import expect


def verify(entries: Sequence[Mapping[str, Any]]) -> None:
    """Check that each entry's hash is right, and that the next entry contains it."""
    previous = "0" * 64
    for sequence, entry in enumerate(entries, start=1):
        expect("an entry's sequence", sequence, entry["sequence"])
        expect(f"entry {sequence}'s previousHash", previous, entry["previousHash"])
        expect(f"entry {sequence}'s hash", _hash_of(entry), entry["hash"])
        previous = entry["hash"]


def ledger_table(
    name: str, entries: Sequence[Mapping[str, Any]], essential: Callable[[Mapping[str, Any]], str]
) -> Table:
    """Return a table of entries with their essential data."""
    table = plain_table(f"ledger of {name}")
    table.add_column("#", justify="right")
    for heading in ("type", "time (UTC)", "data", "previous → hash"):
        table.add_column(heading, no_wrap=heading != "data")
    for entry in entries:
        hashes = f"{entry['previousHash'][:7]} → {entry['hash'][:7]}"
        time = entry["timestamp"][11:-1]
        table.add_row(str(entry["sequence"]), entry["type"], time, essential(entry["data"]), hashes)
    return table


def plain_table(title: str | None = None) -> Table:
    """Return a table with few lines."""
    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)


def _hash_of(entry: Mapping[str, Any]) -> str:
    """Return the hash of an entry, computed only by our published description of the ledger."""
    sealed = {name: value for name, value in entry.items() if name != "hash"}
    canonical = json.dumps(sealed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
