"""What becomes of entries whose answer was lost, and of those beside one that has trouble of its own."""

import itertools
import json
import random
from collections import Counter
from itertools import count, pairwise

import pytest
from botocore.exceptions import ConnectionClosedError
from hypothesis import given, settings
from hypothesis import strategies as st

from cxone_messaging.adapters.dynamodb.consents import DynamoConsentStore
from cxone_messaging.adapters.dynamodb.ledger import DynamoLedger
from cxone_messaging.adapters.queue import SqsBulkQueue
from cxone_messaging.adapters.store_retries import MOST_TRIES, PATIENCE_SECONDS
from cxone_messaging.domain import subjects
from cxone_messaging.domain.batches import BulkRecord
from cxone_messaging.domain.consents import ConsentStatus
from cxone_messaging.domain.entries import Draft, EntryType
from cxone_messaging.domain.errors import StorageError
from cxone_messaging.domain.ledger import Insertion, SequenceTakenError
from cxone_messaging.domain.messages import Message
from cxone_messaging.domain.sms import SmsRequest
from cxone_messaging.platform.clock import instant
from cxone_messaging.use_cases.journal import Journal
from local.simulator import Settings
from tests.dynamo import FakeDynamo, error, lost, refused
from tests.fakes import FakeClock
from tests.worlds import RECIPIENT, World

INSERTED, TAKEN, FAILED = Insertion.INSERTED, Insertion.TAKEN, Insertion.FAILED
# Of `BatchStatementErrorCodeEnum`, those that another try can mend.
PASSING = ["ThrottlingError", "ProvisionedThroughputExceeded", "RequestLimitExceeded", "TransactionConflict"]
LASTING = ["ValidationError", "ItemCollectionSizeLimitExceeded", "ResourceNotFound", "AccessDenied"]


class Desk:
    def __init__(self):
        self.db, self.clock = FakeDynamo(), FakeClock()
        self.ledger = DynamoLedger(self.db, "ledger", clock=self.clock, rng=random.Random(1))

    def entries(self, many=25, text="mine"):
        draft = Draft(EntryType.SENDING, {"text": text})
        return [draft.following([], f"message#{number}", instant(self.clock.now())) for number in range(many)]

    def texts(self):
        return Counter(row["data"]["M"]["text"]["S"] for row in self.db.rows.values())


@pytest.fixture
def desk():
    return Desk()


def times(number, act, *operations):
    """Let something happen at the first so many calls of these operations."""
    left = [number]

    def maybe(operation, *told):
        if operation in operations and left[0] > 0:
            left[0] -= 1
            act(operation, *told)

    return maybe


def at_statement(number, code, *, calls=1):
    """Let the answers of the first so many inserts report an error for one statement, the others being in."""

    def spoil(_, request, answer):
        for place, statement in enumerate(request["Statements"]):
            if {"S": f"message#{number}"} in statement["Parameters"]:
                answer["Responses"][place] = error(code)

    return times(calls, spoil, "batch_execute_statement")


