import pytest
from pydantic import ValidationError

from local.simulator import MAIN_CHANNEL, Behaviour, Fault
from tests.tenant import NUMBER, START, Tenant

NO_FLOW = "sms_local_15550000002"


def test_a_send_is_answered_with_its_contact_and_its_message():
    tenant = Tenant()
    answer = tenant.send("hello", trace="my-trace")
    assert answer.status == 200
    assert answer.headers["x-trace-id"] == "my-trace"
    contact, message = answer.json["consumerContact"], answer.json["message"]
    assert (len(contact["id"]), contact["id"].isdigit()) == (12, True)
    assert message["contactNumber"] == contact["id"]
    assert message["messageContent"]["payload"] == {"text": "hello"}
    assert message["recipients"] == [{"idOnExternalPlatform": NUMBER, "name": "", "isPrimary": True, "isPrivate": True}]
    assert (message["direction"], message["channel"]) == ("outbound", {"id": MAIN_CHANNEL})
    assert message["createdAt"] == "2026-01-01T00:00:00+00:00"
    assert message["createdAtWithMilliseconds"] == "2026-01-01T00:00:00.000+00:00"
    assert tenant.message(message["id"]) == message
    (handed,) = tenant.simulator.accepted_messages()
    assert (handed.id, handed.to, handed.text, handed.time) == (message["id"], f"+{NUMBER}", "hello", START)


def test_a_trace_id_is_made_where_none_is_given():
    assert len(Tenant().send().headers["x-trace-id"]) == 36


def test_two_same_sends_are_two_texts_of_one_contact():
    tenant = Tenant()
    first, second = tenant.send().json, tenant.send(number=f"+{NUMBER}").json
    assert first["message"]["id"] != second["message"]["id"]
    assert first["consumerContact"]["id"] == second["consumerContact"]["id"]
    assert {key: len(ids) for key, ids in tenant.simulator.texts().items()} == {(NUMBER, "hello"): 2}
    shown = tenant.call("GET", "/_simulator/carrier").json["texts"]
    assert [(each["to"], each["text"], each["count"]) for each in shown] == [(NUMBER, "hello", 2)]
    tenant.set(dfo_one_contact_per_number=False)
    assert tenant.send().json["consumerContact"]["id"] != first["consumerContact"]["id"]


def test_a_reply_to_a_thread():
    tenant = Tenant()
    thread = tenant.send().json["message"]["threadIdOnExternalPlatform"]
    answer = tenant.send("again", recipients=[], thread={"idOnExternalPlatform": thread})
    assert answer.json["message"]["recipients"] == [{"idOnExternalPlatform": NUMBER}]
    assert tenant.send("again", recipients=[], thread={"idOnExternalPlatform": "nothing"}).status == 400


@pytest.mark.parametrize("status", [201, 202])
def test_the_success_status_is_a_setting(status):
    answer = Tenant(dfo_success_status=status).send()
    assert (answer.status, bool(answer.json["message"]["id"])) == (status, True)


