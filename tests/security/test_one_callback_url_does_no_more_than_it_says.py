"""Claim: whoever has a message's callback URL can say what became of that message, and fill nothing with it."""

import copy
import json
import tracemalloc
from collections import Counter
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from cli.audit.copy import Copy
from cli.audit.export import Selection, export
from cli.audit.faults import Kind
from cli.audit.verification import Verification
from cxone_messaging.adapters.dynamodb.ledger import DynamoLedger
from cxone_messaging.domain.delivery import CXONE_ID_LIMIT, FINAL_WORDS
from cxone_messaging.domain.delivery_bounds import MOST_DELIVERIES, SIGNED_LIMIT, URL_LIMIT
from cxone_messaging.domain.entries import Draft, Entry, EntryType, first_broken
from cxone_messaging.domain.messages import Message, Status
from cxone_messaging.domain.phone_numbers import PhoneNumber
from cxone_messaging.domain.times import format_time
from cxone_messaging.platform.clock import instant
from cxone_messaging.platform.deadline import Deadline
from cxone_messaging.platform.telemetry import Metric
from cxone_messaging.use_cases.journal import Journal
from functions.checkpoint_ledger.handler import checkpoint_ledger
from functions.read_ledger import handler as read_ledger
from functions.read_ledger.handler import read_message
from tests.building import MESSAGE_ID, START, SUBJECT, dispatched, sending
from tests.dynamo import FakeDynamo
from tests.fakes import FakeClock, FakeLedger, FakeTelemetry, InlineExecutor
from tests.webhooks import CURRENT, SMS, Context, Webhook, callback, hex_of

OPT_OUT = "Carrier: recipient opted out"
MOST_BY_URL = URL_LIMIT + len(FINAL_WORDS)


class Door:
    """The webhook's function over a table in memory that counts what is read from it."""

    def __init__(self, monkeypatch):
        self.clock = FakeClock(START.timestamp())
        self.table = FakeDynamo()
        self.ledger = DynamoLedger(self.table, "ledger", clock=self.clock)
        self.webhook = Webhook(monkeypatch, ledger=self.ledger, clock=self.clock)

    def write(self, type_, data, index=None):
        Journal(self.ledger, self.clock).append(SUBJECT, lambda _: Draft(type_, data, index))

    def send(self):
        type_, data = sending()
        recipient_hash = self.webhook.pseudonyms.message_id("recipient")
        self.write(type_, {**data, "recipientHash": recipient_hash, "recipient": "+*******4567"})
        self.write(*dispatched(), {"cxoneMessageId": "cx-1"})
        return recipient_hash

    def told(self, status="sent", seconds=0.0, error=None, id_="cx-1"):
        timestamp = format_time(instant(START.timestamp() + seconds))
        return {"messageId": id_, "status": status, "to": "", "timestamp": timestamp, "error": error}

    def by_url(self, *told, **named):
        answer = self.webhook.post(SMS, json.dumps(self.told(*told, **named)).encode(), query=callback(MESSAGE_ID))
        assert answer[0] == 200
        return answer[1]["status"]

    def signed(self, *told, **named):
        body = json.dumps(self.told(*told, **named)).encode()
        answer = self.webhook.post(SMS, body, query=callback(MESSAGE_ID), headers=self.webhook.signed(body))
        assert answer[0] == 200
        return answer[1]["status"]

    def deliveries(self):
        entries = self.ledger.read(SUBJECT)
        assert first_broken(SUBJECT, entries) is None
        return [entry for entry in entries if entry.type == EntryType.DELIVERY]

    def message(self):
        return Message.of(self.ledger.read(SUBJECT))

    def cost(self, post):
        """Count the calls and the items that one event takes."""
        calls, items = self.table.calls.total(), self.table.items_read
        post()
        return self.table.calls.total() - calls, self.table.items_read - items


@pytest.fixture
def door(monkeypatch):
    return Door(monkeypatch)


def flood(door, number, words=("sent", "delivered", "failed", "undelivered", "expired", "rejected", "odd")):
    word = words[number % len(words)]
    return door.by_url(f"{word}", seconds=float(number), error=f"error {number}")


