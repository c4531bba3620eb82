"""Send a campaign: `python -m cli.campaign people.csv --text "Hello {name}"`, or `make campaign FILE=people.csv`."""

import argparse
import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from rich.text import Text

from cli.campaign.people import CampaignError, People
from cli.campaign.plan import BATCH_MESSAGES, MAXIMUM_BATCH_MESSAGES, Campaign, Message, Refused
from cli.campaign.preview import Preview, look_at, look_up_consents, show
from cli.campaign.refusals import Refusals, refusals
from cli.campaign.sending import Sending
from cli.campaign.stacks import Stack, find
from cli.progress import Progress
from cli.status_bar import told
from local.options import FOLDER
from local.processes import interrupt_when_told_to_end
from local.stack import INTERRUPTED

_NOTHING_MOVES = 3
_LONGEST_NAME = 100
_ROWS_BETWEEN_SIGNS_OF_LIFE = 10_000
_AGAIN = "give the same command again to continue; nothing is sent twice"


def main() -> int:
    """Preview, ask, send; 0 once every message is final, or where only a preview was wanted."""
    arguments = _arguments()
    progress = Progress()
    interrupt_when_told_to_end()
    sending: list[Sending] = []
    try:
        with refusals(arguments.refused) as refused:
            return _run(arguments, progress, refused, sending)
    except CampaignError as error:
        progress.error(str(error))
        return 1
    except KeyboardInterrupt:
        submitted = f"stopped; what was submitted is being sent. To continue, {_AGAIN}"
        progress.error(submitted if sending else "interrupted; nothing was submitted")
        return INTERRUPTED


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m cli.campaign", description="Send to everybody in a CSV file.")
    parser.add_argument("file", type=Path, help="with a column `to`; `reference`, `text` and others are optional")
    parser.add_argument("--text", default=os.environ.get("CAMPAIGN_TEXT") or None, help="{column} stands for a value")
    parser.add_argument("--stack", default=str(FOLDER / "stack.json"), help="a stack.json, or a deployed stack's name")
    parser.add_argument("--name", type=_name, help="nobody gets a text twice under one name (default: the file's)")
    parser.add_argument("--campaign-id", help="CXone's campaign (default: the deployment's)")
    parser.add_argument("--from", dest="sender", help="the number to send from (default: the deployment's)")
    parser.add_argument("--refused", type=Path, metavar="FILE", help="write all refused rows there, as CSV")
    parser.add_argument("--batch-size", type=_batch_size, default=BATCH_MESSAGES, metavar="N", help="messages a batch")
    parser.add_argument("--yes", action="store_true", help="send without asking")
    return parser.parse_args()


def _name(text: str) -> str:
    if not 0 < len(text) <= _LONGEST_NAME:
        raise argparse.ArgumentTypeError(f"a name has 1 to {_LONGEST_NAME} characters")
    return text


def _batch_size(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= MAXIMUM_BATCH_MESSAGES):
        raise argparse.ArgumentTypeError(f"a batch has 1 to {MAXIMUM_BATCH_MESSAGES:,} messages")
    return int(text)


def _run(arguments: argparse.Namespace, progress: Progress, refused: Refusals, sending: list[Sending]) -> int:
    stack = find(arguments.stack)
    campaign = Campaign(
        name=arguments.name or arguments.file.stem[:_LONGEST_NAME],
        people=People(arguments.file),
        text=arguments.text,
        campaign_id=arguments.campaign_id or None,
        sender=arguments.sender or None,
        max_segments=stack.max_segments,
        batch_messages=arguments.batch_size,
    )
    preview = _preview(campaign, stack, progress, refused)
    if not preview.good:
        raise CampaignError("no row of the file can be sent")
    is_asked = not arguments.yes
    if is_asked and not (sys.stdin.isatty() and progress.console.is_terminal):
        progress.end("previewed only; YES=1 (--yes) sends it")
        return 0
    messages = "1 message" if preview.good == 1 else f"{preview.good:,} messages"
    if is_asked and input(f"Send {messages}? [y/N] ").strip().lower() not in {"y", "yes"}:
        raise CampaignError("nothing was sent")
    sending.append(Sending(campaign, stack.api, preview.good, refused.note, progress.console))
    is_over = sending[0].run()
    refused.show(progress.console)
    if not sending[0].watch.total:
        raise CampaignError("nothing was sent: every message was refused")
    counts = sending[0].watch.counts
    if not is_over:
        progress.error(f"nothing has moved for 5 minutes: {told(counts)}\nto look again, {_AGAIN}")
        return _NOTHING_MOVES
    progress.end(f"every message is final: {told(counts)}")
    return 0


def _preview(campaign: Campaign, stack: Stack, progress: Progress, refused: Refusals) -> Preview:
    file = campaign.people.path.name
    with progress.step(f"reading {file}", f"read {file}") as outcome:

        def rows() -> Iterator[Message | Refused]:
            for number, row in enumerate(campaign.rows(), start=1):
                if number % _ROWS_BETWEEN_SIGNS_OF_LIFE == 0:
                    outcome.show_meanwhile(Text(f"reading {file}: {number:,} rows …"))
                yield row

        preview = look_at(rows(), refused.note)
        look_up_consents(preview, stack.api, partial(refused.note, again=True))
        outcome.text += f"\ncampaign “{campaign.name}”"
    show(preview, stack.rate, progress.console)
    refused.show(progress.console)
    return preview


if __name__ == "__main__":
    sys.exit(main())
