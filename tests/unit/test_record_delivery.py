import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxone_messaging.domain.batches import batch_index, count_by_status
from cxone_messaging.domain.delivery import CXONE_ID_LIMIT, DeliveryEvent, cxone_id
from cxone_messaging.domain.entries import Draft, EntryType, first_broken
from cxone_messaging.domain.errors import StorageError
from cxone_messaging.domain.ledger import SequenceTakenError
from cxone_messaging.domain.messages import Message, Status
from cxone_messaging.domain.times import format_time
from cxone_messaging.platform.clock import instant
from cxone_messaging.platform.telemetry import Metric
from cxone_messaging.use_cases.events.delivery import Recorded
from cxone_messaging.use_cases.journal import Journal
from cxone_messaging.wiring.events import record_delivery
from tests.building import MESSAGE_ID, START, SUBJECT, at, dispatched, outcome, sending
from tests.fakes import FakeClock, FakeLedger, FakeTelemetry

NUMBER = "+15551234567"


class Desk:
    """The use case on a ledger in memory."""

    def __init__(self):
        self.ledger = FakeLedger()
        self.clock = FakeClock(START.timestamp())
        self.telemetry = FakeTelemetry()
        self.deliveries = record_delivery(self.ledger, self.clock, self.telemetry)

    def record(self, event, message_id):
        return self.deliveries(event, message_id).recorded

    def write(self, told, subject=SUBJECT, index=None):
        type_, data = told
        Journal(self.ledger, self.clock).append(subject, lambda _: Draft(type_, data, index))

    def dispatched(self):
        self.write(sending())
        self.write(dispatched(), index={"cxoneMessageId": "cx-1"})

    def message(self):
        return Message.of(self.ledger.read(SUBJECT))


@pytest.fixture
def desk():
    return Desk()


def event(status="delivered", seconds=60, error=None, cxone_message_id="cx-1"):
    return DeliveryEvent(cxone_message_id, status, NUMBER, at(seconds), error)


def test_an_event_is_an_entry_of_its_message(desk):
    desk.dispatched()
    assert desk.record(event("Delivered"), MESSAGE_ID) is Recorded.ACCEPTED
    entry = desk.ledger.read(SUBJECT)[-1]
    assert (entry.sequence, entry.type) == (3, "delivery")
    assert dict(entry.data) == {
        "eventId": event("Delivered").identity,
        "cxoneMessageId": "cx-1",
        "status": "Delivered",  # as it came
        "word": "delivered",
        "instant": at(60),
    }
    assert desk.message().status is Status.DELIVERED


@pytest.mark.parametrize(
    ("told", "id_"),
    [
        ("cx-1", "cx-1"),
        ("12345", "12345"),
        (12345, "12345"),
        (0, "0"),
        (-7, "-7"),
        (2**53 + 1, "9007199254740993"),
        (10**40 + 1, "1" + "0" * 39 + "1"),
        (12345.0, "12345"),
        ("a" * CXONE_ID_LIMIT, "a" * CXONE_ID_LIMIT),
        (10**CXONE_ID_LIMIT - 1, "9" * CXONE_ID_LIMIT),
    ],
)
def test_an_id_is_a_text_or_the_digits_of_a_number(told, id_):
    assert cxone_id(told) == id_


@pytest.mark.parametrize("told", [None, True, False, [], ["cx-1"], {}, {"id": 1}, "", "a" * (CXONE_ID_LIMIT + 1)])
def test_whatever_else_is_no_id(told):
    assert cxone_id(told) is None


@pytest.mark.parametrize("told", [10**CXONE_ID_LIMIT, 10**9999, 1.5, 2.0**53, 1e300, math.inf, math.nan], ids=type)
def test_a_number_that_is_not_whole_not_exact_or_too_long_is_no_id(told):
    assert cxone_id(told) is None


def test_the_recipients_number_stands_nowhere_not_even_in_an_error(desk):
    desk.dispatched()
    desk.record(event("failed", error=f"unreachable: {NUMBER} (+1 555-123-4567)"), MESSAGE_ID)
    entry = desk.ledger.read(SUBJECT)[-1]
    assert entry.data["error"] == "unreachable: +*** (+***)"
    assert "4567" not in repr(entry)


def test_a_long_error_is_cut(desk):
    desk.record(event("failed", error="é" * 5000), MESSAGE_ID)
    assert desk.ledger.read(SUBJECT)[-1].data["error"] == "é" * 200


