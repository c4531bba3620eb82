import hashlib
import hmac
import json

import pytest

SECRET = "0f" * 32
URL = "http://listener/events"
REGISTRATION = {
    "template_id": "welcome",
    "campaign_name": "Welcome",
    "message_class": "TRANSACTIONAL",
    "opt_in_language": "en",
}
AUDIT = {
    "timestamp": "2026-01-01T00:00:00.000Z",
    "template_id": "welcome",
    "action": "TEMPLATE_APPROVAL",
    "status": "APPROVED",
    "latency_ms": 120,
    "operator_id": "op-1",
    "carrier_ready": True,
}


@pytest.fixture
def post(cxone):
    token = cxone.bearer("admin")
    return lambda path, body: cxone.call("POST", path, body, Authorization=token)


@pytest.fixture
def subscribe(post):
    def subscribe(url=URL, events=("template.approved", "a2p.registered"), secret=SECRET):
        return post("/api/v1/webhooks", {"url": url, "events": list(events), "secret": secret})

    return subscribe


def approve(cxone):
    token = cxone.bearer("admin")
    path = "/api/v1/messaging/templates/welcome"
    template = cxone.call("GET", path, Authorization=token).json
    assert cxone.call("PUT", path, {**template, "status": "APPROVED"}, Authorization=token).status == 200


@pytest.mark.parametrize("status", [201, 200])
def test_a_registration_is_answered_and_logged(make, status):
    cxone = make(registration_status=status)
    answer = cxone.call("POST", "/api/v1/a2p/registrations", REGISTRATION, Authorization=cxone.bearer("admin"))
    assert answer.status == status
    assert answer.json["status"] == "REGISTERED"
    (entry,) = cxone.simulator.log("register")
    assert entry.details == {"id": answer.json["id"], **REGISTRATION}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/a2p/registrations", {**REGISTRATION, "campaign_name": ""}),
        ("/api/v1/a2p/registrations", {"template_id": "welcome"}),
        ("/api/v1/webhooks", {"url": URL, "events": ["template.approved"]}),
        ("/api/v1/webhooks", {"url": URL, "events": [], "secret": SECRET}),
        ("/api/v1/webhooks", {"url": URL, "events": [""], "secret": SECRET}),
        ("/api/v1/webhooks", {"url": URL, "events": ["a" * 129], "secret": SECRET}),
        ("/api/v1/webhooks", {"url": URL, "events": ["template.approved"], "secret": "short"}),
        ("/api/v1/audit/logs", {**AUDIT, "latency_ms": 1.5}),
        ("/api/v1/audit/logs", {**AUDIT, "timestamp": "yesterday"}),
        ("/api/v1/audit/logs", {**AUDIT, "carrier_ready": "yes"}),
    ],
)
def test_bodies_off_the_schema(post, path, body):
    assert post(path, body).status == 400


def test_an_audit_record_is_answered_and_logged(cxone, post):
    answer = post("/api/v1/audit/logs", AUDIT)
    assert answer.status == 201
    assert cxone.simulator.log("audit")[0].details == {"id": answer.json["id"], **AUDIT}


def test_a_subscriber_is_told_of_approval_and_registration_under_its_signature(cxone, post, subscribe):
    assert subscribe().status == 201
    approve(cxone)
    post("/api/v1/a2p/registrations", REGISTRATION)
    posted = cxone.run_events()
    bodies = [json.loads(event.body) for _, event in posted]
    assert [(body["event"], body["template_id"]) for body in bodies] == [
        ("template.approved", "welcome"),
        ("a2p.registered", "welcome"),
    ]
    assert bodies[0].keys() == {"id", "event", "template_id", "timestamp"}
    for time, event in posted:
        headers = event.headers(time)
        signed = f"{int(time)}.".encode() + event.body
        assert event.url == URL
        assert headers["X-CXone-Timestamp"] == str(int(time))
        expected = hmac.new(SECRET.encode("ascii"), signed, hashlib.sha256).hexdigest()
        assert headers["X-CXone-Signature"] == f"sha256={expected}"


def test_a_redelivery_is_signed_anew(cxone, subscribe):
    subscribe()
    approve(cxone)
    posted = cxone.run_events(lambda event: 500 if event.attempt == 1 else 200)
    first, second = (event.headers(time)["X-CXone-Timestamp"] for time, event in posted)
    assert int(second) > int(first)


def test_who_subscribes_after_the_approval_is_still_told_and_only_once(cxone, post, subscribe):
    approve(cxone)
    post("/api/v1/a2p/registrations", REGISTRATION)
    assert cxone.simulator.next_due() is None
    subscribe(events=["a2p.registered"])
    subscribe(url="http://other/events")
    told = [(event.url, json.loads(event.body)["event"]) for _, event in cxone.run_events()]
    assert told == [(URL, "a2p.registered"), ("http://other/events", "template.approved")]


def test_the_secret_is_not_in_the_log(cxone, subscribe):
    answer = subscribe()
    assert SECRET not in json.dumps(answer.json)
    assert SECRET not in json.dumps([entry.as_json() for entry in cxone.simulator.log()])


INBOUND = {"from": "+15551234567", "to": "24680", "text": "STOP"}


def test_an_inbound_message_goes_once_to_each_url_that_is_subscribed_to_such_events(cxone, subscribe):
    assert cxone.call("POST", "/_simulator/inbound", INBOUND).status == 409
    for secret in (SECRET, "aa" * 32):
        subscribe(events=["template.approved", "message.inbound"], secret=secret)
    answer = cxone.call("POST", "/_simulator/inbound", INBOUND)
    assert (answer.status, answer.json) == (202, {"urls": [URL]})
    ((_, event),) = cxone.run_events()
    assert event.secret == "aa" * 32
    body = json.loads(event.body)
    assert body.pop("id")
    assert body == {"event": "message.inbound", **INBOUND, "timestamp": "2026-01-01T00:00:00.000Z"}


def test_a_subscriber_of_other_events_gets_no_inbound_message(cxone, subscribe):
    subscribe()
    subscribe(url="http://other/events", events=["message.inbound"])
    assert cxone.call("POST", "/_simulator/inbound", INBOUND).json == {"urls": ["http://other/events"]}
    assert {event.url for _, event in cxone.run_events()} == {"http://other/events"}


def test_inbound_messages_have_the_name_that_is_set(make):
    cxone = make(inbound_event="sms.received")
    token = cxone.bearer("admin")
    for url, name in ((URL, "message.inbound"), ("http://other/events", "sms.received")):
        body = {"url": url, "events": [name], "secret": SECRET}
        assert cxone.call("POST", "/api/v1/webhooks", body, Authorization=token).status == 201
    assert cxone.call("POST", "/_simulator/inbound", INBOUND).json == {"urls": ["http://other/events"]}
    ((_, event),) = cxone.run_events()
    assert json.loads(event.body)["event"] == "sms.received"


def test_a_name_that_is_not_known_is_refused_and_nothing_is_subscribed(make):
    cxone = make(known_events=["template.approved", "a2p.registered"])
    token = cxone.bearer("admin")
    body = {"url": URL, "events": ["template.approved", "message.inbound"], "secret": SECRET}
    assert cxone.call("POST", "/api/v1/webhooks", body, Authorization=token).status == 422
    approve(cxone)
    assert cxone.run_events() == []
    body["events"] = ["template.approved"]
    assert cxone.call("POST", "/api/v1/webhooks", body, Authorization=token).status == 201