class TestABatchOfInserts:
    def test_all_are_in_though_the_answer_was_lost(self, desk):
        desk.db.spoil = times(1, lost, "batch_execute_statement")
        assert desk.ledger.insert_many(desk.entries()) == [INSERTED] * 25
        assert desk.db.calls == {"batch_execute_statement": 1, "query": 25}

    def test_what_another_sender_had_inserted_before_a_lost_answer_is_taken(self, desk):
        desk.ledger.insert_many(desk.entries(7, "theirs"))
        desk.db.spoil = times(1, lost, "batch_execute_statement")
        assert desk.ledger.insert_many(desk.entries()) == [TAKEN] * 7 + [INSERTED] * 18
        assert desk.texts() == {"theirs": 7, "mine": 18}

    @pytest.mark.parametrize("failure", [lost, ConnectionClosedError(endpoint_url="x"), refused("ThrottlingException")])
    def test_what_never_arrived_is_inserted_again(self, desk, failure):
        def fail(*_):
            raise failure if isinstance(failure, Exception) else lost()

        desk.db.before = times(2, fail, "batch_execute_statement")
        assert desk.ledger.insert_many(desk.entries()) == [INSERTED] * 25
        assert desk.texts() == {"mine": 25}

    def test_a_request_that_arrives_after_it_was_given_up_does_no_harm(self, desk):
        entries, held_back = desk.entries(), []

        def hold_back(_, request):
            held_back.append(request)
            lost()

        def arrive(*_):
            if held_back:
                desk.db._insert(held_back.pop()["Statements"][3])

        desk.db.before = times(1, hold_back, "batch_execute_statement")
        desk.db.spoil = times(99, arrive, "query")  # after the first read, which did not see it
        assert desk.ledger.insert_many(entries) == [INSERTED] * 25
        assert len(desk.db.rows) == 25

    def test_a_duplicate_whose_read_fails_once_harms_nobody_and_is_found_out(self, desk):
        desk.ledger.insert_many(desk.entries(1, "theirs"))
        desk.db.before = times(1, lost, "query")
        assert desk.ledger.insert_many(desk.entries()) == [TAKEN] + [INSERTED] * 24

    def test_a_duplicate_that_can_never_be_read_harms_nobody(self, desk):
        desk.ledger.insert_many(desk.entries(1, "theirs"))
        desk.db.before = times(99, lost, "query")
        assert desk.ledger.insert_many(desk.entries()) == [FAILED] + [INSERTED] * 24
        assert desk.db.calls["batch_execute_statement"] == 2  # what is in doubt is read, and not inserted blindly

    @pytest.mark.parametrize("code", [*PASSING, "InternalServerError"])
    def test_a_statement_that_had_passing_trouble_is_tried_again_after_a_pause(self, desk, code):
        desk.db.spoil = at_statement(3, code)
        began = desk.clock.now()
        assert desk.ledger.insert_many(desk.entries()) == [INSERTED] * 25
        assert (desk.clock.now() > began) is (code != "InternalServerError")  # that one is read, and was in

    @pytest.mark.parametrize("code", LASTING)
    def test_a_statement_that_is_refused_for_good_is_not_tried_again(self, desk, code):
        desk.db.spoil = at_statement(3, code, calls=99)
        assert desk.ledger.insert_many(desk.entries()) == [INSERTED] * 3 + [FAILED] + [INSERTED] * 21
        assert desk.db.calls == {"batch_execute_statement": 1}

    def test_tries_are_bounded_in_number_with_pauses_that_grow(self, desk):
        at = []

        def fail(operation, _):
            if operation == "batch_execute_statement":
                at.append(desk.clock.now())
            raise refused("ThrottlingException")

        desk.db.before = fail
        assert desk.ledger.insert_many(desk.entries()) == [FAILED] * 25
        assert desk.db.calls["batch_execute_statement"] == 1  # whether they are in could not be found out
        assert desk.db.calls["query"] == 25 * MOST_TRIES
        assert 0.75 < desk.clock.now() - at[0] < PATIENCE_SECONDS

    def test_throttled_statements_are_repeated_with_pauses_that_grow(self, desk):
        at = []
        desk.db.before = lambda *_: at.append(desk.clock.now())
        desk.db.spoil = at_statement(3, "ThrottlingError", calls=99)
        desk.ledger.insert_many(desk.entries())
        pauses = [later - earlier for earlier, later in pairwise(at)]
        assert len(pauses) == MOST_TRIES - 1
        assert all(0.05 * 2**number <= pause <= 0.1 * 2**number for number, pause in enumerate(pauses))
        assert len({pause / 2**number for number, pause in enumerate(pauses)}) == len(pauses)  # jitter

    def test_a_store_that_hangs_takes_some_seconds_more_and_no_minutes(self, desk):
        sdk_seconds = 9.0  # three tries of three seconds each

        def hang(*_):
            desk.clock.advance(sdk_seconds)
            lost()

        desk.db.spoil = hang
        began = desk.clock.now()
        desk.ledger.insert_many(desk.entries())
        assert desk.clock.now() - began <= 2 * sdk_seconds + PATIENCE_SECONDS

    def test_a_store_that_throttles_slowly_takes_no_minutes_either(self, desk):
        throttle = at_statement(3, "ThrottlingError", calls=99)

        def hang(*told):
            desk.clock.advance(3)
            throttle(*told)

        desk.db.spoil = hang
        began = desk.clock.now()
        desk.ledger.insert_many(desk.entries())
        assert desk.clock.now() - began <= 2 * 3 + PATIENCE_SECONDS

    def test_a_slow_loss_of_the_answer_leaves_time_to_read(self, desk):
        def hang(*_):
            desk.clock.advance(9)
            lost()

        desk.db.spoil = times(1, hang, "batch_execute_statement")
        assert desk.ledger.insert_many(desk.entries()) == [INSERTED] * 25


