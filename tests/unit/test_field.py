"""What the field does to a send: odd waits, slow claims, holds without end, a recipient's word in between."""

import json
import random
import time
from email.utils import formatdate

import pytest
from botocore.exceptions import ReadTimeoutError

from cxone_messaging.adapters.dynamodb.ledger import DynamoLedger
from cxone_messaging.domain import subjects
from cxone_messaging.domain.batches import BulkRecord
from cxone_messaging.domain.consents import ConsentStatus
from cxone_messaging.domain.errors import Code, MessagingError, StorageError
from cxone_messaging.domain.messages import Message, Status
from cxone_messaging.domain.phone_numbers import PhoneNumber
from cxone_messaging.domain.retries import MOST_TRIES, pause_after
from cxone_messaging.domain.sms import SmsRequest
from cxone_messaging.use_cases.consents import ConsentFromEvent
from local.simulator import Fault, Settings
from local.simulator.wire import Response
from tests.dynamo import FakeDynamo
from tests.fakes import EPOCH, InlineExecutor, just_refused
from tests.worlds import RECIPIENT, Killed, World

REQUEST = SmsRequest(RECIPIENT.e164, "Your code is 849201")


@pytest.fixture
def world():
    world = World(Settings(delivery_steps=[]))
    world.opt(ConsentStatus.OPTED_IN)
    return world


def send(world, key="k", seconds=28.0, sender=None):
    try:
        return (sender or world.sender()).send(REQUEST, key, world.within(seconds))
    except MessagingError as error:
        return error


def put(world, count=1):
    for number in range(count):
        world.queue.send(json.dumps(BulkRecord(f"r{number}", REQUEST, "batch").body()))


def statuses(world, count):
    named = [subjects.message(world.pseudonyms.message_id(f"r{number}")) for number in range(count)]
    return [Message.of(world.ledger.read(subject)).status for subject in named]


def date(seconds, form=None):
    instant = EPOCH + seconds
    return time.strftime(form, time.gmtime(instant)) if form else formatdate(instant, usegmt=True)


RFC_850, ASCTIME = "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"
WAITS = [
    None, "", " ", "0", "00", "0.0", "0.001", "0.5", "1", "1.5", "2", "7", "-1", "-0", "+3", "1e3", "1e-9", "nan",
    "inf", "9" * 5, "9" * 400,
    "soon", "1 s", "0x10", "0, 0", "0, 2", "٣", "\x00", date(0), date(-1), date(-5), date(-86_400),
    date(2), date(600), date(86_400 * 365), date(0, RFC_850), date(-5, RFC_850), date(3, RFC_850), date(0, ASCTIME),
    date(-5, ASCTIME), date(3, ASCTIME), f"{date(0)}, {date(0)}", "Sun, 06 Nov 1994 99:99:99 GMT",
]  # fmt: skip


class TestRetryAfter:
    @pytest.mark.parametrize("status", [429, 503])
    @pytest.mark.parametrize("sent_at", [None, 0, -5, 600])
    @pytest.mark.parametrize("wait", WAITS)
    def test_no_wait_that_an_answer_asks_for_makes_a_storm_or_a_halt(self, world, wait, sent_at, status):
        """Not by a caller who asks again and again with the same key, either."""
        send(world, "first")
        posts, handle = [], world.simulator.handle

        def throttle(request):
            if not request.path.endswith("/sms/send"):
                return handle(request)
            posts.append(world.clock.now())
            headers = {} if wait is None else {"Retry-After": wait}
            return Response(status, headers=headers if sent_at is None else {**headers, "Date": date(sent_at)})

        world.simulator.handle = throttle
        began = world.clock.now()
        while world.clock.now() < began + 30:
            assert isinstance(send(world), MessagingError)
            assert world.governor.held_until <= world.clock.now() + 900
            world.clock.advance(0.5)
        assert 1 <= sum(post < began + 30 for post in posts) <= 8

    def test_five_tries_of_one_message_take_their_time(self, world):
        """So that they do not open the circuit for everybody within milliseconds."""
        world.simulator.add_fault(Fault(action="status", operation="send", status=503, times="forever"))
        send(world)
        times = [entry.time for entry in world.simulator.log("send")]
        assert len(times) <= MOST_TRIES
        assert times[4] - times[0] >= sum(pause_after(number) for number in range(1, 5))

    def test_the_pause_grows_whoever_tries(self, world):
        world.simulator.add_fault(Fault(action="status", operation="send", status=503, times=3))
        put(world)
        world.poll()
        error = send(world, "r0", seconds=8.5)
        assert (error.code, "too_early" in error.detail) == (Code.CXONE_UNAVAILABLE, True)
        assert world.trail("r0") == ["sending", "retrying"]
        world.clock.advance(pause_after(1))
        assert send(world, "r0", seconds=8.2).code is Code.CXONE_UNAVAILABLE
        assert len(world.simulator.log("send")) == 2
        world.work_off()
        assert world.trail("r0")[-1] == "dispatched"

    @pytest.mark.parametrize("answers", [[401], [401, 503], [401, 429], [503], [429]])
    def test_a_message_is_posted_eight_times_in_half_a_minute_at_most_whoever_tries(self, world, answers):
        """A try whose token is refused takes two posts."""
        posts, handle = [], world.simulator.handle

        def answer(request):
            if not request.path.endswith("/sms/send"):
                return handle(request)
            posts.append(world.clock.now())
            return Response(answers[(len(posts) - 1) % len(answers)])

        senders = [world.sender(), world.sender()]
        send(world, "first", sender=senders[0])
        world.simulator.handle = answer
        began = world.clock.now()
        for number in range(200):
            send(world, sender=senders[number % 2])
            world.clock.advance(0.5)
        assert max(sum(begin <= post < begin + 30 for post in posts) for begin in posts) <= 8
        assert posts[-1] > began + 60, "nor is it given up"

    def test_the_shortest_pauses_double_up_to_ten_seconds(self):
        assert [pause_after(tries) for tries in (1, 2, 3, 4, 5, 6, 1_000_000)] == [0.2, 1, 2, 4, 8, 10, 10]


