"""One contract for the ledger, kept by the real one and by the stand-in that unit tests use."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice

import pytest
from boto3.dynamodb.types import TypeSerializer

from cxone_messaging.adapters.dynamodb.ledger import (
    BATCH_INDEX,
    CXONE_MESSAGE_INDEX,
    DAY_INDEX,
    UNSETTLED_INDEX,
    DynamoLedger,
)
from cxone_messaging.domain.attention import Attention
from cxone_messaging.domain.entries import Draft, Entry, EntryType, first_broken
from cxone_messaging.domain.errors import StorageError
from cxone_messaging.domain.ledger import Insertion, SequenceTakenError
from cxone_messaging.platform.clock import SystemClock
from cxone_messaging.use_cases.journal import Journal
from functions.read_ledger.handler import read_message
from tests.building import MESSAGE_ID, SUBJECT, at, chain, delivery, dispatched, sending
from tests.dynamo import FakeDynamo
from tests.fakes import FakeClock, FakeLedger, FakeTelemetry

READS = {"Query"}


INSERTS = {"ExecuteStatement", "BatchExecuteStatement"}


class Watched:
    """A client's operations, in their order; any that could change or remove an entry fails the test that makes it."""

    def __init__(self, client):
        self.client = client
        self.operations = []
        self.pages = 0
        client.meta.events.register("provide-client-params.dynamodb", self._called)
        client.meta.events.register("after-call.dynamodb.Query", self._answered)

    def _called(self, params, model, **_):
        self.operations.append(model.name)
        if model.name in INSERTS:
            for each in params.get("Statements", [params]):
                assert re.fullmatch(r'INSERT INTO "[^"]+" VALUE \{.*\}', each["Statement"]), each["Statement"]
        else:
            assert model.name in READS, f"{model.name} is more than appending and reading"

    def _answered(self, parsed, **_):
        self.pages += "LastEvaluatedKey" in parsed


@pytest.fixture(scope="module")
def watched(make_client):
    return Watched(make_client("dynamodb"))


@pytest.fixture(params=["fake", "fake client", "dynamodb"])
def ledger(request):
    if request.param == "fake":
        return FakeLedger()
    if request.param == "fake client":
        return DynamoLedger(FakeDynamo(), "ledger", clock=FakeClock())
    return DynamoLedger(request.getfixturevalue("watched").client, request.getfixturevalue("ledger_table"))


@pytest.fixture
def real_ledger(watched, ledger_table):
    return DynamoLedger(watched.client, ledger_table)


def inserted(ledger, entries):
    for entry in entries:
        ledger.insert(entry)
    return entries


def test_a_new_subject_has_no_entries(ledger):
    assert ledger.read(SUBJECT) == []


def test_what_is_inserted_is_read_at_once(ledger):
    (entry,) = inserted(ledger, chain(sending()))
    assert ledger.read(SUBJECT) == [entry]


def test_entries_are_read_in_the_order_of_their_numbers(ledger):
    entries = chain(sending(), *[delivery("sent", second) for second in range(11)])
    inserted(ledger, reversed(entries))
    assert ledger.read(SUBJECT) == entries


def test_subjects_have_entries_of_their_own(ledger):
    mine, theirs = chain(sending()), chain(sending(), subject=SUBJECT + "0")
    inserted(ledger, [*mine, *theirs])
    assert ledger.read(SUBJECT) == mine
    assert ledger.read(SUBJECT + "0") == theirs


@pytest.mark.parametrize(
    "change", [{"timestamp": at(9)}, {"data": {"other": 1}}, {"index": {"cxoneMessageId": "cx-9"}}, {"hash": "0" * 64}]
)
def test_a_place_is_given_once(ledger, change):
    (first,) = inserted(ledger, chain(sending()))
    with pytest.raises(SequenceTakenError):
        ledger.insert(replace(first, **change) if "hash" in change else _sealed(replace(first, **change)))
    assert ledger.read(SUBJECT) == [first]


def _sealed(entry):
    return replace(entry, hash=entry.computed_hash())


def test_an_identical_retry_of_ones_own_insert_is_a_success(ledger):
    entries = inserted(ledger, chain(sending(), dispatched()))
    for entry in entries:
        ledger.insert(entry)
    assert ledger.read(SUBJECT) == entries


