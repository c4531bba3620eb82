"""The demo's steps, in their order. To add one, add a function here: `@step("what it does")`."""

import json
import statistics
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from cli.progress import Outcome
from cli.status_bar import StatusBar, as_text
from local.demo.audit_trail import ledger_table, plain_table, verify
from local.demo.state import DemoState, Sent, Step, expect, wait_until

GUESTS = ("+12025550123", "+12025550147")
STRANGER = "+12025550188"
ENGLISH = "Your table for two is ready at 7 pm. Reply STOP to opt out."
JAPANESE = "19時のご予約を承りました。🍣"
REGULARS = tuple(f"+1202555{number:04}" for number in range(3000, 3200))
REMINDER = "Table {} is yours tonight. Reply STOP to opt out."

STEPS: list[Step] = []
_CALLERS = 4
_BULK_SECONDS = 90
_BATCH_ANSWER = ("accepted", "rejected")


def step(doing: str) -> Callable[[Callable[[DemoState, Outcome], None]], Callable[[DemoState, Outcome], None]]:
    """Make a function the demo's next step."""

    def add(run: Callable[[DemoState, Outcome], None]) -> Callable[[DemoState, Outcome], None]:
        STEPS.append(Step(doing, run))
        return run

    return add


@step("opting two numbers in")
def opt_in(state: DemoState, outcome: Outcome) -> None:
    """Record two recipients' consent, without which nothing is sent to them."""
    for guest in GUESTS:
        body = {"status": "opted_in", "source": "booking form"}
        consent = state.call("PUT", f"/consents/{quote(guest, safe='')}", body, status=200).json()
        expect("the consent's status", "opted_in", consent["status"])
    outcome.text = f"opted two numbers in\n{', '.join(GUESTS)}"


@step("previewing a text")
def preview(state: DemoState, outcome: Outcome) -> None:
    """Preview a text, which sends nothing."""
    preview = state.call("POST", "/messages/preview", {"to": GUESTS[0], "text": ENGLISH}, status=200).json()
    expected = {"valid": True, "errors": [], **_size("GSM-7", 1), "units": len(ENGLISH), "earlier": None}
    expect("the preview", expected, preview)
    expect("messages that CXone took", 0, state.taken_by_cxone())
    size = f"{preview['encoding']}, {preview['units']} of 160 septets, 1 segment; nothing sent"
    outcome.text = f"previewed an English text\n“{ENGLISH}”\n{size}"


@step("sending an English text")
def send_english(state: DemoState, outcome: Outcome) -> None:
    """Send the previewed message."""
    result = _send(state, GUESTS[0], ENGLISH, "GSM-7")
    outcome.text = f"sent it to {GUESTS[0]}\n{result}"


@step("repeating the request with its Idempotency-Key")
def send_again(state: DemoState, outcome: Outcome) -> None:
    """Repeat a request, as a client does after a lost answer."""
    first = state.sent[0]
    headers = {"Idempotency-Key": first.idempotency_key}
    answer = state.call("POST", "/messages", {"to": first.to, "text": ENGLISH}, headers=headers, status=202)
    expect("Idempotency-Replayed", "true", answer.headers.get("Idempotency-Replayed"))
    expect("the message's id", first.message_id, answer.json()["messageId"])
    expect("messages that CXone took", len(state.sent), state.taken_by_cxone())
    result = "202 the first answer, replayed; CXone accepted nothing new"
    outcome.text = f"repeated the request with its Idempotency-Key\n{result}"


@step("sending a Japanese text")
def send_japanese(state: DemoState, outcome: Outcome) -> None:
    """Send a text with characters outside the GSM alphabet."""
    result = _send(state, GUESTS[1], JAPANESE, "UCS-2")
    outcome.text = f"sent a Japanese text to {GUESTS[1]}\n“{JAPANESE}”\n{result}"


@step("trying a number that has not opted in")
def refuse_stranger(state: DemoState, outcome: Outcome) -> None:
    """Show that a send without consent is refused."""
    _refused(state, outcome, STRANGER, "not_opted_in")


@step("trying a malformed number")
def refuse_malformed(state: DemoState, outcome: Outcome) -> None:
    """Show that a send to an impossible number is refused."""
    _refused(state, outcome, "+1555", "invalid_recipient")


