"""One contract for the pace's item, kept by the real store and by the stand-in that unit tests use."""

import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from cxone_messaging.adapters.dynamodb.governor import DynamoGovernor
from cxone_messaging.adapters.dynamodb.pace_item import PaceItem
from cxone_messaging.adapters.queue import SqsQueueLength
from cxone_messaging.domain import subjects
from cxone_messaging.domain.entries import first_broken
from cxone_messaging.domain.errors import StorageError
from cxone_messaging.domain.pace import AccountRate, Pace
from cxone_messaging.domain.schedule import Schedule
from cxone_messaging.domain.sender_rates import SenderRates
from cxone_messaging.platform.clock import SystemClock
from functions.manage_pace.handler import manage_pace
from tests.fakes import FakePaceStore, FakeTelemetry


class FakeQueue:
    """An empty queue."""

    def read(self):
        return 0


@pytest.fixture(params=["fake", "moto", "dynamodb"])
def item(request):
    if request.param == "fake":
        return FakePaceStore()
    if request.param == "moto":
        return PaceItem(*request.getfixturevalue("moto").table("CoordinationTable"))
    return PaceItem(request.getfixturevalue("dynamodb"), request.getfixturevalue("coordination_table"))


def test_a_new_account_has_no_ceiling_of_an_operator(item):
    assert item.read() == Schedule()


def test_a_ceiling_is_read_at_once_and_taken_back(item):
    assert item.set_ceiling(20_000_000, entry=1, seen=0)
    assert item.read().pace == Pace(version=1, ceiling=20_000_000, ceiling_entry=1)
    assert item.set_ceiling(0, entry=2, seen=1)
    assert item.read().pace == Pace(version=2, ceiling=0, ceiling_entry=2)
    assert item.set_ceiling(None, entry=3, seen=2)
    assert item.read().pace == Pace(version=3, ceiling=None, ceiling_entry=3)


@pytest.mark.parametrize("seen", [0, 1, 3])
def test_a_request_that_has_seen_an_older_ceiling_sets_none(item, seen):
    for entry in (1, 2):
        assert item.set_ceiling(10_000_000, entry=entry, seen=entry - 1)
    assert not item.set_ceiling(20_000_000, entry=4, seen=seen)
    assert item.read().pace == Pace(version=2, ceiling=10_000_000, ceiling_entry=2)


def test_of_many_at_once_one_sets_it(dynamodb, coordination_table):
    """Moto and the stand-in decide without a lock."""
    item = PaceItem(dynamodb, coordination_table)
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda entry: item.set_ceiling(entry, entry=entry, seen=0), range(1, 9)))
    assert sum(done) == 1
    assert item.read().pace.ceiling == done.index(True) + 1


def test_of_many_requests_at_once_the_last_entry_is_in_force(dynamodb, coordination_table, ledger):
    item = PaceItem(dynamodb, coordination_table)
    pace = manage_pace(ledger, item, FakeQueue(), AccountRate(100, 0.96), SenderRates(), clock=SystemClock())
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: pace.set_ceiling(number, f"operator {number}"), range(12)))
    entries = ledger.read(subjects.pace())
    assert first_broken(subjects.pace(), entries) is None
    pace, last = item.read().pace, entries[-1]
    assert (str(pace.ceiling // 1_000_000), pace.ceiling_entry) == (last.data["ceiling"], last.sequence)
    assert {each.data["by"] for each in entries} == {f"operator {number}" for number in range(12)}


def test_it_is_the_senders_item_and_both_keep_what_the_other_writes(dynamodb, coordination_table):
    governor = DynamoGovernor(
        client=dynamodb,
        table=coordination_table,
        rate=AccountRate(100, 0.96),
        clock=SystemClock(),
        telemetry=FakeTelemetry(),
        rng=random.Random(1),
    )
    item = PaceItem(dynamodb, coordination_table)
    assert item.set_ceiling(20_000_000, entry=1, seen=0)

    governor.reserve(1, 5.0)
    reserved = item.read()
    assert (reserved.pace.ceiling, reserved.pace.ceiling_entry) == (20_000_000, 1)
    assert reserved.next_slot > 0

    assert item.set_ceiling(None, entry=2, seen=1)
    assert item.read().next_slot == reserved.next_slot


def test_without_a_table_there_is_no_answer(dynamodb):
    item = PaceItem(dynamodb, "no-such-table")
    with pytest.raises(StorageError):
        item.read()
    with pytest.raises(StorageError):
        item.set_ceiling(1, entry=1, seen=0)


def test_the_queues_length_is_what_waits_what_is_put_back_and_what_is_being_sent(sqs, bulk_queue):
    length = SqsQueueLength(sqs, bulk_queue)
    assert length.read() == 0
    for _ in range(3):
        sqs.send_message(QueueUrl=bulk_queue, MessageBody="{}")
    sqs.send_message(QueueUrl=bulk_queue, MessageBody="{}", DelaySeconds=300)
    sqs.receive_message(QueueUrl=bulk_queue, MaxNumberOfMessages=1)
    assert length.read() == 4


def test_a_queue_that_cannot_be_read_has_no_length(sqs, bulk_queue):
    assert SqsQueueLength(sqs, bulk_queue + "-gone").read() is None
