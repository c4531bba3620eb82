"""The checkpoints of past days, made on a clock that tests turn."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from cli.audit.copy import Copy
from cli.audit.faults import Kind
from cli.audit.verification import Verification
from cxone_messaging.domain import subjects
from cxone_messaging.domain.checkpoints import Checkpoint, merkle_root
from cxone_messaging.domain.entries import Draft, EntryType, first_broken
from cxone_messaging.domain.errors import StorageError
from cxone_messaging.domain.times import format_time
from cxone_messaging.platform.clock import instant
from cxone_messaging.platform.telemetry import Metric
from cxone_messaging.use_cases.journal import Journal
from cxone_messaging.use_cases.upkeep import chain_heads, checkpoint
from functions.checkpoint_ledger import handler as function
from functions.checkpoint_ledger.handler import checkpoint_ledger
from tests.fakes import FakeClock, FakeDeadline, FakeLedger, FakeTelemetry, InlineExecutor
from tests.webhooks import Context

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY = NOON.date()
NEXT = DAY + timedelta(days=1)
PLENTY = 900.0


class World:
    def __init__(self):
        self.clock = FakeClock(NOON.timestamp())
        self.ledger = FakeLedger()
        self.telemetry = FakeTelemetry()

    def at(self, instant):
        self.clock.time = instant.timestamp()

    def add(self, *subjects):
        for subject in subjects:
            Journal(self.ledger, self.clock).append(
                subject, lambda _: Draft(EntryType.DELIVERY, {"at": self.clock.now() // 1})
            )

    def make(self, ledger=None, seconds=PLENTY):
        left = [seconds] * 3 + [0] if seconds < PLENTY else [PLENTY]
        use_case = checkpoint_ledger(ledger or self.ledger, self.clock, self.telemetry, InlineExecutor())
        return use_case(FakeDeadline(*left))

    def checkpoint(self, day):
        return Checkpoint.read(day, self.ledger.read(subjects.checkpoint(day)))

    def heads(self, day):
        return {head.subject: head.sequence for head in self.checkpoint(day).heads}


@pytest.fixture
def world():
    return World()


def test_a_day_is_checkpointed_half_an_hour_after_its_end_and_once(world):
    world.add("message#b", "message#a", "message#b")
    world.at(NOON + timedelta(hours=12, minutes=29, seconds=59))
    assert world.make() == []
    world.at(NOON + timedelta(hours=12, minutes=30))
    (made,) = world.make()
    assert (made.day, made.count, made.previous) == (DAY, 2, "0" * 64)
    assert made.holds
    assert [(head.subject, head.sequence) for head in made.heads] == [("message#a", 1), ("message#b", 2)]
    assert world.make() == []
    assert world.checkpoint(DAY) == made


def test_the_root_is_what_anybody_can_compute_from_the_table(world):
    world.add("message#ä b", "consent#1")
    world.at(NOON + timedelta(days=1))
    (made,) = world.make()
    leaves = [
        json.dumps([subject, 1, world.ledger.read(subject)[-1].hash], separators=(",", ":"), ensure_ascii=False)
        for subject in ("consent#1", "message#ä b")
    ]
    assert made.root == merkle_root(leaf.encode() for leaf in leaves)


def test_a_head_is_the_last_entry_of_that_day_whatever_came_since(world):
    world.add("message#a", "message#a")
    world.at(NOON + timedelta(days=1))
    world.add("message#a", "message#b")
    world.at(NOON + timedelta(days=2))
    world.add("message#a")
    world.make()
    assert world.heads(DAY) == {"message#a": 2}
    assert world.heads(NEXT) == {"message#a": 3, "message#b": 1}


def test_an_entry_of_a_day_behind_one_of_the_next_is_covered(world):
    world.at(NOON + timedelta(hours=12))
    world.add("message#a")
    world.at(NOON + timedelta(hours=11, minutes=59, seconds=59))
    world.add("message#a")
    world.at(NOON + timedelta(days=2))
    world.make()
    assert world.heads(DAY) == {"message#a": 2}
    assert world.heads(NEXT) == {"message#a": 1}


class TestLateEntries:
    """What was dated on a day and came after its checkpoint stands in that of the next day."""

    def add_late(self, world, subject):
        late = FakeClock((NOON + timedelta(hours=11)).timestamp())
        Journal(world.ledger, late).append(subject, lambda _: Draft(EntryType.DELIVERY, {}))

    @pytest.fixture(autouse=True)
    def day(self, world):
        world.add("message#a", "message#b", "message#c")
        world.at(NOON + timedelta(hours=13))
        world.make()
        world.at(NOON + timedelta(days=1))

    def test_its_chains_head_is_listed_by_the_next_checkpoint(self, world):
        world.add("message#b")
        self.add_late(world, "message#a")
        self.add_late(world, "message#b")
        self.add_late(world, "message#new")
        world.at(NOON + timedelta(days=2))
        world.make()
        assert world.heads(DAY) == {"message#a": 1, "message#b": 1, "message#c": 1}
        heads = world.heads(NEXT)
        assert heads.pop(subjects.checkpoint(DAY)) == 2
        assert heads == {"message#a": 2, "message#b": 3, "message#new": 1}
        assert world.checkpoint(NEXT).holds

    def test_a_chain_of_the_day_before_that_nothing_came_late_to_is_not_listed(self, world):
        world.at(NOON + timedelta(days=2))
        world.make()
        assert list(world.heads(NEXT)) == [subjects.checkpoint(DAY)]

    def test_it_is_listed_once(self, world):
        self.add_late(world, "message#a")
        world.at(NOON + timedelta(days=3))
        made = world.make()
        assert [{head.subject for head in each.heads} & {"message#a"} for each in made] == [{"message#a"}, set()]

    def test_a_run_without_time_says_how_far_it_came_though_nothing_was_to_list(self, world, monkeypatch):
        monkeypatch.setattr(checkpoint, "PART", 1)
        world.at(NOON + timedelta(days=2))
        reads, read = [], world.ledger.read
        world.ledger.read = lambda subject: reads.append(subject) or read(subject)
        assert world.make(seconds=100) == []  # three parts, of which the first is the checkpoint of the day before
        reads.clear()
        assert len(world.make()) == 1
        assert "message#a" not in reads
        assert {"message#c"} <= set(reads)
        assert first_broken(subjects.checkpoint(NEXT), read(subjects.checkpoint(NEXT))) is None
        assert world.checkpoint(NEXT).holds


class TestSkippedChains:
    """A chain that can't be handled is named, is looked at again, and keeps no day from being checkpointed."""

    @pytest.fixture(autouse=True)
    def day(self, world):
        world.add("message#a", "message#b", "message#c")
        self.broken = {"message#b"}
        walk = world.ledger.walk

        def walked(subject, **how):
            if subject in self.broken:
                raise StorageError("not this one")
            return walk(subject, **how)

        world.ledger.walk = walked
        world.at(NOON + timedelta(days=1))

    def audit(self, world):
        items = [entry.attributes() for subject in world.ledger.subjects() for entry in world.ledger.read(subject)]
        return self.verify(world, items)

    def verify(self, world, items):
        copy = Copy()
        copy.add(items)
        verification = Verification(copy, instant(world.clock.now()))
        found = [fault for _, faults in verification.chains() for fault in faults]
        copy.close()
        return sorted((fault.subject, fault.kind) for fault in [*verification.faults, *found, *verification.late])

    def test_the_others_are_checkpointed_and_it_is_named(self, world):
        (made,) = world.make()
        assert [head.subject for head in made.heads] == ["message#a", "message#c"]
        assert made.skipped == ["message#b"]
        assert made.holds
        assert self.audit(world) == [("message#b", Kind.SKIPPED)]

    def test_later_days_are_checkpointed_and_the_next_one_that_can_lists_it(self, world):
        world.add("message#b", "message#d")
        world.at(NOON + timedelta(days=3))
        made = world.make()
        assert [each.skipped for each in made] == [["message#b"]] * 3
        assert self.audit(world) == [("message#b", Kind.SKIPPED)] * 3
        self.broken.clear()
        world.at(NOON + timedelta(days=4))
        (made,) = world.make()
        assert world.heads(made.day)["message#b"] == 2
        assert self.audit(world) == [("message#b", Kind.SKIPPED)] * 3
        world.at(NOON + timedelta(days=5))
        (made,) = world.make()
        assert "message#b" not in world.heads(made.day)

    def test_an_audit_distinguishes_it_from_one_that_was_removed(self, world):
        world.make()
        subjects = {*world.ledger.subjects()} - {"message#b"}
        items = [entry.attributes() for subject in subjects for entry in world.ledger.read(subject)]
        assert self.verify(world, items) == [("message#b", Kind.CHAIN_MISSING)]

    def test_what_is_added_to_it_later_is_found_once_it_was_looked_at(self, world):
        world.make()
        self.broken.clear()
        world.at(NOON + timedelta(days=2))
        world.make()
        entry = Draft(EntryType.DELIVERY, {}).following(world.ledger.read("message#b"), "message#b", NOON)
        world.ledger.insert(entry)
        world.at(NOON + timedelta(days=3))
        world.make()
        world.at(NOON + timedelta(days=4))
        world.make()
        assert ("message#b", Kind.ADDED) in self.audit(world)

    def test_a_chain_that_grew_too_much_since_the_days_end_is_skipped(self, world, monkeypatch):
        self.broken.clear()
        monkeypatch.setattr(chain_heads, "MOST_ENTRIES", 150)
        world.add(*["message#c"] * 150)
        (made,) = world.make()
        assert made.skipped == ["message#c"]
        world.at(NOON + timedelta(days=2))
        (made,) = world.make()
        assert world.heads(made.day)["message#c"] == 151
        assert self.audit(world) == [("message#c", Kind.SKIPPED)]

    def test_one_that_grew_too_much_is_counted_as_broken_each_night(self, world, monkeypatch):
        self.broken.clear()
        monkeypatch.setattr(chain_heads, "MOST_ENTRIES", 150)
        world.add(*["message#c"] * 150)
        world.make()
        assert world.telemetry[Metric.BROKEN_CHAINS] == [1]

    def test_one_that_the_store_does_not_give_is_not_counted_as_broken(self, world):
        (made,) = world.make()
        assert made.skipped == ["message#b"]
        assert world.telemetry[Metric.BROKEN_CHAINS] == []

    @pytest.mark.parametrize("missing", [2, 149, 150])
    def test_one_with_a_gap_is_listed_and_counted_as_broken(self, world, missing):
        self.broken.clear()
        world.at(NOON)
        world.add(*["message#c"] * 150)
        world.ledger.remove("message#c", missing)
        world.at(NOON + timedelta(days=1))
        (made,) = world.make()
        assert {head.subject: head.sequence for head in made.heads}["message#c"] == 151
        # Of a long chain only its end is read.
        assert world.telemetry[Metric.BROKEN_CHAINS] == ([1] if missing > 51 else [])

    def test_a_gap_on_the_way_to_its_head_counts_too(self, world):
        self.broken.clear()
        world.add(*["message#c"] * 350)  # a day later
        world.ledger.remove("message#c", 100)
        (made,) = world.make()
        assert {head.subject: head.sequence for head in made.heads}["message#c"] == 1
        assert world.telemetry[Metric.BROKEN_CHAINS] == [1]

    def test_a_short_one_is_read_to_its_beginning(self, world):
        self.broken.clear()
        world.at(NOON - timedelta(days=1))
        world.add("message#d")
        world.at(NOON)
        world.add("message#d")
        world.ledger.remove("message#d", 1)
        world.at(NOON + timedelta(days=1))
        world.make()
        assert world.telemetry[Metric.BROKEN_CHAINS] == [1]

    def test_a_gap_that_only_one_query_saw_is_none(self, world):
        self.broken.clear()
        world.at(NOON)
        world.add("message#c", "message#c")
        world.at(NOON + timedelta(days=1))
        walk, seen = world.ledger.walk, []

        def walked(subject, **how):
            entries = list(walk(subject, **how))
            if subject == "message#c" and not seen:
                seen.append(entries.pop(1))
            yield from entries

        world.ledger.walk = walked
        world.make()
        assert seen
        assert world.telemetry[Metric.BROKEN_CHAINS] == []

    def test_one_that_grew_less_is_looked_through_to_its_head(self, world):
        self.broken.clear()
        world.add(*["message#c"] * 350)
        (made,) = world.make()
        assert {head.subject: head.sequence for head in made.heads}["message#c"] == 1

    def test_a_run_without_time_for_a_long_chain_leaves_it_to_the_next(self, world):
        self.broken.clear()
        world.add(*["message#b"] * 150)
        use_case = checkpoint_ledger(world.ledger, world.clock, world.telemetry, InlineExecutor())
        assert use_case(FakeDeadline(900, 10)) == []
        (made,) = world.make()
        assert [head.subject for head in made.heads] == ["message#a", "message#b", "message#c"]
        assert made.holds

    def test_a_store_that_is_out_of_order_makes_no_checkpoint(self, world):
        self.broken |= {"message#a", "message#c"}
        with pytest.raises(StorageError):
            world.make()
        self.broken.clear()
        (made,) = world.make()
        assert made.count == 3
        assert made.skipped == []

    def test_a_run_that_breaks_off_remembers_it(self, world, monkeypatch):
        monkeypatch.setattr(checkpoint, "PART", 2)
        assert world.make(seconds=0) == []
        use_case = checkpoint_ledger(world.ledger, world.clock, world.telemetry, InlineExecutor())
        assert use_case(FakeDeadline(900, 10)) == []
        (made,) = world.make()
        assert (made.skipped, made.count) == (["message#b"], 2)

    def test_the_functions_log_names_it(self, world, monkeypatch, log):
        subject = "delivery#15551234567"
        made = Checkpoint(DAY, (), 0, "", "", "", ["message#b", subject])
        monkeypatch.setattr(function, "use_case", lambda: lambda _: [made])
        function.handler({}, Context())
        lines = [json.loads(line) for line in log.getvalue().splitlines()]
        (line,) = [each for each in lines if each["message"] == "chains skipped"]
        assert line["number"] == 2
        assert line["chains"][0] == "message#b"
        assert "5551234567" not in str(line)


