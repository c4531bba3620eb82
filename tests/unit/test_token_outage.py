"""A thousand sends while CXone gives no tokens, or refuses those that it gives: few fetches and quick answers."""

import json

import pytest

from cxone_messaging.domain.consents import ConsentStatus
from cxone_messaging.domain.errors import Code, MessagingError
from cxone_messaging.domain.messages import SmsRequest
from local.simulator import Fault
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
    give_up_at = world.clock.monotonic() + 28
    try:
        sender.send(SmsRequest(RECIPIENT.e164, "hi"), key, lambda: give_up_at - world.clock.monotonic())
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
