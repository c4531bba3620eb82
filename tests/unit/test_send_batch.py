"""What becomes of bulk records: of each by itself, whatever became of it earlier, and of all of them in an outage."""

import itertools
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import pytest

from cxone_messaging.domain.batches import BulkRecord, count_by_status
from cxone_messaging.domain.consents import ConsentStatus
from cxone_messaging.domain.delivery import DeliveryEvent
from cxone_messaging.domain.errors import MessagingError, StorageError
from cxone_messaging.domain.ledger import Insertion
from cxone_messaging.domain.messages import Message, Status
from cxone_messaging.domain.phone_numbers import PhoneNumber
from cxone_messaging.domain.retries import pause_after
from cxone_messaging.domain.schedule import FAILURES_TO_OPEN, SlotMissedError
from cxone_messaging.domain.sms import SmsRequest
from cxone_messaging.domain.times import parse_time
from cxone_messaging.platform.telemetry import Metric
from cxone_messaging.use_cases.bulk.chunks import CHUNK
from cxone_messaging.use_cases.bulk.in_flight import Done, Later, Unusable
from functions.send_bulk.handler import send_records
from local.simulator import Fault, Settings
from tests.fakes import FakeGovernor, FakeLedger
from tests.worlds import SLOT_SECONDS, Injector, Killed, Plan, World

TEXT = "Your code is 849201"
NOBODY = "+15559999999"
DOWN = Fault(action="status", operation="send", status=503, times="forever")


@pytest.fixture
def world():
    world = World()
    world.opt(ConsentStatus.OPTED_IN)
    return world


# A second try of a message waits this long.
PAUSE = pause_after(1)


def record(reference="r", *, text=TEXT, to="+15551234567", batch_id="batch", **options):
    return BulkRecord(reference, SmsRequest(to, text, **options), batch_id)


def some(count):
    return [record(f"r{number}") for number in range(count)]


class Watched:
    """Notes with how many things each method was called."""

    def __init__(self, store, calls):
        self._store = store
        self._calls = calls

    def __getattr__(self, name):
        method = getattr(self._store, name)
        if not callable(method) or name == "refuse_held":
            return method

        def call(first, *rest):
            self._calls.setdefault(name, []).append(len(first) if hasattr(first, "__len__") else first)
            return method(first, *rest)

        return call