@pytest.mark.parametrize("same", [False, True], ids=["all differ", "times differ only"])
def test_any_number_of_events_is_few_entries_and_the_last_costs_no_more_than_the_60th(door, same):
    """From the 60th on, none leaves anything that a later one could meet; so the thousandth stands for all."""
    door.send()

    def post(number):
        return door.by_url("failed", seconds=float(number), error=OPT_OUT) if same else flood(door, number)

    for number in range(60):
        post(number)
    sixtieth = door.cost(lambda: post(60))
    stored = copy.deepcopy(door.ledger._client.rows)
    for number in range(61, 999):
        post(number)
    assert door.cost(lambda: post(999)) == sixtieth
    assert door.ledger._client.rows == stored
    assert len(door.deliveries()) <= MOST_BY_URL
    assert len(door.ledger._client.rows) <= 2 + 2 * MOST_DELIVERIES  # a refusal's consents included


def test_an_event_that_says_nothing_new_is_a_duplicate(door):
    door.send()
    assert door.by_url("sent", 1) == "accepted"
    assert [door.by_url("sent", seconds) for seconds in (0, 2, 3)] == ["duplicate"] * 3
    assert door.by_url("sent", 4, error="30007") == "accepted"
    assert len(door.deliveries()) == 2


def test_events_on_a_urls_word_leave_room_for_signed_bodies(door):
    door.send()
    for number in range(200):
        flood(door, number)
    assert len(door.deliveries()) == MOST_BY_URL
    assert door.signed("queued", 3) == "accepted"
    for word in sorted(FINAL_WORDS):
        assert door.signed(word, 6) == "accepted"
    for number in range(200):
        door.signed("held", error=f"error {number}")
    assert len(door.deliveries()) == MOST_BY_URL + SIGNED_LIMIT + len(FINAL_WORDS) == MOST_DELIVERIES == 50
    assert door.signed("queued", 5, error="new") == "duplicate"


def test_a_signed_body_that_names_its_recipient_reads_its_message_no_oftener_than_another(door):
    door.send()
    by_url = door.cost(lambda: door.by_url("sent", 1))
    body = json.dumps({**door.told("queued", 2), "to": "+15551234567"}).encode()
    headers = door.webhook.signed(body)
    signed = door.cost(lambda: door.webhook.post(SMS, body, query=callback(MESSAGE_ID), headers=headers))
    assert signed == (by_url[0], by_url[1] + 1)  # the entry that the first one made


@pytest.mark.parametrize("word", sorted(FINAL_WORDS))
@pytest.mark.parametrize("kind", ["by_url", "signed"])
def test_a_word_that_settles_a_message_has_room_of_its_own(door, word, kind):
    door.send()
    for number in range(100):
        door.signed("held", error=f"error {number}")
        door.by_url("held", error=f"error {number}")
    assert getattr(door, kind)(word, 5) == "accepted"
    assert door.message().status is (Status.DELIVERED if word == "delivered" else Status.FAILED)
    assert getattr(door, kind)(word, 6) == "duplicate"
    assert len(door.deliveries()) <= MOST_DELIVERIES


def test_final_words_that_take_turns_end_in_the_latest(door):
    door.send()
    for number, word in enumerate(["failed", "delivered", "failed"]):
        assert door.by_url(word, number, error="30005" if word == "failed" else None) == "accepted"
    assert door.message().status is Status.FAILED


def test_a_refusal_for_which_there_is_no_room_opts_its_recipient_out_all_the_same(door):
    recipient_hash = door.send()
    for number in range(200):
        flood(door, number)
    assert door.webhook.consents.find(recipient_hash) is None
    assert door.by_url("failed", 5, error=OPT_OUT) == "duplicate"
    assert door.webhook.consents.find(recipient_hash).status == "opted_out"
    consents = door.ledger.read(f"consent#{recipient_hash}")
    for number in range(20):
        door.by_url("failed", 6 + number, error=OPT_OUT)
    assert door.ledger.read(f"consent#{recipient_hash}") == consents


def test_a_signed_body_brings_its_id_though_its_word_is_known(door):
    number = PhoneNumber.parse("+12025550101")
    door.write(*sending(recipientHash=door.webhook.pseudonyms.recipient_hash(number)))
    assert door.by_url("sent", 1) == "accepted"
    assert door.by_url("sent", 2) == "duplicate"
    body = json.dumps(door.told("sent", 3) | {"to": number.e164}).encode()
    answer = door.webhook.post(SMS, body, query=callback(MESSAGE_ID), headers=door.webhook.signed(body))
    assert answer == (200, {"status": "accepted"})
    assert door.ledger.subject_of_cxone_message("cx-1") == SUBJECT


