"""Approving a template: each way that it can go, against the simulator."""

import json

import pytest

from cxone_messaging.domain import subjects
from cxone_messaging.domain.approvals import Registration
from cxone_messaging.domain.errors import Code, MessagingError
from cxone_messaging.platform.deadline import Deadline
from cxone_messaging.platform.telemetry import Metric
from cxone_messaging.use_cases.approvals.approve import ApprovalRequest
from local.simulator import Edit, Settings
from tests.approvals import (
    ALL_ONCE,
    CONTENT,
    EVENTS_URL,
    LAMBDA_SECONDS,
    OPERATOR,
    REQUEST,
    WEBHOOK_SECRET,
    ApprovalWorld,
    is_whole,
    warned,
)

CLEAN = ["fetched", "validated", "approved", "step_claimed", "registered", "subscribed", "step_claimed", "published"]


@pytest.fixture
def world():
    return ApprovalWorld()


class TestClean:
    def test_all_is_done_once_and_told(self, world):
        approved = world.approve()
        assert approved.warnings == ()
        assert is_whole(world)
        assert world.done() == ALL_ONCE
        assert world.simulator.template("welcome").status == "APPROVED"
        registration = world.simulator.log("register")[0].details
        assert approved.approval.registration_id == registration["id"]
        assert {name: registration[name] for name in ("campaign_name", "message_class", "opt_in_language")} == {
            "campaign_name": "Welcome",
            "message_class": "TRANSACTIONAL",
            "opt_in_language": "en",
        }
        assert world.simulator.log("subscribe")[0].details["url"] == EVENTS_URL

    def test_each_step_is_an_entry_with_operator_latency_and_answer(self, world):
        world.simulator.settings = world.simulator.settings.changed({"latency_median_seconds": 0.25})
        world.approve()
        assert world.types() == CLEAN
        read = world.read()
        assert read.verified
        by_type = {entry.type: entry.data for entry in read.entries}
        assert {data["operator"] for data in by_type.values()} == {OPERATOR}
        for type_ in ("fetched", "approved", "registered", "published"):
            assert by_type[type_]["latencyMs"] >= 250
            assert by_type[type_]["httpStatus"] in {200, 201}
        assert json.loads(by_type["approved"]["answer"])["status"] == "APPROVED"
        assert json.loads(by_type["registered"]["answer"])["status"] == "REGISTERED"
        assert "id" in json.loads(by_type["published"]["answer"])

    def test_the_audit_record_and_the_metrics_have_the_latency_from_validation_to_registration(self, world):
        world.simulator.settings = world.simulator.settings.changed({"latency_median_seconds": 0.25})
        approval = world.approve(request=ApprovalRequest(Registration("Welcome", "T", "en"), "op-7")).approval
        assert approval.latency_ms == 500, "the PUT and the registration, not the GET"
        (record,) = world.simulator.log("audit")
        assert (record.details["latency_ms"], record.details["operator_id"], record.details["carrier_ready"]) == (
            500,
            "op-7",
            True,
        )
        assert (record.details["template_id"], record.details["status"]) == ("welcome", "APPROVED")
        assert world.telemetry[Metric.APPROVAL_LATENCY] == [500]
        assert world.telemetry[Metric.TEMPLATES_APPROVED] == [1]

    def test_a_repeated_request_does_and_enters_nothing_more(self, world):
        first = world.approve()
        entries = len(world.ledger)
        assert world.approve() == first
        assert (world.done(), len(world.ledger)) == (ALL_ONCE, entries)
        assert world.telemetry[Metric.TEMPLATES_APPROVED] == [1]

    @pytest.mark.parametrize("settings", [{"template_put_status": 204}, {"etags": False}, {"registration_status": 200}])
    def test_what_cxone_may_answer_too(self, settings):
        world = ApprovalWorld(Settings(**settings))
        assert world.approve().approval.registration_id
        assert is_whole(world)

    def test_if_match_goes_with_the_etag(self, world):
        sent = []
        take = world.simulator.handle
        world.simulator.handle = lambda request: (sent.append(request), take(request))[1]
        world.approve()
        (put,) = (request for request in sent if request.method == "PUT")
        assert put.header("If-Match") == '"v1"'
        assert json.loads(put.body)["meta"]["created_at"], "the whole template goes back"

    def test_an_approved_template_goes_on_to_its_registration(self, world):
        assert world.approve("approved").approval.carrier_ready
        assert is_whole(world, "approved")
        assert world.done() == {**ALL_ONCE, "template_put": 0}

    def test_warnings_of_the_template_do_not_block(self, world):
        world.simulator.edit_template("welcome", Edit(from_address="12345", content="Hi. Reply STOP to opt out."))
        assert warned(world.approve()) == ["template_shortcode_unassigned", "template_brand_missing"]

    def test_a_default_operator_or_none(self, world):
        give_up = Deadline.after(world.clock, 28.0)
        with pytest.raises(MessagingError) as caught:
            world.approver(operator="")("welcome", ApprovalRequest(Registration("a", "b", "c")), give_up)
        assert (caught.value.code, caught.value.errors[0].field) == (Code.MALFORMED_REQUEST, "operatorId")
        assert world.simulator.counts() == {}


