"""Registering a template: tries that fail, tries in doubt, and what CXone's events tell of either."""

import pytest

from cxone_messaging.domain.approvals import Registration
from cxone_messaging.domain.errors import Code
from cxone_messaging.use_cases.approvals.approve import ApprovalRequest
from local.simulator import Settings
from tests.approvals import ALL_ONCE, CONTENT, ApprovalWorld, io_of_registrations_claim, is_whole, rewrite, warned
from tests.worlds import Injector, Killed, Plan

OTHERWISE = ApprovalRequest(Registration("Another", "TRANSACTIONAL", "en"))
NEWS = "News of Example. Reply STOP to opt out."


@pytest.fixture
def world():
    return ApprovalWorld()


class TestFailures:
    def test_a_failing_registration_leaves_it_approved_and_the_next_request_resumes_there(self, world):
        world.fault("register", status=500)
        error = world.refused()
        assert error.code is Code.REGISTRATION_FAILED
        approval = world.read().approval
        assert (approval.status, approval.carrier_ready, approval.subscribed) == ("APPROVED", False, False)
        assert world.types()[-2:] == ["step_claimed", "step_failed"]
        world.approve()
        assert is_whole(world)
        assert world.done() == ALL_ONCE

    @pytest.mark.parametrize("status", [400, 429, 502, 503])
    def test_other_ways_to_fail_a_registration(self, world, status):
        world.fault("register", status=status, times="forever", retry_after_seconds=40)
        error = world.refused()
        assert (error.code, error.retry_after) == (
            Code.REGISTRATION_FAILED,
            {400: None, 429: 40, 502: 5, 503: 5}[status],
        )
        world.simulator.faults.clear()
        world.approve()
        assert is_whole(world)

    @pytest.mark.parametrize("action", ["accept_then_500", "accept_then_reset", "accept_then_timeout"])
    def test_a_registration_whose_answer_was_lost_is_not_made_twice(self, world, action):
        world.fault("register", action)
        assert world.refused().code is Code.REGISTRATION_FAILED
        approved = world.approve()
        assert world.done() == ALL_ONCE
        assert approved.approval.registration_id == world.simulator.log("register")[0].details["id"]
        assert world.simulator.counts()["register"]["replayed"] == 1

    def test_a_doubtful_registration_is_repeated_to_the_letter_whatever_is_asked_now(self, world):
        world.fault("register", "accept_then_reset")
        world.refused()
        assert warned(world.approve(request=OTHERWISE)) == ["registered_otherwise"]
        assert world.done() == ALL_ONCE

    def test_a_refused_registration_can_be_asked_for_otherwise(self, world):
        world.fault("register", status=400)
        world.refused()
        assert warned(world.approve(request=OTHERWISE)) == []
        assert world.simulator.log("register")[-1].details["campaign_name"] == "Another"

    def test_a_refusal_ends_an_earlier_doubt(self, world):
        world.fault("register", status=500)
        world.refused()
        world.fault("register", status=400)
        world.refused()
        assert warned(world.approve(request=OTHERWISE)) == []
        assert world.simulator.log("register")[-1].details["campaign_name"] == "Another"

    @pytest.mark.parametrize("status", [403, 409])
    def test_a_missing_scope_or_a_conflict_does_not_end_an_earlier_doubt(self, world, status):
        """CXone may say 409 because it has the registration already."""
        world.fault("register", "accept_then_reset")
        world.refused()
        world.fault("register", status=status)
        world.refused()
        assert warned(world.approve(request=OTHERWISE)) == ["registered_otherwise"]
        assert world.done() == ALL_ONCE

    def test_a_dead_ones_registration_stays_in_doubt_whatever_became_of_the_next_try(self, world):
        injector = Injector()
        injector.begin(Plan(io_of_registrations_claim() + 1, kill=True, after=True))
        with pytest.raises(Killed):
            world.approve(injector=injector)
        world.clock.advance(60)
        world.fault("register", status=403)
        world.refused()
        assert warned(world.approve(request=OTHERWISE)) == ["registered_otherwise"]
        assert world.done() == ALL_ONCE


class TestEvents:
    def test_an_event_settles_a_doubtful_registration_even_where_cxone_knows_no_keys(self):
        world = ApprovalWorld(Settings(idempotency_keys=False))
        world.fault("register", "accept_then_reset")
        world.refused()
        world.event("a2p.registered")
        assert world.read().approval.carrier_ready
        world.approve()
        assert is_whole(world)
        assert world.done() == ALL_ONCE

    def test_an_event_of_an_earlier_registration_settles_nothing(self, world):
        world.event("a2p.registered", seconds=-3600)
        world.fault("register", status=500)
        world.refused()
        assert not world.read().approval.carrier_ready
        world.approve()
        assert world.done() == ALL_ONCE

    def test_an_event_of_another_contents_registration_settles_nothing(self, world):
        world.fault("register", status=500)
        world.refused()
        rewrite(world, NEWS)
        world.approve()
        world.event("a2p.registered", seconds=1)
        assert world.read().approval.carrier_confirmed
        rewrite(world, CONTENT)
        assert world.approve().approval.registration_id
        assert world.done()["register"] == 2, "one for each content"

    def test_an_event_that_may_be_about_other_content_settles_no_doubt(self, world):
        world.approve()
        rewrite(world, NEWS)
        world.fault("register", "reset")
        world.refused()
        world.event("a2p.registered", seconds=1)
        assert world.approve().approval.registration_id
        assert world.done()["register"] == 2, "one for each content"

    def test_an_event_that_comes_late_is_about_what_had_been_tried_when_it_happened(self, world):
        world.approve()
        rewrite(world, NEWS)
        world.approve()
        world.event("a2p.registered", seconds=-50)
        assert not world.read().approval.carrier_confirmed
        rewrite(world, CONTENT)
        assert world.approve().approval.carrier_confirmed

    def test_a_late_event_of_another_contents_registration_makes_nothing_ready(self, world):
        world.approve()
        rewrite(world, NEWS)
        world.fault("register", status=400)
        world.refused()
        world.event("a2p.registered", seconds=1)
        approval = world.read().approval
        assert (approval.status, approval.carrier_ready, approval.carrier_confirmed) == ("APPROVED", False, False)
