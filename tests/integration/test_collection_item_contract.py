"""The collector's state: one run holds it at a time, whatever stores it."""

import pytest

from cxone_messaging.adapters.dynamodb.collection_item import CollectionItem
from cxone_messaging.adapters.dynamodb.used_channels import UsedChannels
from cxone_messaging.domain.collection import FURTHEST_SECONDS, SLACK_SECONDS, Collection, Span, Waiting
from cxone_messaging.domain.errors import StorageError
from tests.dfo_worlds import FakeCollectionStore
from tests.fakes import FakeClock


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture(params=["fake", "moto", "dynamodb"])
def make_store(request, clock):
    if request.param == "fake":
        store = FakeCollectionStore(clock)
        return lambda: store
    if request.param == "moto":
        client, table = request.getfixturevalue("moto").table("CoordinationTable")
        return lambda: CollectionItem(client, table, clock)
    dynamodb, table = request.getfixturevalue("dynamodb"), request.getfixturevalue("coordination_table")
    return lambda: CollectionItem(dynamodb, table, clock)


def test_a_stack_begins_a_slack_ago(make_store, clock):
    state = make_store().begin(clock.now() + 60)
    assert state.outbound == state.inbound == Span(clock.now() - SLACK_SECONDS, clock.now())


def test_what_a_run_stores_is_what_the_next_begins_with(make_store, clock):
    store = make_store()
    store.begin(clock.now() + 60)
    now = clock.now()
    outbound = Span(now, now, "scroll+/=é", now, now - 300, now)
    state = Collection(outbound, Span(now - 1, now), {"m-1": Waiting(now - 9, now)}, now)
    store.end(state)
    assert make_store().begin(clock.now() + 60) == state


def test_one_run_holds_it_at_a_time(make_store, clock):
    one, other = make_store(), make_store()
    state = one.begin(clock.now() + 60)
    assert other.begin(clock.now() + 60) is None
    one.end(state)
    assert other.begin(clock.now() + 60) is not None


def test_a_run_that_died_holds_it_until_its_time_is_over(make_store, clock):
    make_store().begin(clock.now() + 60)
    clock.advance(59)
    assert make_store().begin(clock.now() + 60) is None
    clock.advance(12)
    assert make_store().begin(clock.now() + 60) is not None


def test_a_run_that_took_too_long_undoes_nothing(dynamodb, coordination_table, clock):
    late, next_ = (CollectionItem(dynamodb, coordination_table, clock) for _ in range(2))
    late.begin(clock.now() + 60)
    clock.advance(80)
    state = next_.begin(clock.now() + 60)
    next_.end(Collection(Span(clock.now()), state.inbound, ran_at=clock.now()))
    late.end(Collection(Span(1.0), Span(1.0)))
    assert next_.begin(clock.now() + 60).outbound.up_to == clock.now()


def test_a_run_whose_clock_was_days_ahead_holds_up_no_other(dynamodb, coordination_table, clock):
    ahead = FakeClock(clock.now() + 86_400)
    CollectionItem(dynamodb, coordination_table, ahead).begin(ahead.now() + 60)
    assert CollectionItem(dynamodb, coordination_table, clock).begin(clock.now() + 60) is not None


def test_channels_are_added_by_whoever_sends_and_read_by_the_collector(dynamodb, coordination_table):
    one, other = (UsedChannels(dynamodb, coordination_table) for _ in range(2))
    assert one.read() == frozenset()
    for channels, channel in ((one, "sms_1"), (other, "sms_2"), (other, "sms_1")):
        channels.add(channel)
    assert one.read() == other.read() == {"sms_1", "sms_2"}


def test_a_channel_that_could_not_be_added_is_added_the_next_time(moto):
    client, table = moto.table("CoordinationTable")
    channels = UsedChannels(client, "no-such-table")
    with pytest.raises(StorageError):
        channels.add("sms_1")
    with pytest.raises(StorageError):
        channels.read()
    channels._table = table
    channels.add("sms_1")
    assert channels.read() == {"sms_1"}


@pytest.mark.parametrize("text", ["", "null", "[]", '{"outbound": 1}', '{"outbound": [1, "", 0, 0]}', "{"])
def test_a_state_that_cannot_be_read_goes_back_as_far_as_any(clock, text):
    state = Collection.parse(text, clock.now())
    assert state.outbound == state.inbound == Span(clock.now() - FURTHEST_SECONDS)


def test_a_clock_that_was_ahead_skips_nothing(clock):
    ahead = Collection(Span(clock.now() + 9_999, clock.now() + 9_999), Span(0.0), ran_at=clock.now())
    state = Collection.parse(ahead.text(), clock.now())
    assert state.outbound.up_to == clock.now()
    assert state.inbound.up_to == clock.now() - FURTHEST_SECONDS