class TestInvalid:
    def test_all_violations_are_told_and_nothing_is_done(self, world):
        error = world.refused("broken")
        assert error.code is Code.VALIDATION_FAILED
        assert [each.code for each in error.errors] == [
            Code.TEMPLATE_TOO_LONG,
            Code.TEMPLATE_NOT_GSM7,
            Code.TEMPLATE_SHORTCODE_INVALID,
            Code.TEMPLATE_OPT_OUT_MISSING,
        ]
        assert world.done() == dict.fromkeys(ALL_ONCE, 0)
        assert world.types("broken") == ["fetched", "validated"]
        approval = world.read("broken").approval
        assert (approval.status, approval.carrier_ready, len(approval.violations)) == ("INVALID", False, 4)

    def test_a_template_approved_in_breach_of_a_rule_is_not_registered(self, world):
        world.simulator.edit_template("approved", Edit(content="No way out of Example."))
        assert [each.code for each in world.refused("approved").errors] == [Code.TEMPLATE_OPT_OUT_MISSING]
        assert world.done()["register"] == 0

    def test_once_mended_it_is_approved(self, world):
        world.refused("broken")
        world.simulator.edit_template("broken", Edit(content=CONTENT, from_address="24680"))
        world.approve("broken")
        assert is_whole(world, "broken")

    def test_validation_alone_changes_and_enters_nothing(self, world):
        assert [each.code for each in world.validate("broken").violations] == [
            each.code for each in world.refused("broken").errors
        ]
        before = len(world.ledger)
        assert world.validate().violations == ()
        assert len(world.ledger) == before
        assert world.done()["template_put"] == 0


class TestUnknown:
    @pytest.mark.parametrize("template_id", ["missing", "", ".", "..", "a/b", "../approved", "a b", "é", "x" * 129])
    def test_a_template_that_is_not_there(self, world, template_id):
        assert world.refused(template_id).code is Code.TEMPLATE_NOT_FOUND
        with pytest.raises(MessagingError, match="template_not_found"):
            world.validate(template_id)
        with pytest.raises(MessagingError, match="template_not_found"):
            world.read(template_id)
        assert len(world.ledger) == 0
        assert {entry.details.get("path") for entry in world.simulator.log("unknown")} == set()


