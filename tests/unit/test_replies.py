"""Replies: who subscribes to them, when, and what is reported where CXone does not post them."""

import contextlib
import json

import pytest

from cxone_messaging.domain import subjects
from cxone_messaging.domain.entries import EntryType
from cxone_messaging.domain.phone_numbers import PhoneNumber
from cxone_messaging.domain.subscriptions import Replies
from cxone_messaging.domain.times import format_time
from cxone_messaging.platform.clock import instant
from cxone_messaging.platform.telemetry import Metric
from local.simulator.subscriptions import Inbound
from local.simulator.wire import RefusedError
from tests.approvals import EVENTS_URL, WEBHOOK_SECRET, ApprovalWorld, warned
from tests.webhooks import CURRENT, Webhook
from tests.worlds import Injector, Killed, Plan

TEMPLATES = ["template.approved", "a2p.registered"]
ALL = [*TEMPLATES, "message.inbound"]
STOP = Inbound.model_validate({"from": "+12025550142", "to": "24680", "text": "STOP"})
HOUR, DAY = 3600.0, 86_400.0


@pytest.fixture
def world():
    return ApprovalWorld()


def asked(world):
    """Give the events of each subscription that CXone took, and the status of each that it refused."""
    return [each.details.get("events") or each.status for each in world.simulator.log("subscribe")]


def knows_only_templates(world):
    world.simulator.settings = world.simulator.settings.changed({"known_events": TEMPLATES})


def knows_all(world):
    world.simulator.settings = world.simulator.settings.changed({"known_events": None})


def reported(world):
    return world.telemetry[Metric.REPLIES_NOT_SUBSCRIBED]


def entries(world):
    return [each.type for each in world.ledger.read(subjects.subscription(EVENTS_URL))]


def consent(webhook):
    """Give the sender's consent, None if there is none."""
    known = webhook.consents.find(webhook.pseudonyms.recipient_hash(PhoneNumber.parse(STOP.sender)))
    return known.status if known else None


class TestKept:
    def test_nobody_gets_a_reply_before_and_the_url_gets_them_after(self, world):
        with pytest.raises(RefusedError):
            world.simulator.receive_inbound(STOP)
        kept = world.keep()
        assert (kept.replies, kept.arrive, kept.reason) == (Replies.SUBSCRIBED, True, None)
        assert asked(world) == [ALL]
        assert world.simulator.receive_inbound(STOP) == [EVENTS_URL]
        assert reported(world) == [0]

    def test_a_run_with_nothing_to_do_calls_cxone_for_nothing_and_writes_nothing(self, world):
        first = world.keep()
        log, before = len(world.simulator.log()), entries(world)
        for _ in range(50):
            world.clock.advance(HOUR)
            assert world.keep() == first
        assert world.keep(at_once=True) == first
        assert (len(world.simulator.log()), entries(world)) == (log, before)

    def test_an_approval_and_the_schedule_make_one_subscription(self, world):
        world.approve()
        world.keep()
        world.approve("approved")
        assert asked(world) == [ALL]

    def test_a_subscription_of_before_to_templates_only_is_mended(self, world):
        """As versions before this one left it: the same step, under the bare fingerprint of the secret."""
        world.keep(reply_event="")
        assert asked(world) == [TEMPLATES]
        assert world.keep().replies is Replies.SUBSCRIBED
        world.keep()
        assert asked(world) == [TEMPLATES, ALL]

    def test_another_name_of_the_event_is_subscribed_to(self, world):
        world.keep()
        for _ in range(2):
            assert world.keep(reply_event="sms.received").replies is Replies.SUBSCRIBED
        assert asked(world) == [ALL, [*TEMPLATES, "sms.received"]]

    def test_another_address_is_subscribed(self, world):
        world.keep()
        for _ in range(2):
            world.keep(url="http://other.test/webhooks/cxone/events")
        assert world.simulator.receive_inbound(STOP) == [EVENTS_URL, "http://other.test/webhooks/cxone/events"]
        assert asked(world) == [ALL, ALL]

    def test_a_rotated_secret_is_subscribed_anew_once(self, world):
        world.keep()
        world.secrets.secrets["webhook"] = json.dumps({"current": "cd" * 32, "previous": WEBHOOK_SECRET})
        for _ in range(2):
            assert world.keep().replies is Replies.SUBSCRIBED
        assert asked(world) == [ALL, ALL]

    def test_replies_still_arrive_under_the_previous_secret_where_the_new_one_is_not_taken(self, world):
        world.keep()
        world.secrets.secrets["webhook"] = json.dumps({"current": "cd" * 32, "previous": WEBHOOK_SECRET})
        world.fault("subscribe", status=503)
        kept = world.keep()
        assert (kept.replies, kept.arrive) == (Replies.FAILED, True)
        assert reported(world) == [0, 0]

    def test_without_a_name_nobody_subscribes_and_no_alarm_rings(self, world):
        kept = world.keep(reply_event="")
        assert (kept.replies, kept.arrive) == (Replies.BY_HAND, True)
        assert asked(world) == [TEMPLATES]
        assert reported(world) == [0]


