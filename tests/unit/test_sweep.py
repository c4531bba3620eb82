"""Events that came before their messages are joined, and messages that stay unknown are counted."""

import random

import pytest

from cxone_messaging.domain.batches import count_by_status
from cxone_messaging.domain.cxone_ids import WAIT
from cxone_messaging.domain.delivery import DeliveryEvent
from cxone_messaging.domain.entries import Draft, EntryType, first_broken
from cxone_messaging.domain.errors import StorageError
from cxone_messaging.domain.messages import Message, Status
from cxone_messaging.domain.times import format_time
from cxone_messaging.platform.clock import instant
from cxone_messaging.platform.deadline import Deadline
from cxone_messaging.platform.telemetry import Metric
from cxone_messaging.use_cases.journal import Journal
from cxone_messaging.use_cases.upkeep.sweep import Swept
from cxone_messaging.wiring.events import record_delivery
from functions.sweep_ledger.handler import sweep
from tests.building import MESSAGE_ID, SUBJECT, message_trail, sending
from tests.fakes import FakeClock, FakeDeadline, FakeLedger, FakeTelemetry

PATIENCE = 3600.0


class Desk:
    def __init__(self):
        self.ledger, self.clock, self.telemetry = FakeLedger(), FakeClock(), FakeTelemetry()
        self.record = record_delivery(self.ledger, self.clock, self.telemetry)
        self.sweep = sweep(self.ledger, self.clock, self.telemetry, PATIENCE)

    def write(self, type_, data, index=None, subject=SUBJECT):
        Journal(self.ledger, self.clock).append(subject, lambda _: Draft(type_, data, index))

    def sending(self, subject=SUBJECT, index=None):
        type_, data = sending()
        self.write(type_, {**data, "deadline": self.time(30)}, index, subject)

    def dispatched(self, index=None):
        data = {"latencyMs": 42, "cxoneMessageId": "cx-1"}
        self.write(EntryType.DISPATCHED, data, {"cxoneMessageId": "cx-1", **(index or {})})

    def unknown(self, subject=SUBJECT):
        """Let a sender die, and somebody notice."""
        self.sending(subject)
        self.clock.advance(31)
        message_trail(self.ledger, self.clock, self.telemetry).mark_overdue_unknown(subject, self.ledger.read(subject))

    def stray(self, status="delivered"):
        return self.record(DeliveryEvent("cx-1", status, "", self.time()), None)

    def time(self, seconds=0.0):
        return format_time(instant(self.clock.now() + seconds))

    def run(self, seconds=60.0):
        return self.sweep(FakeDeadline(seconds))

    def message(self):
        entries = self.ledger.read(SUBJECT)
        assert first_broken(SUBJECT, entries) is None
        return Message.of(entries)


@pytest.fixture
def desk():
    return Desk()


class TestJoining:
    def test_an_event_is_joined_to_its_message_once_that_has_appeared(self, desk):
        desk.sending()
        desk.stray("sent")
        desk.stray("delivered")
        assert desk.run() == Swept(joined=0, unknown=0)
        desk.clock.advance(10)
        desk.dispatched()
        assert desk.run() == Swept(joined=2, unknown=0)
        assert desk.message().status is Status.DELIVERED
        assert len(desk.ledger.read("delivery#cx-1")) == 2  # where they were kept they stay
        assert desk.telemetry[Metric.MESSAGES_DELIVERED] == [1]
        assert desk.run() == Swept(joined=0, unknown=0)

    def test_a_joined_event_counts_in_its_batch(self, desk):
        desk.sending(index={"batchId": "b", "batchState": "sending"})
        desk.stray()
        desk.dispatched(index={"batchId": "b", "batchState": "dispatched"})
        assert count_by_status(desk.ledger.batch_entries("b"), 1) == {"dispatched": 1}
        desk.run()
        assert count_by_status(desk.ledger.batch_entries("b"), 1) == {"delivered": 1}

    def test_what_broke_off_before_it_was_counted_is_made_good_by_the_next_run(self, desk, monkeypatch):
        desk.sending(index={"batchId": "b", "batchState": "sending"})
        desk.stray()
        desk.dispatched(index={"batchId": "b", "batchState": "dispatched"})
        trail = message_trail(desk.ledger, desk.clock, desk.telemetry)
        trail.count_in_batches(SUBJECT, desk.ledger.read(SUBJECT), "later")
        with monkeypatch.context() as patch:
            patch.setattr(desk.ledger, "insert", unless_counted(desk.ledger.insert))
            with pytest.raises(StorageError):
                desk.run()
        assert desk.message().status is Status.DELIVERED
        desk.run()
        for batch_id in ("b", "later"):
            assert count_by_status(desk.ledger.batch_entries(batch_id), 1) == {"delivered": 1}

    def test_a_signed_event_is_joined_once_though_a_urls_holder_said_the_same_before(self, desk):
        desk.sending()
        event = DeliveryEvent("cx-1", "delivered", "", desk.time())
        desk.record(event, None)
        desk.record(event, MESSAGE_ID)
        desk.dispatched()
        assert desk.run().joined == 1
        told = [(entry.type, entry.data.get("signed")) for entry in desk.ledger.read(SUBJECT)]
        assert told == [("sending", None), ("delivery", None), ("dispatched", None), ("delivery", True)]
        assert desk.run().joined == 0

    def test_the_message_of_a_dead_sender_is_found_once_an_event_names_it(self, desk):
        desk.unknown()
        desk.stray("sent")
        assert desk.message().status is Status.UNKNOWN
        desk.record(DeliveryEvent("cx-1", "queued", "", desk.time()), MESSAGE_ID)
        assert desk.run().joined == 0, "another message's sender may have yet to record the id"
        desk.clock.advance(WAIT.total_seconds())
        assert desk.run().joined == 1
        words = [entry.data.get("word") for entry in desk.ledger.read(SUBJECT)]
        assert words == [None, None, "queued", "sent"]
        desk.stray("delivered")
        assert desk.message().status is Status.DELIVERED, "by now nobody else can have it"

    def test_many_unknown_messages_leave_time_for_it(self, desk):
        for number in range(40):
            desk.unknown(f"message#{number}")
        desk.clock.advance(PATIENCE)
        desk.sending()
        desk.stray()
        desk.dispatched()
        walk = desk.ledger.walk

        def slowly(*args, **options):
            desk.clock.advance(2)
            return walk(*args, **options)

        desk.ledger.walk = slowly
        swept = desk.sweep(Deadline.after(desk.clock, 60))
        assert swept.joined == 1
        assert 0 < swept.unknown < 40

    def test_without_time_nothing_is_begun(self, desk):
        desk.sending()
        desk.stray()
        desk.dispatched()
        assert desk.run(seconds=4.9).joined == 0