class TestTokens:
    @pytest.mark.parametrize("operation", ["template_get", "template_put", "register", "subscribe", "audit"])
    def test_a_401_once_is_a_new_token_and_no_more(self, world, operation):
        world.fault(operation, status=401)
        assert world.approve().warnings == ()
        assert world.done() == ALL_ONCE
        assert world.simulator.counts()["token_admin"]["accepted"] == 2

    def test_a_401_for_good(self, world):
        world.fault("template_get", status=401, times="forever")
        assert world.refused().code is Code.CXONE_AUTH_FAILED
        assert len(world.simulator.log("template_get")) == 2

    def test_wrong_credentials_are_told_as_such(self, world):
        world.fault("token_admin", status=401)
        assert world.refused().code is Code.CXONE_AUTH_FAILED

    @pytest.mark.parametrize(
        ("scope", "code"),
        [
            ("messaging:read", Code.CXONE_REJECTED),
            ("messaging:write", Code.CXONE_REJECTED),
            ("a2p:write", Code.REGISTRATION_FAILED),
        ],
    )
    def test_a_missing_scope_is_named_and_once_granted_it_goes_on(self, world, scope, code):
        granted = world.simulator.settings.admin_scopes
        less = [each for each in granted if each != scope]
        world.simulator.settings = world.simulator.settings.changed({"admin_scopes": less})
        process = world.approver()
        with pytest.raises(MessagingError) as caught:
            process("welcome", REQUEST, Deadline.after(world.clock, LAMBDA_SECONDS))
        assert (caught.value.code, scope in caught.value.detail) == (code, True)
        world.simulator.settings = world.simulator.settings.changed({"admin_scopes": granted})
        process("welcome", REQUEST, Deadline.after(world.clock, LAMBDA_SECONDS))
        assert is_whole(world)
        assert world.done() == ALL_ONCE

    def test_a_missing_scope_for_webhooks_is_a_warning_that_names_it(self, world):
        world.simulator.settings = world.simulator.settings.changed(
            {"admin_scopes": ["messaging:read", "messaging:write", "a2p:write"]}
        )
        approved = world.approve()
        assert warned(approved) == ["subscription_failed"]
        assert "webhooks:write" in approved.warnings[0].message
        assert (approved.approval.carrier_ready, approved.approval.subscribed) == (True, False)

    def test_one_token_with_all_scopes_serves_all_calls(self, world):
        world.approve()
        assert world.simulator.counts()["token_admin"] == {"accepted": 1}


class TestConflicts:
    def test_changed_meanwhile_the_new_content_is_validated_and_approved(self, world):
        world.fault("template_get", "edit_template", content="News of Example. Text STOP to unsubscribe.")
        world.approve()
        assert is_whole(world)
        assert world.simulator.template("welcome").content.startswith("News")
        assert world.done() == ALL_ONCE
        assert world.types()[:5] == ["fetched", "validated", "fetched", "validated", "approved"]
        assert [entry.status for entry in world.simulator.log("template_put")] == [412, 200]

    @pytest.mark.parametrize("etags", [True, False])
    def test_edited_meanwhile_into_one_that_violates_it_is_not_approved(self, etags):
        world = ApprovalWorld(Settings(etags=etags))
        world.fault("template_get", "edit_template", content="No way out of Example.")
        error = world.refused()
        assert [each.code for each in error.errors] == [Code.TEMPLATE_OPT_OUT_MISSING]
        assert world.simulator.template("welcome").status == "DRAFT"
        assert world.done() == dict.fromkeys(ALL_ONCE, 0)
        assert world.read().approval.status == "INVALID"
        assert [entry.status for entry in world.simulator.log("template_put")] == [412 if etags else 409]

    def test_changed_for_ever_it_ends(self, world):
        world.fault("template_get", "edit_template", times="forever")
        assert world.refused().code is Code.TEMPLATE_CONFLICT
        assert len(world.simulator.log("template_put")) == 4
        assert world.types()[-1] == "step_failed"

    def test_approved_meanwhile_by_somebody_else_it_goes_on(self, world):
        world.fault("template_get", "edit_template", template_status="APPROVED")
        world.approve()
        assert is_whole(world)
        assert world.done() == {**ALL_ONCE, "template_put": 0}

    def test_approved_by_somebody_else_at_the_very_last_it_goes_on(self, world):
        world.fault("template_put", status=409, times=4)
        world.fault("template_get", "edit_template", template_status="APPROVED", after=6)
        world.approve()
        assert is_whole(world)
        assert len(world.simulator.log("template_put")) == 4

    def test_locked_it_backs_off_and_is_told(self, world):
        world.simulator.edit_template("welcome", Edit(locked=True))
        began = world.clock.monotonic()
        assert world.refused().code is Code.TEMPLATE_CONFLICT
        assert 2 < world.clock.monotonic() - began < 28
        assert len(world.simulator.log("template_put")) == 4
        world.simulator.edit_template("welcome", Edit(locked=False))
        world.approve()
        assert is_whole(world)

    @pytest.mark.parametrize("status", [409, 412])
    def test_a_lock_that_is_gone_soon(self, world, status):
        world.fault("template_put", status=status)
        world.approve()
        assert world.done() == ALL_ONCE


