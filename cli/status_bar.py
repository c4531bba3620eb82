"""How far a bulk send is, as one bar: a length of it for each status."""

from collections.abc import Iterator, Mapping

from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

# The status of a message in one of these is final, except that a late delivery event may change `unknown`.
FINAL = ("delivered", "failed", "rejected", "unknown")
_STYLES = {
    "delivered": "green",
    "failed": "red",
    "rejected": "magenta",
    "unknown": "yellow",
    "dispatched": "cyan",
    "sending": "blue",
    "retrying": "bright_black",
    "queued": "bright_black",
}
_WIDTH = 72


def final(counts: Mapping[str, int]) -> int:
    """Return the number of messages that are final."""
    return sum(counts.get(status, 0) for status in FINAL)


def as_text(counts: Mapping[str, int]) -> str:
    """Return the number of messages by status as a text, the final ones first."""
    return " · ".join(f"{counts[status]:,} {status}" for status in _in_order(counts) if counts[status]) or "none yet"


class StatusBar:
    """A bar and a line below it; thick where messages are final, so that it can be read without colours too."""

    def __init__(self, counts: Mapping[str, int], total: int, note: str = "") -> None:
        self._counts = counts
        self._total = total
        self._note = note

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the bar, never wider than the console."""
        width = min(_WIDTH, options.max_width)
        drawn = 0
        so_far = 0
        for status in _in_order(self._counts):
            so_far += self._counts[status]
            end = round(width * so_far / max(self._total, 1))
            thickness = "━" if status in FINAL else "─"
            yield Segment(thickness * (end - drawn), console.get_style(_STYLES.get(status, "white")))
            drawn = max(drawn, end)
        yield Segment("┈" * (width - drawn), Style(dim=True))
        yield Segment.line()
        line = Text(as_text(self._counts))
        if self._note:
            line.append(f"  {self._note}", style="dim")
        yield line


def _in_order(counts: Mapping[str, int]) -> Iterator[str]:
    yield from (status for status in _STYLES if status in counts)
    yield from (status for status in counts if status not in _STYLES)
