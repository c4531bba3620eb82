"""What bulk asks of the stores: one contract each for the real one and its stand-in, and what AWS may leave undone."""

import itertools
import json
import threading
import time
from collections import Counter
from dataclasses import replace

import pytest
from botocore.exceptions import ReadTimeoutError

from cxone_messaging.adapters.dynamodb.consents import DynamoConsentStore
from cxone_messaging.adapters.dynamodb.ledger import DynamoLedger
from cxone_messaging.adapters.queue import QUEUED_AT, SqsBulkQueue
from cxone_messaging.domain.batches import BulkRecord, batch_index
from cxone_messaging.domain.consents import Consent, ConsentStatus
from cxone_messaging.domain.entries import Draft, EntryType
from cxone_messaging.domain.errors import StorageError
from cxone_messaging.domain.ledger import Insertion
from cxone_messaging.domain.sms import SmsRequest
from cxone_messaging.platform.clock import SystemClock, instant
from tests.building import at, delivery, dispatched
from tests.dynamo import FakeDynamo
from tests.fakes import FakeClock, FakeConsentStore, FakeLedger, FakeSqs

INSERTED, TAKEN, FAILED = Insertion.INSERTED, Insertion.TAKEN, Insertion.FAILED


def first(number, batch_id="batch", text="one"):
    draft = Draft(EntryType.SENDING, {"text": text}, batch_index(batch_id, EntryType.SENDING, {}))
    return draft.following([], f"message#{number}", instant(SystemClock().now()))


class TestInsertMany:
    @pytest.fixture(params=["fake", "fake client", "dynamodb"])
    def ledger(self, request):
        if request.param == "fake":
            return FakeLedger()
        if request.param == "fake client":
            return DynamoLedger(FakeDynamo(), "ledger", clock=FakeClock())
        return DynamoLedger(request.getfixturevalue("dynamodb"), request.getfixturevalue("ledger_table"))

    def test_nothing_is_soon_inserted(self, ledger):
        assert ledger.insert_many([]) == []

    def test_more_than_a_call_takes_are_all_inserted(self, ledger):
        entries = [first(number) for number in range(60)]
        assert ledger.insert_many(entries) == [INSERTED] * 60
        assert all(ledger.read(entry.subject) == [entry] for entry in entries)

    def test_each_is_told_by_itself(self, ledger):
        theirs = [first(number, text="theirs") for number in range(0, 30, 2)]
        ledger.insert_many(theirs)
        mine = [first(number, text="mine") for number in range(30)]
        assert ledger.insert_many(mine) == [TAKEN, INSERTED] * 15
        assert [ledger.read(f"message#{number}")[0].data["text"] for number in range(4)] == ["theirs", "mine"] * 2

    def test_an_identical_retry_of_ones_own_is_inserted(self, ledger):
        entries = [first(number) for number in range(3)]
        assert ledger.insert_many(entries) == ledger.insert_many(entries) == [INSERTED] * 3
        assert len(ledger.read("message#0")) == 1

    def test_a_batchs_entries_are_found_with_as_much_as_a_status_takes(self, ledger):
        sent = first(1)
        told = [Draft(*dispatched()), Draft(*delivery("delivered"))]
        chain = [sent]
        for draft in told:
            index = batch_index("batch", draft.type, draft.data)
            chain.append(
                Draft(draft.type, draft.data, index).following(chain, sent.subject, instant(SystemClock().now()))
            )
        for entry in (*chain, first(2, "another"), first(3, None)):
            ledger.insert(entry)
        found = {(entry.subject, entry.sequence, entry.type): entry.data for entry in ledger.batch_entries("batch")}
        assert set(found) == {
            (sent.subject, number, type_) for number, type_ in enumerate(["sending", "dispatched", "delivery"], 1)
        }
        assert found[sent.subject, 3, "delivery"] == {"instant": at(60), "word": "delivered"}
        assert ledger.batch_entries("none") == []