class TestRefusedName:
    def test_the_other_events_are_subscribed_and_it_is_reported(self, world):
        knows_only_templates(world)
        kept = world.keep()
        assert (kept.replies, kept.arrive, kept.http_status) == (Replies.REFUSED, False, 422)
        assert asked(world) == [422, TEMPLATES]
        assert reported(world) == [1]

    def test_it_is_reported_at_each_run_and_tried_again_once_a_day(self, world):
        knows_only_templates(world)
        for _ in range(49):
            assert world.keep().replies is Replies.REFUSED
            world.clock.advance(HOUR)
        assert asked(world) == [422, TEMPLATES, 422, 422]
        assert reported(world) == [1] * 49

    def test_a_person_need_not_wait_for_the_next_day(self, world):
        knows_only_templates(world)
        world.keep()
        knows_all(world)
        world.clock.advance(HOUR)
        assert world.keep().replies is Replies.REFUSED
        assert world.keep(at_once=True).replies is Replies.SUBSCRIBED
        assert reported(world) == [1, 1, 0]

    def test_an_approval_is_as_good_as_before(self, world):
        knows_only_templates(world)
        approved = world.approve()
        assert (approved.approval.subscribed, warned(approved)) == (True, [])
        world.approve("approved")
        assert asked(world) == [422, TEMPLATES]

    @pytest.mark.parametrize("status", [400, 403, 404, 409, 422])
    def test_any_refusal_of_the_request_with_the_name_counts_where_the_others_are_taken(self, world, status):
        world.fault("subscribe", status=status)
        assert world.keep().replies is Replies.REFUSED
        assert asked(world) == [status, TEMPLATES]

    @pytest.mark.parametrize("status", [400, 403, 422])
    def test_a_refusal_of_both_requests_is_no_refusal_of_the_name(self, world, status):
        world.fault("subscribe", status=status, times=2)
        kept = world.keep()
        assert (kept.replies, kept.arrive, kept.http_status) == (Replies.FAILED, False, status)
        assert asked(world) == [status, status]
        assert reported(world) == [1]