@step("waiting for the delivery events")
def wait_for_delivery(state: DemoState, outcome: Outcome) -> None:
    """Wait until CXone's events about both messages are recorded."""

    def statuses() -> list[str]:
        state.collect()
        return [state.message(sent.message_id)["status"] for sent in state.sent]

    wait_until("the messages' statuses", ["delivered"] * len(state.sent), statuses)
    wait_until("delivery events still to come", 0, lambda: state.stack.simulator("health")["openEvents"])
    latencies = [state.message(sent.message_id)["deliveryLatencyMs"] for sent in state.sent]
    outcome.text = f"both messages delivered\n{' and '.join(f'{each} ms' for each in latencies)} after dispatch"


@step("reading the ledger of the English message")
def audit(state: DemoState, outcome: Outcome) -> None:
    """Show a message's audit trail, with its hash chain computed again from the API's answer."""
    message = state.message(state.sent[0].message_id)
    expect("auditVerified", True, message["auditVerified"])
    entries = message["audit"]
    verify(entries)
    types = ["sending", "dispatched", *["delivery"] * (1 if state.speaks_dfo else 3)]
    expect("the entries", sorted(types), sorted(entry["type"] for entry in entries))
    result = f"{len(entries)} entries, each hash computed anew and found in the entry after it"
    outcome.text = f"verified the audit trail of the English message\n{result}"
    outcome.shown = ledger_table(message["messageId"], entries, _essential)


@step("reading the latencies from the functions' metrics")
def latencies(state: DemoState, outcome: Outcome) -> None:
    """Show the latencies that the functions wrote to their logs in the embedded metric format."""
    names = {"DispatchLatency": "request to CXone's answer", "DeliveryLatency": "CXone's answer to delivered"}
    count = len(state.sent)
    wait_until(
        "values of each latency",
        [count] * len(names),
        lambda: [len(state.stack.metrics().get(name, [])) for name in names],
    )
    metrics = state.stack.metrics()
    table = plain_table()
    table.add_column("metric")
    table.add_column("from … to")
    for heading in ("count", "median", "max"):
        table.add_column(heading, justify="right")
    for name, meaning in names.items():
        values = metrics[name]
        table.add_row(name, meaning, str(len(values)), f"{statistics.median(values):.0f} ms", f"{max(values):.0f} ms")
    outcome.text = "read the latencies that the functions measured"
    outcome.shown = table


@step("opting 200 regular guests in")
def opt_regulars_in(state: DemoState, outcome: Outcome) -> None:
    """Record the consents that the bulk send needs."""
    body = {"status": "opted_in", "source": "booking form"}

    def opt_in(number: str) -> None:
        state.call("PUT", f"/consents/{quote(number, safe='')}", body, status=200)

    with ThreadPoolExecutor(_CALLERS) as pool:
        list(pool.map(opt_in, REGULARS))
    outcome.text = f"opted {len(REGULARS)} regular guests in\n{REGULARS[0]} to {REGULARS[-1]}"


@step("sending 200 messages in bulk")
def send_in_bulk(state: DemoState, outcome: Outcome) -> None:
    """Send many messages with one request, twice with one key, and watch until all are delivered."""
    before = state.taken_by_cxone()
    # Each event is a call of a function, and the emulator has a process for each that comes at the same time.
    steps = [{"status": "delivered", "delay_seconds": 0.5}]
    settings = {"dfo_delivery": {"delivered_after": 0.5}} if state.speaks_dfo else {"delivery_steps": steps}
    state.stack.simulator("settings", settings, "PUT")
    messages = [{"to": number, "text": REMINDER.format(table)} for table, number in enumerate(REGULARS, start=1)]
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    answers = [
        state.call("POST", "/messages/bulk", {"messages": messages}, headers=headers, status=202) for _ in range(2)
    ]
    batch = answers[0].json()
    expect("the batch", {"accepted": len(messages), "rejected": []}, {name: batch[name] for name in _BATCH_ANSWER})
    expect("the repeated batch", batch, answers[1].json())
    counts = _watch(state, outcome, batch["batchId"], len(messages))
    expect("messages that CXone took", before + len(messages), state.taken_by_cxone())
    result = "202, all accepted; the repeated request queued nothing more"
    outcome.text = f"sent {len(messages)} messages in bulk\n{result}\n{as_text(counts)}; CXone took each once"
    outcome.shown = StatusBar(counts, len(messages))


