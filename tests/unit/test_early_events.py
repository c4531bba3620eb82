"""Events that outrun us, in a whole sender over the simulator: before our own `dispatched`, and for a dead sender."""

import json

import pytest

from cxone_messaging.domain import subjects
from cxone_messaging.domain.consents import ConsentStatus
from cxone_messaging.domain.entries import first_broken
from cxone_messaging.domain.errors import MessagingError
from cxone_messaging.domain.messages import Status
from cxone_messaging.domain.sms import SmsRequest
from tests.webhooks import SMS, Webhook, callback
from tests.worlds import RECIPIENT, AfterThePost, Killed, World, reference

REQUEST = SmsRequest(RECIPIENT.e164, "Your code is 849201")


@pytest.fixture
def world():
    world = World()
    world.opt(ConsentStatus.OPTED_IN)
    return world


@pytest.fixture
def webhook(world, monkeypatch):
    return Webhook(monkeypatch, ledger=world.ledger, consents=world.consents, clock=world.clock)


def post_due_events(world, webhook, *, named=True):
    """Post what is due as CXone does: to the URLs that it was given, or to one address with a signed body."""
    world.clock.advance(30)
    for event in world.simulator.due_events():
        if named:
            status, _ = webhook.post(SMS, event.body, query=callback(reference(event.url)))
        else:
            status, _ = webhook.event(json.loads(event.body), SMS)
        assert status == 200
        world.simulator.event_answered(event, status)


@pytest.mark.parametrize("named", [True, False])
def test_events_before_our_own_dispatched_entry_end_in_delivered(world, webhook, named):
    injector = AfterThePost(world, lambda _: post_due_events(world, webhook, named=named))
    receipt = world.sender(injector).send(REQUEST, "key", world.within(60.0))
    shown = world.read(receipt.message.message_id)
    assert (shown.message.status, shown.verified) == (Status.DELIVERED, True)
    types = [entry.type for entry in shown.entries]
    expected = ["sending", "delivery", "delivery", "delivery"]
    expected.insert(4 if named else 1, "dispatched")
    assert types == expected


@pytest.mark.parametrize("noticed", [False, True])
def test_events_for_a_sender_that_was_killed_after_the_post_end_in_delivered(world, webhook, noticed):
    injector = AfterThePost(world, AfterThePost.die)
    with pytest.raises(Killed):
        world.sender(injector).send(REQUEST, "key", world.within(28.0))
    message_id = world.pseudonyms.message_id("key")
    assert [entry.type for entry in world.ledger.read(subjects.message(message_id))] == ["sending"]
    if noticed:
        world.clock.advance(60)
        with pytest.raises(MessagingError):
            world.sender().send(REQUEST, "key", world.within(28.0))
        assert world.read(message_id).message.status is Status.UNKNOWN
    post_due_events(world, webhook)
    shown = world.read(message_id)
    assert (shown.message.status, shown.verified) == (Status.DELIVERED, True)
    assert first_broken(subjects.message(message_id), shown.entries) is None
    assert world.sender().send(REQUEST, "key", world.within(28.0)).replayed
    assert len(world.accepted()[message_id]) == 1