class TestOneDeadline:
    def test_what_was_claimed_too_slowly_is_not_posted(self, world):
        """A reader takes its sender for dead: then it must be, or two could send."""
        put(world)
        insert_many = world.ledger.insert_many

        def slowly(entries):
            answer = insert_many(entries)
            if entries and entries[0].type == "sending":
                world.clock.advance(41)
                world.read(world.pseudonyms.message_id("r0"))
            return answer

        world.ledger.insert_many = slowly
        world.poll(seconds=100)
        assert world.trail("r0") == ["sending", "unknown", "retrying"]
        assert world.simulator.accepted_messages() == []
        world.ledger.insert_many = insert_many
        world.work_off()
        assert statuses(world, 1) == [Status.DISPATCHED]

    def test_a_single_send_that_was_claimed_too_slowly_is_not_posted(self, world):
        insert = world.ledger.insert

        def slowly(entry):
            insert(entry)
            if entry.type == "sending":
                world.clock.advance(26)

        world.ledger.insert = slowly
        assert send(world).code in {Code.CXONE_UNAVAILABLE, Code.RATE_LIMITED}
        assert (world.trail("k"), world.simulator.accepted_messages()) == (["sending", "retrying"], [])

    def test_holds_that_go_on_and_on_are_not_waited_out_past_the_deadline(self, world):
        """Somebody else's 429s, each asking for a second: Lambda would end the function with 25 claims open."""
        put(world, 25)
        began, check, sleep, storm = world.clock.now(), world.governor.check, world.clock.sleep, [True]

        def held(slots):
            if storm[0]:
                world.governor.throttled(1.0, just_refused(world.clock, world.governor.pace_version))
            check(slots)

        def watched(seconds):
            sleep(seconds)
            if world.clock.now() > began + 60:
                raise Killed

        world.governor.check, world.clock.sleep = held, watched
        world.poll()
        assert statuses(world, 25) == [Status.DISPATCHED] + [Status.RETRYING] * 24
        storm[0], world.clock.sleep = False, sleep
        world.work_off()
        assert statuses(world, 25) == [Status.DISPATCHED] * 25

    @pytest.mark.parametrize("seconds", [3.0, 31.0])
    def test_a_worker_that_is_frozen_within_a_chunk_posts_nothing_late(self, world, seconds):
        put(world, 25)
        worker = world.batch_sender()
        send_one, sent = worker._chunks._dispatcher._gateway.send, []

        def frozen(*args):
            if len(sent) == 5:
                world.clock.advance(seconds)
            sent.append(args)
            return send_one(*args)

        worker._chunks._dispatcher._gateway.send = frozen
        bodies = [BulkRecord(f"r{number}", REQUEST, "batch") for number in range(25)]
        worker(bodies, world.within(60.0))
        world.check_posts()
        assert Status.UNKNOWN not in statuses(world, 25)
        world.work_off()
        assert Status.SENDING not in statuses(world, 25)