def test_values_come_back_with_their_types(ledger):
    told = {
        "text": "Grüße € 😀 \u0000 \"'\\",
        "empty": "",
        "zero": 0,
        "negative": -1,
        "large": 2**53,
        "true": True,
        "false": False,
        "nothing": None,
        "list": [1, "1", True, None, [], {}],
        "map": {"a": {"b": [{"c": 1}]}},
        "": "an empty name",
        "a.b-c #d": "a name with signs",
    }
    (entry,) = inserted(ledger, chain((EntryType.DELIVERY, told)))
    (read,) = ledger.read(SUBJECT)
    assert read == entry
    assert repr(read.data) == repr(entry.data)  # 1 is not True, nor is 1.0
    assert read.computed_hash() == entry.hash


def test_more_than_a_page_is_read_whole(ledger):
    entries = inserted(ledger, chain(*[(EntryType.DELIVERY, {"filling": letter * 300_000}) for letter in "abcde"]))
    assert ledger.read(SUBJECT) == entries


def test_the_emulator_does_give_large_subjects_in_pages(real_ledger, watched):
    before = watched.pages
    inserted(real_ledger, chain(*[(EntryType.DELIVERY, {"filling": letter * 300_000}) for letter in "abcde"]))
    real_ledger.read(SUBJECT)
    assert watched.pages > before


def test_a_subject_is_found_by_cxones_id(ledger):
    first = chain(sending())[0]
    second = Entry.following(
        first, subject=SUBJECT, type=EntryType.DISPATCHED, timestamp=at(1), data={}, index={"cxoneMessageId": "cx-1"}
    )
    inserted(ledger, [first, second])
    assert ledger.read(SUBJECT)[1].index == {"cxoneMessageId": "cx-1"}
    assert ledger.subject_of_cxone_message("cx-1") == SUBJECT
    assert ledger.subject_of_cxone_message("cx-2") is None


@pytest.mark.parametrize("sender", ["message#msg_a", "message#msg_b"])
def test_of_two_subjects_with_the_same_id_the_senders_is_found(ledger, sender):
    for subject in ("message#msg_b", "message#msg_a"):
        types = [EntryType.SENDING, EntryType.DISPATCHED] if subject == sender else [EntryType.DELIVERY]
        previous = None
        for type_ in types:
            index = {} if type_ == EntryType.SENDING else {"cxoneMessageId": "cx-1"}
            previous = Entry.following(previous, subject=subject, type=type_, timestamp=at(1), data={}, index=index)
            inserted(ledger, [previous])
    assert ledger.subject_of_cxone_message("cx-1") == sender
    assert sorted(ledger.subjects_of_cxone_message("cx-1")) == ["message#msg_a", "message#msg_b"]


def test_an_index_key_may_have_characters_that_no_id_has(ledger):
    entry = Entry.following(
        None, subject=SUBJECT, type=EntryType.DELIVERY, timestamp=at(1), data={}, index={"cxoneMessageId": "≈cx-1"}
    )
    inserted(ledger, [entry])
    assert ledger.subject_of_cxone_message("≈cx-1") == SUBJECT
    assert ledger.subject_of_cxone_message("cx-1") is None
    assert first_broken(SUBJECT, ledger.read(SUBJECT)) is None


def test_an_id_that_is_no_index_key_is_not_found(ledger):
    inserted(ledger, chain(sending(), dispatched("cx-1")))
    assert ledger.subject_of_cxone_message("cx-1") is None


class TestSubjectsOfADay:
    @staticmethod
    def append(ledger, clock, subject):
        return Journal(ledger, clock).append(subject, lambda _: Draft(EntryType.DELIVERY, {})).entries[-1]

    def test_a_subject_is_named_once_for_each_day_that_it_has_an_entry_of(self, ledger):
        clock = FakeClock(datetime(2026, 11, 22, 23, 59, 59, tzinfo=UTC).timestamp())
        for subject in ("message#b", "message#c", "message#a", "message#a"):
            self.append(ledger, clock, subject)
        clock.advance(1)
        self.append(ledger, clock, "message#a")
        assert list(ledger.subjects_of_day("2026-11-22")) == ["message#a", "message#b", "message#c"]
        assert list(ledger.subjects_of_day("2026-11-23")) == ["message#a"]
        assert list(ledger.subjects_of_day("2026-11-21")) == []
        assert list(ledger.subjects_of_day("2026-11-22", after="message#a")) == ["message#b", "message#c"]

    def test_only_the_first_entry_of_a_day_costs_the_index_anything(self, ledger):
        clock = FakeClock(datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp())
        days = []
        for seconds in (0, 1, 86_400, 1):
            clock.advance(seconds)
            days.append(self.append(ledger, clock, SUBJECT).index.get("day"))
        assert days == ["2026-11-22", None, "2026-11-23", None]

    def test_clocks_that_differ_around_midnight_lose_no_day(self, ledger):
        early = FakeClock(datetime(2026, 11, 23, tzinfo=UTC).timestamp())
        late = FakeClock(early.now() - 0.5)
        for clock in (late, early, late, early):
            self.append(ledger, clock, SUBJECT)
        assert list(ledger.subjects_of_day("2026-11-22")) == list(ledger.subjects_of_day("2026-11-23")) == [SUBJECT]


