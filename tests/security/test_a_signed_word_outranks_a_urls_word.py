"""Claim: what CXone signed about a message counts before whatever a holder of its callback URL says, in any order.

The holder has the URL, which leaks to suppliers and logs. The attacks are words of theirs that are dated later, that
come first, that fill the message's room, or that repeat CXone's own event before CXone's signed one comes.
"""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cxone_messaging.domain.batches import batch_index, count_by_status
from cxone_messaging.domain.delivery import FINAL_WORDS, DeliveryEvent
from cxone_messaging.domain.delivery_bounds import MOST_DELIVERIES
from cxone_messaging.domain.entries import Draft, Entry, EntryType, first_broken
from cxone_messaging.domain.event_times import SKEW
from cxone_messaging.domain.messages import Digest, Message, Status
from cxone_messaging.domain.times import format_time
from cxone_messaging.platform.clock import instant
from cxone_messaging.platform.deadline import Deadline
from cxone_messaging.use_cases.events.delivery import Recorded
from cxone_messaging.use_cases.journal import Journal
from cxone_messaging.wiring.events import record_delivery
from functions.sweep_ledger.handler import sweep
from tests.building import MESSAGE_ID, START, SUBJECT, at, delivery, dispatched, message_trail, sending
from tests.fakes import FakeClock, FakeLedger, FakeTelemetry
from tests.webhooks import SMS, Webhook, callback

WORDS = ["queued", "sent", "delivered", "failed", "expired", "x signed|delivered", "Delivered"]
BATCHES = ("own", "later")


class Desk:
    """A message of a batch, which another batch asks for too."""

    def __init__(self):
        self.ledger, self.clock, self.telemetry = FakeLedger(), FakeClock(START.timestamp()), FakeTelemetry()
        self.record = record_delivery(self.ledger, self.clock, self.telemetry)
        self.write(*sending())

    def write(self, type_, data, index=None):
        index = batch_index("own", type_, data) | (index or {})
        Journal(self.ledger, self.clock).append(SUBJECT, lambda _: Draft(type_, data, index))

    def do(self, step):
        self.clock.advance(1)
        match step:
            case "dispatched":
                self.write(*dispatched(), {"cxoneMessageId": "cx-1"})
            case "other batch":
                trail = message_trail(self.ledger, self.clock, self.telemetry)
                trail.count_in_batches(SUBJECT, self.ledger.read(SUBJECT), "later")
            case "flood":
                for number in range(60):
                    self.post("url", WORDS[number % len(WORDS)], 100 + number, f"error {number}")
            case kind, word, seconds, error:
                self.post(kind, word, seconds, error)

    def post(self, kind, word, seconds=0.0, error=None):
        event = DeliveryEvent("cx-1", word, "", at(seconds), error)
        message_id = None if kind == "by id" else MESSAGE_ID
        named = sending()[1]["recipientHash"] if kind == "signed" else None
        return self.record(event, message_id, signed=kind != "url", recipient_hash=lambda: named).recorded

    def sweep(self):
        sweep(self.ledger, self.clock, self.telemetry, 3600.0)(Deadline.after(self.clock, 60))

    def entries(self):
        entries = self.ledger.read(SUBJECT)
        assert first_broken(SUBJECT, entries) is None
        assert sum(entry.type == EntryType.DELIVERY for entry in entries) <= MOST_DELIVERIES
        return entries

    def outcome(self):
        message = Message.of(self.entries())
        return message.status, message.error


events = st.tuples(
    st.sampled_from(["url", "url", "signed", "signed, naming nobody", "by id"]),
    st.sampled_from(WORDS),
    st.integers(-5, 200),
    st.sampled_from([None, "30005"]),
)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(events, min_size=1, max_size=10).flatmap(
        lambda told: st.permutations([*told, "dispatched", "other batch", "flood"])
    )
)
@example(["dispatched", ("signed", "delivered", 1, None), ("url", "failed", 200, None), "other batch"])
@example(["other batch", ("url", "failed", 200, None), ("signed", "delivered", 1, None), "dispatched"])
@example(["flood", ("signed, naming nobody", "delivered", 1, None), ("url", "failed", 200, None), "dispatched"])
@example(["flood", ("by id", "delivered", 1, None), "dispatched", "other batch"])
@example(["dispatched", ("url", "delivered", 1, None), ("signed", "delivered", 1, None), ("url", "failed", 2, None)])
def test_in_any_order_the_state_is_that_of_the_signed_words_if_one_is_final_and_batches_count_it(steps):
    desk, signed_only = Desk(), Desk()
    for step in steps:
        desk.do(step)
        if not (step == "flood" or step[0] == "url"):
            signed_only.do(step)
    for each in (desk, signed_only):
        each.sweep()
    if any(isinstance(step, tuple) and step[0] != "url" and step[1].casefold() in FINAL_WORDS for step in steps):
        assert desk.outcome() == signed_only.outcome()
    digest = Digest()
    for entry in desk.entries():
        digest.take(entry)
    assert Message.of(digest.entries()) == Message.of(desk.entries())
    for batch_id in BATCHES[: 1 + ("other batch" in steps)]:
        counted = count_by_status(desk.ledger.batch_entries(batch_id), 1)
        assert counted == {desk.outcome()[0].value: 1}, batch_id