class TestInsertManyOnAWS:
    @pytest.fixture
    def hooked(self, make_client, ledger_table):
        client = make_client("dynamodb")
        return client, DynamoLedger(client, ledger_table)

    def test_it_takes_one_call_for_twenty_five(self, hooked):
        client, ledger = hooked
        calls = Counter()
        client.meta.events.register("before-call.dynamodb", lambda model, **_: calls.update([model.name]))
        ledger.insert_many([first(number) for number in range(60)])
        assert calls == {"BatchExecuteStatement": 3}

    def test_a_throttled_statement_is_tried_again_alone(self, hooked):
        client, ledger = hooked
        sizes = throttle(client, [3, 5])
        entries = [first(number) for number in range(10)]
        assert ledger.insert_many(entries) == [INSERTED] * 10
        assert sizes == [10, 2]
        assert all(ledger.read(entry.subject) == [entry] for entry in entries)

    def test_what_stays_throttled_has_failed_and_the_others_have_not(self, hooked):
        client, ledger = hooked
        sizes = throttle(client, [0], times=99)
        assert ledger.insert_many([first(number) for number in range(3)]) == [FAILED, INSERTED, INSERTED]
        assert 1 < len(sizes) <= 5

    def test_all_are_in_though_the_answer_was_lost(self, hooked):
        client, ledger = hooked
        calls = []

        def lose_the_first(model, **_):
            calls.append(model.name)
            if len(calls) == 1:
                raise ReadTimeoutError(endpoint_url="dynamodb")

        client.meta.events.register("after-call.dynamodb", lose_the_first)
        entries = [first(number) for number in range(25)]
        assert ledger.insert_many(entries) == [INSERTED] * 25
        assert Counter(calls) == {"BatchExecuteStatement": 1, "Query": 25}
        assert all(ledger.read(entry.subject) == [entry] for entry in entries)

    def test_a_table_that_is_not_there_inserts_nothing(self, dynamodb):
        assert DynamoLedger(dynamodb, "nowhere").insert_many([first(1), first(2)]) == [FAILED, FAILED]
        with pytest.raises(StorageError):
            DynamoLedger(dynamodb, "nowhere").batch_entries("batch")


def throttle(client, numbers, times=1):
    """Have the answer say that statements were throttled, though they went through; gives the calls' sizes."""
    sizes = []

    def spoil(parsed, **_):
        sizes.append(len(parsed["Responses"]))
        if len(sizes) <= times:
            for number in numbers if len(sizes) == 1 else range(len(parsed["Responses"])):
                parsed["Responses"][number]["Error"] = {"Code": "ThrottlingError"}

    client.meta.events.register("after-call.dynamodb.BatchExecuteStatement", spoil)
    return sizes


def consent(number):
    return Consent(f"{number:064}", "+*******4567", ConsentStatus.OPTED_IN, "test", None, at(number), number)


class TestFindMany:
    @pytest.fixture(params=["fake", "moto", "dynamodb"])
    def store(self, request):
        if request.param == "fake":
            return FakeConsentStore()
        if request.param == "moto":
            return DynamoConsentStore(*request.getfixturevalue("moto").table("ConsentsTable"))
        return DynamoConsentStore(request.getfixturevalue("dynamodb"), request.getfixturevalue("consents_table"))

    def test_nobody_is_found_among_nobody(self, store):
        assert store.find_many([]) == {}

    def test_who_has_none_is_missing_and_who_is_asked_for_twice_is_there_once(self, store):
        store.store(consent(1))
        hashes = [consent(number).recipient_hash for number in (1, 2, 1)]
        assert store.find_many(hashes) == {hashes[0]: consent(1)}

    def test_more_than_a_call_gives_are_all_found(self, store):
        there = [consent(number) for number in range(0, 230, 2)]
        for each in there:
            store.store(each)
        found = store.find_many([consent(number).recipient_hash for number in range(230)])
        assert found == {each.recipient_hash: each for each in there}


class TestFindManyOnAWS:
    @pytest.fixture
    def hooked(self, make_client, consents_table):
        client = make_client("dynamodb")
        store = DynamoConsentStore(client, consents_table)
        for number in range(8):
            store.store(consent(number))
        return client, store

    @pytest.mark.parametrize("at_a_time", [1, 3])
    def test_keys_that_were_left_unprocessed_are_asked_for_again(self, hooked, at_a_time):
        client, store = hooked
        sizes = leave_unprocessed(client, at_a_time * 2)
        hashes = [consent(number).recipient_hash for number in range(at_a_time * 3)]
        assert set(store.find_many(hashes)) == set(hashes[:8])
        assert sizes[:2] == [at_a_time * 3, at_a_time * 2]

    def test_keys_that_stay_unprocessed_are_no_missing_consents(self, hooked):
        client, store = hooked
        leave_unprocessed(client, 99)
        with pytest.raises(StorageError):
            store.find_many([consent(number).recipient_hash for number in range(3)])

    def test_a_table_that_is_not_there_is_a_storage_error(self, dynamodb):
        with pytest.raises(StorageError):
            DynamoConsentStore(dynamodb, "nowhere").find_many(["a"])