def test_sixteen_appenders_at_once_leave_one_gapless_chain(ledger):
    appenders, each = 16, 4
    start = threading.Barrier(appenders)

    def run(appender):
        start.wait()
        for number in range(each):
            draft = Draft(EntryType.DELIVERY, {"appender": appender, "number": number})
            Journal(ledger, SystemClock()).append(SUBJECT, lambda _, draft=draft: draft)

    with ThreadPoolExecutor(appenders) as pool:
        list(pool.map(run, range(appenders)))
    entries = ledger.read(SUBJECT)
    assert [entry.sequence for entry in entries] == list(range(1, appenders * each + 1))
    assert first_broken(SUBJECT, entries) is None
    written = [(entry.data["appender"], entry.data["number"]) for entry in entries]
    assert sorted(written) == [(appender, number) for appender in range(appenders) for number in range(each)]
    assert all(written.index((a, n)) < written.index((a, n + 1)) for a in range(appenders) for n in range(each - 1))


def test_of_sixteen_who_would_all_be_first_one_is(ledger):
    start = threading.Barrier(16)

    def run(appender):
        draft = Draft(EntryType.SENDING, {"owner": str(appender)})
        start.wait()
        appended = Journal(ledger, SystemClock()).append(SUBJECT, lambda known: None if known else draft, known=[])
        assert (appended.new is not None) == (appended.entries[0].data["owner"] == str(appender))
        return appended.new is not None

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(run, range(16))) == 1
    assert len(ledger.read(SUBJECT)) == 1


class TestTampering:
    """What somebody does to an item past the ledger shows when the message is read."""

    @pytest.fixture
    def read(self, real_ledger):
        inserted(real_ledger, chain(sending(), dispatched(), delivery("delivered")))
        reading = read_message(real_ledger, SystemClock(), FakeTelemetry())
        assert reading(MESSAGE_ID).verified is True
        return lambda: reading(MESSAGE_ID)

    @pytest.fixture
    def put(self, dynamodb, ledger_table):
        def put(item, **raw):
            written = {name: TypeSerializer().serialize(value) for name, value in item.items()}
            dynamodb.put_item(TableName=ledger_table, Item={**written, **raw})

        return put

    @pytest.mark.parametrize("place", [0, 1, 2])
    @pytest.mark.parametrize(
        "change",
        [
            {"timestamp": at(1000)},
            {"type": "rejected"},
            {"data": {}},
            {"data": None},
            {"data": b"\x00"},
            {"previousHash": "1" * 64},
            {"hash": "1" * 64},
            {"cxoneMessageId": "cx-9"},
            {"added": "attribute"},
            {"added": {"a set"}},
        ],
        ids=repr,
    )
    def test_a_changed_item_is_shown_unverified(self, put, read, real_ledger, place, change):
        entry = real_ledger.read(SUBJECT)[place]
        put({**entry.attributes(), **change})
        shown = read()
        assert shown.verified is False
        assert len(shown.entries) == 3

    def test_a_changed_value_deep_in_an_item_is_shown_unverified(self, put, read, real_ledger):
        entry = real_ledger.read(SUBJECT)[0]
        data = {**entry.data, "segments": entry.data["segments"] + 1}
        put({**entry.attributes(), "data": data})
        assert read().verified is False

    @pytest.mark.parametrize("name", ["type", "timestamp", "data", "previousHash", "hash"])
    def test_an_item_without_an_attribute_is_shown_unverified(self, put, read, real_ledger, name):
        attributes = real_ledger.read(SUBJECT)[1].attributes()
        del attributes[name]
        put(attributes)
        assert read().verified is False

    @pytest.mark.parametrize("sequence", ["1", "2"])
    def test_a_removed_item_is_shown_unverified(self, dynamodb, ledger_table, read, sequence):
        dynamodb.delete_item(TableName=ledger_table, Key={"subject": {"S": SUBJECT}, "sequence": {"N": sequence}})
        assert read().verified is False

    @pytest.mark.parametrize("sequence", ["0", "1.5", "5"])
    def test_an_item_put_in_is_shown_unverified(self, put, read, real_ledger, sequence):
        put(real_ledger.read(SUBJECT)[0].attributes(), sequence={"N": sequence})
        assert read().verified is False