class TestASingleInsert:
    def test_it_is_in_though_its_answer_was_lost(self, desk):
        desk.db.spoil = times(1, lost, "execute_statement")
        (entry,) = desk.entries(1)
        desk.ledger.insert(entry)
        assert desk.ledger.read(entry.subject) == [entry]

    @pytest.mark.parametrize("where", ["before", "spoil"])
    def test_the_next_place_is_free_to_take_where_another_entry_has_this_one(self, desk, where):
        desk.ledger.insert_many(desk.entries(1, "theirs"))
        setattr(desk.db, where, times(1, lost, "execute_statement"))
        with pytest.raises(SequenceTakenError):
            desk.ledger.insert(desk.entries(1)[0])

    def test_a_duplicate_is_found_out_though_the_first_read_fails(self, desk):
        (entry,) = desk.entries(1)
        desk.ledger.insert(entry)
        desk.db.before = times(1, lost, "query")
        desk.ledger.insert(entry)

    def test_what_is_not_there_could_not_be_written(self, desk):
        desk.db.before = times(1, lost, "execute_statement")
        with pytest.raises(StorageError, match="written"):
            desk.ledger.insert(desk.entries(1)[0])
        assert desk.db.rows == {}

    def test_nobody_knows_where_nothing_can_be_read(self, desk):
        desk.db.spoil = lost
        with pytest.raises(StorageError):
            desk.ledger.insert(desk.entries(1)[0])
        assert desk.db.calls == {"execute_statement": 1, "query": MOST_TRIES}

    def test_an_append_goes_on_behind_its_own_entry(self, desk):
        desk.db.spoil = times(2, lost, "execute_statement")
        for number in range(3):
            Journal(desk.ledger, desk.clock).append(
                "message#0", lambda _, n=number: Draft(EntryType.DELIVERY, {"text": str(n)})
            )
        assert [entry.data["text"] for entry in desk.ledger.read("message#0")] == ["0", "1", "2"]


class TestAChunk:
    """A bulk sender whose claim's answer was lost sends all of the chunk."""

    @pytest.fixture
    def world(self):
        world = World(Settings(delivery_steps=[]))
        world.opt(ConsentStatus.OPTED_IN)
        self.db = FakeDynamo()
        world.ledger = DynamoLedger(self.db, "ledger", clock=world.clock, rng=random.Random(1))
        return world

    def put(self, world):
        for number in range(25):
            world.queue.send(json.dumps(BulkRecord(f"r{number}", SmsRequest(RECIPIENT.e164, "Hi")).body()))

    def statuses(self, world):
        named = [subjects.message(world.pseudonyms.message_id(f"r{number}")) for number in range(25)]
        return Counter(Message.of(world.ledger.read(subject)).status for subject in named)

    @pytest.mark.parametrize("where", ["before", "spoil"])
    @pytest.mark.parametrize("calls", [1, 2, 3])
    def test_all_are_sent_once(self, world, where, calls):
        self.put(world)
        setattr(self.db, where, times(calls, lost, "batch_execute_statement"))
        world.work_off()
        assert self.statuses(world) == {"dispatched": 25}
        assert [len(each) for each in world.accepted().values()] == [1] * 25

    def test_one_that_was_sent_before_and_cant_be_read_keeps_none_of_the_others(self, world):
        world.sender().send(SmsRequest(RECIPIENT.e164, "Hi"), "r24", world.within(25.0))
        self.put(world)
        self.db.before = times(MOST_TRIES, lost, "query")
        world.work_off()
        assert self.statuses(world) == {"dispatched": 25}
        assert [len(each) for each in world.accepted().values()] == [1] * 25