def test_events_by_an_id_that_nobody_knows_are_bounded_too(door):
    for number in range(200):
        status, _ = door.webhook.event(door.told("odd", number, error=f"error {number}"), SMS)
        assert status == 200
    status, _ = door.webhook.event(door.told("delivered"), SMS)
    entries = door.ledger.read("delivery#cx-1")
    assert len(entries) <= MOST_DELIVERIES
    door.write(*sending())
    door.write(*dispatched(), {"cxoneMessageId": "cx-1"})
    door.webhook.sweep()
    assert door.message().status is Status.DELIVERED
    assert len(door.deliveries()) == len(entries)


def test_events_of_one_id_that_name_different_recipients_are_all_kept(door):
    for number, to in enumerate(["+15551234567", "+15551234568", "+15551234568"]):
        status, answer = door.webhook.event({**door.told("delivered", number), "to": to}, SMS)
        assert (status, answer["status"]) == (200, "accepted")
    for number, to in enumerate(["+15551234567", "+15551234568"]):
        status, answer = door.webhook.event({**door.told("delivered", -9 - number), "to": to}, SMS)
        assert (status, answer["status"]) == (200, "duplicate")
    status, answer = door.webhook.event({**door.told("delivered", 1.5), "to": "+15551234567"}, SMS)
    assert (status, answer["status"]) == (200, "accepted")  # later than all that name this recipient


def test_a_chain_that_batches_made_long_is_known_as_a_whole(door):
    door.send()
    for _ in range(150):
        door.write(EntryType.COUNTED, {"status": "dispatched"})
    assert door.by_url("delivered", 1) == "accepted"
    for _ in range(150):
        door.write(EntryType.COUNTED, {"status": "delivered"})
    assert door.by_url("delivered", 1) == "duplicate"
    assert door.by_url("delivered", 0) == "duplicate"


def size_of(value):
    """Measure a value as DynamoDB does, in bytes."""
    ((kind, held),) = value.items()
    match kind:
        case "S":
            return len(held.encode())
        case "N":
            return 21
        case "BOOL":
            return 1
        case "M":
            return 3 + sum(len(name.encode()) + 1 + size_of(each) for name, each in held.items())
    raise AssertionError(kind)


@pytest.mark.parametrize("character", ["a", "é", "語", "😀", "ΐ"])
def test_an_event_of_the_longest_texts_is_an_entry_of_less_than_a_kilobyte(door, character):
    door.write(*sending(), {"batchId": "b" * 40, "batchState": "sending"})
    long = door.told(character * 64, error=character * 4096, id_="i" * CXONE_ID_LIMIT)
    long["timestamp"] = "2026-11-22T13:12:00.123456789+00:00"
    for query in (callback(MESSAGE_ID), None):
        body = json.dumps(long).encode()
        assert door.webhook.post(SMS, body, query=query, headers=door.webhook.signed(body))[0] == 200
    sizes = [
        sum(len(name) + size_of(value) for name, value in row.items())
        for row in door.table.rows.values()
        if row["type"] == {"S": "delivery"}
    ]
    assert sizes
    assert max(sizes) < 1024