@pytest.mark.parametrize("page", [None, 1, 2, 3, 100])
def test_a_chain_is_walked_from_either_end_whatever_a_page_has(ledger, page):
    entries = inserted(ledger, chain(sending(), dispatched(), delivery("delivered")))
    assert list(ledger.walk(SUBJECT, page=page)) == entries
    assert list(ledger.walk(SUBJECT, backwards=True, page=page)) == entries[::-1]
    assert list(ledger.walk("message#none", page=page)) == []


def test_the_end_of_a_chain_is_one_bounded_read(real_ledger, watched):
    entries = inserted(real_ledger, chain(sending(), dispatched(), *[delivery("sent")] * 5))
    before = len(watched.operations)
    assert list(islice(real_ledger.walk(SUBJECT, backwards=True, page=3), 3)) == entries[:3:-1]
    assert watched.operations[before:] == ["Query"]


def test_the_real_one_can_append_and_read_and_nothing_else(real_ledger, watched):
    public = {name for name in vars(DynamoLedger) if not name.startswith("_")}
    finds = {"subject_of_cxone_message", "subjects_of_cxone_message", "subjects_of_day", "batch_entries", "flagged"}
    assert public == {"insert", "insert_many", "read", "walk", *finds}
    before = len(watched.operations)
    (entry,) = inserted(real_ledger, chain(sending()))
    real_ledger.insert(entry)
    with pytest.raises(SequenceTakenError):
        real_ledger.insert(chain(dispatched())[0])
    real_ledger.read(SUBJECT)
    real_ledger.subject_of_cxone_message("cx-1")
    assert real_ledger.insert_many([entry, chain(sending(), dispatched())[1]]) == [Insertion.INSERTED] * 2
    assert real_ledger.batch_entries("batch") == []
    assert list(real_ledger.subjects_of_day("2026-11-22")) == []
    assert list(real_ledger.flagged(Attention.UNKNOWN, at(0), at(1))) == []
    assert set(watched.operations[before:]) == {*INSERTS, "Query"}


def test_what_it_did_in_all_of_these_tests(watched):
    assert set(watched.operations) <= {*INSERTS, "Query"}


def test_a_value_can_not_break_out_of_its_statement(real_ledger):
    told = {"note": "'} ; DELETE FROM \"Ledger\" WHERE '1'='1", "quote'": 1}
    entries = inserted(real_ledger, chain((EntryType.DELIVERY, told)))
    assert real_ledger.read(SUBJECT) == entries


def test_a_table_that_is_not_there_is_a_storage_error(watched):
    nowhere = DynamoLedger(watched.client, "nowhere")
    with pytest.raises(StorageError):
        nowhere.insert(chain(sending())[0])
    with pytest.raises(StorageError):
        nowhere.read(SUBJECT)
    with pytest.raises(StorageError):
        nowhere.subject_of_cxone_message("cx-1")
    with pytest.raises(StorageError):
        list(nowhere.subjects_of_day("2026-11-22"))


def test_the_index_is_the_templates(dynamodb, ledger_table):
    indexes = dynamodb.describe_table(TableName=ledger_table)["Table"]["GlobalSecondaryIndexes"]
    assert {index["IndexName"] for index in indexes} == {CXONE_MESSAGE_INDEX, BATCH_INDEX, DAY_INDEX, UNSETTLED_INDEX}


def test_what_is_unsettled_is_found_by_its_reason_and_time_the_newest_first(ledger):
    for second, why in enumerate([Attention.UNKNOWN, Attention.UNMATCHED, Attention.UNKNOWN, Attention.UNKNOWN]):
        subject = f"message#{second}"
        entry = Entry.following(
            None, subject=subject, type=EntryType.UNKNOWN, timestamp=at(second), data={}, index=why.as_index()
        )
        ledger.insert(entry)
        assert ledger.read(subject) == [entry]
    inserted(ledger, chain(sending()))
    assert list(ledger.flagged(Attention.UNKNOWN, at(0), at(3))) == ["message#3", "message#2", "message#0"]
    assert list(ledger.flagged(Attention.UNKNOWN, at(1), at(2))) == ["message#2"]
    assert list(ledger.flagged(Attention.UNMATCHED, at(0), at(3))) == ["message#1"]
    assert list(ledger.flagged(Attention.REVIEW, at(0), at(3))) == []


def test_what_is_unsettled_can_be_unreadable(dynamodb):
    with pytest.raises(StorageError):
        list(DynamoLedger(dynamodb, "no-such-table").flagged(Attention.UNKNOWN, at(0), at(1)))