class TestThrottled:
    def test_retry_after_is_waited_for(self, world):
        world.fault("template_put", status=429, retry_after_seconds=7)
        began = world.clock.monotonic()
        world.approve()
        assert world.clock.monotonic() - began == pytest.approx(7, abs=0.1)
        assert world.done() == ALL_ONCE

    def test_without_it_one_to_five_seconds_and_then_twice_that(self, world):
        world.fault("template_get", status=429, times=2)
        world.approve()
        first, second, third = (entry.time for entry in world.simulator.log("template_get"))
        assert 1 <= second - first <= 5
        assert third - second == pytest.approx(2 * (second - first), abs=0.01)

    @pytest.mark.parametrize("form", ["seconds", "date"])
    def test_a_retry_after_of_no_time_at_all_is_waited_for_as_none(self, world, form):
        world.fault("template_get", status=429, retry_after_seconds=0, retry_after=form, times=2)
        began = world.clock.monotonic()
        world.approve()
        assert 3 <= world.clock.monotonic() - began <= 15

    def test_longer_than_the_request_may_take_is_told_at_once(self, world):
        world.fault("template_get", status=429, retry_after_seconds=60, retry_after="date")
        began = world.clock.monotonic()
        error = world.refused()
        assert (error.code, world.clock.monotonic() - began) == (Code.RATE_LIMITED, 0)
        assert error.retry_after in {59, 60}

    def test_throttled_for_ever_it_ends_within_the_functions_time(self, world):
        world.fault("template_put", status=429, times="forever")
        began = world.clock.monotonic()
        assert world.refused().code is Code.RATE_LIMITED
        assert world.clock.monotonic() - began < 28


