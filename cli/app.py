"""The command `cxone-messaging`: its subcommands, their options, and their help texts.

The code of a subcommand is imported when it runs, so that `--help` and shell completion answer at once.
"""

import os
import string
import sys
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Annotated

import typer

from cli.interrupts import outlive_readers
from cxone_messaging import __version__

_BATCH_MESSAGES, _MAXIMUM_BATCH_MESSAGES = 2_000, 10_000
_LONGEST_NAME = 100

_HASH_DIGITS = 64

app = typer.Typer(
    name="cxone-messaging",
    help="Run a CXone Messaging stack: on AWS by its name, or the local one that `make up` starts.",
    epilog="Exit codes: 0 all is well, 1 something is wrong, 2 wrong usage, 3 no result, 130 interrupted;"
    " a subcommand's --help says what they mean there.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@dataclass(frozen=True, slots=True)
class _Common:
    """The options before the subcommand; the same options after it override them."""

    stack: str | None
    as_json: bool


_STACK_HELP = "A deployed stack's name, or the path of a stack.json (default: the local stack)."
_JSON_HELP = "Print one JSON document on standard output, and all other texts on standard error."
Stack = Annotated[str | None, typer.Option("--stack", metavar="NAME", help=_STACK_HELP)]
Json = Annotated[bool, typer.Option("--json", help=_JSON_HELP)]


def _print_version(is_asked: bool) -> None:
    if is_asked:
        print(f"cxone-messaging {__version__}")
        raise typer.Exit


@app.callback()
def common(
    context: typer.Context,
    stack: Stack = None,
    as_json: Json = False,
    _: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version, and end.")
    ] = False,
) -> None:
    """Store the options before the subcommand."""
    context.obj = _Common(stack, as_json)


def _common(context: typer.Context, stack: str | None, as_json: bool) -> tuple[str | None, bool]:
    before: _Common = context.obj
    return stack or before.stack, as_json or before.as_json


def _name(text: str) -> str:
    if not 0 < len(text) <= _LONGEST_NAME:
        raise typer.BadParameter(f"a name has 1 to {_LONGEST_NAME} characters")
    return text


@app.command(
    epilog="Exit codes: 0 every message is final, or only previewed; 1 nothing was sent; 2 wrong usage; 3 nothing has"
    " moved for five minutes; 130 interrupted, what was submitted is being sent."
)
def campaign(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(help="A CSV file with a column `to`, `phone` or `mobile`; others are optional.")
    ],
    text: Annotated[
        str | None,
        typer.Option(envvar="CAMPAIGN_TEXT", help="The message; {column} is replaced by a row's value."),
    ] = None,
    stack: Stack = None,
    name: Annotated[
        str | None,
        typer.Option(
            parser=_name,
            metavar="NAME",
            help="No number gets a text twice under one name, --from and --campaign-id (default: the file's name).",
        ),
    ] = None,
    campaign_id: Annotated[str | None, typer.Option(help="CXone's campaign (default: the deployment's).")] = None,
    sender: Annotated[
        str | None, typer.Option("--from", help="The number, or channel, to send from (default: the deployment's).")
    ] = None,
    refused: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write all refused rows to this file, as CSV.")
    ] = None,
    to_column: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The column of the numbers, where its heading is another.")
    ] = None,
    literal: Annotated[
        bool, typer.Option("--literal", help=r"Send {{name}}, \[name], %name% and the like as they are written.")
    ] = False,
    batch_size: Annotated[
        int, typer.Option(min=1, max=_MAXIMUM_BATCH_MESSAGES, metavar="N", help="The number of messages in a batch.")
    ] = _BATCH_MESSAGES,
    yes: Annotated[bool, typer.Option("--yes", help="Send without a question.")] = False,
    as_json: Json = False,
) -> None:
    """Send a message to all numbers in a CSV file: preview, confirm, send in bulk, and wait until all is final.

    If it is interrupted, run the same command again: it continues, and nothing is sent twice.
    """
    from cli.campaign import command
    from cli.campaign.people import default_name

    stack, as_json = _common(context, stack, as_json)
    options = command.Options(
        file=file,
        text=text or None,
        stack=stack,
        name=name or default_name(file)[:_LONGEST_NAME],
        campaign_id=campaign_id or None,
        sender=sender or None,
        refused=refused,
        to_column=to_column or None,
        literal=literal,
        batch_size=batch_size,
        yes=yes,
        as_json=as_json,
    )
    raise typer.Exit(command.run(options))


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no date such as 2026-11-22") from None


def _noted(text: str) -> tuple[date, str]:
    day, _, noted_hash = text.partition(":")
    noted_hash = noted_hash.strip().lower()
    if len(noted_hash) != _HASH_DIGITS or not set(noted_hash) <= set(string.hexdigits):
        raise typer.BadParameter(f"a noted hash has {_HASH_DIGITS} hexadecimal digits")
    return _day(day), noted_hash


