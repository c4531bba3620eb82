"""The three routes of templates on the deployed stack."""

import json

import pytest

BODY = {"campaignName": "Welcome", "messageClass": "TRANSACTIONAL", "optInLanguage": "en"}
GOOD = {"content": "Hello from Example. Reply STOP to opt out.", "from_address": "24680"}


def approve(client, template_id, **changes):
    return client.call("POST", f"/templates/{template_id}/approval", BODY | changes)


@pytest.fixture(scope="module")
def template(client):
    """Make a template of these tests' own, as somebody would in CXone's console."""
    client.stack.simulator("templates/e2e", GOOD)
    return "e2e"


@pytest.fixture(scope="module")
def approved(client, template):
    return approve(client, template, operatorId="op-e2e")


def test_a_template_is_approved_registered_watched_and_audited(client, template, approved):
    assert approved.status_code == 200, approved.text
    answer = approved.json()
    registration, latency = answer.pop("registrationId"), answer.pop("latencyMs")
    assert answer == {
        "templateId": template,
        "status": "APPROVED",
        "carrierReady": True,
        "webhookSubscribed": True,
        "auditPublished": True,
        "warnings": [],
    }
    log = client.stack.simulator("log")["entries"]
    assert registration in {entry["details"].get("id") for entry in log if entry["operation"] == "register"}
    (record,) = [e["details"] for e in log if e["operation"] == "audit" and e["details"]["template_id"] == template]
    assert (record["latency_ms"], record["operator_id"], record["carrier_ready"]) == (latency, "op-e2e", True)


def test_the_same_again_does_nothing_more(client, template, approved):
    before = client.stack.simulator("log")["counts"]
    again = approve(client, template)
    assert again.json() == approved.json()
    after = client.stack.simulator("log")["counts"]
    assert {name: after[name] for name in ("register", "subscribe", "audit", "template_put")} == {
        name: before[name] for name in ("register", "subscribe", "audit", "template_put")
    }


def test_its_state_is_shown_with_its_audit_trail(client, template, approved):
    told = client.call("GET", f"/templates/{template}/approval").json()
    assert {name: told[name] for name in ("status", "carrierReady", "registrationId", "latencyMs")} == {
        name: approved.json()[name] for name in ("status", "carrierReady", "registrationId", "latencyMs")
    }
    assert (told["operatorId"], told["auditVerified"]) == ("op-e2e", True)
    types = [entry["type"] for entry in told["audit"]]
    for type_ in ("fetched", "validated", "approved", "registered", "subscribed", "published"):
        assert type_ in types
    secret = client.stack.secret("WebhookSecretArn")
    assert secret not in json.dumps(told)
    assert secret not in json.dumps(client.stack.outputs)


def test_an_invalid_template_is_refused_with_all_that_is_wrong(client):
    codes = [
        "template_too_long",
        "template_not_gsm7",
        "template_shortcode_invalid",
        "template_opt_out_missing",
    ]
    answer = approve(client, "broken")
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
    assert [error["code"] for error in answer.json()["errors"]] == codes
    checked = client.call("POST", "/templates/broken/validation", {})
    assert (checked.status_code, checked.json()["valid"]) == (200, False)
    assert [each["code"] for each in checked.json()["violations"]] == codes
    assert (checked.json()["encoding"], checked.json()["units"]) == ("UCS-2", 200)
    shown = client.call("GET", "/templates/broken/approval").json()
    assert (shown["status"], shown["carrierReady"], shown["violations"]) == ("INVALID", False, codes)


def test_a_valid_template_is_called_so(client, template):
    answer = client.call("POST", f"/templates/{template}/validation", {})
    assert answer.json() == {
        "templateId": template,
        "valid": True,
        "violations": [],
        "warnings": [],
        "encoding": "GSM-7",
        "units": len(GOOD["content"]),
    }


@pytest.mark.parametrize("template_id", ["missing", "a%20b", "%C3%A9"])
def test_a_template_that_is_not_there(client, template_id):
    for answer in (
        approve(client, template_id),
        client.call("POST", f"/templates/{template_id}/validation", {}),
        client.call("GET", f"/templates/{template_id}/approval"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "template_not_found")


@pytest.mark.parametrize(
    "changes",
    [
        {"campaignName": ""},
        {"campaignName": " "},
        {"optInLanguage": None},
        {"extra": 1},
        {"operatorId": 7},
        {"operatorId": "\t"},
    ],
)
def test_a_body_off_the_schema(client, template, changes):
    answer = approve(client, template, **changes)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request")


def test_a_failing_registration_is_told_and_resumed(client):
    client.stack.simulator("templates/resumed", GOOD)
    client.stack.simulator("faults", {"operation": "register", "action": "status", "status": 500})
    failed = approve(client, "resumed")
    assert (failed.status_code, failed.json()["code"]) == (502, "registration_failed")
    shown = client.call("GET", "/templates/resumed/approval").json()
    assert (shown["status"], shown["carrierReady"]) == ("APPROVED", False)
    assert approve(client, "resumed").json()["carrierReady"] is True
