"""Claim: whoever has a message's callback URL can say what became of that message, and fill nothing with it."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from cxone_messaging.adapters.ledger import Draft, DynamoLedger, append
from cxone_messaging.domain.delivery import CXONE_ID_LIMIT, FINAL_WORDS
from cxone_messaging.domain.delivery_bounds import MOST_DELIVERIES, URL_LIMIT
from cxone_messaging.domain.entries import EntryType, first_broken
from cxone_messaging.domain.messages import Status, fold
from cxone_messaging.domain.times import format_time
from cxone_messaging.platform.clock import instant
from tests.building import MESSAGE_ID, START, SUBJECT, dispatched, sending
from tests.dynamo import FakeDynamo
from tests.fakes import FakeClock
from tests.webhooks import SMS, Webhook, callback

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
        append(self.ledger, self.clock, SUBJECT, lambda _: Draft(type_, data, index))

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
        return fold(MESSAGE_ID, self.ledger.read(SUBJECT))

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
def test_ten_thousand_events_are_few_entries_and_the_last_costs_no_more_than_the_60th(door, same):
    door.send()

    def post(number):
        return door.by_url("failed", seconds=float(number), error=OPT_OUT) if same else flood(door, number)

    for number in range(60):
        post(number)
    sixtieth = door.cost(lambda: post(60))
    for number in range(61, 9_999):
        post(number)
    assert door.cost(lambda: post(9_999)) == sixtieth
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
    for number in range(200):
        door.signed("held", error=f"error {number}")
    assert len(door.deliveries()) == MOST_DELIVERIES == 50
    assert door.signed("queued", 5) == "duplicate"


@pytest.mark.parametrize("word", sorted(FINAL_WORDS))
@pytest.mark.parametrize("kind", ["by_url", "signed"])
def test_a_word_that_settles_a_message_has_room_of_its_own(door, word, kind):
    door.send()
    for number in range(100):
        door.signed("held", error=f"error {number}")
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
    door.write(*sending())
    assert door.by_url("sent", 1) == "accepted"
    assert door.by_url("sent", 2) == "duplicate"
    assert door.signed("sent", 3) == "accepted"
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
    door.webhook.sweep(lambda: 60.0)
    assert door.message().status is Status.DELIVERED
    assert len(door.deliveries()) == len(entries)


def size_of(value):
    """Measure a value as DynamoDB does, in bytes."""
    ((kind, held),) = value.items()
    match kind:
        case "S":
            return len(held.encode())
        case "N":
            return 21
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
            entry = Draft(EntryType.DELIVERY, data).following([entry], SUBJECT, door.clock)
            door.ledger.insert(entry)

    def test_an_event_reads_its_ends_only(self, door):
        assert door.cost(lambda: door.by_url("odd", 7)) == (2, 200)
        assert len(door.deliveries()) == 3_000

    def test_a_word_that_settles_its_message_is_entered(self, door):
        assert door.by_url("delivered", 7) == "accepted"
        assert door.by_url("delivered", 8) == "duplicate"
        assert door.message().status is Status.DELIVERED

    def test_a_refusal_opts_its_recipient_out(self, door):
        assert door.by_url("failed", 7, error=OPT_OUT) == "accepted"
        assert door.by_url("failed", 8, error=OPT_OUT) == "duplicate"
        assert door.webhook.consents.find(self.recipient_hash).status == "opted_out"

    def test_nothing_is_appended_where_its_end_is_not_whole(self, door):
        del door.table.rows[SUBJECT, 2_990]
        status, _ = door.webhook.post(SMS, json.dumps(door.told("delivered")).encode(), query=callback(MESSAGE_ID))
        assert status == 500
        assert (SUBJECT, 3_003) not in door.table.rows


NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY = timedelta(days=1)