class TestOtherFailures:
    @pytest.mark.parametrize(
        ("action", "options"),
        [
            ("status", {"status": 500}),
            ("status", {"status": 503}),
            ("status", {"status": 408}),
            ("status", {"status": 401, "times": 2}),
            ("reset", {}),
            ("refuse", {}),
            ("connect_timeout", {}),
        ],
    )
    def test_they_are_no_refusal_and_the_next_run_mends_them(self, world, action, options):
        world.fault("subscribe", action, **options)
        kept = world.keep()
        assert (kept.replies, kept.arrive) == (Replies.FAILED, False)
        assert kept.reason
        assert reported(world) == [1]
        world.clock.advance(HOUR)
        assert world.keep().replies is Replies.SUBSCRIBED
        assert reported(world) == [1, 0]
        assert asked(world)[-1] == ALL

    @pytest.mark.parametrize("text", ["", "{}", '{"current": "short"}'])
    def test_a_secret_that_cannot_be_read_is_reported(self, world, text):
        world.secrets.secrets["webhook"] = text
        kept = world.keep()
        assert (kept.replies, kept.arrive) == (Replies.FAILED, False)
        assert reported(world) == [1]

    def test_an_old_refusal_does_not_outlive_the_failure_after_it(self, world):
        knows_only_templates(world)
        world.keep()
        world.fault("subscribe", status=503)
        assert world.keep(at_once=True).replies is Replies.FAILED
        knows_all(world)
        assert world.keep().replies is Replies.SUBSCRIBED

    def test_the_others_are_tried_again_though_the_name_was_refused(self, world):
        knows_only_templates(world)
        world.fault("subscribe", status=503, after=1)
        assert world.keep().replies is Replies.FAILED
        world.clock.advance(HOUR)
        assert world.keep().replies is Replies.REFUSED
        assert asked(world)[-1] == TEMPLATES

    def test_they_leave_a_bounded_number_of_entries(self, world):
        world.fault("subscribe", status=503, times="forever")
        for _ in range(24 * 30):
            world.keep()
            world.clock.advance(HOUR)
        assert len(entries(world)) <= 2 * (24 + 30)
        world.simulator.faults.clear()
        assert world.keep(at_once=True).replies is Replies.SUBSCRIBED


@pytest.mark.parametrize("number", range(1, 25))
@pytest.mark.parametrize("after", [False, True])
def test_a_run_that_dies_anywhere_is_made_up_for_by_the_next(number, after):
    world, injector = ApprovalWorld(), Injector()

    injector.begin(Plan(number, kill=True, after=after))
    with contextlib.suppress(Killed):
        world.keep(injector=injector)
    world.clock.advance(HOUR)
    assert world.keep().replies is Replies.SUBSCRIBED
    assert world.done()["subscribe"] == 1
    assert entries(world).count(EntryType.SUBSCRIBED) == 1


class TestNames:
    """An event of a reply is read under each name that it may have."""

    @pytest.fixture
    def webhook(self, monkeypatch):
        return Webhook(monkeypatch, reply_event="SMS.Received")

    @pytest.mark.parametrize("name", ["message.inbound", "sms.received", "SMS.RECEIVED", "sms.inbound", "reply", ""])
    def test_a_stop_is_in_force(self, webhook, name):
        told = {"event": name, "from": "+12025550142", "to": "24680", "text": "Stop"}
        assert webhook.event(told) == (200, {"status": "accepted"})
        assert consent(webhook) == "opted_out"

    @pytest.mark.parametrize(("name", "status"), [("sms.received", "opted_in"), ("news", "opted_out")])
    def test_an_opt_in_counts_only_under_a_known_name(self, webhook, name, status):
        for event, text in (("message.inbound", "STOP"), (name, "START")):
            webhook.clock.advance(1)
            at = format_time(instant(webhook.clock.now()))
            webhook.event({"event": event, "from": "+12025550142", "to": "24680", "text": text, "timestamp": at})
        assert consent(webhook) == status

    def test_an_event_of_a_template_is_none(self, webhook):
        told = {"event": "template.approved", "template_id": "t", "from": "+12025550142", "text": "STOP"}
        webhook.event(told)
        assert consent(webhook) is None


def test_sends_alone_get_a_stop_by_the_subscription_and_it_is_in_force(monkeypatch):
    world = ApprovalWorld()
    webhook = Webhook(monkeypatch, clock=world.clock)
    world.secrets.secrets["webhook"] = json.dumps({"current": CURRENT, "previous": ""})
    world.keep()
    world.simulator.receive_inbound(STOP)
    (event,) = world.simulator.due_events()
    posted = webhook.post("/webhooks/cxone/events", event.body, headers=event.headers(world.simulator.now))
    assert posted == (200, {"status": "accepted"})
    assert consent(webhook) == "opted_out"