class TestTheClockIsSet:
    """Back, between a slot's reservation and its time: no slot lies so far ahead that anybody should wait for it."""

    @pytest.fixture(params=[20, 600, 3_600])
    def set_back(self, world, request):
        governor, clock = world.governor, world.clock
        reserve, now = governor.reserve, clock.now

        def reserve_and_set_back(count, horizon):
            slots = reserve(count, horizon)
            clock.now = lambda: now() - request.param
            governor.reserve, governor.next_slot = reserve, 0.0
            return slots

        governor.reserve = reserve_and_set_back
        return clock.monotonic()

    def test_a_single_send_waits_for_nothing(self, world, set_back):
        assert send(world).message.status is Status.DISPATCHED
        assert world.clock.monotonic() - set_back < 5

    def test_nor_does_a_bulk_worker(self, world, set_back):
        world.batch_sender()([BulkRecord(f"r{number}", REQUEST, "batch") for number in range(2)], world.within(60.0))
        assert statuses(world, 2) == [Status.DISPATCHED] * 2
        assert world.clock.monotonic() - set_back < 5


class TestLostClaims:
    """The answer of a bulk claim is lost, and DynamoDB goes on failing for a while."""

    @pytest.mark.parametrize("which", [None, 0, 24])
    @pytest.mark.parametrize("slow", [0.01, 6.0])
    def test_no_message_ends_unknown_that_nobody_posted(self, world, which, slow):
        dynamo = FakeDynamo()
        world.ledger = DynamoLedger(dynamo, "ledger", clock=world.clock, rng=random.Random(1))
        put(world, 25)
        failing = None if which is None else subjects.message(world.pseudonyms.message_id(f"r{which}"))
        insert, query, until = dynamo.batch_execute_statement, dynamo.query, []

        def lose_first(**asked):
            answer = insert(**asked)
            if not until:
                until.append(world.clock.now() + 6)
                raise ReadTimeoutError(endpoint_url="dynamodb")
            return answer

        def fail_for_a_while(**asked):
            subject = asked["ExpressionAttributeValues"].get(":subject", {}).get("S")
            if until and world.clock.now() < until[0] and failing in {None, subject}:
                world.clock.advance(slow)
                raise ReadTimeoutError(endpoint_url="dynamodb")
            return query(**asked)

        dynamo.batch_execute_statement, dynamo.query = lose_first, fail_for_a_while
        world.work_off()
        assert statuses(world, 25) == [Status.DISPATCHED] * 25
        assert len(world.simulator.accepted_messages()) == 25

    def test_a_single_sends_lost_claim_is_read_back_for_as_long_as_there_is_time(self, world):
        insert, read, lost = world.ledger.insert, world.ledger.read, []

        def lose(entry):
            insert(entry)
            if entry.type == "sending" and not lost:
                lost.append(world.clock.now() + 6)
                raise StorageError("the answer was lost")

        def fail_for_a_while(subject):
            if lost and world.clock.now() < lost[0]:
                raise StorageError("not now")
            return read(subject)

        world.ledger.insert, world.ledger.read = lose, fail_for_a_while
        assert send(world).message.status is Status.DISPATCHED


def test_a_bulk_sender_without_room_for_threads_sends_one_after_the_other(world):
    class Full(InlineExecutor):
        def submit(self, *args, **options):
            raise RuntimeError("can't start new thread")

    worker = world.batch_sender(executor=Full())
    worker([BulkRecord(f"r{number}", REQUEST, "batch") for number in range(5)], world.within(60.0))
    assert statuses(world, 5) == [Status.DISPATCHED] * 5


def test_a_consent_that_cannot_be_made_sense_of_holds_the_message_back(world):
    find, looks = world.consents.find, []

    def damaged(recipient_hash):
        looks.append(recipient_hash)
        if len(looks) > 1:
            raise KeyError("status")
        world.clock.advance(1)
        return find(recipient_hash)

    world.consents.find = damaged
    sender = world.sender()
    wait_for = sender._dispatcher.wait_for
    sender._dispatcher.wait_for = lambda slot, deadline: (world.clock.advance(3), wait_for(slot, deadline))[1]
    assert send(world, sender=sender, seconds=12).code is Code.CXONE_UNAVAILABLE
    assert (world.trail("k"), world.simulator.accepted_messages()) == (["sending", "retrying"], [])