class TestInChunks:
    def test_a_chunk_takes_one_call_for_its_consents_its_slots_its_entries_and_its_outcomes(self, world):
        calls = {}
        for name in ("ledger", "consents", "governor"):
            setattr(world, name, Watched(getattr(world, name), calls))
        assert world.offer(some(60)) == [Done()] * 60
        assert world.taken() == [1] * 60
        assert [size for size in calls["insert_many"] if size] == [25, 25, 25, 25, 10, 10]
        assert len(calls["find_many"]) == 3
        assert calls["reserve"] == [25, 25, 10]
        assert len(calls["check"]) <= 6, "twice a chunk"
        assert set(calls) <= {"insert_many", "find_many", "reserve", "check", "succeeded"}

    def test_a_process_that_dies_leaves_one_chunk_in_flight_at_most(self, world):
        entered = FakeLedger.insert_many

        class Dying(FakeLedger):
            def insert_many(self, entries):
                entered(self, entries)
                if len(self) >= 3 * CHUNK:
                    raise Killed
                return [Insertion.INSERTED] * len(entries)

        world.ledger = Dying()
        with pytest.raises(Killed):
            world.offer(some(100))
        messages = [each for each in world.ledger.subjects() if "message#" in each]
        statuses = [Message.of(world.ledger.read(each)).status for each in messages]
        assert statuses.count(Status.SENDING) == CHUNK
        assert statuses.count(Status.DISPATCHED) == CHUNK

    def test_each_goes_out_in_its_slot_and_none_is_throttled(self, world):
        world.offer(some(300))
        log = world.simulator.log("send")
        assert {entry.status for entry in log} == {202}
        assert all(b.time - a.time >= SLOT_SECONDS - 1e-6 for a, b in itertools.pairwise(log))
        assert log[-1].time - log[0].time <= 300 * SLOT_SECONDS

    def test_a_held_up_process_reserves_other_slots(self, world):
        sent_at, reserve = [], world.governor.reserve

        def reserve_late(count, horizon):
            world.governor.next_slot = world.clock.now() + 0.1
            slots = reserve(count, horizon)
            sent_at.append(world.clock.now())
            world.clock.advance(3 if len(sent_at) == 2 else 0)
            return slots

        world.governor.reserve = reserve_late
        world.offer(some(50))
        times = [entry.time for entry in world.simulator.log("send")]
        assert len(times) == 50
        assert all(b - a >= SLOT_SECONDS - 1e-6 for a, b in itertools.pairwise(times))
        assert len(sent_at) == 3

    def test_a_process_held_up_within_a_chunk_lets_no_slots_go_out_in_a_burst(self, world):
        sender, sent = world.batch_sender(), []
        send = sender._chunks._dispatcher._gateway.send

        def held_up(*args):
            sent.append(args)
            outcome = send(*args)
            world.clock.advance(3 if len(sent) == 5 else 0)
            return outcome

        sender._chunks._dispatcher._gateway.send = held_up
        world.offer(some(CHUNK), sender=sender)
        times = [entry.time for entry in world.simulator.log("send")]
        assert len(times) == CHUNK
        assert all(b - a >= SLOT_SECONDS - 1e-6 for a, b in itertools.pairwise(times))

    def test_of_a_process_held_up_for_a_moment_only_the_slots_of_that_moment_are_lost(self, world):
        sender, sent = world.batch_sender(), []
        send = sender._chunks._dispatcher._gateway.send

        def held_up(*args):
            sent.append(args)
            outcome = send(*args)
            world.clock.advance(8 * SLOT_SECONDS if len(sent) == 5 else 0)
            return outcome

        sender._chunks._dispatcher._gateway.send = held_up
        world.offer(some(CHUNK), sender=sender)
        first, *_, last = (entry.time for entry in world.simulator.log("send"))
        assert round((last - first) / SLOT_SECONDS) <= CHUNK - 1 + 8

    def test_sends_of_a_chunk_run_side_by_side(self, world):
        barrier = threading.Barrier(CHUNK)
        with ThreadPoolExecutor(CHUNK) as pool:
            sender = world.batch_sender(executor=pool)
            send = sender._chunks._dispatcher._gateway.send

            def all_together(*args):
                barrier.wait(timeout=20)
                return send(*args)

            sender._chunks._dispatcher._gateway.send = all_together
            assert world.offer(some(CHUNK), sender=sender) == [Done()] * CHUNK
        assert world.taken() == [1] * CHUNK

    def test_without_an_executor_it_has_threads_of_its_own(self, world):
        world.simulator.settings = world.simulator.settings.changed({"latency_median_seconds": 0.01})
        own = send_records(world.parts())
        assert world.offer(some(60), sender=own) == [Done()] * 60
        assert world.taken() == [1] * 60

    def test_latency_from_the_slot_is_a_metric_of_its_own(self, world):
        world.simulator.settings = world.simulator.settings.changed({"latency_median_seconds": 1})
        assert world.offer(some(2)) == [Done()] * 2
        assert [value >= 1000 for value in world.telemetry[Metric.BULK_DISPATCH_LATENCY]] == [True] * 2
        assert world.telemetry[Metric.DISPATCH_LATENCY] == []

    @pytest.mark.parametrize(("rate", "most"), [(97, CHUNK), (10, 9), (1, 1), (0.5, 1)])
    def test_no_more_messages_are_claimed_at_once_than_the_horizon_has_slots(self, world, rate, most):
        world.governor = FakeGovernor(world.clock, 1 / rate)
        world.ledger = Watched(world.ledger, calls := {})
        world.offer(some(CHUNK))
        assert max(calls["insert_many"]) == most
        assert {entry.status for entry in world.simulator.log("send")} == {202}


class TestRules:
    @pytest.mark.parametrize(
        ("asked", "codes"),
        [
            ({"to": NOBODY}, ["not_opted_in"]),
            ({"to": "call me"}, ["invalid_recipient"]),
            ({"text": " "}, ["text_required"]),
            ({"text": "a" * 1531}, ["too_many_segments"]),
            ({"text": "\x1b", "to": NOBODY}, ["invalid_characters", "not_opted_in"]),
        ],
    )
    def test_a_record_that_breaks_a_rule_is_recorded_as_rejected_and_consumed(self, world, asked, codes):
        assert world.offer([record(**asked), record("good")]) == [Done(), Done()]
        (entry,) = world.entries_of()
        assert (entry.type, entry.data["error"], entry.data["codes"]) == ("rejected", codes[0], codes)
        assert not set(asked.values()) & set(json.dumps(entry.attributes()).split('"')), (
            "nothing stands there in the clear"
        )
        assert world.status("good") is Status.DISPATCHED
        assert world.telemetry[Metric.MESSAGES_REJECTED] == [1]
        world.clock.advance(1)
        assert world.offer([record(**asked)]) == [Done()]
        assert (world.trail(), world.telemetry[Metric.MESSAGES_REJECTED]) == (["rejected"], [1])

    def test_who_opted_out_since_the_batch_was_submitted_gets_nothing(self, world):
        world.opt(ConsentStatus.OPTED_OUT)
        assert world.offer([record()]) == [Done()]
        assert (world.trail(), world.posts()) == (["rejected"], 0)
        assert world.entries_of()[0].data["codes"] == ["opted_out"]

    def test_who_opts_out_before_another_try_gets_nothing_and_the_message_is_final(self, world):
        world.simulator.add_fault(Fault(action="status", operation="send", status=503))
        assert isinstance(world.offer([record()])[0], Later)
        world.opt(ConsentStatus.OPTED_OUT)
        assert world.offer([record()]) == [Done()]
        assert (world.trail(), world.posts()) == (["sending", "retrying", "rejected"], 1)

    def test_who_opts_out_after_the_sender_died_has_an_unknown_message(self, world):
        die_while_sending(world)
        world.opt(ConsentStatus.OPTED_OUT)
        (wait,) = world.offer([record()])
        assert isinstance(wait, Later)
        world.clock.advance(wait.seconds)
        assert world.offer([record()]) == [Done()]
        assert (world.trail(), world.posts()) == (["sending", "unknown"], 1)

    def test_what_was_sent_stays_sent_whoever_opts_out_later(self, world):
        world.offer([record()])
        world.opt(ConsentStatus.OPTED_OUT)
        assert world.offer([record()]) == [Done()]
        assert world.trail() == ["sending", "dispatched"]

    def test_a_refusal_by_cxone_is_final(self, world):
        world.simulator.add_fault(Fault(action="status", operation="send", status=400))
        assert world.offer([record()]) == [Done()]
        assert world.offer([record()]) == [Done()]
        assert (world.trail(), world.posts()) == (["sending", "rejected"], 1)


