"""The demo's steps about templates: one approved, one refused, and the audit of both sides."""

from collections.abc import Mapping
from typing import Any

from cli.progress import Outcome
from local.demo.audit_trail import ledger_table, verify
from local.demo.state import DemoState, Step, expect

GOOD, BAD = "welcome", "broken"  # the simulator's
REQUEST = {"campaignName": "Welcome", "messageClass": "TRANSACTIONAL", "optInLanguage": "en"}
VIOLATIONS = ["template_too_long", "template_not_gsm7", "template_shortcode_invalid", "template_opt_out_missing"]
DONE = {"status": "APPROVED", "carrierReady": True, "webhookSubscribed": True, "auditPublished": True}


def approve(state: DemoState, outcome: Outcome) -> None:
    """Approve a template, twice, which makes one approval."""
    answers = [state.call("POST", f"/templates/{GOOD}/approval", REQUEST, status=200).json() for _ in range(2)]
    answer = answers[0]
    expect("the approval", DONE, {name: answer[name] for name in DONE})
    expect("the repeated approval", answer, answers[1])
    for operation in ("template_put", "register", "subscribe", "audit"):
        expect(f"what CXone did: {operation}", {"accepted": 1}, _counts(state).get(operation))
    steps = "approved, registered, watched and audited; the request repeated did no more"
    outcome.text = f"approved the template “{GOOD}”\n{steps}\n{answer['latencyMs']} ms from validation to registration"


def refuse(state: DemoState, outcome: Outcome) -> None:
    """Show that a faulty template is refused with all its faults."""
    answer = state.call("POST", f"/templates/{BAD}/approval", REQUEST, status=422).json()
    expect("the violations' codes", VIOLATIONS, [error["code"] for error in answer["errors"]])
    expect("approvals that CXone took", {"accepted": 1}, _counts(state).get("template_put"))
    lines = [f"{error['code']}: {error['message']}" for error in answer["errors"]]
    outcome.text = "\n".join([f"the template “{BAD}” was refused, for all reasons at once", *lines])


def audit(state: DemoState, outcome: Outcome) -> None:
    """Show an approval's audit trail, and the record in CXone's own audit log."""
    answer = state.call("GET", f"/templates/{GOOD}/approval", status=200).json()
    expect("auditVerified", True, answer["auditVerified"])
    verify(answer["audit"])
    (entry,) = state.stack.simulator("log?operation=audit")["entries"]
    record = entry["details"]
    expect("the published latency", answer["latencyMs"], record["latency_ms"])
    expect("the published operator", answer["operatorId"], record["operator_id"])
    expect("the published carrier_ready", True, record["carrier_ready"])
    published = f"{record['latency_ms']} ms, by {record['operator_id']}, carrier ready"
    outcome.text = f"verified the audit trail of the approval\nCXone's own audit log has: {published}"
    outcome.shown = ledger_table(f"the template {GOOD}", answer["audit"], _essential)


def not_supported(state: DemoState, outcome: Outcome) -> None:
    """Show that an API that approves no templates says so."""
    problem = state.call("POST", f"/templates/{GOOD}/approval", REQUEST, status=501).json()
    expect("the problem's code", "not_supported", problem["code"])
    outcome.text = f"approving a template is not supported by this API\n501: {problem['detail']}"


def steps(state: DemoState) -> list[Step]:
    """Return the steps that the stack's API can do."""
    if state.speaks_dfo:
        return [Step("trying to approve a template", not_supported)]
    return [
        Step("approving a template", approve),
        Step("trying a template that breaks every rule", refuse),
        Step("reading the ledger of the approval", audit),
    ]


def _counts(state: DemoState) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = state.stack.simulator("log")["counts"]
    return counts


def _essential(data: Mapping[str, Any]) -> str:
    """Return the essential data of an entry as a short text."""
    if "event" in data:
        return str(data["event"])
    if "deadline" in data:
        return f"to {data['step']}, by {data['operator']}"
    if "valid" in data:
        return f"{data['units']} septets, valid"
    answer = f"HTTP {data['httpStatus']}, " if "httpStatus" in data else ""
    return f"{answer}{data['latencyMs']} ms" if "latencyMs" in data else "as for all templates"
