"""An audit trail as the API gives it: verified by what is published of the ledger alone, and shown as a table."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table

from local.demo.story import expect


def verify(entries: Sequence[Mapping[str, Any]]) -> None:
    """Insist that each entry's hash is right, and stands in the entry after it."""
    previous = "0" * 64
    for sequence, entry in enumerate(entries, start=1):
        expect("an entry's sequence", sequence, entry["sequence"])
        expect(f"entry {sequence}'s previousHash", previous, entry["previousHash"])
        expect(f"entry {sequence}'s hash", _hash_of(entry), entry["hash"])
        previous = entry["hash"]


def ledger_table(
    name: str, entries: Sequence[Mapping[str, Any]], essential: Callable[[Mapping[str, Any]], str]
) -> Table:
    """Show entries, of their data the essential."""
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
    """Make a table with few lines."""
    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)


def _hash_of(entry: Mapping[str, Any]) -> str:
    """Hash an entry as an auditor would who has only our description of the ledger to go by."""
    sealed = {name: value for name, value in entry.items() if name != "hash"}
    canonical = json.dumps(sealed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