def die_while_sending(world, records=None):
    """Have a process die as soon as CXone has taken its first message."""

    class Dying(Injector):
        def call(self, function, *args, **options):
            answer = super().call(function, *args, **options)
            if world.simulator.accepted_messages():
                self._dead = True
            return answer

    with pytest.raises(Killed):
        world.offer(records or [record()], injector=Dying())


class TestOnce:
    def test_a_redelivered_record_is_not_sent_again(self, world):
        world.offer([record()])
        assert world.offer([record()]) == [Done()]
        assert (world.trail(), world.posts()) == (["sending", "dispatched"], 1)

    def test_a_record_that_is_twice_in_a_batch_is_sent_once_and_its_twin_seen_again(self, world):
        first, twin = world.offer([record(), record()])
        assert first == Done()
        assert isinstance(twin, Later)
        assert world.offer([record()]) == [Done()]
        assert world.posts() == 1

    def test_a_redrive_under_another_queue_id_sends_nothing_again(self, world):
        for _ in range(2):
            world.queue.send(json.dumps(record().body()))
            world.work_off()
        world.queue.dead.append((json.dumps(record().body()), None))
        world.queue.redrive()
        world.work_off()
        assert (len(world.queue), world.posts()) == (0, 1)

    def test_a_key_that_a_single_send_used_is_not_sent_in_bulk_nor_the_other_way_round(self, world):
        for key, first, second in (("a", single, offer_one), ("b", offer_one, single)):
            first(world, key)
            second(world, key)
            assert [each for each in world.trail(key) if each != "counted"] == ["sending", "dispatched"]
        assert world.taken() == [1, 1]

    def test_what_somebody_else_is_sending_waits_until_they_must_be_done(self, world):
        die_while_sending(world)
        (wait,) = world.offer([record()])
        left = deadline(world) - world.clock.now()
        assert left < wait.seconds <= left + 10
        assert (world.trail(), world.posts()) == (["sending"], 1)

    def test_what_a_dead_sender_left_is_unknown_and_settled_by_its_event(self, world):
        die_while_sending(world)
        world.clock.advance(60)
        assert world.offer([record()]) == [Done()]
        assert (world.trail(), world.posts()) == (["sending", "unknown"], 1)
        assert world.read_batch._ledger.batch_entries("batch")[-1].type == "unknown"
        world.deliver()
        assert world.status() is Status.DELIVERED

    def test_a_live_senders_time_covers_the_slowest_answer(self, world):
        world.simulator.settings = world.simulator.settings.changed({"latency_median_seconds": 19})
        seen = []
        injector = Injector()
        injector.begin(Plan(11, after=True, act=lambda: seen.extend(world.offer([record()]))))
        assert world.offer([record()], injector=injector) == [Done()]
        assert isinstance(seen[0], Later)
        assert world.trail() == ["sending", "dispatched"]

    @pytest.mark.parametrize("to", ["+15551234567", NOBODY])
    def test_a_reference_with_another_body_is_put_aside(self, world, to):
        world.offer([record(to=to)])
        for other in (record(to=to, text="another"), record(to=to, campaign_id="c"), record(to=to, sender="54321")):
            assert world.offer([other]) == [Unusable("idempotency_key_reused")]
        assert world.taken() == [1] * (to != NOBODY)

    def test_a_reference_that_is_to_be_tried_again_is_not_good_for_another_body(self, world):
        world.simulator.add_fault(Fault(action="status", operation="send", status=503))
        world.offer([record()])
        assert world.offer([record(text="another")]) == [Unusable("idempotency_key_reused")]
        world.clock.advance(PAUSE)
        assert world.offer([record()]) == [Done()]
        assert [message.text for message in world.simulator.accepted_messages()] == [TEXT]

    def test_an_early_event_that_takes_the_outcomes_sequence_loses_nothing(self, world):
        world.simulator.settings = world.simulator.settings.changed({"latency_median_seconds": 1})
        gateway = world.batch_sender()
        send = gateway._chunks._dispatcher._gateway.send

        def send_and_hear_of_it(*args):
            outcome = send(*args)
            world.clock.advance(2)
            world.deliver()
            return outcome

        gateway._chunks._dispatcher._gateway.send = send_and_hear_of_it
        assert world.offer([record()], sender=gateway) == [Done()]
        assert world.trail() == ["sending", "delivery", "delivery", "delivery", "dispatched"]
        assert world.entries_of()[-1].index["cxoneMessageId"] == world.simulator.accepted_messages()[0].id
        assert world.status() is Status.DELIVERED
        assert world.telemetry[Metric.MESSAGES_DISPATCHED] == [1]