class TestTurns:
    """A run that has no time for all leaves out others than the run before, however the strays lie in time."""

    COUNT, EACH_RUN = 60, 10

    def fill(self, desk, apart, begin):
        for number in range(self.COUNT):
            begin(number)
            desk.clock.advance(apart)

    def stray_of(self, desk, number):
        """Keep an event; its message appears only now."""
        subject, key = f"message#{number}", {"cxoneMessageId": f"cx-{number}"}
        desk.record(DeliveryEvent(f"cx-{number}", "sent", "", desk.time()), None)
        desk.sending(subject)
        desk.write(EntryType.DISPATCHED, {"latencyMs": 42, **key}, key, subject)

    def run_short(self, desk, seed, joins=True):
        """Do one run of a new process that gets to a sixth of all."""
        use_case = sweep(desk.ledger, desk.clock, desk.telemetry, PATIENCE, random.Random(seed))
        return use_case(FakeDeadline(*[60.0] * (self.EACH_RUN + 3), 0.0))

    def joined(self, desk):
        return sum(len(desk.ledger.read(f"message#{number}")) == 3 for number in range(self.COUNT))

    @pytest.mark.parametrize("apart", [0.0, 0.025, 600.0])
    def test_every_stray_is_reached(self, desk, apart):
        self.fill(desk, apart, lambda number: self.stray_of(desk, number))
        desk.clock.advance(1200)
        for run in range(80):
            self.run_short(desk, run)
        assert self.joined(desk) == self.COUNT

    def test_those_of_the_last_ten_minutes_come_first(self, desk):
        self.fill(desk, 60.0, lambda number: self.stray_of(desk, number))
        for run in range(8):
            self.run_short(desk, run)
        assert all(len(desk.ledger.read(f"message#{number}")) == 3 for number in range(self.COUNT - 10, self.COUNT))

    @pytest.mark.parametrize("apart", [0.0, 3600.0])
    def test_every_unknown_message_is_counted_at_some_time(self, desk, apart):
        for number in range(self.COUNT):
            desk.sending(f"message#{number}")
        desk.clock.advance(31)
        for number in range(self.COUNT):
            subject = f"message#{number}"
            trail = message_trail(desk.ledger, desk.clock, desk.telemetry)
            trail.mark_overdue_unknown(subject, desk.ledger.read(subject))
            desk.clock.advance(apart)
        desk.clock.advance(PATIENCE)
        read, reads = desk.ledger.read, set()
        desk.ledger.read = lambda subject: reads.add(subject) or read(subject)
        for run in range(80):
            use_case = sweep(desk.ledger, desk.clock, desk.telemetry, PATIENCE, random.Random(run))
            use_case(FakeDeadline(*[60.0] * self.EACH_RUN, 0.0))
        assert reads == {f"message#{number}" for number in range(self.COUNT)}

    def test_the_trouble_of_one_keeps_no_other_from_being_joined(self, desk):
        self.fill(desk, 0.0, lambda number: self.stray_of(desk, number))
        read = desk.ledger.read

        def read_but_one(subject):
            if subject == "message#30":
                raise StorageError("not now")
            return read(subject)

        desk.ledger.read = read_but_one
        with pytest.raises(StorageError):
            desk.run()
        desk.ledger.read = read
        assert self.joined(desk) == self.COUNT - 1


class TestStayingUnknown:
    def test_a_message_is_counted_once_it_has_been_unknown_for_too_long(self, desk):
        desk.unknown()
        desk.unknown("message#msg_2")
        desk.clock.advance(PATIENCE - 32)
        assert desk.run().unknown == 0
        desk.clock.advance(1)
        assert desk.run().unknown == 1
        desk.clock.advance(31)
        assert desk.run().unknown == 2
        assert desk.telemetry[Metric.MESSAGES_STILL_UNKNOWN] == [0, 1, 2]

    def test_one_that_was_settled_is_not(self, desk):
        desk.unknown()
        desk.record(DeliveryEvent("cx-1", "sent", "", desk.time()), MESSAGE_ID)
        desk.clock.advance(PATIENCE)
        assert desk.run().unknown == 0

    def test_after_a_week_nobody_is_reminded_any_more(self, desk):
        desk.unknown()
        desk.clock.advance(7 * 86_400)
        assert desk.run().unknown == 1
        desk.clock.advance(1)
        assert desk.run().unknown == 0


def unless_counted(insert):
    """Fail whatever is entered for batches."""

    def insert_or_fail(entry):
        if entry.type == EntryType.COUNTED:
            raise StorageError("not now")
        insert(entry)

    return insert_or_fail
