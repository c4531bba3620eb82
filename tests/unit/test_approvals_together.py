"""Approvals of one template at the same time, and events in the middle of them."""

import pytest

from cxone_messaging.domain.entries import first_broken
from cxone_messaging.domain.errors import Code, MessagingError
from tests.approvals import ALL_ONCE, ApprovalWorld, io_of_registrations_claim, is_whole
from tests.fakes import EPOCH
from tests.worlds import Injector, Plan

CALL_SECONDS = 20.0


@pytest.fixture
def world():
    return ApprovalWorld()


def ios(world):
    injector = Injector()
    injector.begin(None)
    world.approve(injector=injector)
    return injector._count


def outcome(world, injector=None):
    try:
        world.approve(injector=injector)
    except MessagingError as error:
        return error.code
    return "approved"


def test_a_second_request_at_any_moment_ends_in_one_of_each(world):
    """Another function does the whole of it in the middle of ours, at each of our I/Os in turn."""
    count = ios(world)
    assert count > 15
    for at in range(1, count + 1):
        world = ApprovalWorld()
        injector = Injector()
        told = []
        injector.begin(Plan(at, act=lambda world=world, told=told: told.append(outcome(world))))
        told.append(outcome(world, injector))
        for each in told:
            assert each in {"approved", Code.IN_PROGRESS, Code.REGISTRATION_FAILED}, each
        # A call of ours that the other one held up for longer than a call may take is given up.
        assert "approved" in told or world.clock.now() - EPOCH > CALL_SECONDS
        world.clock.advance(60)
        world.approve()
        assert world.done() == ALL_ONCE, f"at {at}"
        assert is_whole(world)
        assert world.simulator.counts()["register"] == {"accepted": 1}, "nobody even asked twice"


def test_who_waits_is_told_when_the_time_is_up(world):
    world.fault("register", "accept_then_500")
    seen = []

    def act():
        began = world.clock.monotonic()
        seen.append((outcome(world), world.clock.monotonic() - began))

    at = io_of_registrations_claim()
    injector = Injector()
    injector.begin(Plan(at, act=act, after=True))
    outcome(world, injector)
    ((code, waited),) = seen
    assert code is Code.IN_PROGRESS
    assert 20 < waited < 28


def test_an_event_that_overtakes_the_answer_is_not_taken_for_it_while_somebody_waits_for_that(world):
    seen = []

    def act():
        world.event("a2p.registered")
        seen.append(outcome(world))

    at = io_of_registrations_claim() + 1
    injector = Injector()
    injector.begin(Plan(at, act=act, after=True))
    assert outcome(world, injector) == "approved"
    assert seen == [Code.IN_PROGRESS]
    assert world.types().count("registered") == 1
    assert world.read().approval.registration_id


def test_events_in_any_order_do_not_break_the_chain_or_the_resuming(world):
    world.event("a2p.registered", seconds=-100)
    world.event("template.approved", seconds=-100)
    before = world.read().approval
    assert (before.status, before.carrier_ready, before.carrier_confirmed) == ("APPROVED", True, True)
    world.fault("register", status=500)
    world.refused()
    world.event("something.else")
    world.approve()
    assert is_whole(world)
    assert not world.read().approval.carrier_confirmed
    world.event("a2p.registered", seconds=1)
    assert world.read().approval.carrier_confirmed
    assert world.approve().warnings == ()
    assert world.done() == ALL_ONCE
    assert first_broken("template#welcome", world.ledger.read("template#welcome")) is None


@pytest.mark.parametrize("seconds", [29, 40, 7_200])
def test_a_function_that_is_frozen_past_its_deadline_asks_for_nothing_any_more(seconds):
    """Only the time of day shows it: another function has taken over meanwhile, and must be the only one to ask."""
    for at in range(1, ios(ApprovalWorld()) + 1):
        for after in (False, True):
            world = ApprovalWorld()
            injector = Injector()
            stopwatch = world.clock.monotonic

            asked = []

            def freeze(world=world, stopwatch=stopwatch, asked=asked):
                world.clock.advance(seconds)
                outcome(world)
                asked.append(len(world.simulator.log("register")))
                world.clock.monotonic = lambda: stopwatch() - seconds

            injector.begin(Plan(at, act=freeze, after=after))
            outcome(world, injector)
            assert asked == [len(world.simulator.log("register"))], f"asked after the thaw at {at}"
            world.clock.advance(60)
            world.approve()
            assert world.done() == ALL_ONCE, f"at {at}"
