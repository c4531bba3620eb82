"""Whatever the order of a sender, its death, CXone's events and our own runs: every event ends under its message."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cxone_messaging.domain.attention import Attention
from cxone_messaging.domain.cxone_ids import WAIT
from cxone_messaging.domain.delivery import DeliveryEvent
from cxone_messaging.domain.entries import Draft, EntryType, first_broken
from cxone_messaging.domain.messages import Message, Status
from cxone_messaging.domain.times import format_time
from cxone_messaging.platform.clock import instant
from cxone_messaging.platform.deadline import Deadline
from cxone_messaging.use_cases.journal import Journal
from cxone_messaging.wiring.events import record_delivery
from functions.checkpoint_ledger.handler import checkpoint_ledger
from functions.sweep_ledger.handler import sweep
from tests.building import MESSAGE_ID, SUBJECT, message_trail, outcome, sending
from tests.fakes import FakeClock, FakeLedger, FakeTelemetry, InlineExecutor

BY_URL, BY_ID = ("by url", "by url, later"), ("by id", "by id, later")
ENDS = ("dispatched", "unknown", "retrying", "rejected", "dead")


class LaggingLedger(FakeLedger):
    """Its index of CXone's ids shows what was there when it last caught up, as DynamoDB's may for a moment."""

    def __init__(self):
        super().__init__()
        self.shown = set()

    def catch_up(self):
        self.shown = self.places()

    def subjects_of_cxone_message(self, cxone_message_id):
        bearers = [
            subject
            for subject, number in sorted(self.shown, reverse=True)
            if self._rows[subject, number].index.get("cxoneMessageId") == cxone_message_id
        ]
        return list(dict.fromkeys(bearers))


class Story:
    def __init__(self):
        self.ledger, self.clock, telemetry = LaggingLedger(), FakeClock(), FakeTelemetry()
        self.record = record_delivery(self.ledger, self.clock, telemetry)
        self.sweep = sweep(self.ledger, self.clock, telemetry, 3600.0)
        self.checkpoint = checkpoint_ledger(self.ledger, self.clock, telemetry, InlineExecutor())
        self.telemetry = telemetry
        self.sent = set()

    def do(self, step):
        self.clock.advance(0.1)
        if step in BY_URL + BY_ID:
            event = DeliveryEvent("cx-1", f"word {step}", "", format_time(instant(self.clock.now())))
            self.sent.add(event.identity)
            self.record(event, MESSAGE_ID if step in BY_URL else None)
        elif step in {"claim", *ENDS}:
            self.let_sender(step)
        else:
            {"settled": self.settle, "sweep": self.run, "caught up": self.ledger.catch_up, "night": self.night}[step]()

    def let_sender(self, step):
        match step:
            case "claim":
                type_, data = sending()
                self.write(type_, {**data, "deadline": format_time(instant(self.clock.now() + 30))})
            case "dispatched":
                key = {"cxoneMessageId": "cx-1"}
                self.write(EntryType.DISPATCHED, {"latencyMs": 42, **key}, key)
            case "unknown":
                self.write(*outcome(EntryType.UNKNOWN, "outcome_unknown"), Attention.UNKNOWN.as_index())
            case "retrying" | "rejected":
                self.write(*outcome(EntryType(step), "cxone_unavailable"))

    def settle(self):
        self.clock.advance(31)
        if entries := self.ledger.read(SUBJECT):
            message_trail(self.ledger, self.clock, self.telemetry).mark_overdue_unknown(SUBJECT, entries)

    def run(self):
        self.sweep(Deadline.after(self.clock, 60))

    def night(self):
        self.clock.advance(86_400)
        self.checkpoint(Deadline.after(self.clock, 900))

    def write(self, type_, data, index=None):
        Journal(self.ledger, self.clock).append(SUBJECT, lambda _: Draft(type_, data, index))

    def events(self):
        entries = self.ledger.read(SUBJECT)
        assert first_broken(SUBJECT, entries) is None
        told = [entry.data["eventId"] for entry in entries if entry.type == EntryType.DELIVERY]
        assert len(told) == len(set(told)), "an event is under its message twice"
        return set(told)


@st.composite
def orders(draw):
    """A claim, an end or none, events of both kinds, and whoever else comes by, in any order that can be."""
    end = draw(st.sampled_from(ENDS))
    events = draw(st.lists(st.sampled_from([*BY_URL, *BY_ID]), min_size=1, max_size=4, unique=True))
    others = draw(st.lists(st.sampled_from(["settled", "sweep", "caught up", "night"]), max_size=4))
    steps = draw(st.permutations([end, *events, *others]))
    # CXone can know the URL only once the message was claimed; an event by id says nothing of whose it is.
    firsts = [place for place, step in enumerate(steps) if step in {end, *BY_URL}]
    return [*steps[: firsts[0]], "claim", *steps[firsts[0] :]]


@settings(max_examples=400)
@given(orders())
@example(["claim", "by url", "dead", "settled", "by id"])
@example(["by id", "claim", "by url", "dead", "settled"])
@example(["claim", "by url", "by id", "unknown"])
@example(["claim", "retrying", "by url", "by id"])
def test_every_event_ends_under_its_message_once_anything_tells_whose_it_is(order):
    story = Story()
    for step in order:
        story.do(step)
    known = {*BY_URL, "dispatched"} & set(order)
    if "night" in order:
        return  # a stray is looked at for a day
    story.do("caught up")
    story.clock.advance(WAIT.total_seconds())
    story.do("sweep")
    assert story.events() == (story.sent if known else set())
    if story.events():
        assert Message.of(story.ledger.read(SUBJECT)).status is Status.DISPATCHED


@pytest.mark.parametrize("settled", ["settled", "night"])
def test_an_event_by_id_finds_a_message_whose_sender_died_after_an_early_event(settled):
    story = Story()
    for step in ("claim", "by url", "dead", settled, "caught up", "by id"):
        story.do(step)
    assert len(story.events()) == 1
    story.clock.advance(WAIT.total_seconds())
    story.do("sweep")
    assert story.events() == story.sent


@pytest.mark.parametrize("end", ENDS)
def test_one_index_key_is_enough_for_a_messages_events(end):
    story = Story()
    for step in ("claim", end, "by url", "caught up", "by url, later", "by id", "by id, later"):
        story.do(step)
    keyed = [entry.type for entry in story.ledger.read(SUBJECT) if "cxoneMessageId" in entry.index]
    assert keyed == ["dispatched" if end == "dispatched" else "delivery"]
