"""A STOP while a bulk send is under way: what has not gone out to that number when it is stored never goes."""

import json
import random
from collections import Counter

import pytest

from cxone_messaging.domain import subjects
from cxone_messaging.domain.batches import BulkRecord
from cxone_messaging.domain.consents import FRESH_SECONDS, ConsentStatus
from cxone_messaging.domain.entries import first_broken
from cxone_messaging.domain.errors import Code, MessagingError, StorageError
from cxone_messaging.domain.messages import Message, Status
from cxone_messaging.domain.phone_numbers import PhoneNumber
from cxone_messaging.domain.sms import SmsRequest
from cxone_messaging.domain.times import format_time, parse_time
from cxone_messaging.platform.clock import instant
from local.simulator import Settings
from tests.fakes import FakeConsentStore
from tests.webhooks import Webhook
from tests.worlds import AfterThePost, Injector, Plan, World

LEAVER = PhoneNumber.parse("+15551234567")
OTHERS = PhoneNumber.parse("+15557654321")


@pytest.fixture
def world():
    world = World(Settings(requests_per_second=1000, delivery_steps=[]))
    for number in (LEAVER, OTHERS):
        world.opt(ConsentStatus.OPTED_IN, number)
    return world


@pytest.fixture
def webhook(world, monkeypatch):
    return Webhook(monkeypatch, ledger=world.ledger, consents=world.consents, clock=world.clock)


def queue_messages(world, count):
    """Queue messages of which every third is for who leaves; give the references."""
    references = {f"r{number}": LEAVER if number % 3 == 0 else OTHERS for number in range(count)}
    for reference, number in references.items():
        record = BulkRecord(reference, SmsRequest(number.e164, "Your table is ready."))
        world.queue.send(json.dumps(record.body()))
    return references


def stop(world, webhook):
    told = {"event": "message.inbound", "from": LEAVER.e164, "to": "+15550100000", "text": "Stop"}
    assert webhook.event({**told, "timestamp": format_time(instant(world.clock.now()))})[0] == 200


def status_of(world, reference):
    subject = subjects.message(world.pseudonyms.message_id(reference))
    entries = world.ledger.read(subject)
    assert first_broken(subject, entries) is None
    return Message.of(entries).status


def stored_at(world):
    """Give the time of the opt-out's own entry."""
    entry = world.ledger.read(f"consent#{world.pseudonyms.recipient_hash(LEAVER)}")[-1]
    assert entry.data["status"] == "opted_out"
    return parse_time(entry.timestamp).timestamp()


def sent_to_leaver(world):
    return [message.time for message in world.simulator.accepted_messages() if message.to == LEAVER.e164]


def test_of_a_thousand_nothing_goes_to_the_number_once_it_is_stored(world, webhook):
    references = queue_messages(world, 1000)
    for _ in range(4):
        world.poll()
    stop(world, webhook)
    before = len(sent_to_leaver(world))
    world.work_off()
    assert [time for time in sent_to_leaver(world) if time >= stored_at(world)] == []
    ends = Counter((number, status_of(world, reference)) for reference, number in references.items())
    assert before == 134
    assert ends == {
        (LEAVER, Status.DISPATCHED): 134,
        (LEAVER, Status.REJECTED): 200,
        (OTHERS, Status.DISPATCHED): 666,
    }


@pytest.mark.parametrize("at", random.Random(20261122).sample(range(1, 150), 25))
def test_wherever_it_meets_a_chunk(world, webhook, at):
    references = queue_messages(world, 100)
    injector = Injector()
    injector.begin(Plan(at=at, act=lambda: stop(world, webhook), after=bool(at % 2)))
    world.poll(injector)
    world.work_off()
    # What is on its way meanwhile is taken when the whole wait is over: the sender stands still in it.
    assert len([time for time in sent_to_leaver(world) if time >= stored_at(world)]) <= 1
    for reference, number in references.items():
        expected = {Status.DISPATCHED, Status.REJECTED} if number is LEAVER else {Status.DISPATCHED}
        assert status_of(world, reference) in expected


def test_a_sender_that_is_held_up_looks_again_before_it_goes_on(world):
    """Its consents were read and its messages claimed before the STOP, which no webhook waited for."""
    queue_messages(world, 25)

    def leave_and_hold_up(_):
        world.opt(ConsentStatus.OPTED_OUT, LEAVER)
        world.clock.advance(FRESH_SECONDS + 0.01)

    world.poll(AfterThePost(world, leave_and_hold_up))
    before = len(sent_to_leaver(world))
    assert 1 <= before < 9
    world.work_off()
    assert len(sent_to_leaver(world)) == before
    trails = Counter(
        tuple(entry.type for entry in world.ledger.read(subject))
        for subject in world.ledger.subjects()
        if subject.startswith("message#")
    )
    assert trails[("sending", "rejected")] == 9 - before
    key = next(f"r{number}" for number in range(0, 25, 3) if status_of(world, f"r{number}") is Status.REJECTED)
    world.opt(ConsentStatus.OPTED_IN, LEAVER)
    with pytest.raises(MessagingError) as raised:
        world.sender().send(SmsRequest(LEAVER.e164, "Your table is ready."), key, world.within(28.0))
    assert (raised.value.code, raised.value.replayed) == (Code.VALIDATION_FAILED, True)
    assert [error.code for error in raised.value.errors] == [Code.OPTED_OUT]


def test_consents_that_can_not_be_read_again_put_the_rest_off(world):
    class Flaky(FakeConsentStore):
        reads = 0

        def find_many(self, hashes):
            self.reads += 1
            if self.reads == 2:
                raise StorageError("down")
            return super().find_many(hashes)

    flaky = Flaky()
    flaky._consents = world.consents._consents
    world.consents = flaky
    references = queue_messages(world, 25)
    world.poll(AfterThePost(world, lambda _: world.clock.advance(FRESH_SECONDS + 0.01)))
    assert 1 <= len(world.simulator.accepted_messages()) < 25
    world.work_off()
    assert len(world.simulator.accepted_messages()) == len(references)