class TestFailures:
    def test_a_500_on_the_get(self, world):
        world.fault("template_get", status=500)
        assert world.refused().code is Code.CXONE_UNAVAILABLE
        world.approve()
        assert is_whole(world)

    def test_a_500_on_the_put_that_was_not_taken(self, world):
        world.fault("template_put", status=500)
        assert world.refused().code is Code.CXONE_UNAVAILABLE
        assert world.types() == ["fetched", "validated", "step_failed"]
        world.approve()
        assert is_whole(world)
        assert world.done() == ALL_ONCE

    @pytest.mark.parametrize(
        ("put", "code", "told"),
        [
            ({"action": "accept_then_500"}, Code.CXONE_UNAVAILABLE, {"httpStatus": 500, "inDoubt": True}),
            ({"status": 409}, Code.TEMPLATE_CONFLICT, {"httpStatus": 409, "inDoubt": False}),
        ],
    )
    def test_a_put_is_told_of_even_where_nobody_can_look_what_became_of_it(self, world, put, code, told):
        world.fault("template_put", **put)
        world.fault("template_get", status=503, after=1)
        assert world.refused().code is code
        last = world.read().entries[-1]
        assert (last.type, last.data["step"], last.data | told) == ("step_failed", "approve", last.data)
        world.approve()
        assert is_whole(world)
        assert world.done() == ALL_ONCE

    @pytest.mark.parametrize("action", ["accept_then_500", "accept_then_reset", "accept_then_timeout", "garbage_body"])
    def test_a_put_that_was_taken_though_its_answer_was_lost(self, world, action):
        world.simulator.settings = world.simulator.settings.changed({"hold_seconds": 60})
        world.fault("template_put", action)
        try:
            world.approve()
        except MessagingError as error:
            assert action == "accept_then_timeout", error  # it took all the time there was  # noqa: PT017
        world.clock.advance(60)
        world.approve()
        assert is_whole(world)
        assert world.done() == ALL_ONCE

    @pytest.mark.parametrize(("operation", "code"), [("subscribe", "subscription_failed"), ("audit", "audit_failed")])
    @pytest.mark.parametrize("action", ["status", "accept_then_500"])
    def test_a_failing_webhook_or_audit_call_is_a_warning_and_tried_again(self, world, operation, code, action):
        world.fault(operation, action, status=500)
        approved = world.approve()
        assert warned(approved) == [code]
        assert (approved.approval.subscribed, approved.approval.published) == (
            operation != "subscribe",
            operation != "audit",
        )
        assert world.approve().warnings == ()
        assert is_whole(world)
        assert world.done() == ALL_ONCE

    @pytest.mark.parametrize("action", ["status", "accept_then_500"])
    def test_the_audit_record_says_the_same_whenever_and_by_whomever_it_is_sent(self, world, action):
        world.fault("audit", action, status=500)
        world.approve()
        registered = next(entry for entry in world.read().entries if entry.type == "registered")
        world.clock.advance(3600)
        assert world.approve(request=ApprovalRequest(REQUEST.registration, "op-7")).warnings == ()
        record = world.simulator.log("audit")[-1].details
        assert (record["operator_id"], record["timestamp"]) == (OPERATOR, registered.timestamp)


class TestSubscription:
    def test_there_is_one_for_all_templates(self, world):
        one, other = world.approve(), world.approve("approved")
        assert one.approval.subscribed
        assert other.approval.subscribed
        assert world.done()["subscribe"] == 1
        assert [entry.type for entry in world.ledger.read(subjects.subscription(EVENTS_URL))] == [
            "step_claimed",
            "subscribed",
        ]

    def test_a_rotated_secret_is_subscribed_anew_once(self, world):
        world.approve()
        rotated = {"current": "cd" * 32, "previous": WEBHOOK_SECRET}
        world.secrets.secrets["webhook"] = json.dumps(rotated)
        for _ in range(2):
            assert warned(world.approve("approved")) == ["template_brand_missing"]
        assert world.done()["subscribe"] == 2
        world.simulator.edit_template("late", Edit(content=CONTENT, from_address="24680"))
        world.approve("late")
        assert world.done()["subscribe"] == 2
        told = [event for event in events(world) if json.loads(event.body)["template_id"] == "late"]
        assert {event.secret for event in told} == {WEBHOOK_SECRET, "cd" * 32}

    @pytest.mark.parametrize("text", ["", "[]", '{"current": ""}'])
    def test_a_secret_that_can_not_be_read_is_a_warning_and_tried_again(self, world, text):
        good = world.secrets.secrets["webhook"]
        world.secrets.secrets["webhook"] = text
        approved = world.approve()
        assert warned(approved) == ["subscription_failed"]
        assert "webhook secret" in approved.warnings[0].message
        assert (approved.approval.subscribed, approved.approval.published) == (False, True)
        world.secrets.secrets["webhook"] = good
        assert world.approve().warnings == ()
        assert is_whole(world)

    def test_no_secret_stands_in_the_ledger(self, world):
        world.approve()
        told = json.dumps([entry.attributes() for s in world.ledger.subjects() for entry in world.ledger.read(s)])
        token = json.loads(world.secrets.secrets["token"])["accessToken"]
        assert WEBHOOK_SECRET not in told
        assert token not in told
        assert CLIENT_SECRET not in told


CLIENT_SECRET = "secret&="


def events(world):
    world.clock.advance(60)
    return world.simulator.due_events()
