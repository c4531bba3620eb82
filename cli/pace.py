"""Show the account's pace, and set a ceiling on it: what `GET` and `PUT /pace` answer."""

import json
import sys
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

import requests
from botocore.exceptions import BotoCoreError, ClientError
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from cli.interrupts import INTERRUPTED, interrupt_on_signals
from cli.plain import visible
from cli.progress import Progress
from cli.target import Target, TargetError

NOT_SET, NO_RESULT = 1, 3
_PATH = "/pace"


class _RefusedError(Exception):
    """The stack refuses the request; the text says why."""


def run(stack: str | None, ceiling: float | None = None, *, yes: bool = False, as_json: bool = False) -> int:
    """Show the pace, or set the ceiling first; return 0, 1 if it is not set, or 3 if nothing is known."""
    progress = Progress(on_stderr=as_json)
    interrupt_on_signals()
    try:
        target = Target.find(stack)
        if ceiling is not None and not yes and not _is_confirmed(ceiling, target, progress, as_json=as_json):
            progress.error("nothing was changed")
            return NOT_SET
        body = None if ceiling is None else {"ceiling": ceiling}
        pace = _answer(target.call("GET" if body is None else "PUT", _PATH, body))
    except _RefusedError as error:
        progress.error(str(error))
        return NO_RESULT if ceiling is None else NOT_SET
    except (TargetError, requests.RequestException, BotoCoreError, ClientError) as error:
        progress.error(str(error))
        return NO_RESULT
    except KeyboardInterrupt:
        progress.error("interrupted")
        return INTERRUPTED
    if as_json:
        print(json.dumps(pace))
        return 0
    table = Table.grid(padding=(0, 2))
    for name, text in _rows(pace):
        table.add_row(name, escape(visible(text)))
    progress.console.print(Padding(table, (0, 0, 0, 2)))
    if ceiling is not None:
        progress.end("all sending is stopped" if pace["ceiling"] == 0 else f"the ceiling is {_rate(pace['ceiling'])}")
    return 0


def _is_confirmed(ceiling: float, target: Target, progress: Progress, *, as_json: bool) -> bool:
    if as_json or not (sys.stdin.isatty() and progress.console.is_terminal):
        progress.error("--yes sets it without a question")
        return False
    asked = "stop all sending" if ceiling == 0 else f"set the ceiling to {_rate(ceiling)}"
    return input(f"{target.name}: {asked}? [y/N] ").strip().lower() in {"y", "yes"}


def _answer(answer: requests.Response) -> dict[str, Any]:
    try:
        document = answer.json()
    except ValueError:
        document = None
    if answer.status_code == HTTPStatus.OK and isinstance(document, dict) and "ceiling" in document:
        return document
    known = document if isinstance(document, dict) else {}
    faults = "; ".join(each["message"] for each in known.get("errors", []))
    # API Gateway's own answers have a `message`: no permission, or no such route in the deployed version.
    raise _RefusedError(f"{answer.status_code}: {faults or known.get('detail') or known.get('message') or 'no reason'}")


def _rows(pace: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the lines of the table: a name, and its value in words."""
    yield "pace", "nothing is sent" if pace["pace"] == 0 else _rate(pace["pace"])
    deployed = pace["deployedCeiling"]
    is_deployed = pace["ceiling"] == deployed
    note = "as deployed" if is_deployed else f"set by an operator; {_number(deployed)} are deployed"
    yield "ceiling", f"{_rate(pace['ceiling'])}, {note}"
    yield "minute", f"{_number(pace['perMinute'])} requests at most"
    yield "hold", f"until {pace['heldUntil']}, {pace['holds']} in a row" if "heldUntil" in pace else "none"
    yield "circuit", pace["circuit"]
    yield "queue", _queue(pace["queued"], pace["queueSeconds"])
    if pace["senders"]:
        yield "senders", ", ".join(f"{name} {_number(rate)} a second" for name, rate in pace["senders"].items())


def _queue(queued: int | None, seconds: int | None) -> str:
    if queued is None:
        return "its length is unknown"
    if not queued:
        return "empty"
    records = "1 record" if queued == 1 else f"{queued:,} records"
    return f"{records}, {_duration(seconds)} at this pace" if seconds is not None else f"{records}, and none is sent"


def _duration(seconds: int) -> str:
    hours, rest = divmod(seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def _rate(rate: float) -> str:
    return f"{_number(rate)} request{'' if rate == 1 else 's'} a second"


def _number(number: float) -> str:
    return f"{number:,.3f}".rstrip("0").rstrip(".")
