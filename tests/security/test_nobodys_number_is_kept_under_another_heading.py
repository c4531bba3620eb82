"""Claim: what others name reaches the ledger and the logs only if it is no phone number, and within bounds."""

import json
import re

import pytest

from cxone_messaging.domain.consents import ConsentStatus
from cxone_messaging.domain.delivery import CXONE_ID_LIMIT
from cxone_messaging.domain.names import loggable, name_fault
from functions.approve_template import handler as approve_template
from functions.manage_consents import handler as manage_consents
from functions.send_message import handler as send_message
from functions.submit_bulk import handler as submit_bulk
from local.simulator.wire import Response
from tests.approvals import ApprovalWorld
from tests.building import MESSAGE_ID
from tests.functions import call
from tests.webhooks import Webhook
from tests.worlds import RECIPIENT, World

NUMBERS = [
    "+15551234567",
    "15551234567",
    "call +44 7700 900123 now",
    "(555) 123-4567",
    "spring-5551234567",
    "+1234567",
    "555 123 4567",
]
UNKEEPABLE = [*NUMBERS, "a" * 129, "two\nlines", "bell\x07", "\ud800", "\u202egnp"]
FINE = [
    "a",
    "summer",
    "Été 2026",
    "camp_12345678",
    "2026-11-22",
    "123456789",
    "12345678901234567890123",
    "7cd6894e-0c56-41d5-f6ae-176b6a012c42",
    "x" * 128,
]


@pytest.mark.parametrize("name", FINE)
def test_a_campaigns_usual_names_and_ids_are_fine(name):
    assert name_fault(name) is None


@pytest.mark.parametrize("name", UNKEEPABLE)
def test_any_other_name_is_refused_and_not_quoted(name):
    fault = name_fault(name)
    assert fault
    assert name not in fault
    assert not re.search(r"\d{7}", fault)


@pytest.mark.parametrize("name", UNKEEPABLE)
class TestEveryDoor:
    def test_a_message_is_refused_and_nothing_is_stored(self, monkeypatch, name):
        world = World()
        world.opt(ConsentStatus.OPTED_IN)
        before = len(world.ledger)
        monkeypatch.setattr(send_message, "use_case", world.sender)
        asked = {"to": RECIPIENT.e164, "text": "Hello.", "campaignId": name}
        answer = call(send_message, "POST /messages", asked, headers={})
        self.check(answer, name, "campaignId", "invalid_characters")
        assert len(world.ledger) == before
        assert not world.simulator.accepted_messages()

    def test_a_bulk_message_is_refused_and_its_name_is_not_stored(self, monkeypatch, name):
        if len(name) > 128 or name == "\ud800":
            pytest.skip("the whole batch is malformed")
        world = World()
        world.opt(ConsentStatus.OPTED_IN)
        monkeypatch.setattr(submit_bulk, "use_case", world.submitter)
        asked = {"messages": [{"to": RECIPIENT.e164, "text": "Hello."}], "campaignId": name}
        answer = call(submit_bulk, "POST /messages/bulk", asked, headers={"Idempotency-Key": "key"})
        (rejected,) = json.loads(answer["body"])["rejected"]
        assert [(each["code"], each["field"]) for each in rejected["errors"]] == [("invalid_characters", "campaignId")]
        assert "campaign" in rejected["errors"][0]["message"]
        stored = [world.ledger.read(subject) for subject in world.ledger.subjects()]
        assert name not in str(stored)

    def test_a_consent_is_refused_and_nothing_is_stored(self, monkeypatch, name):
        world = World()
        monkeypatch.setattr(manage_consents, "use_case", lambda: world._manage)
        asked = {"status": "opted_in", "source": "form", "campaignId": name}
        path = {"phoneNumber": RECIPIENT.e164}
        answer = call(manage_consents, "PUT /consents/{phoneNumber}", asked, path=path)
        self.check(answer, name, "campaignId", "invalid_characters")
        assert len(world.ledger) == 0

    def test_an_approval_is_refused_and_nothing_is_stored(self, monkeypatch, name):
        world = ApprovalWorld()
        monkeypatch.setattr(approve_template, "approving", world.approver)
        asked = {"campaignName": "C", "messageClass": "M", "optInLanguage": "en", "operatorId": name}
        path = {"templateId": "welcome"}
        answer = call(approve_template, "POST /templates/{templateId}/approval", asked, path=path)
        self.check(answer, name, "operatorId", "malformed_request")
        assert len(world.ledger) == 0

    def check(self, answer, name, field, code):
        body = json.loads(answer["body"])
        assert answer["statusCode"] in {400, 422}
        if len(name) <= 128 and name != "\ud800":
            assert [(each["code"], each["field"]) for each in body["errors"]] == [(code, field)]
        assert name not in answer["body"]


GOOD_IDS = ["cx-1", "~" * CXONE_ID_LIMIT, "a b", 12345]
BAD_IDS = [
    "a" * (CXONE_ID_LIMIT + 1),
    "Ä",
    "two\nlines",
    "\x1b[31m",
    "",
    "\u202e",
    10**CXONE_ID_LIMIT,
    None,
    True,
    [],
    {},
]


@pytest.fixture
def webhook(monkeypatch):
    return Webhook(monkeypatch)


def told(id_):
    return {"messageId": id_, "status": "sent", "to": RECIPIENT.e164, "timestamp": "2026-11-22T14:14:00Z"}


@pytest.mark.parametrize("reference", [None, MESSAGE_ID])
@pytest.mark.parametrize("id_", GOOD_IDS)
def test_an_id_of_printable_ascii_is_taken(webhook, id_, reference):
    assert webhook.delivery(told(id_), reference)[0] == 200


