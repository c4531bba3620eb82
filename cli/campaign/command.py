"""Send a campaign: preview, ask, send in bulk, and watch until every message is final."""

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.text import Text

from cli.campaign.people import CampaignError, People
from cli.campaign.plan import Campaign, Message, Refused
from cli.campaign.preview import Preview, look_at, look_up, show
from cli.campaign.sending import Sending
from cli.campaign.skipped_rows import SkippedRows, skipped_rows
from cli.interrupts import INTERRUPTED, interrupt_on_signals
from cli.progress import Progress
from cli.status_bar import as_text
from cli.target import Target, TargetError

FAILED, NOTHING_MOVES = 1, 3
_ROWS_BETWEEN_SIGNS_OF_LIFE = 10_000
_AGAIN = "run the same command again; nothing is sent twice"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of a campaign; `stack` is None for the local stack."""

    file: Path
    name: str
    text: str | None = None
    stack: str | None = None
    campaign_id: str | None = None
    sender: str | None = None
    refused: Path | None = None
    to_column: str | None = None
    literal: bool = False
    batch_size: int
    yes: bool = False
    as_json: bool = False


def run(options: Options) -> int:
    """Preview, confirm, send; return the exit code, 0 once every message is final or after a preview."""
    progress = Progress(on_stderr=options.as_json)
    interrupt_on_signals()
    sending: list[Sending] = []
    try:
        with skipped_rows(options.refused, options.file) as refused:
            return _run(options, progress, refused, sending)
    except (CampaignError, TargetError) as error:
        progress.error(str(error))
        return FAILED
    except KeyboardInterrupt:
        submitted = f"stopped; what was submitted is being sent. To continue, {_AGAIN}"
        progress.error(submitted if sending else "interrupted; nothing was submitted")
        return INTERRUPTED


def _run(options: Options, progress: Progress, refused: SkippedRows, sending: list[Sending]) -> int:
    stack = Target.find(options.stack)
    campaign = Campaign(
        name=options.name,
        people=People(options.file, options.to_column),
        text=options.text,
        campaign_id=options.campaign_id,
        sender=options.sender,
        max_segments=stack.max_segments,
        country=stack.default_country,
        is_literal=options.literal,
        batch_messages=options.batch_size,
    )
    preview = _preview(campaign, stack, progress, refused)
    if not preview.good:
        raise CampaignError("no row of the file can be sent")
    is_asked = not options.yes
    if is_asked and not (sys.stdin.isatty() and progress.console.is_terminal and not options.as_json):
        progress.end("previewed only; YES=1 (--yes) sends it")
        _print(options, campaign, preview, sent=False)
        return 0
    messages = "1 message" if preview.good == 1 else f"{preview.good:,} messages"
    if is_asked and input(f"Send {messages}? [y/N] ").strip().lower() not in {"y", "yes"}:
        raise CampaignError("nothing was sent")
    sending.append(Sending(campaign, stack, preview.good, refused.note, progress.console))
    is_over = sending[0].run()
    refused.show(progress.console)
    counts = sending[0].watch.counts
    _print(options, campaign, preview, sent=True, final=is_over, counts=counts)
    if not sending[0].watch.total:
        raise CampaignError("nothing was sent: every message was refused")
    if not is_over:
        progress.error(f"nothing has moved for 5 minutes: {as_text(counts)}\nto look again, {_AGAIN}")
        return NOTHING_MOVES
    progress.end(f"every message is final: {as_text(counts)}")
    return 0


def _print(
    options: Options,
    campaign: Campaign,
    preview: Preview,
    *,
    sent: bool,
    final: bool = False,
    counts: Mapping[str, int] | None = None,
) -> None:
    """Print the result as JSON for a script, if that was requested."""
    if not options.as_json:
        return
    document: dict[str, Any] = {
        "campaign": campaign.name,
        "rows": preview.rows,
        "messages": preview.good,
        "segments": preview.total_segments,
        "countries": dict(preview.countries),
        "sent": sent,
        "final": final,
        "counts": counts or {},
    }
    print(json.dumps(document))


def _preview(campaign: Campaign, stack: Target, progress: Progress, refused: SkippedRows) -> Preview:
    file = campaign.people.path.name
    with progress.step(f"reading {file}", f"read {file}") as outcome:

        def rows() -> Iterator[Message | Refused]:
            for number, row in enumerate(campaign.rows(), start=1):
                if number % _ROWS_BETWEEN_SIGNS_OF_LIFE == 0:
                    outcome.show_meanwhile(Text(f"reading {file}: {number:,} rows …"))
                yield row

        preview = look_at(rows(), refused.note)
        look_up(preview, stack, partial(refused.note, again=True))
        outcome.text += f"\ncampaign “{campaign.name}”"
    show(preview, stack.rate, progress.console, campaign.name)
    refused.show(progress.console)
    return preview
