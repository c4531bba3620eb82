"""A trial: one test message to a recipient who has consented, and its way to the delivery event."""

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from cli.findings import Finding, green, red
from cli.target import Target
from cxone_messaging.domain.written_numbers import mask_numbers_in

TEXT = "This is a test message of CXone Messaging."
_PATIENCE_SECONDS, _PAUSE_SECONDS = 120.0, 1.0
# Receipts that are collected come with a run of each minute, once a search shows them.
_COLLECTED_PATIENCE_SECONDS = 300.0
_NOT_POSTED = "does CXone reach WebhookUrl? Look for answers to /webhooks/cxone/sms in the log: docs/runbook.md"
_NOT_COLLECTED = (
    "does the channel track delivery, and a search show the message? docs/dfo.md#what-only-a-tenant-can-say"
)
_FINAL = frozenset({"delivered", "failed", "rejected", "unknown"})
_CONSENT = "record the recipient's consent first: docs/api.md#record-consent-put-consentsphonenumber"
_REMEDIES = {
    "not_opted_in": _CONSENT,
    "opted_out": "choose a recipient who has not opted out",
    "invalid_recipient": "give the number in international form, such as +1 and ten digits",
    "campaign_required": "set CxoneCampaignId, or deploy with one",
    "sender_required": "set CxoneFromNumber, or with Digital Engagement CxoneChannelId",
}
# Refusals of Digital Engagement. No source lists its codes, so each possible cause is named.
_DFO_REMEDIES = {
    "cxone_rejected": (
        "after invalid_recipient, or another refusal of `recipients`, set CxoneRecipientFormat to the other form;"
        " after 403 or 404, look at the channel and at the access key's permissions: docs/dfo.md#what-it-needs"
    ),
}
_WAIT = "wait for its delivery event: GET /messages/"
_WAIT_FOR_LOOK_UP = "wait: the collector looks for it in CXone's records, for an hour: GET /messages/"
_DETAIL_LIMIT = 200


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of a test message, and its audit trail: each entry's type, time, and status word if it has one."""

    finding: Finding
    trail: Sequence[Mapping[str, str]] = ()


def send_test_message(
    target: Target,
    number: str,
    sleep: Callable[[float], None] = time.sleep,
    *,
    is_collected: bool = False,
    collect: Callable[[], object] = lambda: None,
) -> Trial:
    """Send one test message, and wait up to two minutes for its delivery event.

    With `is_collected`, receipts are collected, and the wait is up to five minutes. `collect` is called before each
    look, so that a local stack waits for no schedule. No consent is recorded.
    Raises `requests.RequestException`. The finding holds no number.
    """
    key = f"doctor-{uuid.uuid4().hex}"
    answer = target.call("POST", "/messages", {"to": number, "text": TEXT}, {"Idempotency-Key": key})
    if answer.status_code != HTTPStatus.ACCEPTED:
        return Trial(_refused(answer.status_code, _document(answer), is_collected=is_collected))
    message_id = answer.json()["messageId"]
    patience, remedy = (
        (_COLLECTED_PATIENCE_SECONDS, _NOT_COLLECTED) if is_collected else (_PATIENCE_SECONDS, _NOT_POSTED)
    )
    give_up_at = time.monotonic() + patience
    while True:
        collect()
        message = _document(target.call("GET", f"/messages/{message_id}"))
        if message.get("status") in _FINAL or time.monotonic() > give_up_at:
            late = red(
                f"{message_id}: {message.get('status', 'not to be read')}, and no receipt within {patience:.0f} s",
                remedy,
            )
            return Trial(_outcome(message_id, message) or late, _trail(message))
        sleep(_PAUSE_SECONDS)


def _document(answer: Any) -> dict[str, Any]:
    try:
        document = answer.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _refused(status: int, problem: Mapping[str, Any], *, is_collected: bool) -> Finding:
    """Return the finding of a message that was not sent: its codes, and the detail with numbers masked."""
    codes = [str(each.get("code")) for each in problem.get("errors", [])] or [str(problem.get("code", "no code"))]
    if status == HTTPStatus.GATEWAY_TIMEOUT:
        wait = _WAIT_FOR_LOOK_UP if is_collected else _WAIT
        return red("CXone gave no clear answer (outcome_unknown)", f"{wait}{problem.get('messageId', '…')}")
    remedies = _REMEDIES | (_DFO_REMEDIES if is_collected else {})
    remedy = "; ".join(dict.fromkeys(remedies[code] for code in codes if code in remedies))
    detail = mask_numbers_in(str(problem.get("detail") or ""))[:_DETAIL_LIMIT]
    found = f"not sent: {status} {', '.join(codes)}{f' ({detail})' if detail else ''}"
    return red(found, remedy or "docs/message-states.md#errors-that-callers-report")


def _outcome(message_id: str, message: Mapping[str, Any]) -> Finding | None:
    """Return the finding of a message with a final status, otherwise None."""
    status = message.get("status")
    if status == "delivered":
        latency = message.get("deliveryLatencyMs")
        return green(f"{message_id}: delivered{f' after {latency / 1000:.1f} s' if latency is not None else ''}")
    if status in _FINAL:
        error = message.get("error") or "no word"
        return red(f"{message_id}: {status} ({error})", "docs/message-states.md says what each status means")
    return None


def _trail(message: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the audit entries without recipients."""
    trail = []
    for entry in message.get("audit", []):
        word = entry.get("data", {}).get("status")
        trail.append(
            {"timestamp": entry["timestamp"], "type": entry["type"], **({"status": str(word)} if word else {})}
        )
    return trail