@settings(max_examples=60)
@given(
    st.dictionaries(
        st.integers(1, 6) | st.integers(7, 60), st.sampled_from(["request", "answer"]), max_size=MOST_TRIES - 1
    ),
    st.randoms(),
)
def test_whichever_calls_of_a_bulk_sender_are_lost_nothing_unposted_ends_unknown(losses, rng):
    world, db, calls = World(Settings(delivery_steps=[]), rng.randrange(100)), FakeDynamo(), count(1)
    world.opt(ConsentStatus.OPTED_IN)
    world.ledger = DynamoLedger(db, "ledger", clock=world.clock, rng=rng)
    here = []

    def before(*_):
        here[:] = [losses.get(next(calls))]
        if here == ["request"]:
            lost()

    db.before, db.spoil = before, lambda *_: lost() if here == ["answer"] else None
    ids = [world.pseudonyms.message_id(f"r{number}") for number in range(25)]
    for number in range(25):
        world.queue.send(json.dumps(BulkRecord(f"r{number}", SmsRequest(RECIPIENT.e164, "Hi")).body()))
    world.work_off()
    db.before = db.spoil = lambda *_: None
    posted = {message_id: len(each) for message_id, each in world.accepted().items()}
    assert posted == dict.fromkeys(ids, 1)
    assert {Message.of(world.ledger.read(subjects.message(each))).status for each in ids} <= {"dispatched", "unknown"}


class Left:
    """A store that leaves half of what it is asked for to the next call, and gives nothing else away."""

    def __init__(self, clock):
        self.clock, self.at = clock, []

    def batch_get_item(self, *, RequestItems):  # noqa: N803  the API's name
        self.at.append(self.clock.now())
        keys = RequestItems["consents"]["Keys"]
        left = keys[: len(keys) // 2]
        return {"Responses": {}, "UnprocessedKeys": {"consents": {"Keys": left}} if left else {}}

    def send_message_batch(self, *, QueueUrl, Entries):  # noqa: N803
        self.at.append(self.clock.now())
        return {"Successful": [{"Id": each["Id"]} for each in Entries[len(Entries) // 2 :]]}


def test_consents_that_were_left_are_asked_for_again_after_a_pause(desk):
    store = Left(desk.clock)
    found = DynamoConsentStore(store, "consents", clock=desk.clock, rng=random.Random(1)).find_many(list("abcdefgh"))
    assert found == {}
    assert len(store.at) == len(set(store.at)) == 4


def test_records_that_the_queue_did_not_take_are_put_again_after_a_pause(desk):
    store = Left(desk.clock)
    queue = SqsBulkQueue(store, "queue", clock=desk.clock, rng=random.Random(1))
    assert sum(queue.put([BulkRecord(str(number), SmsRequest()) for number in range(8)])) == 7
    assert len(store.at) == len(set(store.at)) == 3


def test_a_queue_that_hangs_takes_some_seconds_more_and_no_minutes(desk):
    class Hanging:
        calls = itertools.count()

        def send_message_batch(self, **_):
            if next(self.calls) % 10 == 0:  # ten calls at once hang together
                desk.clock.advance(9)
            lost()

    began = desk.clock.now()
    queue = SqsBulkQueue(Hanging(), "queue", clock=desk.clock, rng=random.Random(1))
    assert queue.put([BulkRecord(str(number), SmsRequest()) for number in range(100)]) == [False] * 100
    assert desk.clock.now() - began <= 18 + PATIENCE_SECONDS