def test_missed_days_are_caught_up_with_empty_ones_too_each_naming_the_one_before(world):
    world.add("message#a")
    world.at(NOON + timedelta(days=4))
    made = world.make()
    assert [each.day for each in made] == [DAY + timedelta(days=number) for number in range(4)]
    assert [each.count for each in made] == [1, 0, 0, 0]
    assert [each.previous for each in made] == ["0" * 64, *[each.hash for each in made[:-1]]]
    world.at(NOON + timedelta(days=5))
    (next_one,) = world.make()
    assert next_one.previous == made[-1].hash
    assert next_one.count == 4  # the checkpoints that were made on that day are chains as well


def test_a_ledger_without_any_entry_has_no_checkpoint(world):
    world.at(NOON + timedelta(days=30))
    assert world.make() == []
    assert len(world.ledger) == 0


class TestDeadSenders:
    SUBJECT = "message#dead"

    @pytest.fixture(autouse=True)
    def dead(self, world):
        """Let a sender die at half a minute to midnight; it had until ten seconds after that."""
        world.at(NOON + timedelta(hours=11, minutes=59, seconds=30))
        deadline = format_time(NOON + timedelta(hours=12, seconds=10))
        self.enter(world, EntryType.SENDING, {"deadline": deadline})

    def enter(self, world, type_, data=None):
        Journal(world.ledger, world.clock).append(self.SUBJECT, lambda _: Draft(type_, data or {}))

    def entries(self, world):
        assert first_broken(self.SUBJECT, world.ledger.read(self.SUBJECT)) is None
        return world.ledger.read(self.SUBJECT)

    def test_a_message_of_a_dead_sender_is_settled_as_whoever_meets_it_does(self, world):
        world.add("message#a")
        world.at(NOON + timedelta(days=1))
        world.make()
        _, unknown = self.entries(world)
        assert unknown.data == {"error": "outcome_unknown", "reason": "deadline_passed"}
        assert unknown.index["unsettled"] == "unknown"
        assert world.telemetry[Metric.MESSAGES_UNKNOWN] == [1]
        assert [entry.type for entry in world.ledger.read("message#a")] == ["delivery"]

    def test_the_entry_is_in_the_checkpoint_of_the_day_that_it_was_made_on(self, world):
        world.at(NOON + timedelta(days=1))
        world.make()
        assert world.heads(DAY) == {self.SUBJECT: 1}
        assert world.checkpoint(DAY).heads[0].hash == self.entries(world)[0].hash
        world.at(NOON + timedelta(days=2))
        world.make()
        assert world.heads(NEXT)[self.SUBJECT] == 2
        assert world.telemetry[Metric.MESSAGES_UNKNOWN] == [1]

    @pytest.mark.parametrize("type_", [EntryType.DISPATCHED, EntryType.REJECTED, EntryType.RETRYING])
    def test_one_that_was_answered_is_left_alone(self, world, type_):
        self.enter(world, type_)
        world.at(NOON + timedelta(days=1))
        world.make()
        assert [entry.type for entry in self.entries(world)] == ["sending", type_]
        assert world.telemetry[Metric.MESSAGES_UNKNOWN] == []

    def test_one_that_is_tried_again_just_now_is_left_alone(self, world):
        self.enter(world, EntryType.RETRYING)
        world.at(NOON + timedelta(days=1))
        self.enter(world, EntryType.SENDING, {"deadline": format_time(NOON + timedelta(days=1, seconds=30))})
        world.make()
        assert [entry.type for entry in self.entries(world)] == ["sending", "retrying", "sending"]
        world.at(NOON + timedelta(days=2))
        world.make()
        assert self.entries(world)[-1].type == "unknown"

    def test_nothing_is_appended_to_what_somebody_has_tampered_with(self, world):
        (entry,) = self.entries(world)
        changed = replace(entry, data={**entry.data, "owner": "another"})
        world.ledger.put(changed)
        world.at(NOON + timedelta(days=1))
        world.make()
        assert len(world.ledger.read(self.SUBJECT)) == 1

    def test_what_is_no_message_is_nobodys_to_settle(self, world):
        Journal(world.ledger, world.clock).append("template#t", lambda _: Draft(EntryType.SENDING, {}))
        world.at(NOON + timedelta(days=1))
        world.make()
        assert len(world.ledger.read("template#t")) == 1

    def test_one_that_cant_be_settled_is_met_again_by_the_next_run(self, world):
        insert = world.ledger.insert
        world.at(NOON + timedelta(days=1))

        def broken(entry):
            raise StorageError("not now")

        world.ledger.insert = broken
        with pytest.raises(StorageError):
            world.make()
        world.ledger.insert = insert
        assert len(world.make()) == 1
        assert self.entries(world)[-1].type == "unknown"

    def test_one_that_can_never_be_settled_keeps_no_day_from_being_checkpointed(self, world):
        insert = world.ledger.insert

        def refused(entry):
            if entry.subject == self.SUBJECT:
                raise StorageError("never")
            insert(entry)

        world.ledger.insert = refused
        world.at(NOON + timedelta(days=2))
        assert [each.skipped for each in world.make()] == [[], []]