class TestWordsThatComeBetween:
    @pytest.mark.parametrize("what", ["find_many", "reject"])
    def test_a_bulk_entry_never_cites_a_consent_that_was_read_too_long_ago(self, world, what):
        """Reading it again, or recording what is refused meanwhile, may take long itself."""
        other = PhoneNumber.parse("+15559998888")
        world.opt(ConsentStatus.OPTED_IN, other)
        worker = world.batch_sender()
        worker._chunks._make_ready, ready = (
            lambda *args: (world.clock.advance(3), ready(*args))[1],
            worker._chunks._make_ready,
        )
        find_many, slow = world.consents.find_many, []

        def slowly(hashes):
            found = find_many(hashes)
            if what == "find_many" and len(slow) == 1:
                world.opt(ConsentStatus.OPTED_OUT)
                world.clock.advance(3)
            slow.append(hashes)
            return found

        reject = worker._chunks._claims.reject

        def reject_slowly(items):
            reject(items)
            if what == "reject" and items:
                world.opt(ConsentStatus.OPTED_OUT)
                world.clock.advance(3)

        world.consents.find_many, worker._chunks._claims.reject = slowly, reject_slowly
        if what == "reject":
            inner = worker._chunks._make_ready

            def leave(*args):
                world.opt(ConsentStatus.OPTED_OUT, other)
                return inner(*args)

            worker._chunks._make_ready = leave
        records = [BulkRecord("a", REQUEST, None), BulkRecord("b", SmsRequest(other.e164, "Hi"), None)]
        worker(records if what == "reject" else records[:1], world.within(60.0))
        world.check_posts()
        assert "sending" not in world.trail("a")

    def stop(self, world):
        heard = ConsentFromEvent(ConsentStatus.OPTED_OUT, "message.inbound", "event", "2026-11-18T00:00:00.000Z")
        world._manage.record_event(RECIPIENT, heard)

    def test_who_opts_out_while_a_single_send_waits_for_a_token_gets_nothing(self, world):
        """A token's holder that died costs 16 s, in which the consent that was read first grows old."""
        sleep, stopped = world.clock.sleep, []

        def stop_meanwhile(seconds):
            sleep(seconds)
            if not stopped and world.clock.now() > EPOCH + 1:
                stopped.append(True)
                self.stop(world)

        sender = world.sender()
        prepare = sender._dispatcher._gateway.prepare
        sender._dispatcher._gateway.prepare = lambda seconds: (stop_meanwhile(12), prepare(seconds))
        error = send(world, sender=sender)
        assert [each.code for each in error.errors] == [Code.OPTED_OUT]
        assert world.simulator.accepted_messages() == []
        assert world.trail("k") == [], "no entry cites the consent that was gone"

    def test_who_opts_out_while_a_refused_token_is_replaced_gets_nothing(self, world):
        sender = world.sender()
        world.simulator.add_fault(Fault(action="status", operation="send", status=401))
        prepare, calls = sender._dispatcher._gateway.prepare, []

        def second_one_stops(seconds):
            calls.append(seconds)
            if len(calls) == 2:
                self.stop(world)
            prepare(seconds)

        sender._dispatcher._gateway.prepare = second_one_stops
        error = send(world, sender=sender)
        assert [each.code for each in error.errors] == [Code.OPTED_OUT]
        assert world.simulator.accepted_messages() == []
        assert world.trail("k") == ["sending", "rejected"]

    def test_a_probe_of_a_message_that_is_refused_at_the_last_moment_is_given_back(self, world):
        for _ in range(5):
            world.governor.failed(world.governor.reserve(1, 5))
        world.clock.advance(11)
        put(world, 2)
        worker = world.batch_sender()
        claim = worker._chunks._claims.claim

        def slowly(items, deadline):
            claimed = claim(items, deadline)
            self.stop(world)
            return claimed

        worker._chunks._claims.claim = slowly
        worker([BulkRecord("r0", REQUEST, "batch")], world.within(60.0))
        assert world.trail("r0") == ["sending", "rejected"]
        assert world.governor.failures == 5, "nothing was learnt of CXone"
        world.opt(ConsentStatus.OPTED_IN)
        assert send(world, "probe").message.status is Status.DISPATCHED, "the next message is the probe at once"


def test_what_a_new_token_is_refused_for_may_be_tried_again_in_bulk_too(world):
    """CXone refuses all tokens for a while: nothing was taken, so nothing may end for good."""
    world.simulator.add_fault(Fault(action="status", operation="send", status=401, times=40))
    put(world, 5)
    world.work_off()
    assert statuses(world, 5) == [Status.DISPATCHED] * 5
