"""Run the demo: `python -m local.demo`.

The demo has its own stack, on free ports. It neither uses nor stops a stack that `make up` left running.
"""

import argparse
import contextlib
import sys
from pathlib import Path

import requests

from cli.interrupts import INTERRUPTED, interrupt_on_signals
from cli.progress import Progress
from local.demo import approval
from local.demo.state import DemoState, UnexpectedError
from local.demo.steps import STEPS
from local.local_target import LocalTarget
from local.options import FOLDER, Options
from local.processes import ServerError, alone_in
from local.stack import down, up


def main() -> int:
    """Run every step, and stop all servers; return 0 only if each step succeeded."""
    parser = argparse.ArgumentParser(prog="python -m local.demo", description="Send SMS through a bundle of one's own.")
    parser.add_argument("--folder", type=Path, default=FOLDER / "demo", help="for its files (default: .local/demo)")
    folder: Path = parser.parse_args().folder
    progress = Progress()
    interrupt_on_signals()
    try:
        with alone_in(folder, "a demo runs already; wait for it, or give this one another --folder"):
            return _run(folder, Options.from_environment().api, progress)
    except ServerError as error:
        progress.error(str(error))
        return 1
    except KeyboardInterrupt:
        progress.error("interrupted")
        return INTERRUPTED


def _run(folder: Path, api: str, progress: Progress) -> int:
    down(folder)  # what a demo that was killed could not stop
    stack: LocalTarget | None = None
    try:
        stack = up(Options.apart(folder, api=api), progress)
        state = DemoState(stack, api)
        for step in [*STEPS, *approval.steps(state)]:
            with progress.step(step.doing, step.doing) as outcome:
                step.run(state, outcome)
    except (UnexpectedError, requests.RequestException) as error:
        progress.error(str(error))
        return 1
    finally:
        if stack:
            with progress.step("stopping what was started", "stopped what was started") as outcome:
                if _keep_logs(folder / "functions.log", stack):
                    outcome.text += f"\nthe functions' log lines are in {_short(folder / 'functions.log')}"
                down(folder)
    progress.end("every step held")
    return 0


def _keep_logs(file: Path, stack: LocalTarget) -> bool:
    """Write the functions' log lines to a file for the reader."""
    file.unlink(missing_ok=True)
    with contextlib.suppress(Exception):  # the emulator may be what failed
        groups = stack.log_lines().items()
        file.write_text("".join(f"{group} {line}\n" for group, lines in groups for line in lines))
    return file.exists()


def _short(path: Path) -> Path:
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


if __name__ == "__main__":
    sys.exit(main())
