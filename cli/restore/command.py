"""Compare a restored copy with the ledger, and put back what the ledger and its tables lack.

Entries are put back by PartiQL's `INSERT`, which the ledger's own policy allows and which never overwrites. So the
policy stays in force all the time.
"""

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from cli.audit.copy import Copy
from cli.audit.faults import NOTES, Fault
from cli.audit.source import AuditError, Source
from cli.audit.verification import Verification
from cli.interrupts import INTERRUPTED, interrupt_on_signals
from cli.progress import Progress
from cli.restore.comparison import Comparison, Difference, Item
from cli.restore.settings import TABLES, Setting, Settings
from cli.restore.tables import RestoreError, wait_until_active
from cli.target import Target, TargetError

LEFT, NOT_COMPARED = 1, 3
_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of a restore: `stack` is None for the local stack, `copy` is the restored table's name."""

    stack: str | None = None
    copy: str | None = None
    apply: bool = False
    as_json: bool = False


@dataclass(slots=True)
class Report:
    """What was found, and what was done about it."""

    settings: list[Setting] = field(default_factory=list)
    fitting: list[Difference] = field(default_factory=list)
    by_hand: list[Difference] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def is_clean(self, *, applied: bool) -> bool:
        """Whether nothing is left to do."""
        found = bool(self.settings or self.fitting) and not applied
        return not (found or self.by_hand or self.failed or self.faults)


def run(options: Options) -> int:
    """Compare, and put back with `apply`; return 0 if nothing is left to do, 1 if something is, 2 if not compared."""
    progress = Progress(on_stderr=options.as_json)
    interrupt_on_signals()
    try:
        report = _run(options, progress)
    except (AuditError, RestoreError, TargetError) as error:
        progress.error(str(error))
        return NOT_COMPARED
    except KeyboardInterrupt:
        progress.error("interrupted; the same command goes on")
        return INTERRUPTED
    if options.as_json:
        print(json.dumps(_document(options, report)))
    if report.is_clean(applied=options.apply):
        progress.end("nothing is left to do")
        return 0
    if not options.apply and (report.settings or report.fitting):
        progress.say("this was a dry run: --apply does it", "yellow")
    progress.error("something is left to do")
    return LEFT


def _run(options: Options, progress: Progress) -> Report:
    target = Target.find(options.stack)
    dynamodb = target.client("dynamodb")
    ledger = target.output("LedgerTableName")
    report = Report()
    with progress.step("waiting until the tables are active", "all tables are active"):
        arns = {each: wait_until_active(dynamodb, target.output(output)) for each, output in TABLES.items()}
        if options.copy:
            wait_until_active(dynamodb, options.copy)
    with progress.step("reading the tables' settings", "read the tables' settings"):
        report.settings = list(Settings(target).missing(arns))
    _list(progress, "the stack's template says otherwise", report.settings)
    if options.copy:
        with ExitStack() as files:
            folder = files.enter_context(tempfile.TemporaryDirectory(prefix="restore-"))
            comparison = files.enter_context(closing(Comparison(Path(folder) / "tables.sqlite")))
            with progress.step(f"comparing {ledger} with {options.copy}", f"compared {ledger} with {options.copy}"):
                # The copy first: what is written meanwhile is then in the ledger alone.
                comparison.add_copy(_items(dynamodb, options.copy))
                comparison.add_ledger(_items(dynamodb, ledger))
            comparison.check_kinship()
            for each in comparison.differences():
                (report.fitting if each.fits else report.by_hand).append(each)
        _list(progress, "the ledger lacks", report.fitting)
        _list(progress, "by hand: differs from the copy", [each for each in report.by_hand if not each.missing])
        _list(progress, "by hand: missing, and fits no longer", [each for each in report.by_hand if each.missing])
    if options.apply:
        _apply(dynamodb, ledger, report, progress)
        report.faults = _faults(target, progress)
    return report


def _apply(dynamodb: Any, ledger: str, report: Report, progress: Progress) -> None:
    """Set and put back everything that can be; what fails is listed, and does not stop the rest."""
    for setting in report.settings:
        try:
            setting.apply()
            progress.say(f"set: {setting}")
        except (BotoCoreError, ClientError, RestoreError) as error:
            report.failed.append(f"NOT SET: {setting}: {error}")
            progress.error(f"NOT SET, run the same command again: {setting}: {error}")
    for each in report.fitting:
        try:
            dynamodb.execute_statement(**_insert(ledger, each.item))
            progress.say(f"put back: {each}")
        except (BotoCoreError, ClientError) as error:
            # Another writer may have been first; nothing is overwritten.
            report.failed.append(f"not put back: {each}: {error}")
            progress.error(f"not put back: {each}: {error}")


def _insert(table: str, item: Item) -> dict[str, Any]:
    names = ", ".join(f"'{name}': ?" for name in item)
    return {"Statement": f'INSERT INTO "{table}" VALUE {{{names}}}', "Parameters": list(item.values())}


def _items(dynamodb: Any, table: str) -> Iterator[Item]:
    try:
        for page in dynamodb.get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
            for item in page["Items"]:
                if "S" not in item.get("subject", {}) or "N" not in item.get("sequence", {}):
                    raise RestoreError(f"the table {table} is no ledger: its items have no subject and sequence")
                yield item
    except (BotoCoreError, ClientError) as error:
        raise RestoreError(f"the table {table} can't be read: {error}") from None


def _faults(target: Target, progress: Progress) -> list[Fault]:
    """Return the faults that the ledger still has."""
    with ExitStack() as files:
        folder = files.enter_context(tempfile.TemporaryDirectory(prefix="restore-"))
        copy = files.enter_context(closing(Copy(Path(folder) / "ledger.sqlite")))
        with progress.step("verifying the ledger", "verified the ledger"):
            copy.add(Source(target).items())
            verification = Verification(copy, datetime.now(UTC))
            faults = [*verification.faults, *(each for _, found in verification.chains() for each in found)]
    faults = [each for each in faults if each.kind not in NOTES]
    _list(progress, "the ledger does not hold", faults)
    return faults


def _list(progress: Progress, heading: str, lines: Sequence[object]) -> None:
    for line in lines[:_SHOWN]:
        progress.say(f"{heading}: {line}", "yellow")
    if len(lines) > _SHOWN:
        progress.say(f"{heading}: {len(lines) - _SHOWN:,} more; --json prints all", "yellow")


def _document(options: Options, report: Report) -> dict[str, Any]:
    def places(differences: Sequence[Difference]) -> list[dict[str, Any]]:
        return [{"subject": each.subject, "sequence": each.sequence} for each in differences]

    return {
        "applied": options.apply,
        "settings": [str(each) for each in report.settings],
        "missing": places(report.fitting),
        "differ": places([each for each in report.by_hand if not each.missing]),
        "byHand": places([each for each in report.by_hand if each.missing]),
        "failed": report.failed,
        "faults": [str(each) for each in report.faults],
        "clean": report.is_clean(applied=options.apply),
    }