class TestParts:
    SUBJECTS = tuple(f"message#{number}" for number in range(1, 8))

    @pytest.fixture(autouse=True)
    def day(self, monkeypatch, world):
        monkeypatch.setattr(checkpoint, "PART", 2)
        world.add(*self.SUBJECTS)
        world.at(NOON + timedelta(days=1))

    def whole(self, world):
        entries = world.ledger.read(subjects.checkpoint(DAY))
        assert first_broken(subjects.checkpoint(DAY), entries) is None
        assert [len(entry.data.get("heads", ())) for entry in entries] == [2, 2, 2, 1, 0]
        checkpoint = world.checkpoint(DAY)
        assert checkpoint.holds
        assert tuple(head.subject for head in checkpoint.heads) == self.SUBJECTS

    def test_heads_stand_in_entries_of_a_bounded_size(self, world):
        assert len(world.make()) == 1
        self.whole(world)

    def test_a_run_without_time_leaves_the_rest_to_the_next(self, world):
        assert world.make(seconds=100) == []
        assert len(world.ledger.read(subjects.checkpoint(DAY))) == 3
        assert world.checkpoint(DAY) is None
        assert len(world.make()) == 1
        self.whole(world)

    @pytest.mark.parametrize("survives", range(5))
    def test_a_run_that_dies_is_gone_on_with(self, world, survives):
        class Dying:
            subjects_of_day = staticmethod(world.ledger.subjects_of_day)
            read = staticmethod(world.ledger.read)
            walk = staticmethod(world.ledger.walk)
            left = survives

            def insert(self, entry):
                if self.left == 0:
                    raise KeyboardInterrupt
                self.left -= 1
                world.ledger.insert(entry)

        with pytest.raises(KeyboardInterrupt):
            world.make(ledger=Dying())
        assert len(world.make()) == 1
        self.whole(world)

    def test_two_runs_at_once_make_one_checkpoint(self, world):
        class Overtaken:
            subjects_of_day = staticmethod(world.ledger.subjects_of_day)
            read = staticmethod(world.ledger.read)
            walk = staticmethod(world.ledger.walk)
            inserts = 0

            def insert(self, entry):
                self.inserts += 1
                if self.inserts == 2:
                    world.clock.advance(1)
                    assert len(world.make()) == 1
                world.ledger.insert(entry)

        assert world.make(ledger=Overtaken()) == []
        self.whole(world)

    @pytest.mark.parametrize("reads", [1, 2, 3])
    def test_a_run_that_finds_a_day_finished_since_it_looked_adds_nothing(self, world, reads):
        class Overtaken:
            read_so_far = 0

            def read(self, subject):
                self.read_so_far += 1
                if self.read_so_far == reads + 1:
                    assert world.make()
                return world.ledger.read(subject)

            def __getattr__(self, name):
                return getattr(world.ledger, name)

        world.at(NOON + timedelta(days=3))
        world.make(ledger=Overtaken())
        for day in (DAY, NEXT):
            ends = [
                entry for entry in world.ledger.read(subjects.checkpoint(day)) if entry.type == EntryType.CHECKPOINT
            ]
            assert len(ends) == 1
            assert world.checkpoint(day).holds
