"""Names of replies' events, references of a file's rows, and repeats in one request (tests/people, A8, B6 and B7)."""

import json

import pytest

from cli.campaign.people import People
from cli.campaign.plan import Campaign
from cxone_messaging.domain.attention import Attention
from cxone_messaging.domain.consents import ConsentStatus
from cxone_messaging.domain.phone_numbers import PhoneNumber
from cxone_messaging.domain.times import format_time
from cxone_messaging.platform.clock import instant
from cxone_messaging.platform.http_api import HttpRequest
from functions.submit_bulk import handler as submit_bulk
from tests.people import inputs
from tests.webhooks import Webhook
from tests.worlds import World

LINE = PhoneNumber.parse("+14155550123")


@inputs("a8_event_names")
def test_a_reply_is_known_by_its_name_and_a_stop_under_any(monkeypatch, entry):
    webhook = Webhook(monkeypatch, reply_event=entry.get("inbound_event", "message.inbound"))
    told = {"event": entry["event"], "from": LINE.e164, "text": entry.get("text", "STOP")}
    told["timestamp"] = format_time(instant(webhook.clock.now()))
    assert webhook.event(told) == (200, {"status": "accepted"})
    consent = webhook.consents.find(webhook.pseudonyms.recipient_hash(LINE))
    if entry["is"] == "review":
        assert (consent, len(list(webhook.ledger.flagged(Attention.REVIEW, "2020", "2100")))) == (None, 1)
    else:
        assert consent.status == ConsentStatus(entry["is"])


@inputs("b6_references")
def test_a_rows_reference_is_its_key_everywhere(tmp_path, entry):
    def references(rows, name):
        path = tmp_path / "people.csv"
        heading = ["to", "name", "reference"][: len(rows[0])]
        path.write_text("\n".join(",".join(row) for row in [heading, *rows]))
        return [row.reference for row in Campaign(name=name, people=People(path), text="Hi {name}").rows()]

    sent = references(entry["first"], "people")
    again = references(entry["second"], entry.get("rename", "people"))
    assert [number for number, each in enumerate(again, 1) if each not in sent] == entry["sends"]


@pytest.mark.parametrize("duplicates", ["warn", "refuse"])
@inputs("b7_duplicates")
def test_a_repeat_in_one_request_is_named(monkeypatch, entry, duplicates):
    world = World()
    for number in ("+14155550123", "+14155550124"):
        world.opt(ConsentStatus.OPTED_IN, PhoneNumber.parse(number))
    submitter = world.submitter()
    monkeypatch.setattr(submit_bulk, "use_case", lambda: submitter)
    names = ("to", "text", "reference")
    messages = [dict(zip(names, each, strict=False)) for each in entry["messages"]]
    body = json.dumps({"messages": messages, "duplicates": duplicates}).encode()
    headers = {"idempotency-key": "k"}
    answer = submit_bulk.submit(HttpRequest("POST /messages/bulk", {}, {}, headers, body, world.within(28))).body
    warned, refused = ([each["index"] for each in answer[name]] for name in ("warnings", "rejected"))
    assert (warned, refused) == ((entry["repeats"], []) if duplicates == "warn" else ([], entry["repeats"]))
    assert answer["accepted"] == len(messages) - len(refused)


def test_a_batch_says_what_was_probably_meant_as_a_single_send_does(monkeypatch):
    submitter = (world := World()).submitter()
    monkeypatch.setattr(submit_bulk, "use_case", lambda: submitter)
    body = json.dumps({"messages": [{"to": "2025550104"}, {"to": "+4407700900123"}], "text": "Hi"}).encode()
    for _ in range(2):  # the stored answer says it too
        request = HttpRequest("POST /messages/bulk", {}, {}, {"idempotency-key": "k"}, body, world.within(28))
        first, second = (each["errors"][0]["message"] for each in submit_bulk.submit(request).body["rejected"])
        assert first.endswith("write +2025550104 or +12025550104")
        assert second.endswith("write +447700900123")
    assert not any("2025550104" in str(world.ledger.read(each)) for each in world.ledger.subjects())
