"""The display of a running command: a spinner, then a line for each finished step."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import TextIOWrapper

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from cli.interrupts import outlive_readers
from cli.plain import visible

_WIDTH = 80


@dataclass
class Outcome:
    """The result of a finished step: a line, further lines with details, and a rendering if that is not enough.

    While the step works, `show_meanwhile` replaces the text that says what it is doing.
    """

    text: str
    shown: RenderableType | None = None
    show_meanwhile: Callable[[RenderableType], object] = lambda _: None


class Progress:
    """Steps on a console; without a terminal there are no spinners, but the same lines.

    No text can steer the terminal: control characters and rich's markup are shown as they are written.
    """

    def __init__(self, *, on_stderr: bool = False) -> None:
        """`on_stderr` leaves standard output to a document."""
        outlive_readers()
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(errors="replace")  # a terminal that cannot show a tick shows a replacement
        self.console = Console(highlight=False, stderr=on_stderr)
        self.errors = Console(highlight=False, stderr=True)

    @contextlib.contextmanager
    def step(self, doing: str, done: str) -> Iterator[Outcome]:
        """Run a step: show `doing` meanwhile and if it fails, and the outcome's text, `done` at first, afterwards."""
        started = time.monotonic()
        outcome = Outcome(done)
        try:
            with self.console.status(f"{escape(visible(doing))} …") as status:
                outcome.show_meanwhile = status.update
                yield outcome
        except BaseException:
            self._line("[bold red]✗[/]", doing, time.monotonic() - started)
            raise
        self._line("[green]✓[/]", outcome.text, time.monotonic() - started)
        if outcome.shown is not None:
            self.console.print(Padding(outcome.shown, (1, 0, 1, 2), expand=False))

    def say(self, text: str, style: str = "") -> None:
        """Print a text of one or more lines."""
        _print(self.console, text, style)

    def end(self, text: str) -> None:
        """Print the last line of a command that succeeded."""
        self.say(text, "bold green")

    def finding(self, text: str) -> None:
        """Print something wrong that the command has found: a result, not an error of the command's own."""
        self.say(text, "red")

    def error(self, text: str) -> None:
        """Print why the command could not do its work, on standard error."""
        _print(self.errors, text, "red")

    def _line(self, mark: str, text: str, seconds: float) -> None:
        line = Table.grid(padding=(0, 1))
        line.width = min(_WIDTH, self.console.width)
        line.add_column(width=1)
        line.add_column(ratio=1, overflow="fold")
        line.add_column(justify="right", style="dim", no_wrap=True)
        first, *details = visible(text, lines=True).split("\n")
        line.add_row(mark, escape(first), f"{seconds:.1f} s")
        for detail in details:
            line.add_row("", f"[dim]{escape(detail)}[/]")
        self.console.print(line)


def _print(console: Console, text: str, style: str) -> None:
    console.print(visible(text, lines=True), style=style, markup=False, soft_wrap=True)
