"""Repeated requests under an `Idempotency-Key`: done once, answered alike."""

import pytest

from local.simulator import Fault

REGISTRATION = {
    "template_id": "welcome",
    "campaign_name": "Welcome",
    "message_class": "TRANSACTIONAL",
    "opt_in_language": "en",
}
CALLS = {
    "register": ("/api/v1/a2p/registrations", REGISTRATION),
    "subscribe": (
        "/api/v1/webhooks",
        {"url": "http://listener/events", "events": ["a2p.registered"], "secret": "0f" * 32},
    ),
    "audit": (
        "/api/v1/audit/logs",
        {
            "timestamp": "2026-01-01T00:00:00.000Z",
            "template_id": "welcome",
            "action": "TEMPLATE_APPROVAL",
            "status": "APPROVED",
            "latency_ms": 120,
            "operator_id": "op-1",
            "carrier_ready": True,
        },
    ),
}


def post(cxone, operation, key="k", **changes):
    path, body = CALLS[operation]
    headers = {"Idempotency_Key": key} if key else {}
    return cxone.call("POST", path, {**body, **changes}, Authorization=cxone.bearer("admin"), **headers)


@pytest.mark.parametrize("operation", CALLS)
def test_the_same_request_is_done_once(cxone, operation):
    first, again = post(cxone, operation), post(cxone, operation)
    assert (again.status, again.json) == (first.status, first.json)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert cxone.simulator.counts()[operation] == {"accepted": 1, "replayed": 1}


@pytest.mark.parametrize("operation", CALLS)
@pytest.mark.parametrize("differs", ["key", "no key", "setting"])
def test_otherwise_it_is_done_twice(make, operation, differs):
    cxone = make(idempotency_keys=differs != "setting")
    for key in {"key": ("a", "b"), "no key": (None, None), "setting": ("a", "a")}[differs]:
        post(cxone, operation, key)
    assert cxone.simulator.counts()[operation] == {"accepted": 2}


def test_another_request_under_the_key_is_refused(cxone):
    post(cxone, "register")
    assert post(cxone, "register", campaign_name="Another").status == 422


def test_a_key_counts_for_one_operation(cxone):
    assert [post(cxone, operation).status for operation in CALLS] == [201, 201, 201]
    assert "replayed" not in str(cxone.simulator.counts())


def test_a_refusal_leaves_the_key_free(cxone):
    assert post(cxone, "register", campaign_name="").status == 400
    assert post(cxone, "register").status == 201


def test_what_was_taken_though_its_answer_was_lost_is_answered_again(cxone):
    cxone.simulator.add_fault(Fault(operation="register", action="accept_then_500"))
    assert post(cxone, "register").status == 500
    assert post(cxone, "register").status == 201
    assert cxone.simulator.counts()["register"] == {"accepted": 1, "replayed": 1}


def test_somebody_approves_between_get_and_put(cxone):
    cxone.simulator.add_fault(Fault(operation="template_get", action="edit_template", template_status="APPROVED"))
    path, token = "/api/v1/messaging/templates/welcome", cxone.bearer("admin")
    fetched = cxone.call("GET", path, Authorization=token)
    assert fetched.json["status"] == "DRAFT"
    again = cxone.call("GET", path, Authorization=token)
    assert (again.json["status"], again.json["content"]) == ("APPROVED", fetched.json["content"])