def test_success_without_a_body():
    tenant = Tenant(dfo_success_status=204)
    answer = tenant.send()
    assert (answer.status, answer.body, tenant.texts) == (204, b"", ["hello"])


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"recipients": None}, "recipients"),
        ({"recipients": []}, "recipients"),
        ({"number": "call me"}, "recipients"),
        ({"number": "0123456789"}, "recipients"),
        ({"text": ""}, "messageContent.payload.text"),
        ({"text": " "}, "messageContent.payload.text"),
        ({"messageContent": {"type": "TEXT", "payload": {}}}, "messageContent.payload.text"),
        ({"messageContent": None}, "messageContent"),
        ({"channel": NO_FLOW}, "channelId"),
        ({"contact": {"customFields": [{"ident": "colour", "value": "red"}]}}, "contact.customFields"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_wrong_send_is_refused_with_an_errors_collection(changes, field):
    for status in (400, 422):
        tenant = Tenant(dfo_refusal_status=status)
        answer = tenant.send(**changes)
        assert answer.status == status
        assert answer.json.keys() == {"errors", "uid"}
        assert [error["field"] for error in answer.json["errors"]] == [field]
        assert answer.json["errors"][0].keys() == {"field", "message", "parameters", "errorCode"}
        assert answer.headers["x-trace-id"]
        assert not tenant.texts
        assert not tenant.simulator.dfo.messages()


def test_an_unknown_channel_and_a_long_text():
    tenant = Tenant(dfo_longest_text=5)
    assert tenant.send(channel="sms_nobody").status == 404
    assert [tenant.send("12345").status, tenant.send("123456").status] == [200, 400]


@pytest.mark.parametrize(("form", "plain", "plus"), [("any", 200, 200), ("digits", 200, 400), ("e164", 400, 200)])
def test_the_form_of_numbers(form, plain, plus):
    tenant = Tenant(dfo_number_format=form)
    assert [tenant.send().status, tenant.send(number=f"+{NUMBER}").status] == [plain, plus]


def test_custom_fields_are_kept_on_the_contact_and_the_next_send_overwrites_them():
    tenant = Tenant(dfo_custom_fields=["reference", "campaign"])
    tenant.send(contact={"customFields": [{"ident": "campaign", "value": "x"}, {"ident": "reference", "value": "1"}]})
    answer = tenant.send(contact={"customFields": [{"ident": "reference", "value": "2"}], "status": "resolved"})
    expected = [{"ident": "campaign", "value": "x"}, {"ident": "reference", "value": "2"}]
    assert answer.json["consumerContact"]["customFields"] == expected
    (contact,) = tenant.get("contacts", {"endUserIdOnExternalPlatform[]": NUMBER}).json["data"]
    assert (contact["customFields"], contact["status"]) == (expected, "resolved")
    assert [each["ident"] for each in tenant.get("consumer-contact-custom-fields").json] == ["reference", "campaign"]
    tenant.set(dfo_unknown_custom_field="ignore")
    assert tenant.send(contact={"customFields": [{"ident": "colour", "value": "red"}]}).status == 200


def test_sends_of_a_minute():
    tenant = Tenant(dfo_sends_per_minute=3)
    assert [tenant.send(number=f"1415555010{n}").status for n in range(4)] == [200, 200, 200, 429]
    tenant.now += 20
    assert tenant.send().headers["Retry-After"] == "40"
    tenant.set(retry_after="absent")
    assert "Retry-After" not in tenant.send().headers
    tenant.now += 40
    assert tenant.send().status == 200
    assert tenant.simulator.dfo.limits()["sends"] == {"accepted": 4, "refused": 3}
    assert [entry.details.get("limit") for entry in tenant.simulator.log("dfo.send") if entry.status == 429] == [
        "sends"
    ] * 3
    assert len(tenant.texts) == 4


def test_the_bucket_of_one_contact():
    tenant = Tenant()
    assert [tenant.send().status for _ in range(251)] == [200] * 250 + [429]
    assert tenant.send(number="14155550199").status == 200
    tenant.now += 60 / 17 - 0.1
    assert tenant.send().status == 429
    tenant.now += 0.2
    assert [tenant.send().status, tenant.send().status] == [200, 429]
    tenant.now += 60
    assert [tenant.send().status for _ in range(18)].count(200) == 17
    assert tenant.simulator.dfo.limits()["contact"]["refused"] == 4


def test_a_reply_uses_the_bucket_of_its_contact():
    tenant = Tenant(dfo_contact_burst=2)
    tenant.send()
    tenant.simulator.dfo.inbound(MAIN_CHANNEL, NUMBER, "STOP")
    assert tenant.send().status == 429


@pytest.mark.parametrize(
    ("fault", "behaviour", "status"),
    [
        ({"action": "accept_then_reset"}, Behaviour.RESET, None),
        ({"action": "accept_then_timeout"}, Behaviour.HOLD, None),
        ({"action": "accept_then_status", "status": 429}, Behaviour.ANSWER, 429),
        ({"action": "accept_then_500", "status": 502, "html": True}, Behaviour.ANSWER, 502),
        ({"action": "garbage_body"}, Behaviour.ANSWER, 200),
        ({"action": "no_message_id"}, Behaviour.ANSWER, 200),
    ],
)
def test_accepted_though_the_answer_does_not_say_so(fault, behaviour, status):
    tenant = Tenant()
    tenant.simulator.add_fault(Fault(operation="dfo.send", **fault))
    answer = tenant.send()
    assert answer.behaviour is behaviour
    assert b'"message":{' not in answer.body or status is None
    assert (tenant.texts, tenant.found()) == (["hello"], ["hello"])
    (entry,) = tenant.simulator.log("dfo.send")
    assert (entry.outcome, entry.status, entry.fault) == ("accepted", status, fault["action"])


@pytest.mark.parametrize(
    "fault", [{"action": "reset"}, {"action": "refuse"}, *({"action": "status", "status": n} for n in (429, 500, 503))]
)
def test_not_accepted(fault):
    tenant = Tenant()
    tenant.simulator.add_fault(Fault(operation="dfo.send", retry_after_seconds=7, **fault))
    answer = tenant.send()
    if fault["action"] == "status":
        assert (answer.status, answer.headers["Retry-After"]) == (fault["status"], "7")
        assert answer.json["uid"]
    assert (tenant.texts, tenant.found()) == ([], [])


@pytest.mark.parametrize("status", [None, 500, 504])
def test_sent_without_a_record(status):
    tenant = Tenant()
    tenant.send("before", contact={"customFields": [{"ident": "reference", "value": "1"}]})
    tenant.now += 1
    tenant.simulator.add_fault(Fault(operation="dfo.send", action="send_without_record", status=status, times=2))
    answer = tenant.send("lost", contact={"customFields": [{"ident": "reference", "value": "2"}]})
    assert answer.behaviour is (Behaviour.ANSWER if status else Behaviour.RESET)
    assert answer.status == (status or 200)
    tenant.send("lost too", number="14155550199")
    tenant.now += 3_600
    tenant.forget_token()
    assert tenant.texts == ["before", "lost", "lost too"]
    assert tenant.found() == ["before"]
    contacts = tenant.get("contacts").json
    assert contacts["hits"] == 1
    assert contacts["data"][0]["customFields"] == [{"ident": "reference", "value": "1"}]
    (handed,) = [message for message in tenant.simulator.accepted_messages() if message.text == "lost"]
    assert tenant.get(f"messages/{handed.id}").status == 404


def test_a_slow_answer():
    tenant = Tenant()
    tenant.simulator.add_fault(Fault(operation="dfo.send", action="delay", delay_seconds=25))
    assert [tenant.send().latency_seconds, tenant.send().latency_seconds] == [25, 0]


@pytest.mark.parametrize("action", ["no_message_id", "send_without_record"])
def test_faults_that_only_this_send_has(action):
    for operation in ("send", "any"):
        with pytest.raises(ValidationError, match=r"dfo\.send"):
            Fault(operation=operation, action=action)
    with pytest.raises(ValidationError):
        Fault(action="accept_then_status")


def test_the_clock_of_the_other_side():
    tenant = Tenant(dfo_clock_ahead_seconds=90)
    assert tenant.send().json["message"]["createdAt"] == "2026-01-01T00:01:30+00:00"
    assert tenant.simulator.accepted_messages()[0].time == START
    assert tenant.found() == ["hello"]