class TestAChainFromBeforeTheBound:
    """Thousands of events of one URL are in the ledger already."""

    @pytest.fixture(autouse=True)
    def fat(self, door):
        self.recipient_hash = door.send()
        entry = door.ledger.read(SUBJECT)[-1]
        for number in range(3_000):
            data = {"eventId": str(number), "status": "odd", "word": "odd", "instant": entry.timestamp}
            entry = Draft(EntryType.DELIVERY, data).following([entry], SUBJECT, instant(door.clock.now()))
            door.ledger.insert(entry)

    def test_an_event_reads_its_ends_only(self, door):
        assert door.cost(lambda: door.by_url("odd", 7)) == (2, 200)
        assert len(door.deliveries()) == 3_000

    def test_an_event_at_an_old_url_reads_no_more(self, door):
        old = {"ref": MESSAGE_ID, "sig": hex_of(CURRENT, MESSAGE_ID.encode())}
        body = json.dumps(door.told("odd", 7)).encode()
        assert door.cost(lambda: door.webhook.post(SMS, body, query=old)) == (3, 300)
        assert door.webhook.post(SMS, body, query=old) == (200, {"status": "duplicate"})

    def test_a_word_that_settles_its_message_is_entered(self, door):
        assert door.by_url("delivered", 7) == "accepted"
        assert door.by_url("delivered", 8) == "duplicate"
        assert door.message().status is Status.DELIVERED

    def test_a_refusal_opts_its_recipient_out(self, door):
        assert door.by_url("failed", 7, error=OPT_OUT) == "accepted"
        assert door.by_url("failed", 8, error=OPT_OUT) == "duplicate"
        assert door.webhook.consents.find(self.recipient_hash).status == "opted_out"

    @pytest.mark.parametrize("missing", [2, 50, 2_990])
    def test_nothing_is_appended_where_an_end_is_not_whole(self, door, missing):
        del door.table.rows[SUBJECT, missing]
        told = door.told("failed", error=OPT_OUT)
        status, _ = door.webhook.post(SMS, json.dumps(told).encode(), query=callback(MESSAGE_ID))
        assert status == 500
        assert (SUBJECT, 3_003) not in door.table.rows
        assert door.webhook.telemetry[Metric.BROKEN_CHAINS] == [1]
        assert door.webhook.consents.find(self.recipient_hash).status == "opted_out", "an opt-out is not lost for that"

    def test_a_gap_that_only_the_query_saw_is_none(self, door):
        def miss(operation, _, answer):
            door.table.spoil = lambda *_: None
            del answer["Items"][10]

        door.table.spoil = miss
        assert door.by_url("delivered", 7) == "accepted"
        assert door.webhook.telemetry[Metric.BROKEN_CHAINS] == []


class EndlessLedger(FakeLedger):
    """Every message has a chain of thousands of events, made while it is read; `held` is the most read in one walk."""

    def __init__(self, at, number, text=""):
        super().__init__()
        self.at, self.number, self.text = at, number, text
        self.walked = Counter()

    def fat(self, subject):
        entry = None
        for sequence in range(1, self.number + 1):
            type_, data = sending() if sequence == 1 else (EntryType.DELIVERY, self.told(sequence))
            timestamp = format_time(self.at)
            entry = Entry.following(entry, subject=subject, type=type_, timestamp=timestamp, data=data)
            yield entry

    def told(self, sequence):
        word = "delivered" if sequence == self.number // 2 else "odd"
        return {"eventId": str(sequence), "word": word, "instant": format_time(self.at), "error": self.text}

    def ends(self, subject):
        """Give the chain from its end; nobody verifies its hashes there."""
        for sequence in range(self.number, 0, -1):
            data = self.told(sequence)
            yield Entry(subject, sequence, EntryType.DELIVERY, format_time(self.at), data, "", str(sequence))

    def walk(self, subject, *, backwards=False, page=None):
        if not subject.startswith("message#"):
            yield from super().walk(subject, backwards=backwards)
            return
        for entry in self.ends(subject) if backwards else self.fat(subject):
            self.walked[subject] += 1
            yield entry

    def read(self, subject):
        assert not subject.startswith("message#"), "all of a long chain is read at once"
        return super().read(subject)


NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@contextmanager
def at_most(megabytes):
    """Fail where more memory was in use at any time than there was before."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < megabytes * 1_000_000
    finally:
        tracemalloc.stop()


class TestFatChains:
    """What is there already must harm nobody: neither who reads it nor the night's run nor an audit."""

    def checkpoint(self, ledger, now):
        clock = FakeClock(now.timestamp())
        return checkpoint_ledger(ledger, clock, FakeTelemetry(), InlineExecutor())(Deadline.after(clock, 900))

    def test_a_night_over_250_chains_of_3800_entries_reads_their_ends_in_bounded_memory(self):
        ledger = EndlessLedger(NOON, 3_800, "x" * 2_000)
        subjects = [f"message#{number:03}" for number in range(250)]
        ledger.subjects_of_day = lambda day, after="": iter(subjects if day == NOON.date().isoformat() else ())
        with at_most(20):
            (made,) = self.checkpoint(ledger, NOON + DAY)
        assert [(head.subject, head.sequence) for head in made.heads] == [(subject, 3_800) for subject in subjects]
        assert made.skipped == []
        assert max(ledger.walked.values()) <= 100

    def test_the_night_after_looks_no_further_than_what_was_seen(self):
        ledger = EndlessLedger(NOON, 3_800)
        ledger.subjects_of_day = lambda day, after="": iter(["message#0"] if day == NOON.date().isoformat() else ())
        self.checkpoint(ledger, NOON + DAY)
        (made,) = self.checkpoint(ledger, NOON + 2 * DAY)
        assert (made.count, made.skipped) == (0, [])

    def test_a_page_has_few_entries_where_these_are_large(self, monkeypatch):
        read = read_message(EndlessLedger(NOON, 300, '"' * 100_000), FakeClock(), FakeTelemetry())
        monkeypatch.setattr(read_ledger, "use_case", lambda: read)
        answer = self.get(None)
        assert len(json.dumps(answer)) < 6_000_000
        assert 0 < json.loads(answer["body"])["auditNextAfter"] < 100

    def test_a_message_is_shown_in_pages_that_lambda_can_answer(self, monkeypatch):
        ledger = EndlessLedger(NOON, 3_800, "x" * 2_000)
        read = read_message(ledger, FakeClock(), FakeTelemetry())
        monkeypatch.setattr(read_ledger, "use_case", lambda: read)
        shown, after = [], None
        for _ in range(2):
            query = None if after is None else {"after": str(after)}
            answer = self.get(query)
            assert len(json.dumps(answer)) < 6_000_000
            body = json.loads(answer["body"])
            assert (answer["statusCode"], body["status"], body["auditVerified"]) == (200, "delivered", True)
            assert body["auditTruncated"] is True
            shown += [entry["sequence"] for entry in body["audit"]]
            after = body["auditNextAfter"]
        assert shown == list(range(1, 401))
        last = json.loads(self.get({"after": "3700"})["body"])
        assert [entry["sequence"] for entry in last["audit"]] == list(range(3_701, 3_801))
        assert "auditTruncated" not in last

    def get(self, query, seconds=25_000):
        context = Context()
        context.get_remaining_time_in_millis = lambda: seconds
        event = {
            "httpMethod": "GET",
            "resource": "/messages/{messageId}",
            "pathParameters": {"messageId": MESSAGE_ID},
            "queryStringParameters": query,
        }
        return read_ledger.handler(event, context)

    def test_it_is_read_in_bounded_memory(self):
        read = read_message(EndlessLedger(NOON, 6_000, "x" * 2_000), FakeClock(), FakeTelemetry())
        with at_most(15):
            read(MESSAGE_ID)

    def test_a_fault_behind_the_first_page_shows(self):
        ledger = EndlessLedger(NOON, 3_000)
        whole = ledger.fat
        ledger.fat = lambda subject: (entry for entry in whole(subject) if entry.sequence != 1_200)
        shown = read_message(ledger, FakeClock(), FakeTelemetry())(MESSAGE_ID)
        assert (shown.verified, shown.message.status) == (False, Status.DELIVERED)

    def test_one_that_takes_too_long_is_a_clear_error(self, monkeypatch):
        read = read_message(EndlessLedger(NOON, 3_000), FakeClock(), FakeTelemetry())
        monkeypatch.setattr(read_ledger, "use_case", lambda: read)
        answer = self.get(None, seconds=2_000)
        assert (answer["statusCode"], json.loads(answer["body"])["code"]) == (422, "audit_too_long")

    @pytest.mark.parametrize("after", ["x", "-1", "", "1.5", "9" * 30])
    def test_a_page_begins_after_a_sequence(self, monkeypatch, after):
        read = read_message(EndlessLedger(NOON, 3), FakeClock(), FakeTelemetry())
        monkeypatch.setattr(read_ledger, "use_case", lambda: read)
        assert self.get({"after": after})["statusCode"] == 400

    def test_an_audit_holds_no_long_chain_in_memory(self, tmp_path):
        ledger = EndlessLedger(NOON, 8_000, "x" * 2_000)
        with closing(Copy(tmp_path / "ledger.sqlite")) as copy, at_most(15):
            copy.add(entry.attributes() for entry in ledger.fat(SUBJECT))
            ((chain, faults),) = Verification(copy, NOON + timedelta(hours=1)).chains()
            assert faults == []
            assert len(chain.stored) == 8_000
            with export(tmp_path) as files:
                assert files.add(Selection(day=NOON.date()).chosen(chain), faults) == 8_000

    def test_an_audit_finds_what_is_wrong_with_a_long_chain(self):
        ledger = EndlessLedger(NOON, 3_000)
        with closing(Copy()) as copy:
            copy.add(each.attributes() for each in ledger.fat(SUBJECT) if each.sequence != 2_000)
            ((_, faults),) = Verification(copy, NOON + timedelta(hours=1)).chains()
        assert [(fault.sequence, fault.kind) for fault in faults] == [(2_000, Kind.MISSING)]
