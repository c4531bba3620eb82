"""Audit a ledger: `python -m cli.audit --stack cxone-messaging --day 2026-11-22 --out audit`, or `make audit`."""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from datetime import UTC, date, datetime
from pathlib import Path

from rich.text import Text

from cli.audit.copy import Copy
from cli.audit.export import Selection, export
from cli.audit.faults import NOTES, Fault
from cli.audit.source import AuditError, Source
from cli.audit.verification import Verification
from cli.plain import visible
from cli.progress import Outcome, Progress
from cxone_messaging.domain.entries import Value
from cxone_messaging.domain.times import format_time, parse_time
from local.options import FOLDER
from local.processes import interrupt_when_told_to_end
from local.stack import INTERRUPTED

FAULTY, NOT_AUDITED = 1, 2
_SHOWN = 20
_BETWEEN_SIGNS_OF_LIFE = 10_000


def main() -> int:
    """Read, verify, export; 0 when the ledger holds, 1 when something is wrong, 2 when nothing is verified."""
    arguments = _arguments()
    progress = Progress()
    interrupt_when_told_to_end()
    try:
        return _run(arguments, progress)
    except AuditError as error:
        progress.error(str(error))
        return NOT_AUDITED
    except KeyboardInterrupt:
        progress.error("interrupted; nothing is verified")
        return INTERRUPTED


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m cli.audit",
        description="Verify all of a ledger, and export what is wanted of it.",
        epilog="AUDIT_RECIPIENT in the environment is a phone number: export what was sent to it, and its consents.",
    )
    parser.add_argument("--stack", default=str(FOLDER / "stack.json"), help="a stack.json, or a deployed stack's name")
    parser.add_argument("--table", help="another table, such as a restored copy (default: the stack's ledger)")
    parser.add_argument("--day", type=_day, help="export entries of that day only, in UTC: 2026-11-22")
    parser.add_argument("--campaign", help="export messages of that campaign only")
    parser.add_argument("--template", help="export what is about that template only")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where an export goes; none without it")
    parser.add_argument(
        "--noted",
        type=_noted,
        action="append",
        default=[],
        metavar="DAY:HASH",
        help="one noted earlier",
    )
    parser.add_argument(
        "--as-of", type=_instant, metavar="INSTANT", help="when the copy was made (default: now): 2026-11-22T12:00:00Z"
    )
    return parser.parse_args()


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no date such as 2026-11-22") from None


def _noted(text: str) -> tuple[date, str]:
    day, _, noted_hash = text.partition(":")
    return _day(day), noted_hash.strip().lower()


def _instant(text: str) -> datetime:
    try:
        return parse_time(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no instant such as 2026-11-22T12:00:00Z") from None


def _run(arguments: argparse.Namespace, progress: Progress) -> int:
    source = Source.find(arguments.stack, arguments.table)
    recipient = os.environ.get("AUDIT_RECIPIENT")
    selection = Selection(
        day=arguments.day,
        campaign=arguments.campaign,
        template=arguments.template,
        recipient_hash=source.recipient_hash(recipient) if recipient else None,
    )
    now: datetime = arguments.as_of or datetime.now(UTC)
    with ExitStack() as files:
        folder = files.enter_context(tempfile.TemporaryDirectory(prefix="audit-"))
        copy = files.enter_context(closing(Copy(Path(folder) / "ledger.sqlite")))
        with progress.step(f"reading {source.table}", f"read {source.table}") as outcome:
            copy.add(_counted(source.items(), outcome))
        with progress.step("verifying", "verified") as outcome:
            verification = Verification(copy, now, dict(arguments.noted))
            faults = _verify(verification, selection, arguments.out, outcome)
        is_empty = copy.is_empty
    _tell_of_checkpoints(verification, now, progress)
    notes = [*verification.late, *(fault for fault in faults if fault.kind in NOTES)]
    faults = [fault for fault in faults if fault.kind not in NOTES]
    _tell_of_notes(notes, progress)
    if not faults and is_empty:
        raise AuditError(f"the table {source.table} has no entry: nothing is verified, and nothing can be said of it")
    if not faults:
        progress.end("the ledger holds")
        return 0
    for fault in faults[:_SHOWN]:
        progress.error(str(fault))
    if len(faults) > _SHOWN:
        progress.error(f"and {len(faults) - _SHOWN:,} more" + ("" if arguments.out else "; OUT=folder writes all down"))
    progress.error(f"the ledger does not hold: {len(faults):,} fault{'' if len(faults) == 1 else 's'}")
    return FAULTY


def _counted(items: Iterable[Mapping[str, Value]], outcome: Outcome) -> Iterator[Mapping[str, Value]]:
    """Pass items on, and show how many there were so far."""
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


def _tell_of_checkpoints(verification: Verification, now: datetime, progress: Progress) -> None:
    checkpoints = verification.checkpoints
    if not checkpoints:
        told = f"no checkpoint yet: what was cut off or removed by {format_time(now)} does not show"
    else:
        newest = checkpoints[max(checkpoints)]
        told = (
            f"checkpoints of {len(checkpoints):,} days; note the newest outside of this account, for a later audit:\n"
            f"  NOTED={newest.day}:{visible(newest.hash)}"
        )
    progress.say(told)


def _tell_of_notes(notes: Sequence[Fault], progress: Progress) -> None:
    """Show which entries came late, or may have: that alone is no sign of tampering."""
    for note in notes[:_SHOWN]:
        progress.say(str(note))
    if len(notes) > _SHOWN:
        progress.say(f"and {len(notes) - _SHOWN:,} more entries that came late")


if __name__ == "__main__":
    sys.exit(main())
