"""After a deployment: does every function answer, with this version? Nothing is sent, and nothing is recorded."""

import json
import uuid
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any

import requests

from cli.findings import Check, Finding, Sheet, as_json, green, has_red, make, red, summary, yellow
from cli.interrupts import INTERRUPTED, interrupt_on_signals
from cli.progress import Progress
from cli.target import Target, TargetError
from cli.versions import versions_of
from cxone_messaging import __version__

FAILED = 1
# A fictional number (+1 202 555 0100 to 0199), which no message goes to.
_NOBODY = "+12025550199"
_NO_MESSAGE = f"msg_{'0' * 32}"
_LOG = "look into its log: docs/runbook.md#find-a-messages-way-in-the-logs"
_STOPPED = "raise the ceiling once sending may go on: docs/runbook.md#stop-all-sending"
_EVENTS = ("/webhooks/cxone/sms", "/webhooks/cxone/events")


def run(stack: str | None, *, as_json: bool = False) -> int:
    """Make all checks; return 1 if one fails or there is no such stack, otherwise 0."""
    progress = Progress(on_stderr=as_json)
    interrupt_on_signals()
    try:
        return _run(Target.find(stack), progress, prints_json=as_json)
    except TargetError as error:
        progress.error(str(error))
        return FAILED
    except KeyboardInterrupt:
        progress.error("interrupted")
        return INTERRUPTED


def _run(target: Target, progress: Progress, *, prints_json: bool) -> int:
    checks = [
        Check("functions", partial(_functions, target)),
        Check("preview", partial(_preview, target)),
        Check("bulk", partial(_answer, target, "POST", "/messages/bulk", b"{}", (400, "idempotency_key_required"))),
        Check("message", partial(_answer, target, "GET", f"/messages/{_NO_MESSAGE}", None, (404, "message_not_found"))),
        Check("batch", partial(_answer, target, "GET", "/batches/none", None, (404, "batch_not_found"))),
        Check("consent", partial(_consent, target)),
        Check(
            "approval",
            partial(_answer, target, "GET", "/templates/none/approval", None, (404, "template_not_found")),
        ),
        Check("pace", partial(_pace, target)),
        Check("stranger", partial(_stranger, target)),
        Check("forged events", partial(_forged_events, target)),
    ]
    found = make(checks, Sheet(progress.console, [each.name for each in checks]))
    if prints_json:
        document = {"stack": target.name, "version": __version__, "healthy": not has_red(found)}
        print(json.dumps({**document, "checks": as_json(found)}))
    end = progress.finding if has_red(found) else progress.end
    end(summary(found))
    return FAILED if has_red(found) else 0


def _functions(target: Target) -> Finding:
    """Check that every function answers with the version of this command line."""
    versions = versions_of(target)
    others = {folder: f"version {each}" for folder, each in versions.known.items() if each != __version__}
    if wrong := {**versions.failed, **others}:
        named = "; ".join(f"{target.function(folder)}: {why}" for folder, why in sorted(wrong.items()))
        return red(named, f"deploy version {__version__}, or use the command line of the version that is deployed")
    return green(f"all {len(versions.known)} answer, version {__version__}")


def _preview(target: Target) -> Finding:
    """Check a preview, which reads the pepper and the recipient's consent."""
    answer = target.call("POST", "/messages/preview", {"to": _NOBODY, "text": "A smoke test, which nobody gets."})
    document = _json(answer)
    if (answer.status_code, document.get("encoding"), document.get("segments")) != (HTTPStatus.OK, "GSM-7", 1):
        return _unexpected(answer, "200 with one segment of GSM-7")
    return green("a message is checked, and not sent")


def _consent(target: Target) -> Finding:
    """Check that a consent can be read: 200, or 404 where there is none."""
    answer = target.call("GET", f"/consents/%2B{_NOBODY[1:]}")
    if answer.status_code != HTTPStatus.OK and _json(answer).get("code") != "consent_not_found":
        return _unexpected(answer, "200 or consent_not_found")
    return green(f"{answer.status_code}, as it must be")


def _pace(target: Target) -> Finding:
    """Check that the pace can be read, which shows that the schedule can."""
    answer = target.call("GET", "/pace")
    ceiling = _json(answer).get("ceiling")
    if answer.status_code != HTTPStatus.OK or ceiling is None:
        return _unexpected(answer, "200 with a ceiling")
    if ceiling == 0:
        return yellow("an operator has stopped all sending", _STOPPED)
    return green(f"at most {ceiling} requests a second")


def _answer(target: Target, method: str, path: str, body: bytes | None, expected: tuple[int, str]) -> Finding:
    """Check that a route answers with a status and a code, which shows that it read what it needs."""
    answer = target.call(method, path, body)
    if (answer.status_code, _json(answer).get("code")) != expected:
        return _unexpected(answer, f"{expected[0]} {expected[1]}")
    return green(f"{expected[0]} {expected[1]}, as it must be")


def _stranger(target: Target) -> Finding:
    """Check that the API refuses a request without credentials."""
    answer = target.call_as_stranger("GET", f"{target.api_url}/messages/{_NO_MESSAGE}")
    if answer.status_code not in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return red(
            f"the API answers {answer.status_code} to a request without credentials", "stop, and look at its routes"
        )
    return green(f"{answer.status_code} to a request without credentials")


def _forged_events(target: Target) -> Finding:
    """Check that events without a signature, or with a wrong one, are refused on both routes."""
    base = target.output("WebhookUrl").rstrip("/")
    body = json.dumps({"messageId": uuid.uuid4().hex, "status": "delivered", "timestamp": "2026-01-01T00:00:00Z"})
    wrong = {"X-CXone-Signature": f"sha256={'0' * 64}"}
    forged: list[Callable[[], requests.Response]] = [
        partial(target.call_as_stranger, "POST", f"{base}{path}{query}", body.encode(), headers)
        for path in _EVENTS
        for query, headers in (("", {}), (f"?ref={_NO_MESSAGE}&sig={'0' * 64}", {}), ("", wrong))
    ]
    statuses = [post().status_code for post in forged]
    # A WAF before the webhook may answer 403 to what looks forged; the function itself answers 401.
    if others := sorted(set(statuses) - {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}):
        named = ", ".join(map(str, others))
        return red(f"the webhook answers {named} to a forged event, not 401", "take it back: docs/runbook.md#deploy")
    if HTTPStatus.UNAUTHORIZED not in statuses:
        return red("403 to all of them, so the function was not asked", "does WebhookUrl lead to the stack?")
    return green(f"{len(forged)} of {len(forged)} are refused")


def _unexpected(answer: requests.Response, expected: str) -> Finding:
    code = _json(answer).get("code")
    return red(f"{answer.status_code} {code or 'without a code'}, not {expected}", _LOG)


def _json(answer: requests.Response) -> dict[str, Any]:
    try:
        document = answer.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