def _instant(text: str) -> datetime:
    from cxone_messaging.domain.times import parse_time

    try:
        return parse_time(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no instant such as 2026-11-22T12:00:00Z") from None


@app.command(
    epilog="If AUDIT_RECIPIENT in the environment is a phone number, only its messages and consents are exported."
    " Exit codes: 0 the ledger holds; 1 it does not; 2 wrong usage; 3 nothing is verified; 130 interrupted."
)
def audit(
    context: typer.Context,
    stack: Stack = None,
    table: Annotated[
        str | None, typer.Option(help="Another table, such as a restored copy (default: the stack's ledger).")
    ] = None,
    day: Annotated[
        date | None,
        typer.Option(parser=_day, metavar="DAY", help="Export entries of that day only, in UTC: 2026-11-22."),
    ] = None,
    campaign: Annotated[str | None, typer.Option(help="Export messages of that campaign only.")] = None,
    template: Annotated[str | None, typer.Option(help="Export entries about that template only.")] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="The folder of the export; without it, nothing is exported.")
    ] = None,
    noted: Annotated[
        list[tuple] | None,  # type: ignore[type-arg]
        typer.Option(parser=_noted, metavar="DAY:HASH", help="A checkpoint's hash that was noted earlier."),
    ] = None,
    as_of: Annotated[
        datetime | None,
        typer.Option(
            parser=_instant, metavar="INSTANT", help="When a copy was made: 2026-11-22T12:00:00Z (default: now)."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Verify a whole ledger, entry by entry and against its checkpoints, and export the entries that you choose."""
    from cli.audit import command

    stack, as_json = _common(context, stack, as_json)
    options = command.Options(
        stack=stack,
        table=table,
        day=day,
        campaign=campaign,
        template=template,
        out=out,
        noted=dict(noted or []),
        as_of=as_of,
        # Other users can see a process's arguments, so the number is not one of them.
        recipient=os.environ.get("AUDIT_RECIPIENT") or None,
        as_json=as_json,
    )
    raise typer.Exit(command.run(options))


@app.command(epilog="Exit codes: 0 the function answered, whatever its status; 1 it did not; 2 wrong usage.")
def invoke(
    context: typer.Context,
    event: Annotated[Path, typer.Argument(help="A JSON file in a folder with the name of a function in functions/.")],
    stack: Stack = None,
    as_json: Json = False,
) -> None:
    """Send an event once to the function that its folder names, and print the answer."""
    from cli.invoke import run

    stack, as_json = _common(context, stack, as_json)
    raise typer.Exit(run(event, stack, as_json=as_json))


@app.command(
    epilog="Exit codes: 0 nothing is left to do; 1 something is; 2 wrong usage; 3 nothing is compared; 130 interrupted."
)
def restore(
    context: typer.Context,
    copy: Annotated[
        str | None,
        typer.Option("--from", metavar="TABLE", help="A restored copy of the ledger to put entries back from."),
    ] = None,
    stack: Stack = None,
    apply: Annotated[bool, typer.Option("--apply", help="Do it; without this, only print what would be done.")] = False,
    as_json: Json = False,
) -> None:
    """Put back what the ledger lacks: entries, from a restored copy, and settings that a restored table lost.

    No entry is overwritten or removed. Waits while DynamoDB still restores a table.
    """
    from cli.restore import command

    stack, as_json = _common(context, stack, as_json)
    options = command.Options(stack=stack, copy=copy or None, apply=apply, as_json=as_json)
    raise typer.Exit(command.run(options))


@app.command(
    epilog="Exit codes: 0 CXone posts replies, or a person has it do so; 1 it does not; 2 wrong usage; 3 no result;"
    " 130 interrupted."
)
def subscribe(context: typer.Context, stack: Stack = None, as_json: Json = False) -> None:
    """Subscribe to CXone's events, replies among them, without waiting for the stack's hourly run.

    Without replies no STOP arrives. What is subscribed already stays as it is.
    """
    from cli.subscribe import run

    stack, as_json = _common(context, stack, as_json)
    raise typer.Exit(run(stack, as_json=as_json))


@app.command(
    epilog="Exit codes: 0 it is shown, or set; 1 it is not set; 2 wrong usage; 3 nothing is known; 130 interrupted."
)
def pace(
    context: typer.Context,
    stack: Stack = None,
    ceiling: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="N",
            help="Send at most N requests a second from now on. 0 stops all sending; the deployed rate is the most.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Set the ceiling without a question.")] = False,
    as_json: Json = False,
) -> None:
    """Show how fast the account sends, what holds it back, and how long the bulk queue takes; or set its ceiling.

    A ceiling is in force at once, without a deployment, and the ledger records who set it.
    """
    from cli.pace import run

    stack, as_json = _common(context, stack, as_json)
    raise typer.Exit(run(stack, ceiling, yes=yes, as_json=as_json))


@app.command(epilog="Exit codes: 0 nothing is red; 1 something is; 2 wrong usage; 130 interrupted.")
def doctor(
    context: typer.Context,
    stack: Stack = None,
    send_to: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBER",
            help="Send one test message to a number that has opted in, wait for its receipt, and show the trail.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check before the first message that all fits: the account, the stack, CXone's tokens, the webhook, the ledger.

    It sets nothing. With Digital Engagement it has the collector do a run. A line is green, yellow or red, and says
    what to do.
    """
    from cli.doctor.command import run

    stack, as_json = _common(context, stack, as_json)
    raise typer.Exit(run(stack, send_to=send_to or None, as_json=as_json))


@app.command(epilog="Exit codes: 0 every check passed; 1 one failed; 2 wrong usage; 130 interrupted.")
def smoke(context: typer.Context, stack: Stack = None, as_json: Json = False) -> None:
    """Check after a deployment that every function answers with this version, and that forged events are refused.

    It sends nothing and records nothing.
    """
    from cli.smoke import run

    stack, as_json = _common(context, stack, as_json)
    raise typer.Exit(run(stack, as_json=as_json))


def main() -> None:
    """Run the command."""
    outlive_readers()
    sys.exit(app())
