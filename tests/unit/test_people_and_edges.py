"""What CXone's software, AWS's tools and people hand over at the edges of the API (issue 15, kind E)."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cxone_messaging.adapters.dynamodb.ledger import DynamoLedger
from cxone_messaging.domain.phone_numbers import holds_phone_number, mask_numbers_in
from cxone_messaging.domain.sms import SmsRequest, SmsRules, check
from cxone_messaging.use_cases.bulk.read_batch import ReadBatch
from functions.approve_template import handler as approve_template
from functions.manage_consents import handler as manage_consents
from functions.read_ledger import handler as read_ledger
from functions.send_bulk import handler as send_bulk
from tests import functions
from tests.dfo_worlds import DfoWorld
from tests.dynamo import FakeDynamo
from tests.fakes import FakeClock, FakeTelemetry
from tests.people import inputs, table
from tests.webhooks import CALLBACK, CURRENT, SMS, Context, Webhook, hex_of

REF, OTHER = "msg_0123456789abcdef0123456789abcdef", "msg_ffffffffffffffffffffffffffffffff"
WRONG = "0" * 64
SCHEDULED = ("checkpoint_ledger", "collect_receipts", "sweep_ledger")
BODY = json.dumps({"messageId": "cx-1", "status": "sent"}).encode()
RULES = SmsRules("campaign", "+15550100000", 10)


@inputs("e_signatures")
def test_a_signature_counts_in_whatever_case_and_behind_an_escaped_ampersand(monkeypatch, entry):
    webhook = Webhook(monkeypatch)
    if "header" in entry:
        query, right = {}, hex_of(CURRENT, BODY)
        headers = {"X-CXone-Signature": written(entry["header"], right)}
    else:
        headers, right = {}, hex_of(CALLBACK, f"callback-url:{SMS}:{REF}".encode())
        query = {name: written(value, right) for name, value in entry["query"].items()}
    status, answer = webhook.post(SMS, BODY, query=query, headers=headers)
    assert (status == 200) is entry["accepted"], answer
    assert status in {200, 401}


def written(text, right):
    mixed = "".join(each.upper() if at % 2 else each for at, each in enumerate(right))
    words = {
        "HEX_UPPER": right.upper(),
        "Hex_Mixed": mixed,
        "HEX": right,
        "REF_UPPER": REF.upper(),
        "REF": REF,
        "OTHER": OTHER,
        "WRONG": WRONG,
    }
    for word, value in words.items():
        text = text.replace(word, value)
    return text


@pytest.fixture
def ledger():
    return DynamoLedger(FakeDynamo(), "ledger", clock=FakeClock(), telemetry=FakeTelemetry())


@inputs("e_ids")
@pytest.mark.parametrize(
    ("function", "route", "name", "status"),
    [
        (read_ledger, "GET /messages/{messageId}", "messageId", 404),
        (read_ledger, "GET /batches/{batchId}", "batchId", 404),
        (approve_template, "GET /templates/{templateId}/approval", "templateId", 404),
        (manage_consents, "GET /consents/{phoneNumber}", "phoneNumber", 422),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_id_that_no_key_can_hold_is_of_nothing(monkeypatch, ledger, function, route, name, status, entry):
    """DynamoDB takes keys of 2,048 bytes, and fails a query for a longer one."""
    if function is read_ledger:
        monkeypatch.setattr(function, "use_case", lambda: function.read_message(ledger, FakeClock(), FakeTelemetry()))
        monkeypatch.setattr(function, "read_batch", lambda: ReadBatch(ledger))
    elif function is approve_template:
        monkeypatch.setattr(function, "reading", lambda: function.ReadApproval(ledger))
    answer = functions.call(function, route, path={name: entry["id"] * entry["times"]})
    assert answer["statusCode"] == status, answer["body"]


@inputs("e_events")
@pytest.mark.parametrize("name", [each for each in functions.NAMES if each not in SCHEDULED])
def test_an_event_of_something_else_raises_nowhere(name, entry):
    """Functions with a route answer that there is no such route. The bulk sender has no record to send."""
    answer = functions.module(name).handler(entry["event"], Context())
    if name == "send_bulk":
        failures = [{"itemIdentifier": each} for each in entry.get("bulk_failures", [])]
        assert answer == {"batchItemFailures": failures}
    else:
        assert (answer["statusCode"], json.loads(answer["body"])["code"]) == (404, "route_not_found")


@inputs("e_events")
@pytest.mark.parametrize("name", SCHEDULED)
def test_a_scheduled_function_does_a_run_for_any_event(monkeypatch, ledger, name, entry):
    function = functions.module(name)
    clock, telemetry = FakeClock(), FakeTelemetry()
    made, count = {
        "checkpoint_ledger": lambda: (function.checkpoint_ledger(ledger, clock, telemetry), "made"),
        "collect_receipts": lambda: (DfoWorld().collector(), "receipts"),
        "sweep_ledger": lambda: (function.sweep(ledger, clock, telemetry, 3600), "joined"),
    }[name]()
    monkeypatch.setattr(function, "use_case", lambda: made)
    assert function.handler(entry["event"], Context())[count] == 0


def test_a_record_beside_others_that_cannot_be_read_is_still_worked_off(monkeypatch):
    """Nothing is lost, and the failure of one record hides that of no other."""
    worked = []

    def work(bodies, *_):
        worked.extend(bodies.items())
        return ["m-2"]

    monkeypatch.setattr(send_bulk, "use_case", lambda: work)
    records = [
        {"messageId": "m-1", "body": "one", "attributes": {"SentTimestamp": "1795000000000"}},
        {"messageId": "m-2", "body": "two"},  # and no attributes
        {"messageId": "m-3"},
        None,
    ]
    answer = send_bulk.handler({"Records": records}, Context())
    assert worked == [("m-1", "one"), ("m-2", "two")]
    assert [each["itemIdentifier"] for each in answer["batchItemFailures"]] == ["m-3", "", "m-2"]


@inputs("e_masked")
def test_a_number_of_any_separators_is_masked(entry):
    assert mask_numbers_in(entry["text"]) == entry["masked"]


@inputs("e_held_numbers")
def test_a_source_holds_a_number_of_any_separators(entry):
    assert holds_phone_number(entry["text"]) is entry["holds"]


SEPARATORS = " _.\u00b7\u2022\u2219\u22c5\u30fb\u200b\u200c\u200d\u200e\u2060\ufeff\u00ad\u00a0\u2009\u3000\t"


@given(
    digits=st.sampled_from(["12125556789", "447400123456", "4915123456789", "33612345678", "12025550143"]),
    gaps=st.lists(st.text(SEPARATORS, max_size=12), min_size=16, max_size=16),
    before=st.sampled_from(["", "call ", "to_", "2026-11-26 ", "id: "]),
    after=st.sampled_from(["", " now", "_failed", ", please"]),
)
@example(digits="12125556789", gaps=["", "_", "", "", "\u200b", "", "", " \u00b7 "] + [""] * 8, before="", after="")
def test_signs_between_its_digits_hide_no_number(digits, gaps, before, after):
    """Whatever marks, underscores, dots and blanks stand between the digits, in whatever number."""
    number = "+" + "".join(digit + gap for digit, gap in zip(digits, gaps, strict=False)).rstrip(SEPARATORS)
    masked = mask_numbers_in(before + number + after)
    assert masked in {f"{before}+***{after}", f"*** +***{after}"}  # a date before it may be masked too
    assert holds_phone_number(before + number + after)


@pytest.mark.parametrize("field", ["text", "from"])
def test_a_noncharacter_is_refused_before_anything_is_queued(field):
    for entry in table("e_texts"):
        changed = {"text": entry["text"]} if field == "text" else {"text": "Hello", "sender": entry["text"]}
        checked = check(SmsRequest(to="+12125556789", **changed), RULES)
        refused = [(error.code, error.field) for error in checked.errors]
        assert refused == ([(entry["code"], field)] if entry["code"] else []), entry
