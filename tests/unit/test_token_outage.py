"""A thousand sends while CXone gives no tokens, or refuses those that it gives: few fetches and quick answers."""

import json
import random
from collections import Counter

import pytest

from cxone_messaging.domain.consents import ConsentStatus
from cxone_messaging.domain.errors import Code, MessagingError
from cxone_messaging.domain.sms import SmsRequest
from local.simulator import Fault
from local.simulator.wire import Response
from tests.worlds import RECIPIENT, World

MINUTES = 5 * 60
SENDS = 1000


@pytest.fixture
def world():
    world = World()
    world.opt(ConsentStatus.OPTED_IN)
    return world


def send(world, sender, key):
    """Send one message, and return the error's code, or None."""
    began = world.clock.now()
    try:
        sender.send(SmsRequest(RECIPIENT.e164, "hi"), key, world.within(28))
    except MessagingError as error:
        return error.code
    finally:
        assert world.clock.now() - began <= 11, "nobody waits for what nobody fetches"
    return None


@pytest.mark.parametrize("fresh", [True, False], ids=["fresh processes", "one process"])
@pytest.mark.parametrize(
    ("fault", "code", "most"),
    [
        ({"action": "status", "status": 429}, Code.CXONE_UNAVAILABLE, 12),
        ({"action": "status", "status": 429, "retry_after_seconds": 0}, Code.CXONE_UNAVAILABLE, 12),
        ({"action": "status", "status": 429, "retry_after_seconds": 60}, Code.CXONE_UNAVAILABLE, 6),
        ({"action": "status", "status": 503}, Code.CXONE_UNAVAILABLE, 12),
        ({"action": "status", "status": 404}, Code.CXONE_UNAVAILABLE, 12),
        ({"action": "refuse"}, Code.CXONE_UNAVAILABLE, 12),
        ({"action": "accept_then_timeout"}, Code.CXONE_UNAVAILABLE, 12),
        ({"action": "garbage_body"}, Code.CXONE_UNAVAILABLE, 12),
        ({"action": "status", "status": 400}, Code.CXONE_AUTH_FAILED, 6),
        ({"action": "status", "status": 401}, Code.CXONE_AUTH_FAILED, 6),
        ({"action": "status", "status": 403}, Code.CXONE_AUTH_FAILED, 6),
    ],
    ids=str,
)
def test_five_minutes_without_tokens(world, fault, code, most, fresh):
    world.simulator.add_fault(Fault(operation="token_sms", times="forever", **fault))
    until, one = world.clock.now() + MINUTES, world.sender()
    codes = set()
    for number in range(SENDS):
        codes.add(send(world, world.sender() if fresh else one, f"k{number}"))
        world.clock.advance(max(0.0, until - world.clock.now()) / (SENDS - number))
    assert codes == {code}
    assert 1 <= len(world.simulator.log("token_sms", 0)) <= most
    assert world.simulator.log("send") == []
    world.simulator.faults.clear()
    world.clock.advance(60)
    assert send(world, world.sender(), "k0") is None


def test_tokens_that_cxone_issues_and_refuses(world):
    world.simulator.add_fault(Fault(operation="send", action="status", status=401, times="forever"))
    for number in range(SENDS):
        send(world, world.sender(), f"k{number}")
        world.clock.advance(MINUTES / SENDS)
    assert len(world.simulator.log("token_sms", 0)) <= 12
    world.simulator.faults.clear()
    assert send(world, world.sender(), "new") is None, "the token at hand is tried, whatever is held back"


class TestSomeNodesRefuseTokens:
    """CXone's nodes differ: a token that one of them refuses is good for the others."""

    @pytest.fixture
    def refuse(self, world):
        rng, take = random.Random(1), world.simulator.handle

        def refuse(share):
            def handle(request):
                if request.path.endswith("/sms/send") and rng.random() < share():
                    request.write_body()
                    return Response(401, {})
                return take(request)

            world.simulator.handle = handle

        return refuse

    @pytest.mark.parametrize("share", [0.02, 0.25])
    @pytest.mark.parametrize("processes", [1, 4])
    def test_nine_of_ten_messages_go_out_at_once_for_a_fetch_in_ten_seconds(self, world, refuse, share, processes):
        refuse(lambda: share)
        senders = [world.sender() for _ in range(processes)]
        began, codes = world.clock.now(), Counter()
        for number in range(600):
            codes[send(world, senders[number % processes], f"k{number}")] += 1
            world.clock.advance(0.1)
        assert codes[None] >= 540
        fetches = [entry.time - began for entry in world.simulator.log("token_sms", 0)]
        assert sum(each < 60 for each in fetches) <= 8
        assert len([each for each in fetches if each > 15]) <= 2, "after the first few, one a minute"

    def test_with_fresh_processes_all_messages_go_out_in_the_end(self, world, refuse):
        refuse(lambda: 0.25)
        waiting = [f"k{number}" for number in range(600)]
        for _ in range(3):
            waiting = [key for key in waiting if (world.clock.advance(0.1), send(world, world.sender(), key))[1]]
            if len(waiting) < 600:
                assert len(waiting) <= 60
            world.clock.advance(10)  # the pause after a try that took two posts
        assert len(waiting) <= 2
        assert len(world.simulator.log("token_sms", 0)) <= 12

    def test_a_token_that_is_revoked_after_it_had_worked_for_a_while_is_replaced_at_once(self, world, refuse):
        share = 0.25
        refuse(lambda: share)
        sender = world.sender()
        for number in range(100):
            send(world, sender, f"k{number}")
            world.clock.advance(0.1)
        share = 0.0
        world.clock.advance(60)
        assert send(world, sender, "works") is None
        fetches = len(world.simulator.log("token_sms", 0))
        world.simulator.add_fault(Fault(operation="send", action="status", status=401))
        assert send(world, sender, "revoked") is None
        assert len(world.simulator.log("token_sms", 0)) == fetches + 1

    def test_a_token_is_used_on_where_it_lives_for_less_than_the_hold(self, world, refuse):
        world.simulator.settings = world.simulator.settings.changed({"token_lifetime_seconds": 30})
        refuse(lambda: 0.25)
        sender, codes = world.sender(), Counter()
        for number in range(600):
            codes[send(world, sender, f"k{number}")] += 1
            world.clock.advance(0.2)
        assert codes[None] >= 540


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        '{"accessToken": "x"}',
        '{"accessToken": "x", "generation": 1, "expiresAt": 1e999, "refreshAt": 1}',
    ],
)
def test_a_damaged_shared_token_needs_no_operator(world, text):
    world.secrets.secrets["token"] = text
    assert send(world, world.sender(), "k") is None
    assert json.loads(world.secrets.secrets["token"])["generation"] >= 1
