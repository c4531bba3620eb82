"""The run of a campaign: its batches are submitted one by one, and a bar shows the status of all messages."""

import time
from collections.abc import Callable

from rich.console import Console
from rich.live import Live

from cli.campaign.plan import Batch, Campaign, Refused
from cli.campaign.submission import Watch, submit
from cli.status_bar import StatusBar, as_text
from cli.target import Api

# Without a change for this long, watching ends: messages that still wait may wait for hours.
PATIENCE_SECONDS = 300.0
_SECONDS_BETWEEN_LINES = 5.0
_WORTH_TELLING_SECONDS = 20.0


class Sending:
    """One run of a campaign. Whatever ends it, the next run continues there."""

    def __init__(
        self, campaign: Campaign, api: Api, messages: int, note: Callable[[Refused], object], console: Console
    ) -> None:
        self.watch = Watch(api)
        self._campaign = campaign
        self._api = api
        self._messages = messages
        self._note = note
        self._console = console
        self._began = time.monotonic()
        self._line_at = self._began
        self._doing = "submitting"

    def run(self) -> bool:
        """Submit all, and wait until all is final; return False if nothing has changed for long.

        Raises `CampaignError`.
        """
        try:
            with Live(console=self._console, get_renderable=self._bar, refresh_per_second=4):
                self._submit_all()
                return self._wait()
        finally:
            if not self._console.is_terminal:
                self._console.line()  # rich ends the last drawing with one only on a terminal

    def _submit_all(self) -> None:
        for batch in self._campaign.batches(self._campaign.rows()):
            self._submit(batch)
            if not self.watch.next_look_in:
                self._look()
        self._doing = ""

    def _wait(self) -> bool:
        while not self.watch.is_over:
            if time.monotonic() - self.watch.changed_at > PATIENCE_SECONDS:
                return False
            time.sleep(self.watch.next_look_in)
            self._look()
        return True

    def _submit(self, batch: Batch) -> None:
        submitted = submit(self._api, batch)
        self.watch.add(submitted)
        self._messages -= len(submitted.refused)
        for row in submitted.refused:
            self._note(row)
        again = ", as in an earlier run" if submitted.replayed else ""
        self._say(f"submitted {self.watch.total:,} of {self._messages:,}{again}")

    def _look(self) -> None:
        self.watch.look()
        if time.monotonic() - self._line_at > _SECONDS_BETWEEN_LINES or self.watch.is_over:
            self._say(as_text(self.watch.counts))

    def _say(self, line: str) -> None:
        """Print a line if there is no terminal to draw a bar on."""
        self._line_at = time.monotonic()
        if not self._console.is_terminal:
            self._console.print(f"  {line}", markup=False, soft_wrap=True)

    def _bar(self) -> StatusBar:
        still = time.monotonic() - self.watch.changed_at
        waiting = f", no change for {_clock(still)}" if self.watch.changed_at and still > _WORTH_TELLING_SECONDS else ""
        elapsed = _clock(time.monotonic() - self._began)
        return StatusBar(self.watch.counts, self._messages, f"{self._doing} {elapsed}{waiting}".strip())


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