class TestSeveralBatches:
    """A reference that another batch, or a single send, has used already."""

    def test_who_comes_later_counts_what_the_first_one_sent(self, world):
        world.offer([record(batch_id="first")])
        assert world.offer([record(batch_id="later")]) == [Done()]
        assert world.posts() == 1
        assert counts(world) == {"first": {"dispatched": 1}, "later": {"dispatched": 1}}

    def test_what_was_sent_by_itself_counts_too(self, world):
        single(world, "r")
        world.offer([record(batch_id="later")])
        assert counts(world) == {"later": {"dispatched": 1}}

    @pytest.mark.parametrize("first", [lambda world: world.offer([record(batch_id="first")]), lambda w: single(w, "r")])
    def test_all_of_them_follow_what_becomes_of_it(self, world, first):
        first(world)
        for batch_id in ("second", "third"):
            world.offer([record(batch_id=batch_id)])
        world.clock.advance(60)
        world.deliver()
        assert {json.dumps(each) for each in counts(world).values()} == {'{"delivered": 1}'}
        assert {"second", "third"} <= counts(world).keys()

    def test_a_record_that_comes_again_adds_nothing(self, world):
        world.offer([record(batch_id="first")])
        for batch_id in ("first", "later", "later", "first", "later", None):
            world.offer([record(batch_id=batch_id)])
        assert world.trail() == ["sending", "dispatched", "counted"]
        world.clock.advance(60)
        world.deliver()
        world.offer([record(batch_id="later")])
        assert world.trail() == ["sending", "dispatched", "counted", *["delivery"] * 3, "counted"]

    def test_the_message_itself_says_the_same_as_before(self, world):
        world.offer([record(batch_id="first")])
        before = Message.of(world.entries_of())
        world.clock.advance(100)
        world.offer([record(batch_id="later"), record(batch_id="other", text="another")])
        world.offer([record(batch_id="other", text="another")])
        assert Message.of(world.entries_of()) == before
        assert len(world.entries_of()) == 4

    def test_what_is_being_sent_counts_once_it_has_come_to_an_end(self, world):
        die_while_sending(world)
        (wait,) = world.offer([record(batch_id="later")])
        assert counts(world) == {"batch": {"sending": 1}}
        world.clock.advance(wait.seconds)
        world.offer([record(batch_id="later")])
        assert counts(world) == {"batch": {"unknown": 1}, "later": {"unknown": 1}}

    def test_of_a_message_that_one_tried_and_another_sent_both_count_the_same(self, world):
        world.simulator.add_fault(Fault(action="status", operation="send", status=503))
        world.offer([record(batch_id="first")])
        assert counts(world) == {"first": {"retrying": 1}}
        world.clock.advance(PAUSE)
        world.offer([record(batch_id="later")])
        assert counts(world) == {"first": {"dispatched": 1}, "later": {"dispatched": 1}}
        world.clock.advance(60)
        world.deliver()
        assert counts(world) == {"first": {"delivered": 1}, "later": {"delivered": 1}}

    def test_a_batch_counts_what_a_single_send_made_of_its_message(self, world):
        world.simulator.add_fault(Fault(action="status", operation="send", status=503))
        world.offer([record()])
        world.clock.advance(PAUSE)
        single(world, "r")
        assert counts(world) == {"batch": {"dispatched": 1}}

    def test_what_a_slow_sender_says_after_all_counts_everywhere(self, world):
        assert world.offer([record(batch_id="first")], injector=slow(world, refuses)) == [Done()]
        assert world.trail() == ["sending", "unknown", "counted", "rejected", "counted"]
        assert counts(world) == {"first": {"rejected": 1}, "later": {"rejected": 1}}

    def test_what_a_slow_single_sender_says_after_all_counts_too(self, world):
        with pytest.raises(MessagingError):
            world.sender(slow(world, refuses)).send(record().request, "r", world.within(28.0))
        assert world.trail() == ["sending", "unknown", "counted", "rejected", "counted"]
        assert counts(world) == {"later": {"rejected": 1}}

    def test_another_try_of_a_slow_sender_counts_everywhere(self, world):
        world.offer([record(batch_id="first")], injector=slow(world, throttles))
        assert counts(world) == {"first": {"retrying": 1}, "later": {"retrying": 1}}
        refuses(world)
        world.clock.advance(PAUSE)
        world.offer([record(batch_id="first")])
        assert counts(world) == {"first": {"rejected": 1}, "later": {"rejected": 1}}

    def test_another_try_that_dies_is_unknown_everywhere(self, world):
        world.offer([record(batch_id="first")], injector=slow(world, throttles))
        world.clock.advance(PAUSE)
        die_while_sending(world, [record(batch_id="first")])
        world.clock.advance(60)
        world.read(world.pseudonyms.message_id("r"))
        assert counts(world) == {"first": {"unknown": 1}, "later": {"unknown": 1}}

    def test_what_broke_off_before_it_was_counted_is_made_good_by_the_event_that_comes_again(self, world):
        for batch_id in ("first", "later"):
            world.offer([record(batch_id=batch_id)])
        world.clock.advance(60)
        insert = world.ledger.insert
        world.ledger.insert = lambda entry: broken() if entry.type == "counted" else insert(entry)
        due = world.simulator.due_events()
        for answer in (pytest.raises(StorageError), nullcontext()):
            with answer:
                event = json.loads(due[-1].body)
                told = DeliveryEvent(event["messageId"], event["status"], event["to"], event["timestamp"])
                world.record(told, world.pseudonyms.message_id("r"))
            world.ledger.insert = insert
        assert counts(world) == {"first": {"delivered": 1}, "later": {"delivered": 1}}
        assert world.telemetry[Metric.MESSAGES_DELIVERED] == [1]

    def test_a_record_that_cant_be_counted_comes_back(self, world):
        world.offer([record(batch_id="first")])
        world.ledger.insert = lambda entry: broken()
        (wait,) = world.offer([record(batch_id="later")])
        (reused,) = world.offer([record(batch_id="later", text="another")])
        assert isinstance(wait, Later)
        assert isinstance(reused, Later)

    def test_a_reference_that_is_of_another_counts_as_rejected_whatever_becomes_of_that_one(self, world):
        world.offer([record(batch_id="first")])
        for _ in range(2):
            reused = world.offer([record(batch_id="later", text="another")])
            assert reused == [Unusable("idempotency_key_reused")]
        assert world.trail() == ["sending", "dispatched", "refused"]
        assert counts(world) == {"first": {"dispatched": 1}, "later": {"rejected": 1}}
        world.clock.advance(60)
        world.deliver()
        assert counts(world) == {"first": {"delivered": 1}, "later": {"rejected": 1}}

    def test_another_record_of_the_same_batch_and_reference_changes_no_count(self, world):
        world.offer([record(batch_id="first")])
        world.offer([record(batch_id="later")])
        for batch_id in ("first", "later"):
            assert world.offer([record(batch_id=batch_id, text="another")]) == [Unusable("idempotency_key_reused")]
        assert world.trail() == ["sending", "dispatched", "counted"]
        assert counts(world) == {"first": {"dispatched": 1}, "later": {"dispatched": 1}}

    def test_who_was_refused_does_not_count_what_was_sent_by_itself(self, world):
        single(world, "r")
        world.offer([record(batch_id="later", text="another")])
        world.clock.advance(60)
        world.deliver()
        assert counts(world) == {"later": {"rejected": 1}}

    def test_a_message_of_one_batch_gets_no_entry_for_it(self, world):
        world.offer([record()])
        world.clock.advance(60)
        world.deliver()
        world.offer([record()])
        assert world.trail() == ["sending", "dispatched", *["delivery"] * 3]