def leave_unprocessed(client, count):
    """Have the first answer leave out that many of the keys, the next one as many fewer; gives the calls' sizes."""
    sizes, left = [], itertools.chain([count], itertools.repeat(count if count > 50 else 0))
    asked = []

    def note(params, **_):
        ((_, request),) = params["RequestItems"].items()
        asked.append(request["Keys"])
        sizes.append(len(request["Keys"]))

    def spoil(parsed, **_):
        ((table, items),) = parsed["Responses"].items()
        skipped = asked[-1][: next(left)]
        parsed["Responses"][table] = [item for item in items if {"recipientHash": item["recipientHash"]} not in skipped]
        if skipped:
            parsed["UnprocessedKeys"] = {table: {"Keys": skipped}}

    client.meta.events.register("provide-client-params.dynamodb.BatchGetItem", note)
    client.meta.events.register("after-call.dynamodb.BatchGetItem", spoil)
    return sizes


def record(number, text="Grüße € 😀 \"'\\"):
    return BulkRecord(f"r{number}", SmsRequest("+15551234567", text, "summer", "24680"), "batch")


class RealQueue:
    """The queue in the emulator, with what a test sees of it."""

    def __init__(self, client, queue_url, dead_letter_queue_url):
        self.client = client
        self.urls = queue_url, dead_letter_queue_url
        queue = SqsBulkQueue(client, *self.urls)
        self.put, self.send_to_dead_letters = queue.put, queue.send_to_dead_letters

    def receive(self, limit):
        received = {}
        while len(received) < limit:
            answer = self.client.receive_message(QueueUrl=self.urls[0], MaxNumberOfMessages=min(10, limit))
            if not answer.get("Messages"):
                break
            received |= {message["MessageId"]: message["Body"] for message in answer["Messages"]}
        return received

    @property
    def dead(self):
        answer = self.client.receive_message(
            QueueUrl=self.urls[1], MaxNumberOfMessages=10, VisibilityTimeout=0, MessageAttributeNames=["All"]
        )
        return [
            (message["Body"], message["MessageAttributes"]["reason"]["StringValue"])
            for message in answer.get("Messages", [])
        ]

    def pass_time(self, seconds):
        time.sleep(seconds)


class ImaginedQueue(FakeSqs):
    def __init__(self):
        self.clock = FakeClock()
        super().__init__(self.clock)

    def pass_time(self, seconds):
        self.clock.advance(seconds)


class TestBulkQueue:
    @pytest.fixture(params=["fake", "moto", "sqs"])
    def queue(self, request):
        if request.param == "fake":
            return ImaginedQueue()
        if request.param == "moto":
            client = request.getfixturevalue("moto").client("sqs")
            urls = [client.create_queue(QueueName=name)["QueueUrl"] for name in ("bulk", "dead")]
            return RealQueue(client, *urls)
        return RealQueue(*(request.getfixturevalue(name) for name in ("sqs", "bulk_queue", "dead_letter_queue")))

    def test_nothing_is_soon_there(self, queue):
        assert queue.put([]) == []
        assert queue.receive(10) == {}

    def test_what_is_put_is_received_as_it_was_and_then_hidden(self, queue):
        records = [record(number) for number in range(23)]
        assert queue.put(records) == [True] * 23
        bodies = [json.loads(body) for body in queue.receive(100).values()]
        assert sorted(bodies, key=lambda body: int(body["reference"][1:])) == [each.body() for each in records]
        assert queue.receive(100) == {}

    @pytest.mark.parametrize("character", "\0\x01\x1f\ufffe\uffff\U0001f600")
    def test_any_character_comes_back_as_it_was(self, queue, character):
        """SQS refuses some of them in a body; a body in ASCII has none."""
        assert queue.put([record(1, f"a{character}b")]) == [True]
        (body,) = queue.receive(1).values()
        assert json.loads(body)["text"] == f"a{character}b"

    def test_what_is_not_said_does_not_stand_in_the_body(self, queue):
        queue.put([BulkRecord("r", SmsRequest("+15551234567", "Hello"))])
        (body,) = queue.receive(1).values()
        assert json.loads(body) == {"reference": "r", "to": "+15551234567", "text": "Hello"}

    def test_what_is_put_for_later_is_seen_later(self, queue):
        queue.put([record(1), record(2), record(3)], [1, 1.4, 60])
        assert queue.receive(1) == {}
        queue.pass_time(1.5)
        assert len(queue.receive(3)) == 2, "each has a delay of its own"

    def test_what_is_put_aside_stands_in_the_dead_letter_queue_with_its_reason(self, queue):
        assert queue.send_to_dead_letters("no json é", "malformed_record")
        assert queue.dead == [("no json é", "malformed_record")]
        assert queue.receive(1) == {}