@pytest.mark.parametrize("id_", BAD_IDS)
def test_any_other_id_is_not_stored_although_the_url_names_the_message(webhook, log, id_):
    assert webhook.delivery(told(id_), MESSAGE_ID)[0] == 200
    (entry,) = webhook.ledger.read(f"message#{MESSAGE_ID}")
    assert entry.data["cxoneMessageId"].startswith("none:")
    if isinstance(id_, str) and id_:
        assert id_ not in str(entry)
        assert id_ not in log.getvalue()


@pytest.mark.parametrize("id_", BAD_IDS)
def test_without_a_url_it_is_refused_not_quoted_and_not_stored(webhook, log, id_):
    status, problem = webhook.delivery(told(id_))
    assert (status, problem["code"]) == (400, "malformed_request")
    assert [each["field"] for each in problem["errors"]] == ["messageId"]
    assert len(webhook.ledger) == 0
    if isinstance(id_, str) and id_:
        assert id_ not in json.dumps(problem, ensure_ascii=False)
        assert id_ not in log.getvalue()


@pytest.mark.parametrize("id_", ["a" * (CXONE_ID_LIMIT + 1), "Ä", "two\nlines", 10**CXONE_ID_LIMIT])
def test_a_templates_id_is_taken_by_the_same_rule(webhook, id_):
    event = {"event": "template.approved", "template_id": id_, "timestamp": "2026-11-22T14:14:00Z"}
    assert webhook.event(event)[0] == 200, "a person reviews it"
    (subject,) = webhook.ledger.subjects()
    assert subject.startswith("event#")
    assert str(id_) not in str(webhook.ledger.read(subject))


SHOWN = ["cx-1", "ca68d973-e54c-4bbc-93ed-a2346bc81c9e", "welcome", "a:b_c.d"]
HASHED = ["15551234567", "+15551234567", "555-123-4567", "x5551234567x", "Jane Doe", "a" * 129, "1234567", "a/b", ""]


@pytest.mark.parametrize("id_", [*SHOWN, MESSAGE_ID, "bat_" + "1" * 32])
def test_an_id_is_logged_where_it_looks_like_one(id_):
    assert loggable(id_) == id_


@pytest.mark.parametrize("id_", HASHED)
def test_any_other_is_logged_as_a_hash_that_thousands_of_numbers_share(id_):
    assert re.fullmatch(r"#[0-9a-f]{6}", loggable(id_))
    assert loggable(id_) == loggable(id_)


@pytest.mark.parametrize("id_", ["15551234567", "call 555 123 4567", "Jane Doe"])
def test_no_log_line_holds_what_might_be_somebodys(webhook, log, id_):
    assert webhook.delivery(told(id_))[0] == 200
    event = {"event": "template.approved", "template_id": id_, "timestamp": "2026-11-22T14:14:00Z"}
    assert webhook.event(event)[0] == 200
    assert id_ not in log.getvalue()
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert {line.get("cxoneMessageId") or line.get("templateId") for line in lines} == {loggable(id_)}


ANSWERS = [
    {"to": 12025550101},
    {"to": 12025550101.0},
    {"recipients": [12025550101]},
    {"recipients": [1, 202, 555, "0101"]},
    {"callerId": "+12025550101"},
    {"paid": "+12025550101"},
    {"contactid": ["+12025550101"]},
    {"id": "+12025550101"},
    {"sentTo": {"+12025550101": "ok"}},
    {"+12025550101": {"12025550101": {}}},
]


@pytest.mark.parametrize("document", ANSWERS)
def test_no_number_in_an_answer_about_a_template_is_kept_whatever_its_type_and_name(monkeypatch, document):
    world = ApprovalWorld()
    handle = world.simulator.handle

    def answered(request):
        response = handle(request)
        return Response(200, {**document}) if request.path.endswith("/registrations") else response

    monkeypatch.setattr(world.simulator, "handle", answered)
    world.approve()
    kept = [entry.data["answer"] for entry in world.ledger.read("template#welcome") if entry.type == "registered"]
    assert len(kept) == 1
    assert not re.search(r"\d{4}|\d\D{1,4}\d", kept[0])


@pytest.mark.parametrize("changed_at", ["2026-11-26 by +12025550101", "9" * 5000, 12025550101])
def test_no_number_in_a_templates_status_or_time_is_kept(monkeypatch, changed_at):
    world = ApprovalWorld()
    handle = world.simulator.handle

    def answered(request):
        response = handle(request)
        if request.method == "GET":
            meta = {"updated_at": changed_at}
            document = {**response.json, "status": "LOCKED by +12025550101" + "!" * 5000, "meta": meta}
            return Response(200, document, response.headers)
        return response

    monkeypatch.setattr(world.simulator, "handle", answered)
    world.refused()
    fetched = world.ledger.read("template#welcome")[0].data
    assert fetched["status"].startswith("LOCKED by +***!")
    assert "***" in fetched["updatedAt"]
    assert max(len(fetched["status"]), len(fetched["updatedAt"])) <= 40


@pytest.mark.parametrize("at", ["2026-11-22T14:14:00.12025550101Z", "20261122T141400.12025550101"])
def test_of_an_events_time_the_instant_is_kept_and_no_text(webhook, at):
    assert webhook.delivery({**told("cx-1"), "timestamp": at}, MESSAGE_ID)[0] == 200
    (entry,) = webhook.ledger.read(f"message#{MESSAGE_ID}")
    assert "1202555" not in str(entry.data)
    assert {entry.data["instant"], entry.data.get("told")} <= {"2026-11-22T14:14:00.120Z", None, entry.data["instant"]}