def counts(world):
    """Count each batch's messages by status."""
    entries = [entry for subject in world.ledger.subjects() for entry in world.ledger.read(subject)]
    batches = {entry.index["batchId"] for entry in entries if "batchId" in entry.index}
    return {batch_id: count_by_status(world.ledger.batch_entries(batch_id), 0) for batch_id in batches}


def refuses(world):
    world.simulator.add_fault(Fault(action="status", operation="send", status=400))


def throttles(world):
    world.simulator.add_fault(Fault(action="status", operation="send", status=429))


def slow(world, answers):
    """Hold a sender up behind CXone's answer, until its time is over and a later batch's record came by."""
    answers(world)

    class Slow(Injector):
        held_up = False

        def call(self, function, *args, **options):
            answer = super().call(function, *args, **options)
            if world.posts() and not self.held_up:
                self.held_up = True
                world.clock.advance(60)
                world.offer([record(batch_id="later")])
            return answer

    return Slow()


def broken():
    raise StorageError("not now")


def deadline(world):
    return parse_time(Message.of(world.entries_of()).deadline).timestamp()


def single(world, key):
    world.sender().send(record().request, key, world.within(28.0))


def offer_one(world, key):
    assert world.offer([record(key)]) == [Done()]


class TestNotNow:
    def test_a_throttled_message_is_tried_again_when_cxone_says(self, world):
        world.simulator.add_fault(Fault(action="status", operation="send", status=429, retry_after_seconds=8))
        dispositions = world.offer(some(CHUNK))
        assert dispositions[0] == Later(8.0)
        assert world.trail("r0") == ["sending", "retrying"]
        held = [number for number, each in enumerate(dispositions) if isinstance(each, Later)]
        assert len(held) > 1, "the fleet waits, this process too"
        assert all(7 < dispositions[number].seconds <= 8 for number in held)
        assert all(world.trail(f"r{number}") == ["sending", "retrying"] for number in held)
        world.clock.advance(9)
        assert world.offer(some(CHUNK)) == [Done()] * CHUNK
        assert world.taken() == [1] * CHUNK
        assert world.trail("r0") == ["sending", "retrying", "sending", "dispatched"]
        assert world.telemetry[Metric.THROTTLED] == [1]

    def test_a_short_hold_is_waited_out_by_the_rest_of_the_chunk(self, world):
        world.simulator.add_fault(Fault(action="status", operation="send", status=429, retry_after_seconds=1))
        began = world.clock.now()
        assert world.offer(some(CHUNK)) == [Done()] * CHUNK
        assert world.trail("r0") == ["sending", "retrying", "sending", "dispatched"]
        assert world.trail("r24") == ["sending", "dispatched"]
        assert world.simulator.log("send")[-1].time >= began + 1

    def test_what_was_refused_goes_out_before_the_rest_of_the_batch(self, world):
        world.simulator.add_fault(Fault(action="status", operation="send", status=429))
        assert world.offer(some(80)) == [Done()] * 80
        order = [message.webhook_url.split("ref=")[1].split("&")[0] for message in world.simulator.accepted_messages()]
        place = order.index(world.pseudonyms.message_id("r0"))
        assert place <= 74, "its pause of half a second, from its entry on, is over after three chunks"
        assert world.trail("r0") == ["sending", "retrying", "sending", "dispatched"]
        assert world.telemetry[Metric.THROTTLED] == [1]

    def test_what_is_refused_again_and_again_goes_back_on_the_queue(self, world):
        world.simulator.add_fault(Fault(action="status", operation="send", status=429, times=20))
        dispositions = world.offer(some(1))
        assert isinstance(dispositions[0], Later)
        assert world.posts() == 4, "after pauses of 0.5, 1 and 2 seconds"
        assert world.trail("r0") == ["sending", "retrying"] * 4

    def test_a_full_schedule_is_waited_for_a_moment(self, world):
        world.governor.next_slot = world.clock.now() + 3
        assert world.offer(some(2)) == [Done(), Done()]

    def test_a_schedule_that_is_full_for_longer_sends_the_records_back(self, world):
        world.governor.next_slot = world.clock.now() + 30
        dispositions = world.offer(some(2))
        assert all(29 <= each.seconds <= 40 for each in dispositions)
        assert world.trail("r0") == []

    def test_while_the_circuit_is_open_nothing_is_entered_and_all_go_back_until_it_reopens(self, world):
        world.governor.failures, world.governor.open_until = FAILURES_TO_OPEN, world.clock.now() + 50
        dispositions = world.offer(some(60))
        assert all(50 <= each.seconds <= 60 for each in dispositions)
        assert len({each.seconds for each in dispositions}) > 1, "they don't come back all at once"
        assert (world.posts(), [each for each in world.ledger.subjects() if each.startswith("message#")]) == (0, [])

    def test_a_probe_takes_exactly_one_record(self, world):
        world.governor.failures, world.governor.open_until = FAILURES_TO_OPEN, world.clock.now()
        world.simulator.add_fault(DOWN)
        dispositions = world.offer(some(60))
        assert world.posts() == 1
        assert all(isinstance(each, Later) for each in dispositions)
        assert [reference for reference in range(60) if world.trail(f"r{reference}")] == [0]

    def test_a_probe_that_succeeds_lets_the_others_follow(self, world):
        world.governor.failures, world.governor.open_until = FAILURES_TO_OPEN, world.clock.now()
        assert world.offer(some(60)) == [Done()] * 60

    def test_a_probe_in_exchange_for_missed_slots_takes_exactly_one_record_too(self, world):
        class Opening(FakeGovernor):
            def check(self, slots):
                if not slots.probe:
                    self.failures, self.open_until = FAILURES_TO_OPEN, 0.0
                    raise SlotMissedError

        world.governor = Opening(world.clock)
        world.simulator.add_fault(DOWN)
        dispositions = world.offer(some(CHUNK))
        assert world.posts() == 1
        assert all(isinstance(each, Later) for each in dispositions)

    def test_a_probe_is_used_however_late(self, world):
        world.governor.failures, world.governor.open_until = FAILURES_TO_OPEN, world.clock.now()
        insert_many = world.ledger.insert_many

        def slow(entries):
            world.clock.advance(1)
            return insert_many(entries)

        world.ledger.insert_many = slow
        assert world.offer(some(3)) == [Done()] * 3
        assert world.trail("r0") == ["sending", "dispatched"]

    def test_a_probe_that_nothing_is_sent_with_is_given_back(self, world):
        world.offer([record()])
        world.governor.failures, world.governor.open_until = FAILURES_TO_OPEN, world.clock.now()
        assert world.offer([record()]) == [Done()]
        assert world.offer([record("another")]) == [Done()]

    def test_without_a_token_nothing_is_entered(self, world):
        world.simulator.add_fault(Fault(action="status", operation="token_sms", status=500, times="forever"))
        began = world.clock.monotonic()
        dispositions = world.offer(some(30))
        assert all(isinstance(each, Later) and each.seconds >= 1 for each in dispositions)
        assert world.clock.monotonic() - began <= 60
        assert (world.posts(), world.trail("r0")) == (0, [])
        world.simulator.faults.clear()
        world.clock.advance(30)
        assert world.offer(some(30)) == [Done()] * 30

    def test_what_there_is_no_time_for_goes_back_unharmed(self, world):
        assert world.offer([*some(3), record(to=NOBODY)], seconds=39) == [Later(0)] * 4
        assert (world.posts(), world.trail("r0"), world.trail()) == (0, [], [])

    def test_each_chunk_looks_at_the_time(self, world):
        world.simulator.settings = world.simulator.settings.changed({"latency_median_seconds": 0.5})
        dispositions = world.offer(some(100), seconds=50)
        done = dispositions.count(Done())
        assert CHUNK <= done < 100
        assert dispositions == [Done()] * done + [Later(0)] * (100 - done)
        assert world.trail(f"r{done}") == []

    def test_what_a_slow_probe_leaves_no_time_for_goes_back_unharmed(self, world):
        world.governor.failures, world.governor.open_until = FAILURES_TO_OPEN, world.clock.now()
        world.simulator.settings = world.simulator.settings.changed({"latency_median_seconds": 18})
        assert world.offer(some(3), seconds=50) == [Done(), Later(0), Later(0)]
        assert world.trail("r1") == []


