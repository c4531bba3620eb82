"""The verdict and the body exclude each other, also at the very instant of giving up."""

import random

import pytest

from cxone_messaging import segments
from cxone_messaging.adapters.cxone.http import HeldBackError, WatchedBody
from cxone_messaging.domain.consents import ConsentStatus
from cxone_messaging.domain.errors import Code, MessagingError
from cxone_messaging.domain.messages import Status
from cxone_messaging.domain.outcomes import Accepted, NotAccepted
from cxone_messaging.domain.phone_numbers import PhoneNumber
from cxone_messaging.domain.sms import Sms, SmsRequest
from cxone_messaging.platform.deadline import Deadline
from cxone_messaging.use_cases.consents import ConsentFromEvent
from local.simulator import Settings
from tests.fakes import FakeClock
from tests.worlds import RECIPIENT, Injector, Plan, World

SMS = Sms(PhoneNumber.parse("+15551234567"), "Hi", "campaign", "12345", segments.count("Hi"))


class TickingClock(FakeClock):
    """Time passes whenever somebody looks at it: so a deadline may pass between any two looks."""

    tick = 0.0

    def now(self):
        self.advance(self.tick)
        return super().now()

    def monotonic(self):
        self.advance(self.tick)
        return super().monotonic()


def test_at_no_instant_of_ten_thousand_does_a_message_go_out_that_was_called_not_taken():
    rng = random.Random(20261126)
    clock = TickingClock()
    world = World(Settings(delivery_steps=[], token_lifetime_seconds=1e9), clock=clock)
    simulator, sender = world.simulator, world._gateway(Injector())
    sender.prepare(20)
    outcomes = set()
    for _ in range(10_000):
        before = len(simulator.accepted_messages())
        clock.tick = rng.uniform(0, 2)
        outcome = sender.send(SMS, "https://us.test", 4.0)
        clock.tick = 0
        taken = len(simulator.accepted_messages()) - before
        outcomes.add(type(outcome))
        assert taken == {Accepted: 1, NotAccepted: 0}.get(type(outcome), taken), outcome
    assert outcomes >= {Accepted, NotAccepted}


def test_a_body_that_was_given_up_stays_given_up():
    clock = FakeClock()
    for seconds in (0.0, 0.5, 1.0, 1.5):
        body = WatchedBody({"text": "Hi"})
        body.deadline = Deadline.after(clock, 1)
        clock.advance(seconds)
        if seconds < 1:
            assert body.read(4)
        for _ in range(3):
            clock.advance(1)
            with pytest.raises(HeldBackError):
                body.read()
        assert body.written is (seconds < 1)


class TestThaw:
    """A sender is frozen for a while before one of its I/Os, each in turn, as Lambda freezes an environment."""

    def send(self, world, injector):
        request = SmsRequest(RECIPIENT.e164, "Hi")
        try:
            return world.sender(injector).send(request, "k", world.within(28))
        except MessagingError as error:
            return error

    def ios(self):
        world, injector = World(), Injector()
        world.opt(ConsentStatus.OPTED_IN)
        injector.begin(None)
        self.send(world, injector)
        return injector._count

    def frozen_at_each_io(self, act):
        """Freeze a new sender before and after each of its I/Os while `act(world)` happens; give each world."""
        for number in range(1, self.ios() + 1):
            for after in (False, True):
                world = World(Settings(delivery_steps=[]))
                world.opt(ConsentStatus.OPTED_IN)
                injector = Injector()
                injector.begin(Plan(number, act=lambda world=world: act(world), after=after))
                yield world, self.send(world, injector)

    @pytest.mark.parametrize("seconds", [29, 60, 7_200])
    def test_after_its_deadline_it_posts_nothing(self, seconds):
        posted = 0
        for world, _ in self.frozen_at_each_io(lambda world: world.clock.advance(seconds)):
            message = world.read(world.pseudonyms.message_id("k")).message if world.ledger.subjects()[1:] else None
            for entry in world.simulator.log("send"):
                assert entry.time <= world.deadline_of("k"), "no post after the deadline in its entry"
                posted += 1
            assert message is None or message.status is not Status.SENDING
        assert posted, "what was posted before the freeze counts"

    @pytest.mark.parametrize("seconds", [3, 10, 20])
    def test_after_a_stop_it_posts_nothing(self, seconds):
        def stop(world):
            heard = ConsentFromEvent(ConsentStatus.OPTED_OUT, "message.inbound", "e", "2026-11-18T00:00:00.000Z")
            world._manage.record_event(RECIPIENT, heard)
            world.clock.advance(seconds)

        refused = 0
        for world, answered in self.frozen_at_each_io(stop):
            subject = "consent#" + world.pseudonyms.recipient_hash(RECIPIENT)
            stopped_at = world.written_at(subject, -1)
            assert all(entry.time <= stopped_at for entry in world.simulator.log("send"))
            refused += isinstance(answered, MessagingError) and answered.code is Code.VALIDATION_FAILED
        assert refused
