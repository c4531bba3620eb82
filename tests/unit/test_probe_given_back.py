"""The one probe of an open circuit: where we refuse its message at the last moment, somebody else may probe at once."""

import json

from cxone_messaging.domain.batches import BulkRecord
from cxone_messaging.domain.consents import ConsentStatus
from cxone_messaging.domain.schedule import FAILURES_TO_OPEN
from cxone_messaging.domain.sms import SmsRequest
from local.simulator import Settings
from tests.worlds import RECIPIENT, World


def test_a_bulk_probe_whose_message_is_refused_at_the_last_moment_is_given_back():
    world = World(Settings(requests_per_second=1000, delivery_steps=[]))
    world.opt(ConsentStatus.OPTED_IN)
    world.governor.failures, world.governor.open_until = FAILURES_TO_OPEN, world.clock.now()
    insert_many = world.ledger.insert_many

    def slow(entries):
        """Let the recipient leave while the claim is written, for longer than a consent is fresh."""
        inserted = insert_many(entries)
        world.opt(ConsentStatus.OPTED_OUT)
        world.clock.advance(5)
        return inserted

    world.ledger.insert_many = slow
    record = BulkRecord("r0", SmsRequest(RECIPIENT.e164, "Your table is ready."))
    world.queue.send(json.dumps(record.body()))
    world.poll()
    assert not world.simulator.accepted_messages()
    assert world.governor.reserve(1, 1.0).probe