class TestOnTheQueue:
    def test_a_malformed_record_is_put_aside_at_once_with_its_reason(self, world):
        malformed = ["", "no json", "[]", '{"reference": "x"}', '{"reference": "", "to": "1", "text": "x"}',
                     '{"reference": "x", "to": 1, "text": "x"}', '{"reference": "x", "to": "1", "text": "x", "n": 1}',
                     json.dumps({"reference": "x" * 256, "to": "1", "text": "x"})]  # fmt: skip
        for body in malformed:
            world.queue.send(body)
        world.queue.send(json.dumps(record().body()))
        assert world.poll() == len(malformed) + 1
        assert world.queue.dead == [(body, "malformed_record") for body in malformed]
        assert (len(world.queue), world.posts(), world.queue.most_receives) == (0, 1, 1)

    def test_a_reused_reference_is_put_aside_with_its_reason(self, world):
        body = json.dumps(record(text="another").body())
        world.offer([record()])
        world.queue.send(body)
        world.work_off()
        assert world.queue.dead == [(body, "idempotency_key_reused")]

    @pytest.mark.parametrize("body", ["malformed", json.dumps(record(text="another").body())])
    def test_what_cant_be_put_aside_is_failed_and_seen_again(self, world, body):
        world.offer([record()])
        world.queue.send(body)
        send_to_dead_letters, world.queue.send_to_dead_letters = world.queue.send_to_dead_letters, lambda *_: False
        world.poll()
        assert (len(world.queue), world.queue.dead) == (1, [])
        world.queue.send_to_dead_letters = send_to_dead_letters
        world.work_off()
        assert (len(world.queue), len(world.queue.dead)) == (0, 1)

    def test_what_cant_be_put_back_is_failed_and_seen_again(self, world):
        world.simulator.add_fault(Fault(action="status", operation="send", status=503))
        world.queue.put([record()])
        put, world.queue.put = world.queue.put, lambda records, _: [False] * len(records)
        world.poll()
        assert len(world.queue) == 1
        world.queue.put = put
        world.work_off()
        assert (len(world.queue), world.taken()) == (0, [1])

    def test_what_has_to_wait_goes_back_as_it_came(self, world):
        first = record(campaign_id="c", sender="54321", text="Grüße €")
        world.simulator.add_fault(Fault(action="status", operation="send", status=503))
        world.queue.put([first])
        world.work_off()
        (message,) = world.simulator.accepted_messages()
        assert (message.text, message.campaign_id) == ("Grüße €", "c")
        assert {entry.index["batchId"] for entry in world.entries_of()} == {"batch"}

    def test_an_outage_of_an_hour_spends_no_receives_and_loses_nothing(self):
        world = World(Settings(delivery_steps=Settings().delivery_steps[-1:]))
        world.opt(ConsentStatus.OPTED_IN)
        world.simulator.add_fault(DOWN)
        world.queue.put(some(30))
        ends = world.clock.now() + 3600
        world.work_off(until=ends)
        assert (len(world.queue), world.queue.dead, world.queue.most_receives) == (30, [], 1)
        tried = world.posts()
        assert tried <= CHUNK + 3600 / 5, "each probe is one message, and there is one in five seconds at most"
        world.clock.advance(ends - world.clock.now())
        world.simulator.faults.clear()
        world.work_off()
        world.clock.advance(5)
        world.deliver()
        assert world.taken() == [1] * 30
        assert {world.status(f"r{number}") for number in range(30)} == {Status.DELIVERED}
        assert (world.queue.dead, world.queue.most_receives) == ([], 1)
        assert world.clock.now() - ends <= 180, "it is quick once CXone is back"