@pytest.fixture
def desk():
    desk = Desk()
    desk.do("dispatched")
    return desk


@pytest.mark.parametrize("kind", ["signed", "by id"])
@pytest.mark.parametrize("order", ["signed first", "url first"])
def test_a_later_word_at_a_url_changes_nothing(desk, order, kind):
    told = [(kind, "delivered", 1, None), ("url", "failed", 200, None)]
    for step in told if order == "signed first" else told[::-1]:
        desk.do(step)
    assert desk.outcome() == (Status.DELIVERED, None)


def test_among_signed_words_the_later_counts_and_among_a_urls_words_too(desk):
    for kind in ("url", "signed"):
        desk.do((kind, "delivered", 3, None))
        desk.do((kind, "failed", 2, None))
        assert desk.outcome() == (Status.DELIVERED, None)
        desk.do((kind, "expired", 4, None))
        assert desk.outcome() == (Status.FAILED, "expired")


@pytest.mark.parametrize("word", sorted(FINAL_WORDS))
def test_a_signed_word_gets_in_though_all_room_is_taken(desk, word):
    for number in range(80):
        desk.post("url", "held", number, f"error {number}")
        desk.post("signed", "held", number, f"error {number}")
        desk.post("url", sorted(FINAL_WORDS)[number % 5], 100 + number, f"error {number}")
        desk.post("url", f"word {number}", number)
    assert desk.post("signed", word, 1) is Recorded.ACCEPTED
    assert desk.outcome()[0] is (Status.DELIVERED if word == "delivered" else Status.FAILED)


def test_an_event_that_a_urls_holder_repeats_beforehand_counts_when_its_signed_one_comes(desk):
    assert desk.post("url", "delivered", 1) is Recorded.ACCEPTED
    assert desk.post("signed", "delivered", 1) is Recorded.ACCEPTED
    assert desk.post("signed", "delivered", 1) is Recorded.DUPLICATE
    assert desk.post("url", "delivered", 1) is Recorded.DUPLICATE
    assert [entry.data.get("signed") for entry in desk.entries()] == [None, None, None, True]
    desk.post("url", "failed", 100)
    assert desk.outcome()[0] is Status.DELIVERED


def test_nor_does_such_a_repetition_keep_a_signed_event_from_bringing_its_id():
    desk = Desk()
    desk.post("url", "sent", 1)
    assert desk.post("signed", "sent", 1) is Recorded.ACCEPTED
    assert desk.ledger.subject_of_cxone_message("cx-1") == SUBJECT
    assert desk.post("signed", "sent", 1) is Recorded.DUPLICATE


def test_a_message_is_shown_with_the_id_that_a_signed_event_names_not_with_a_urls():
    desk = Desk()
    desk.record(DeliveryEvent("cx-false", "sent", "", at(1)), MESSAGE_ID)
    desk.post("signed", "queued", 2)
    desk.record(DeliveryEvent("cx-false", "odd", "", at(3)), MESSAGE_ID)
    digest = Digest()
    for entry in desk.entries():
        digest.take(entry)
    assert Message.of(desk.entries()).cxone_message_id == "cx-1"
    assert Message.of(digest.entries()).cxone_message_id == "cx-1"


def test_a_word_that_settles_nothing_is_not_entered_anew_for_its_signature(desk):
    desk.post("url", "sent", 1)
    for kind in ("signed", "signed, naming nobody", "by id"):
        assert desk.post(kind, "sent", 1) is Recorded.DUPLICATE


