"""The export for an auditor: the chosen entries, as CSV and as JSON Lines, and all faults."""

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, TextIO

from cli.audit.chains import Chain, Stored
from cli.audit.faults import Fault
from cli.audit.source import AuditError
from cli.plain import cell
from cxone_messaging.domain import subjects

ENTRIES_CSV, ENTRIES_JSONL, FAULTS_CSV = "entries.csv", "entries.jsonl", "faults.csv"
_COLUMNS = ("subject", "sequence", "timestamp", "type", "data", "previousHash", "hash", "fault")


@dataclass(frozen=True, slots=True)
class Selection:
    """The choice of entries: they must match all fields that are set.

    `recipient_hash` is the hash of a recipient in the ledger.
    """

    day: date | None = None
    campaign: str | None = None
    template: str | None = None
    recipient_hash: str | None = None

    def chosen(self, chain: Chain) -> Iterable[Stored]:
        """Return a chain's entries of the day, if the chain is about the campaign, template and recipient."""
        if not all(self._is_about(chain)):
            return ()
        if self.day is None:
            return chain.stored
        return (each for each in chain.stored if each.entry.day == self.day.isoformat())

    def _is_about(self, chain: Chain) -> Iterator[bool]:
        def has(name: str, value: str) -> bool:
            return any(entry.data.get(name) == value for entry in chain.entries)

        if self.campaign is not None:
            yield has("campaignId", self.campaign)
        if self.template is not None:
            yield chain.subject == subjects.template(self.template) or has("templateId", self.template)
        if self.recipient_hash is not None:
            yield has("recipientHash", self.recipient_hash)


class Export:
    """The files. `entries.jsonl` has each entry as it is stored, so that an auditor can hash it again.

    In the CSV files an apostrophe precedes a text that a spreadsheet would read as a formula.
    """

    def __init__(self, entries: TextIO, lines: TextIO, faults: TextIO) -> None:
        self._entries = csv.writer(entries)
        self._lines = lines
        self._faults = csv.writer(faults)
        self._entries.writerow(_COLUMNS)
        self._faults.writerow(["subject", "sequence", "kind", "detail"])

    def add(self, stored: Iterable[Stored], faults: Sequence[Fault]) -> int:
        """Write entries of one chain, and mark the faulty ones; return their number."""
        added = 0
        kinds = {fault.sequence: fault.kind for fault in faults}
        for each in stored:
            added += 1
            row = {**each.attributes, "fault": kinds.get(each.entry.sequence, "")}
            self._entries.writerow([_cell(row.get(column)) for column in _COLUMNS])
            self._lines.write(_json(each.attributes) + "\n")
        return added

    def add_faults(self, faults: Sequence[Fault]) -> None:
        """Write faults."""
        rows = ([fault.subject, fault.sequence, fault.kind, fault.detail] for fault in faults)
        self._faults.writerows([cell(value) if isinstance(value, str) else value for value in row] for row in rows)


@contextmanager
def export(folder: Path | None) -> Iterator[Export | None]:
    """Yield the files, opened in a folder that is created if needed; None without one. Raises `AuditError`."""
    if folder is None:
        yield None
        return
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            names = (ENTRIES_CSV, ENTRIES_JSONL, FAULTS_CSV)
            files = [stack.enter_context((folder / name).open("w", encoding="utf-8", newline="")) for name in names]
        except OSError as error:
            raise AuditError(f"{folder} can't be written to: {error.strerror}") from None
        yield Export(*files)


def _cell(value: Any) -> Any:
    """Return a cell's value: a number unchanged, any other value as a text that no spreadsheet calculates."""
    if isinstance(value, int):
        return value
    return cell(value if isinstance(value, str) else _json(value))


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