@step("posting a forged delivery event")
def refuse_forgery(state: DemoState, outcome: Outcome) -> None:
    """Post a delivery event with the message's ids, but without the secret."""
    message = state.message(state.sent[0].message_id)
    event = {
        "messageId": message["cxoneMessageId"],
        "status": "failed",
        "to": GUESTS[0],
        "timestamp": datetime.now(UTC).isoformat(),
    }
    path = f"/webhooks/cxone/sms?ref={message['messageId']}&sig={'0' * 64}"
    problem = state.call("POST", path, event, headers={"Authorization": ""}, status=401).json()
    expect("the problem's code", "invalid_signature", problem["code"])
    expect("the message afterwards", message, state.message(message["messageId"]))
    outcome.text = "refused a forged delivery event\n401 invalid_signature; nothing was recorded"


@step("having a guest reply STOP")
def honour_stop(state: DemoState, outcome: Outcome) -> None:
    """Have a guest's STOP arrive, and try to send to that guest."""
    guest = REGULARS[0]
    _reply(state, guest, "Stop!")
    consent = state.call("GET", f"/consents/{quote(guest, safe='')}", status=200).json()
    expect("the consent", ("opted_out", "message.inbound"), (consent["status"], consent["source"]))
    before = state.taken_by_cxone()
    refused = state.call("POST", "/messages", {"to": guest, "text": ENGLISH}, status=422).json()
    expect("the errors' codes", ["opted_out"], [error["code"] for error in refused["errors"]])
    expect("messages that CXone took", before, state.taken_by_cxone())
    outcome.text = f"honoured the STOP of {guest}\nthe next send to that number: 422 opted_out; nothing sent"


def _reply(state: DemoState, guest: str, text: str) -> None:
    """Have a reply arrive: collected of CXone's records, or posted and signed as CXone signs it."""
    if state.speaks_dfo:
        state.stack.simulator("dfo/inbound", {"number": guest, "text": text})
        state.collect()
        return
    event = {"event": "message.inbound", "from": guest, "text": text, "timestamp": datetime.now(UTC).isoformat()}
    body = json.dumps(event).encode()
    headers = {"Authorization": "", "X-CXone-Signature": f"sha256={state.stack.signature(body)}"}
    state.call("POST", "/webhooks/cxone/events", body, headers=headers, status=200)


def _watch(state: DemoState, outcome: Outcome, batch_id: str, total: int) -> dict[str, int]:
    """Show the status of a batch's messages until all are delivered."""

    def look() -> dict[str, int]:
        state.collect()
        document = state.call("GET", f"/batches/{batch_id}", status=200).json()
        counts: dict[str, int] = document["counts"]
        expect("the sum of the batch's counts", total, sum(counts.values()))
        outcome.show_meanwhile(StatusBar(counts, total))
        return counts

    wait_until("the batch's messages", {"delivered": total}, look, _BULK_SECONDS)
    return look()


def _send(state: DemoState, to: str, text: str, encoding: str) -> str:
    key = str(uuid.uuid4())
    headers = {"Idempotency-Key": key}
    answer = state.call("POST", "/messages", {"to": to, "text": text}, headers=headers, status=202).json()
    expect("the message's status", "dispatched", answer["status"])
    expect("its size", _size(encoding, 1), {name: answer[name] for name in ("encoding", "segments")})
    state.sent.append(Sent(answer["messageId"], to, key))
    expect("messages that CXone took", len(state.sent), state.taken_by_cxone())
    return f"202 dispatched in {answer['dispatchLatencyMs']} ms: {encoding}, 1 segment"


def _refused(state: DemoState, outcome: Outcome, to: str, code: str) -> None:
    answer = state.call("POST", "/messages", {"to": to, "text": ENGLISH}, status=422).json()
    expect("the problem's code", "validation_failed", answer["code"])
    expect("the errors' codes", [code], [error["code"] for error in answer["errors"]])
    expect("messages that CXone took", len(state.sent), state.taken_by_cxone())
    outcome.text = f"{to} was refused\n422 {code}: {answer['errors'][0]['message']}"


def _size(encoding: str, segments: int) -> dict[str, object]:
    return {"encoding": encoding, "segments": segments}


def _essential(data: Mapping[str, Any]) -> str:
    """Return the essential data of an entry as a short text."""
    if "word" in data:
        return str(data["word"])
    if "cxoneMessageId" in data:
        return f"{data['latencyMs']} ms, {data['cxoneMessageId'][:8]}…"
    return f"to {data['recipient']}, {data['encoding']}"