def test_entries_that_do_not_say_how_they_were_proved_count_as_a_urls_word(desk):
    """Those from before the mark: some were signed, but nothing in them shows which."""
    desk.write(*delivery("failed", 900))
    assert desk.outcome()[0] is Status.FAILED
    desk.do(("signed", "delivered", 1, None))
    assert desk.outcome()[0] is Status.DELIVERED


@pytest.mark.parametrize("mark", ["true", 1, None, ["x"], False])
def test_only_the_mark_itself_is_one(desk, mark):
    type_, data = delivery("failed", 900)
    desk.write(type_, data | {"signed": mark})
    desk.do(("signed", "delivered", 1, None))
    assert desk.outcome()[0] is Status.DELIVERED


def test_no_word_can_mark_itself_as_signed_in_a_batchs_counts(desk):
    desk.do(("signed", "failed", 1, None))
    for word in ("x signed|delivered", " signed|delivered", "delivered signed", "delivered|signed"):
        desk.do(("url", word, 100, None))
    assert count_by_status(desk.ledger.batch_entries("own"), 1) == {"failed": 1}


def test_functions_of_before_read_a_batchs_new_states_all_the_same():
    """During a gradual deployment they split them at the bars, and compare what stands before the word as a text."""
    index = batch_index("own", EntryType.DELIVERY, {"instant": at(1), "word": "delivered", "signed": True})
    type_, instant_, word = index["batchState"].split("|")
    assert (type_, word) == ("delivery", "delivered")
    assert at(1) < instant_ < at(2)


class TestDates:
    """A word on a URL alone is dated no later than its receipt, but for the difference of two clocks."""

    @pytest.fixture
    def door(self, monkeypatch):
        webhook = Webhook(monkeypatch)
        Journal(webhook.ledger, webhook.clock).append(SUBJECT, lambda _: Draft(*sending()))
        return webhook

    def post(self, door, seconds, *, signed=False):
        time = format_time(instant(door.clock.now() + seconds))
        if signed:
            Journal(door.ledger, door.clock).append(SUBJECT, lambda _: Draft(*dispatched("cx-1")))
        body = json.dumps({"messageId": "cx-1", "status": "failed", "to": "", "timestamp": time}).encode()
        headers = door.signed(body) if signed else None
        assert door.post(SMS, body, query=callback(MESSAGE_ID), headers=headers)[0] == 200
        entry = door.ledger.read(SUBJECT)[-1]
        return time, entry

    @pytest.mark.parametrize("seconds", [-3600, 0, SKEW.total_seconds()])
    def test_up_to_then_it_counts_as_it_says(self, door, seconds):
        time, entry = self.post(door, seconds)
        assert entry.data["instant"] == time
        assert "told" not in entry.data

    @pytest.mark.parametrize("seconds", [SKEW.total_seconds() + 1, 14 * 3600, 86_400, 10**8])
    def test_beyond_that_it_counts_as_of_its_receipt(self, door, seconds):
        time, entry = self.post(door, seconds)
        assert entry.data["instant"] == entry.timestamp
        assert entry.data["told"] == time

    def test_a_signed_one_may_come_from_a_clock_of_another_zone(self, door):
        time, entry = self.post(door, 14 * 3600, signed=True)
        assert entry.data["instant"] == time


class TestAnothersSignedBody:
    """The holder has seen a signed body that names nobody, of another message, and posts it at their own URL."""

    def post(self, desk):
        event = DeliveryEvent("cx-2", "delivered", "", at(100))
        desk.record(event, MESSAGE_ID, signed=True)
        return desk.entries()[-1].data

    def test_it_is_the_urls_word_where_the_message_has_another_id(self, desk):
        desk.do(("signed", "failed", 1, None))
        assert "signed" not in self.post(desk)
        assert desk.outcome()[0] is Status.FAILED

    def test_and_where_another_message_has_that_id(self):
        desk = Desk()
        entry = Entry.following(
            None,
            subject="message#other",
            type=EntryType.DISPATCHED,
            timestamp=at(0),
            data={"cxoneMessageId": "cx-2"},
            index={"cxoneMessageId": "cx-2"},
        )
        desk.ledger.insert(entry)
        desk.do(("signed", "failed", 1, None))
        assert "signed" not in self.post(desk)
        assert desk.outcome()[0] is Status.FAILED
        assert desk.ledger.subject_of_cxone_message("cx-2") == "message#other"