class TestSqsBulkQueue:
    @pytest.fixture
    def hooked(self, make_client, bulk_queue, dead_letter_queue):
        client = make_client("sqs")
        return client, RealQueue(client, bulk_queue, dead_letter_queue)

    def test_ten_calls_are_made_at_once(self, hooked):
        client, queue = hooked
        at_once, most, lock = [0], [0], threading.Lock()

        def slow(**_):
            with lock:
                at_once[0] += 1
                most[0] = max(most[0], at_once[0])
            time.sleep(0.05)
            with lock:
                at_once[0] -= 1

        client.meta.events.register("before-call.sqs.SendMessageBatch", slow)
        assert all(queue.put([record(number) for number in range(250)]))
        assert 5 <= most[0] <= 10

    def test_ten_records_take_one_call(self, hooked):
        client, queue = hooked
        calls = Counter()
        client.meta.events.register("before-call.sqs", lambda model, **_: calls.update([model.name]))
        queue.put([record(number) for number in range(23)])
        assert calls == {"SendMessageBatch": 3}

    def test_what_a_call_did_not_take_is_sent_again_alone(self, hooked):
        client, queue = hooked
        sizes = refuse_some(client, {"1", "4"}, times=1)
        assert queue.put([record(number) for number in range(6)]) == [True] * 6
        assert sizes == [6, 2]

    def test_what_no_call_takes_is_told(self, hooked):
        client, queue = hooked
        refuse_some(client, {"1", "4"}, times=99)
        assert queue.put([record(number) for number in range(6)]) == [True, False, True, True, False, True]

    @pytest.mark.parametrize("delay", [-5, 4000])
    def test_no_delay_is_more_than_sqs_allows(self, hooked, delay):
        client, queue = hooked
        told = []
        client.meta.events.register(
            "provide-client-params.sqs.SendMessageBatch", lambda params, **_: told.append(params)
        )
        assert queue.put([record(1)], [delay]) == [True]
        assert told[0]["Entries"][0]["DelaySeconds"] == (0 if delay < 0 else 900)

    def test_a_record_that_is_put_back_keeps_its_first_instant(self, sqs, bulk_queue):
        queue = SqsBulkQueue(sqs, bulk_queue)
        assert queue.put([replace(record(1), queued_at=1795350000.5), record(2)]) == [True, True]
        received = sqs.receive_message(QueueUrl=bulk_queue, MaxNumberOfMessages=10, MessageAttributeNames=["All"])
        told = {json.loads(each["Body"])["reference"]: each.get("MessageAttributes") for each in received["Messages"]}
        assert told == {"r1": {QUEUED_AT: {"DataType": "Number", "StringValue": "1795350000.500"}}, "r2": None}

    def test_a_queue_that_is_not_there_takes_nothing(self, sqs, bulk_queue):
        nowhere = SqsBulkQueue(sqs, bulk_queue + "0", bulk_queue + "0")
        assert nowhere.put([record(1), record(2)]) == [False, False]
        assert nowhere.send_to_dead_letters("body", "reason") is False


def refuse_some(client, ids, times):
    """Have answers say that some entries were not taken; gives the calls' sizes."""
    sizes = []

    def spoil(parsed, **_):
        sizes.append(len(parsed["Successful"]))
        if len(sizes) <= times:
            parsed["Failed"] = [
                {"Id": each["Id"], "Code": "InternalError", "SenderFault": False}
                for each in parsed["Successful"]
                if each["Id"] in ids
            ]
            parsed["Successful"] = [each for each in parsed["Successful"] if each["Id"] not in ids]

    client.meta.events.register("after-call.sqs.SendMessageBatch", spoil)
    return sizes
