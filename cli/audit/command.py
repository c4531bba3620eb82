"""Audit a ledger: read all of it, verify it, and export the chosen entries."""

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

from rich.text import Text

from cli.audit.copy import Copy
from cli.audit.export import Selection, export
from cli.audit.faults import NOTES, Fault
from cli.audit.source import AuditError, Source
from cli.audit.verification import Verification
from cli.interrupts import INTERRUPTED, interrupt_on_signals
from cli.plain import visible
from cli.progress import Outcome, Progress
from cli.target import Target, TargetError
from cxone_messaging.domain.entries import Value
from cxone_messaging.domain.times import format_time

FAULTY, NOT_AUDITED = 1, 3
_SHOWN = 20
_BETWEEN_SIGNS_OF_LIFE = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of an audit: the ledger, and the entries to export; `stack` is None for the local stack."""

    stack: str | None = None
    table: str | None = None
    day: date | None = None
    campaign: str | None = None
    template: str | None = None
    out: Path | None = None
    noted: Mapping[date, str] = field(default_factory=dict)
    as_of: datetime | None = None
    recipient: str | None = None
    as_json: bool = False


def run(options: Options) -> int:
    """Read, verify, export; return 0 if the ledger holds, 1 if it does not, 3 if nothing is verified."""
    progress = Progress(on_stderr=options.as_json)
    interrupt_on_signals()
    try:
        return _run(options, progress)
    except (AuditError, TargetError) as error:
        progress.error(str(error))
        return NOT_AUDITED
    except KeyboardInterrupt:
        progress.error("interrupted; nothing is verified")
        return INTERRUPTED


def _run(options: Options, progress: Progress) -> int:
    source = Source(Target.find(options.stack), options.table)
    selection = Selection(
        day=options.day,
        campaign=options.campaign,
        template=options.template,
        recipient_hash=source.recipient_hash(options.recipient) if options.recipient else None,
    )
    now = options.as_of or datetime.now(UTC)
    if options.out is None and (options.day or options.campaign or options.template or options.recipient):
        progress.say(
            "all of the ledger is verified; a choice is for an export, which needs OUT=folder or --out", "yellow"
        )
    with ExitStack() as files:
        folder = files.enter_context(tempfile.TemporaryDirectory(prefix="audit-"))
        copy = files.enter_context(closing(Copy(Path(folder) / "ledger.sqlite")))
        with progress.step(f"reading {source.table}", f"read {source.table}") as outcome:
            copy.add(_counted(source.items(), outcome))
        with progress.step("verifying", "verified") as outcome:
            verification = Verification(copy, now, dict(options.noted))
            faults = _verify(verification, selection, options.out, outcome)
        is_empty = copy.is_empty
    _report_checkpoints(verification, now, progress)
    notes = [*verification.late, *(fault for fault in faults if fault.kind in NOTES)]
    faults = [fault for fault in faults if fault.kind not in NOTES]
    _report_notes(notes, progress)
    if options.as_json and (faults or not is_empty):
        _print(source, verification, faults, notes)
    if not faults and is_empty:
        raise AuditError(f"the table {source.table} has no entry: nothing is verified")
    if not faults:
        progress.end("the ledger holds")
        return 0
    for fault in faults[:_SHOWN]:
        progress.finding(str(fault))
    if len(faults) > _SHOWN:
        progress.finding(
            f"and {len(faults) - _SHOWN:,} more" + ("" if options.out else "; OUT=folder writes all of them to a file")
        )
    progress.finding(f"the ledger does not hold: {len(faults):,} fault{'' if len(faults) == 1 else 's'}")
    return FAULTY


def _print(source: Source, verification: Verification, faults: Sequence[Fault], notes: Sequence[Fault]) -> None:
    """Print the verdict as JSON for a script."""
    newest = max(verification.checkpoints, default=None)
    document = {
        "table": source.table,
        "holds": not faults,
        "faults": [str(each) for each in faults],
        "late": [str(each) for each in notes],
        "checkpoints": len(verification.checkpoints),
        "newest": f"{newest}:{verification.checkpoints[newest].hash}" if newest else None,
    }
    print(json.dumps(document))


def _counted(items: Iterable[Mapping[str, Value]], outcome: Outcome) -> Iterator[Mapping[str, Value]]:
    """Yield items, and show how many were read so far."""
    number = 0
    for number, item in enumerate(items, start=1):
        if number % _BETWEEN_SIGNS_OF_LIFE == 0:
            outcome.show_meanwhile(Text(f"reading: {number:,} entries …"))
        yield item
    outcome.text += f"\n{number:,} entries"


def _verify(verification: Verification, selection: Selection, out: Path | None, outcome: Outcome) -> list[Fault]:
    faults = list(verification.faults)
    chains = exported = 0
    with export(out) as files:
        for chain, found in verification.chains():
            chains += bool(chain.stored)
            faults += found
            if files:
                exported += files.add(selection.chosen(chain), found)
            if chains % _BETWEEN_SIGNS_OF_LIFE == 0:
                outcome.show_meanwhile(Text(f"verifying: {chains:,} chains …"))
        if files:
            files.add_faults([fault for fault in faults if fault.kind not in NOTES])
    outcome.text += f"\n{chains:,} chains"
    if out:
        outcome.text += f"\nexported {exported:,} entries to {out}"
    return faults


def _report_checkpoints(verification: Verification, now: datetime, progress: Progress) -> None:
    checkpoints = verification.checkpoints
    if not checkpoints:
        text = f"no checkpoint yet: entries that were removed by {format_time(now)} do not show"
    else:
        newest = checkpoints[max(checkpoints)]
        text = (
            f"checkpoints of {len(checkpoints):,} days; note the newest outside of this account, for a later audit:\n"
            f"  NOTED={newest.day}:{visible(newest.hash)}"
        )
    progress.say(text)


def _report_notes(notes: Sequence[Fault], progress: Progress) -> None:
    """Print the entries that were late, or may have been: that alone is no sign of tampering."""
    for note in notes[:_SHOWN]:
        progress.say(str(note))
    if len(notes) > _SHOWN:
        progress.say(f"and {len(notes) - _SHOWN:,} more entries that came late")