class TestStorage:
    """A store that fails, or a process that dies, at any step: nobody is sent to twice, and no record is lost."""

    @pytest.mark.parametrize("after", [False, True])
    @pytest.mark.parametrize("what", ["lose_answer", "kill"])
    @pytest.mark.parametrize("at", range(1, 20))
    def test_a_fault_at_any_step(self, world, at, what, after):
        world.queue.put(some(4))
        world.queue.send(json.dumps(record(to=NOBODY).body()))
        injector = Injector()
        injector.begin(Plan(at, after=after, **{what: True}))
        try:
            world.poll(injector)
        except Killed:
            assert what == "kill"
        world.work_off()
        world.clock.advance(5)
        world.deliver()
        assert (len(world.queue), world.queue.dead) == (0, [])
        sent = world.accepted()
        assert world.trail() == ["rejected"]
        for number in range(4):
            messages = sent.get(world.pseudonyms.message_id(f"r{number}"), [])
            assert len(messages) <= 1
            assert world.status(f"r{number}") is (Status.DELIVERED if messages else Status.UNKNOWN)

    def test_there_are_that_many_steps(self, world):
        world.queue.put(some(4))
        world.queue.send(json.dumps(record(to=NOBODY).body()))
        injector = Injector()
        world.poll(injector)
        assert injector._count == 19

    def test_one_messages_trouble_keeps_no_other_from_being_sent(self, world):
        world.offer([record("r1")])
        read = world.ledger.read

        def unreadable(subject):
            if world.pseudonyms.message_id("r1") in subject:
                raise StorageError("not now")
            return read(subject)

        world.ledger.read = unreadable
        dispositions = world.offer(some(3))
        assert (dispositions[0], dispositions[2]) == (Done(), Done())
        assert isinstance(dispositions[1], Later)

    @pytest.mark.parametrize("step", [1, 2])
    def test_an_insert_that_failed_brings_the_record_back_and_nothing_goes_out_twice(self, world, step):
        calls, insert_many = [], world.ledger.insert_many

        def failing(entries):
            if entries:
                calls.append(entries)
            if entries and len(calls) == step:
                return [Insertion.FAILED] * len(entries)
            return insert_many(entries)

        world.ledger.insert_many = failing
        world.queue.put(some(2))
        world.poll()
        assert (world.posts(), len(world.queue)) == (0 if step == 1 else 2, 2)
        world.work_off()
        assert world.taken() == [1, 1]
        expected = Status.DISPATCHED if step == 1 else Status.UNKNOWN
        assert [world.status(f"r{number}") for number in range(2)] == [expected] * 2
        assert len(world.queue) == 0

    def test_an_outcome_that_cant_be_entered_behind_an_early_event_brings_the_record_back(self, world):
        insert_many, insert = world.ledger.insert_many, world.ledger.insert

        def taken_by_events(entries):
            if entries and entries[0].type == "dispatched":
                return [Insertion.TAKEN] * len(entries)
            return insert_many(entries)

        def broken(entry):
            raise StorageError("not now")

        world.ledger.insert_many, world.ledger.insert = (
            taken_by_events,
            lambda entry: broken(entry) if entry.type == "dispatched" else insert(entry),
        )
        dispositions = world.offer(some(2))
        assert all(isinstance(each, Later) for each in dispositions)

    def test_a_schedule_that_cant_be_read_stops_the_rest_of_the_chunk(self, world):
        looks, check = [], world.governor.check

        def unreadable(slots):
            looks.append(slots)
            if len(looks) == 2:
                raise StorageError("not now")
            check(slots)

        world.governor.check = unreadable
        dispositions = world.offer(some(CHUNK))
        assert dispositions.count(Done()) == world.posts() == 13
        assert world.trail("r24") == ["sending", "retrying"]
        world.clock.advance(PAUSE)
        assert world.offer(some(CHUNK)) == [Done()] * CHUNK
        assert world.taken() == [1] * CHUNK

    def test_a_number_is_opted_in_by_itself(self, world):
        other = PhoneNumber.parse("+15551230000")
        world.opt(ConsentStatus.OPTED_OUT, other)
        world.offer([record("a", to=other.e164), record("b")])
        assert (world.status("a"), world.status("b")) == (Status.REJECTED, Status.DISPATCHED)
