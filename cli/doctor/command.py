"""Run all checks of a stack, and show what each has found."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from cli.doctor import aws_checks, cxone_checks, ledger_checks, subscription_check
from cli.doctor.deployment import Deployment
from cli.doctor.trial import Trial, send_test_message
from cli.findings import Check, Finding, Sheet, as_json, has_red, make, summary
from cli.interrupts import INTERRUPTED, interrupt_on_signals
from cli.progress import Progress
from cxone_messaging import __version__

BROKEN = 1
TRIAL = "test message"
_STACK = ("stack",)
# In the order of a repair: what others need comes first.
CHECKS: Sequence[tuple[str, Callable[[Deployment], Finding], tuple[str, ...]]] = (
    ("credentials", aws_checks.credentials, ()),
    ("clock", aws_checks.clock, ("credentials",)),
    ("stack", aws_checks.stack, ()),
    ("architecture", aws_checks.architecture, _STACK),
    ("functions", aws_checks.functions, ("stack", "architecture")),
    ("concurrency", aws_checks.concurrency, _STACK),
    ("secrets", cxone_checks.secrets, _STACK),
    ("token to send", cxone_checks.sms_token, _STACK),
    ("token to approve", cxone_checks.admin_token, _STACK),
    ("channel", cxone_checks.channel, _STACK),
    ("webhook", cxone_checks.webhook, _STACK),
    ("subscription", subscription_check.subscription, _STACK),
    ("ledger", ledger_checks.ledger, _STACK),
    ("sending", aws_checks.sending, _STACK),
    ("dead letters", aws_checks.dead_letters, _STACK),
    ("unknown messages", ledger_checks.unknown_messages, _STACK),
    ("alarms", aws_checks.alarms, _STACK),
)


def run(stack: str | None, *, send_to: str | None = None, as_json: bool = False) -> int:
    """Make all checks, and with `send_to` send a test message; return 1 if something is red, otherwise 0."""
    progress = Progress(on_stderr=as_json)
    interrupt_on_signals()
    try:
        return _run(Deployment(stack), send_to, progress, prints_json=as_json)
    except KeyboardInterrupt:
        progress.error("interrupted")
        return INTERRUPTED


def _run(deployment: Deployment, send_to: str | None, progress: Progress, *, prints_json: bool) -> int:
    trials: list[Trial] = []

    def trial() -> Finding:
        is_collected = deployment.speaks_dfo
        runs = is_collected and deployment.target.is_local
        collect = partial(subscription_check.collect, deployment) if runs else lambda: None
        trials.append(send_test_message(deployment.target, send_to or "", is_collected=is_collected, collect=collect))
        return trials[0].finding

    checks = [Check(name, partial(check, deployment), needs) for name, check, needs in CHECKS]
    if send_to:
        checks.append(Check(TRIAL, trial, _STACK))
    found = make(checks, Sheet(progress.console, [each.name for each in checks]))
    trail = trials[0].trail if trials else []
    for entry in trail:
        line = f"{entry['timestamp']}  {entry['type']} {entry.get('status', '')}"
        progress.say(f"   {line.rstrip()}", "dim")
    if prints_json:
        print(json.dumps(_document(deployment, found, trail)))
    end = progress.finding if has_red(found) else progress.end
    end(f"{summary(found)}; this command line is {__version__}")
    return BROKEN if has_red(found) else 0


def _document(deployment: Deployment, found: dict[str, Finding], trail: Sequence[Any]) -> dict[str, Any]:
    return {
        "stack": deployment.stack or "local",
        "version": __version__,
        "healthy": not has_red(found),
        "checks": as_json(found),
        "trail": list(trail),
    }
