"""A record on the bulk queue and a request of the API with one key and one body are one message."""

import pytest

from cxone_messaging.domain.batches import BulkRecord
from cxone_messaging.domain.consents import ConsentStatus
from cxone_messaging.domain.errors import Code
from cxone_messaging.domain.sms import SmsRequest
from tests.worlds import World

REQUEST = SmsRequest("+15551234567", "Your code is 849201")


def offer(world, request):
    (disposition,) = world.offer([BulkRecord("k", request)])
    return disposition


def test_a_record_that_was_sent_is_replayed_to_a_request():
    world = World()
    world.opt(ConsentStatus.OPTED_IN)
    offer(world, REQUEST)
    assert world.sender().send(REQUEST, "k", world.within(28.0)).replayed
    assert len(world.simulator.log("send")) == 1


@pytest.mark.parametrize(
    ("request_", "errors"),
    [
        (REQUEST, [("opted_out", "to")]),
        (SmsRequest("+15551234567", ""), [("text_required", "text"), ("opted_out", "to")]),
        (SmsRequest("555", "\0"), [("invalid_recipient", "to"), ("invalid_characters", "text")]),
    ],
)
def test_a_record_that_was_refused_on_the_queue_is_refused_to_a_request_in_the_same_words(request_, errors):
    world = World()
    world.opt(ConsentStatus.OPTED_OUT)
    offer(world, request_)
    world.opt(ConsentStatus.OPTED_IN)
    told = world.refusal(request_, "k")
    assert (told.code, told.replayed) == (Code.VALIDATION_FAILED, True)
    assert [(error.code, error.field) for error in told.errors] == errors
    assert world.simulator.log("send") == []


def test_another_request_under_a_refused_records_key_is_told_so():
    world = World()
    offer(world, REQUEST)
    world.opt(ConsentStatus.OPTED_IN)
    assert world.refusal(SmsRequest("+15551234567", "Another"), "k").code is Code.IDEMPOTENCY_KEY_REUSED


def test_a_refused_record_is_shown_with_its_recipient():
    world = World()
    offer(world, REQUEST)
    message = world.read(world.pseudonyms.message_id("k")).message
    assert (message.status, message.error, message.recipient) == ("rejected", "not_opted_in", "+*******4567")