def test_the_same_event_again_is_a_duplicate_and_no_entry(desk):
    desk.dispatched()
    assert desk.record(event(), MESSAGE_ID) is Recorded.ACCEPTED
    desk.clock.advance(86_400)
    assert desk.record(event(), MESSAGE_ID) is Recorded.DUPLICATE
    assert len(desk.ledger) == 3
    assert desk.telemetry[Metric.MESSAGES_DELIVERED] == [1]


@pytest.mark.parametrize("other", [event("sent"), event(seconds=61), event(error="30007"), event("DELIVERED")])
def test_an_event_that_differs_in_anything_is_another(desk, other):
    desk.dispatched()
    desk.record(event(), MESSAGE_ID)
    assert desk.record(other, MESSAGE_ID) is Recorded.ACCEPTED
    assert len(desk.ledger) == 4


def written_in_batch(desk, told):
    """Write as a bulk sender does: with the keys that the message is counted by in its batch."""
    type_, data = told
    desk.write(told, index=batch_index("batch", EntryType(type_), data))


@settings(max_examples=300)
@given(
    st.lists(st.sampled_from(["queued", "sent", "delivered", "failed", "odd"]), max_size=6),
    st.sampled_from([dispatched(), outcome(EntryType.UNKNOWN, "outcome_unknown"), None]),
    st.integers(0, 6),
    st.randoms(),
)
def test_a_batch_counts_a_message_as_reading_it_tells(words, result, place, rng):
    desk = Desk()
    written_in_batch(desk, sending())
    for number, word in enumerate([*words, None]):
        if number == min(place, len(words)) and result is not None:
            written_in_batch(desk, result)
        if word is not None:
            desk.record(event(word, rng.randrange(100)), MESSAGE_ID)
        counted = count_by_status(desk.ledger.batch_entries("batch"), 1)
        assert counted == {desk.message().status.value: 1}


def test_an_event_that_moves_nothing_is_in_no_index(desk):
    for told in (sending(), dispatched()):
        written_in_batch(desk, told)
    desk.record(event("sent", 1), MESSAGE_ID)
    desk.record(event("delivered", 2), MESSAGE_ID)
    assert ["batchId" in entry.index for entry in desk.ledger.read(SUBJECT)] == [True, True, False, True]


def test_an_event_that_comes_before_our_own_record_of_the_202(desk):
    desk.write(sending())
    assert desk.record(event("sent", 1), MESSAGE_ID) is Recorded.ACCEPTED
    assert desk.message().status is Status.DISPATCHED
    assert desk.record(event("delivered", 2), MESSAGE_ID) is Recorded.ACCEPTED
    desk.write(dispatched(), index={"cxoneMessageId": "cx-1"})
    assert desk.message().status is Status.DELIVERED
    assert first_broken(SUBJECT, desk.ledger.read(SUBJECT)) is None


def test_an_event_settles_an_unknown_outcome(desk):
    desk.write(sending())
    desk.write(outcome(EntryType.UNKNOWN, "outcome_unknown"))
    assert desk.message().status is Status.UNKNOWN
    desk.record(event(), MESSAGE_ID)
    assert desk.message().status is Status.DELIVERED


def test_without_a_name_the_message_is_found_by_cxones_id(desk):
    desk.dispatched()
    assert desk.record(event(), None) is Recorded.ACCEPTED
    assert desk.record(event(), None) is Recorded.DUPLICATE
    assert desk.record(event(), MESSAGE_ID) is Recorded.DUPLICATE
    assert desk.message().status is Status.DELIVERED


def test_an_event_of_a_message_that_nobody_knows_is_kept(desk):
    desk.dispatched()
    stray = event(cxone_message_id="cx-2")
    assert desk.record(stray, None) is Recorded.ACCEPTED
    assert desk.record(stray, None) is Recorded.DUPLICATE
    assert desk.ledger.subjects() == ["delivery#cx-2", SUBJECT]
    (kept,) = desk.ledger.read("delivery#cx-2")
    assert kept.data["eventId"] == stray.identity
    assert desk.message().status is Status.DISPATCHED


def test_the_name_in_the_url_beats_cxones_id(desk):
    desk.dispatched()
    desk.write(sending(), subject="message#msg_2")
    desk.record(event(), "msg_2")
    assert desk.message().status is Status.DISPATCHED
    assert Message.of(desk.ledger.read("message#msg_2")).status is Status.DELIVERED


