"""What a check has found, as a line with a light: green, yellow or red, and what to do."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import requests
from botocore.exceptions import ClientError, ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.plain import visible
from cxone_messaging.domain.errors import StorageError

_WIDTH = 110
_OPERATORS_RIGHTS = "have it allowed: docs/runbook.md#what-an-operator-may-do"
_AGAIN = "run this again; if it stays, report it with this line"
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "AuthorizationError", "UnauthorizedOperation"})
_NO_ANSWER = (
    EndpointConnectionError,
    ConnectTimeoutError,
    ReadTimeoutError,
    requests.ConnectionError,
    requests.Timeout,
)


class Light(StrEnum):
    """How it stands: as it must be, to be looked at, broken."""

    GREEN = "green"
    YELLOW = "yellow"
    RED = "red"


_MARKS = {Light.GREEN: "✓", Light.YELLOW: "!", Light.RED: "✗"}


@dataclass(frozen=True, slots=True)
class Finding:
    """A check's result: a phrase that says what was found, and one that says what to do.

    `was_checked` is False if nothing was learned.
    """

    light: Light
    text: str
    remedy: str = ""
    was_checked: bool = True


def green(text: str) -> Finding:
    """Return a finding that all is well."""
    return Finding(Light.GREEN, text)


def yellow(text: str, remedy: str) -> Finding:
    """Return a finding that an operator should know of."""
    return Finding(Light.YELLOW, text, remedy)


def red(text: str, remedy: str) -> Finding:
    """Return a finding of something broken."""
    return Finding(Light.RED, text, remedy)


def not_checked(why: str, remedy: str = "") -> Finding:
    """Return a finding that nothing was learned, and why."""
    return Finding(Light.YELLOW, f"not checked: {why}", remedy, was_checked=False)


class NotCheckedError(Exception):
    """A check cannot be made; the text says why."""


def examine(check: Callable[[], Finding]) -> Finding:
    """Return a check's finding. Any error of the check becomes one: it names the error's kind, and quotes nothing."""
    try:
        return check()
    except NotCheckedError as error:
        return not_checked(str(error))
    except Exception as error:
        # Our own stores put the AWS client's error behind theirs.
        cause = error.__cause__ if isinstance(error, StorageError) and error.__cause__ else error
        return _failed(cause)


def _failed(error: BaseException) -> Finding:
    if isinstance(error, ClientError):
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in _DENIED:
            return yellow(f"not checked: your credentials may not call {error.operation_name}", _OPERATORS_RIGHTS)
        return red(f"the check failed: AWS answered {error.operation_name} with {code}", _AGAIN)
    if isinstance(error, _NO_ANSWER):
        return red(f"the check failed: no answer ({type(error).__name__})", "look at your network, and run this again")
    return red(f"the check failed: {type(error).__name__}", _AGAIN)


@dataclass(frozen=True, slots=True)
class Check:
    """A named check; it is not made if a check that it needs is red, or was not made."""

    name: str
    run: Callable[[], Finding]
    needs: tuple[str, ...] = ()


def make(checks: Iterable[Check], sheet: "Sheet") -> dict[str, Finding]:
    """Make checks one after the other, and show each finding at once; return the findings by name."""
    found: dict[str, Finding] = {}
    for check in checks:
        missing = [name for name in check.needs if found[name].light is Light.RED or not found[name].was_checked]
        if missing:
            found[check.name] = not_checked(f"it needs {missing[0]}")
        else:
            with sheet.console.status(f"{check.name} …"):
                found[check.name] = examine(check.run)
        sheet.show(check.name, found[check.name])
    return found


class Sheet:
    """The findings on a console: a mark, a name, the finding, and below it what to do."""

    def __init__(self, console: Console, names: Iterable[str]) -> None:
        self.console = console
        self._column = max(map(len, names))

    def show(self, name: str, finding: Finding) -> None:
        """Print one finding."""
        line = Table.grid(padding=(0, 2, 0, 0))
        line.width = min(_WIDTH, self.console.width)
        line.add_column(width=1, style=f"bold {finding.light}")
        line.add_column(width=self._column, no_wrap=True)
        line.add_column(ratio=1, overflow="fold")
        # No text can steer the terminal.
        line.add_row(_MARKS[finding.light], name, escape(visible(finding.text)))
        if finding.remedy:
            line.add_row("", "", f"[dim]→[/] {escape(visible(finding.remedy))}")
        self.console.print(line)


def summary(found: Mapping[str, Finding]) -> str:
    """Return the number of lines by light, as a text."""
    counts = {light: sum(each.light is light for each in found.values()) for light in reversed(Light)}
    return ", ".join(f"{number} {light}" for light, number in counts.items() if number)


def as_json(found: Mapping[str, Finding]) -> list[dict[str, Any]]:
    """Return findings for a script."""
    return [
        {"name": name, "light": each.light.value, "found": each.text, "remedy": each.remedy or None}
        for name, each in found.items()
    ]


def has_red(found: Mapping[str, Finding]) -> bool:
    """Whether something is broken."""
    return any(each.light is Light.RED for each in found.values())