def test_a_message_is_counted_when_it_first_becomes_final(desk):
    desk.dispatched()
    for each in (event("sent", 1), event("delivered", 60), event("failed", 61), event("queued", 62)):
        desk.record(each, MESSAGE_ID)
    assert desk.telemetry[Metric.MESSAGES_DELIVERED] == [1]
    assert desk.telemetry[Metric.MESSAGES_FAILED] == []
    assert len(desk.telemetry[Metric.DELIVERY_LATENCY]) == 1


@pytest.mark.parametrize("word", ["failed", "undelivered", "expired", "rejected"])
def test_a_failed_message_is_counted_as_one(desk, word):
    desk.dispatched()
    desk.record(event(word), MESSAGE_ID)
    assert desk.telemetry[Metric.MESSAGES_FAILED] == [1]
    assert desk.telemetry[Metric.MESSAGES_DELIVERED] == []


def test_delivery_latency_runs_from_dispatch_to_the_events_time(desk):
    desk.dispatched()
    told = DeliveryEvent("cx-1", "delivered", NUMBER, format_time(instant(desk.clock.now() + 1.5)))
    desk.clock.advance(3600)  # it comes late
    desk.record(told, MESSAGE_ID)
    assert desk.telemetry[Metric.DELIVERY_LATENCY] == [1500]


def test_whoever_was_first_is_followed(desk):
    desk.dispatched()
    ahead = [event("queued", 1), event("sent", 2)]

    class Overtaken(FakeLedger):
        def insert(self, entry):
            if ahead:
                record_delivery(desk.ledger, desk.clock, desk.telemetry)(ahead.pop(), MESSAGE_ID)
            desk.ledger.insert(entry)

        def read(self, subject):
            return desk.ledger.read(subject)

    record_delivery(Overtaken(), desk.clock, desk.telemetry)(event(), MESSAGE_ID)
    entries = desk.ledger.read(SUBJECT)
    assert [entry.data.get("word") for entry in entries] == [None, None, "sent", "queued", "delivered"]
    assert first_broken(SUBJECT, entries) is None


def test_a_duplicate_that_was_first_leaves_one_entry(desk):
    desk.dispatched()

    class Overtaken(FakeLedger):
        def insert(self, entry):
            if len(desk.ledger) == 2:
                desk.record(event(), MESSAGE_ID)
            desk.ledger.insert(entry)

        def read(self, subject):
            return desk.ledger.read(subject)

    desk.clock.advance(1)
    late = record_delivery(Overtaken(), FakeClock(desk.clock.now() + 1), desk.telemetry)
    assert late(event(), MESSAGE_ID).recorded is Recorded.DUPLICATE
    assert len(desk.ledger) == 3


def test_a_place_that_is_always_taken_is_a_fault_and_no_endless_race(desk):
    class Full(FakeLedger):
        tries = 0

        def insert(self, entry):
            self.tries += 1
            raise SequenceTakenError

    full = Full()
    with pytest.raises(StorageError):
        record_delivery(full, desk.clock, desk.telemetry)(event(), MESSAGE_ID)
    assert 16 <= full.tries <= 1000


def test_what_could_not_be_stored_is_not_called_accepted(desk):
    class Broken(FakeLedger):
        def insert(self, entry):
            raise StorageError("down")

    with pytest.raises(StorageError):
        record_delivery(Broken(), desk.clock, desk.telemetry)(event(), MESSAGE_ID)
    assert desk.telemetry.values == {}


told_events = st.lists(
    st.tuples(st.sampled_from(["queued", "sent", "delivered", "failed", "expired", "Odd"]), st.integers(0, 5)),
    max_size=9,
)


@settings(max_examples=300)
@given(told_events, st.randoms(use_true_random=False))
def test_any_order_and_any_duplicates_end_as_all_events_together_would(told, rng):
    def run(events):
        desk = Desk()
        desk.dispatched()
        for each in events:
            desk.record(event(*each), MESSAGE_ID)
        entries = desk.ledger.read(SUBJECT)
        assert first_broken(SUBJECT, entries) is None
        entered = [entry.data["eventId"] for entry in entries if entry.type == EntryType.DELIVERY]
        assert len(entered) == len(set(entered))
        message = desk.message()
        return message.status, message.error

    def unbounded():
        desk = Desk()
        desk.dispatched()
        for word, seconds in told:
            desk.write((EntryType.DELIVERY, {"word": word.casefold(), "instant": at(seconds)}))
        message = desk.message()
        return message.status, message.error

    mixed = rng.choices(told, k=2 * len(told)) + list(told) if told else []
    rng.shuffle(mixed)
    assert run(told) == run(mixed) == unbounded()
