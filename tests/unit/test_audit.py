"""The audit of a ledger that somebody with all rights to the table has tampered with."""

import json
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from cli.audit.copy import Copy
from cli.audit.faults import NOTES, Kind
from cli.audit.verification import Verification
from cxone_messaging.domain import subjects
from cxone_messaging.domain.checkpoints import head_of, heads_in, root_of
from cxone_messaging.domain.entries import FIRST_PREVIOUS_HASH, Draft, Entry, EntryType
from cxone_messaging.platform.deadline import Deadline
from cxone_messaging.use_cases.journal import Journal
from functions.checkpoint_ledger.handler import checkpoint_ledger
from tests.fakes import FakeClock, FakeLedger, FakeTelemetry, InlineExecutor

MIDNIGHT = datetime(2026, 11, 22, tzinfo=UTC)
DAYS = [(MIDNIGHT + timedelta(days=number)).date() for number in range(4)]
NOW = MIDNIGHT + timedelta(days=4, hours=4)
TODAY = "2026-11-26T03:59:00.000Z"
NEWEST = subjects.checkpoint(DAYS[-1])
# Who writes how many entries on which of the four days; on the third nobody does.
STORY = {
    "message#early": [3, 0, 0, 0],
    "message#long": [2, 2, 0, 1],
    "message#late": [0, 0, 0, 2],
    "message#single": [0, 1, 0, 0],
    "consent#1": [1, 0, 0, 1],
}


@cache
def told():
    """Let the story happen, with the checkpoint function running each night; gives the ledger's items as JSON."""
    clock, ledger = FakeClock(), FakeLedger()
    checkpoints = checkpoint_ledger(ledger, clock, FakeTelemetry(), InlineExecutor())
    for number in range(5):
        clock.time = (MIDNIGHT + timedelta(days=number, minutes=35)).timestamp()
        checkpoints(Deadline.after(clock, 900))
        for subject, entries in STORY.items():
            for _ in range(entries[number] if number < 4 else 0):
                clock.advance(60)
                data = {"recipientHash": "f" * 64, "at": number, "campaignId": "summer"}
                Journal(ledger, clock).append(subject, lambda _, data=data: Draft(EntryType.DELIVERY, data))
    return json.dumps([entry.attributes() for subject in ledger.subjects() for entry in ledger.read(subject)])


class Tampered:
    """A copy of the ledger, in the hands of somebody who may write whatever they like into it."""

    def __init__(self):
        self.chains = {}
        for item in json.loads(told()):
            self.chains.setdefault(item["subject"], []).append(Entry.from_attributes(item))

    def faults(self, now=NOW, noted=None):
        with closing(Copy()) as copy:
            # In no order, as a scan gives them.
            copy.add(entry.attributes() for subject in sorted(self.chains, key=hash) for entry in self.chains[subject])
            verification = Verification(copy, now, noted)
            faults = verification.faults + [fault for _, found in verification.chains() for fault in found]
            self.late = {(fault.subject, fault.sequence, fault.kind) for fault in verification.late}
            return faults

    def found(self, **options):
        """Give each fault's place and kind."""
        return {(fault.subject, fault.sequence, fault.kind) for fault in self.faults(**options)}

    def change(self, subject, number, **changes):
        self.chains[subject][number - 1] = replace(self.chains[subject][number - 1], **changes)

    def forge(self, subject, start=1):
        """Number and hash a chain anew, from a place on: in itself it holds."""
        chain = self.chains[subject]
        for place in range(start - 1, len(chain)):
            previous_hash = chain[place - 1].hash if place else FIRST_PREVIOUS_HASH
            forged = replace(chain[place], subject=subject, sequence=place + 1, previous_hash=previous_hash)
            chain[place] = replace(forged, hash=forged.computed_hash())

    def remake_checkpoints(self):
        """Make all checkpoints anew, as if what stands there now had always stood there."""
        previous = FIRST_PREVIOUS_HASH
        for day in DAYS:
            chain = self.chains[subjects.checkpoint(day)]
            heads = [head for subject in sorted(self.chains) if (head := head_of(self.chains[subject], day))]
            if len(chain) > 1:
                chain[0] = replace(chain[0], data={"heads": [head.written() for head in heads]})
            told = {"count": len(heads), "root": root_of(heads), "previous": previous}
            chain[-1] = replace(chain[-1], data=told)
            self.forge(subjects.checkpoint(day))
            previous = chain[-1].hash


@pytest.fixture
def ledger():
    return Tampered()


def test_an_untouched_ledger_holds(ledger):
    assert ledger.faults() == []
    assert [len(list(heads_in(ledger.chains[subjects.checkpoint(day)]))) for day in DAYS] == [3, 3, 1, 4]


class TestPrecision:
    """Each kind of tampering is told as what it is, with the entry where it shows, and nothing else is."""

    def test_a_changed_entry(self, ledger):
        ledger.change("message#long", 2, data={"at": 9})
        assert ledger.found() == {("message#long", 2, Kind.CHANGED)}

    def test_a_changed_last_entry(self, ledger):
        ledger.change("message#early", 3, type="rejected")
        assert ledger.found() == {("message#early", 3, Kind.CHANGED)}

    def test_an_entry_that_was_changed_and_hashed_anew(self, ledger):
        ledger.change("message#long", 3, data={"at": 9})
        forged = ledger.chains["message#long"][2]
        ledger.change("message#long", 3, hash=forged.computed_hash())
        assert ledger.found() == {("message#long", 4, Kind.DOES_NOT_FOLLOW)}

    def test_a_chain_that_was_hashed_anew_after_a_change(self, ledger):
        ledger.change("message#long", 3, data={"at": 9})
        ledger.forge("message#long")
        (fault,) = ledger.faults()
        assert (fault.subject, fault.sequence, fault.kind) == ("message#long", 4, Kind.REWRITTEN)
        assert "entries 3 to 4 are in doubt" in fault.detail  # the checkpoint of the first day vouches for 1 and 2

    def test_two_entries_that_changed_places(self, ledger):
        chain = ledger.chains["message#early"]
        chain[0], chain[1] = replace(chain[1], sequence=1), replace(chain[0], sequence=2)
        assert ledger.found() == {("message#early", 1, Kind.MOVED), ("message#early", 2, Kind.MOVED)}

    @pytest.mark.parametrize("number", [1, 2])
    def test_an_entry_that_was_taken_out(self, ledger, number):
        del ledger.chains["message#early"][number - 1]
        assert ledger.found() == {("message#early", number, Kind.MISSING)}

    def test_a_last_entry_that_was_cut_off(self, ledger):
        del ledger.chains["message#early"][-1]
        (fault,) = ledger.faults()
        assert (fault.subject, fault.sequence, fault.kind) == ("message#early", 3, Kind.CUT_OFF)
        assert "the checkpoint of 2026-11-22" in fault.detail

    def test_a_whole_chain_that_was_removed(self, ledger):
        del ledger.chains["message#single"]
        (fault,) = ledger.faults()
        assert (fault.subject, fault.sequence, fault.kind) == ("message#single", None, Kind.CHAIN_MISSING)
        assert "the checkpoint of 2026-11-23 saw it end with entry 1" in fault.detail

    def test_an_entry_that_was_put_behind_the_last_one_of_a_past_day(self, ledger):
        ledger.chains["message#early"].append(ledger.chains["message#early"][-1])
        ledger.forge("message#early", 4)
        assert ledger.found() == {("message#early", 4, Kind.ADDED)}

    def test_a_chain_that_was_made_up(self, ledger):
        ledger.chains["message#made-up"] = ledger.chains["message#early"][:1]
        ledger.forge("message#made-up")
        assert ledger.found() == {("message#made-up", 1, Kind.ADDED)}

    def test_an_entry_before_the_first(self, ledger):
        chain = ledger.chains["message#early"]
        put_in = replace(chain[0], sequence=0)
        chain.insert(0, replace(put_in, hash=put_in.computed_hash()))
        assert ledger.found() == {("message#early", 0, Kind.EXTRA)}

    def test_a_first_entry_that_names_one_before_it(self, ledger):
        put_in = replace(
            ledger.chains["message#early"][0], subject="message#x", timestamp=TODAY, previous_hash="1" * 64
        )
        ledger.chains["message#x"] = [replace(put_in, hash=put_in.computed_hash())]
        assert ledger.found() == {("message#x", 1, Kind.DOES_NOT_FOLLOW)}

    @pytest.mark.parametrize("day", ["2026-12-24", "0001-01-01x", "soon"])
    def test_an_entry_of_no_day_up_to_now(self, ledger, day):
        ledger.chains["message#x"] = [replace(ledger.chains["message#early"][0], timestamp=f"{day}T00:00:00.000Z")]
        ledger.forge("message#x")
        assert ledger.found() == {("message#x", 1, Kind.WRONG_DATE)}

    def test_an_entry_of_a_day_before_the_first_checkpoint(self, ledger):
        ledger.chains["message#x"] = [replace(ledger.chains["message#early"][0], timestamp="2026-11-20T12:00:00.000Z")]
        ledger.forge("message#x")
        assert ledger.found() == {
            ("checkpoint#2026-11-20", None, Kind.NO_CHECKPOINT),
            ("checkpoint#2026-11-21", None, Kind.NO_CHECKPOINT),
        }
        assert "message#x has an entry of that day" in ledger.faults()[0].detail

    @pytest.mark.parametrize("day", DAYS[1:])
    def test_a_checkpoint_that_was_removed(self, ledger, day):
        del ledger.chains[subjects.checkpoint(day)]
        found = ledger.found()
        assert (subjects.checkpoint(day), None, Kind.NO_CHECKPOINT) in found
        assert {subject for subject, _, _ in found} == {subjects.checkpoint(day)}

    def test_all_checkpoints_that_were_removed(self, ledger):
        for day in DAYS:
            del ledger.chains[subjects.checkpoint(day)]
        assert ledger.found() == {(subjects.checkpoint(day), None, Kind.NO_CHECKPOINT) for day in DAYS}

    def test_a_checkpoint_is_missed_by_the_one_that_names_it(self, ledger):
        ledger.chains = {subject: ledger.chains[subject] for subject in (NEWEST, "message#late")}
        assert (subjects.checkpoint(DAYS[2]), None, Kind.NO_CHECKPOINT) in ledger.found()

    def test_a_checkpoint_that_names_another_one(self, ledger):
        ledger.change(NEWEST, 2, data={**ledger.chains[NEWEST][1].data, "previous": "1" * 64})
        ledger.forge(NEWEST)
        assert ledger.found() == {(NEWEST, None, Kind.WRONG_CHECKPOINT)}

    def test_a_checkpoint_that_was_changed_is_not_believed(self, ledger):
        subject = subjects.checkpoint(DAYS[0])
        heads = [replace(head, hash="0" * 64) for head in heads_in(ledger.chains[subject])]
        ledger.change(subject, 1, data={"heads": [head.written() for head in heads]})
        ledger.change(subject, 2, data={**ledger.chains[subject][1].data, "root": root_of(heads)})
        assert ledger.found() == {(subject, 1, Kind.CHANGED), (subject, 2, Kind.CHANGED)}

    @pytest.mark.parametrize("what", ["root", "count", "order"])
    def test_a_newest_checkpoint_that_was_forged_badly_is_not_believed(self, ledger, what):
        heads = list(heads_in(ledger.chains[NEWEST]))
        end = dict(ledger.chains[NEWEST][1].data)
        match what:
            case "root":
                heads[0] = replace(heads[0], hash="0" * 64)
            case "count":
                heads = heads[1:]
                end["root"] = root_of(heads)
            case "order":
                heads.reverse()
                end["root"] = root_of(heads)
        ledger.change(NEWEST, 1, data={"heads": [head.written() for head in heads]})
        ledger.change(NEWEST, 2, data=end)
        ledger.forge(NEWEST)
        assert ledger.found() == {(NEWEST, 2, Kind.WRONG_CHECKPOINT)}

    def test_a_checkpoint_that_goes_on_after_its_end(self, ledger):
        ledger.chains[NEWEST].append(ledger.chains[NEWEST][-1])
        ledger.forge(NEWEST, 3)
        assert ledger.found() == {(NEWEST, 3, Kind.WRONG_CHECKPOINT)}

    def test_a_checkpoint_of_no_day(self, ledger):
        ledger.chains["checkpoint#20261122"] = ledger.chains[subjects.checkpoint(DAYS[0])]
        ledger.forge("checkpoint#20261122")
        assert ("checkpoint#20261122", None, Kind.WRONG_CHECKPOINT) in ledger.found()


class TestTime:
    def test_todays_entries_are_held_against_nothing_yet(self, ledger):
        today = replace(ledger.chains["message#early"][0], timestamp=TODAY)
        ledger.chains["message#today"] = [today]
        ledger.forge("message#today")
        assert ledger.faults() == []

    def test_what_was_written_while_the_ledger_was_read_is_not_missed(self, ledger):
        del ledger.chains["message#late"][-1]
        assert ledger.faults(now=MIDNIGHT + timedelta(days=3, hours=23)) == []

    def test_a_checkpoint_is_not_missed_before_its_time(self, ledger):
        del ledger.chains[NEWEST]
        midnight = MIDNIGHT + timedelta(days=4)
        assert ledger.faults(now=midnight + timedelta(hours=2, minutes=29)) == []
        assert ledger.found(now=midnight + timedelta(hours=2, minutes=30)) == {(NEWEST, None, Kind.NO_CHECKPOINT)}

    def test_a_copy_is_judged_as_of_when_it_was_made(self, ledger):
        assert ledger.found(now=NOW + timedelta(days=1)) == {("checkpoint#2026-11-26", None, Kind.NO_CHECKPOINT)}


class TestLateEntries:
    """Something that was dated before a night and entered after its checkpoint is no tampering."""

    LATE = MIDNIGHT + timedelta(hours=23, minutes=59)

    def ledger(self, entered, *subjects, nights=3):
        """Let an entry of the first day come only at that instant, by a frozen process or a slow clock."""
        clock, fake = FakeClock(), FakeLedger()
        checkpoints = checkpoint_ledger(fake, clock, FakeTelemetry(), InlineExecutor())

        def add(subject, clock=clock):
            Journal(fake, clock).append(subject, lambda _: Draft(EntryType.DELIVERY, {"at": 1}))

        for day in range(nights + 1):
            moments = {
                MIDNIGHT + timedelta(days=day, minutes=35): lambda: checkpoints(Deadline.after(clock, 900)),
                MIDNIGHT + timedelta(days=day, hours=1): lambda day=day: [add(each) for each in self.writers(day)],
            }
            if entered.date() == (MIDNIGHT + timedelta(days=day)).date():
                moments[entered] = lambda: [add(each, FakeClock(self.LATE.timestamp())) for each in subjects]
            for moment in sorted(moments):
                clock.time = moment.timestamp()
                moments[moment]()
        tampered = Tampered()
        tampered.chains = {subject: fake.read(subject) for subject in fake.subjects()}
        self.now = datetime.fromtimestamp(clock.now(), UTC) + timedelta(hours=1)
        return tampered

    def writers(self, day):
        return [["message#a", "message#b"], ["message#b"], ["message#c"], []][day]

    def found(self, ledger):
        return ledger.found(now=self.now)

    ONE_DAY_LATE = MIDNIGHT + timedelta(days=1, hours=2)

    @pytest.mark.parametrize("subject", ["message#a", "message#b", "message#new"])
    def test_it_is_no_fault_once_the_next_checkpoint_saw_it(self, subject):
        ledger = self.ledger(self.ONE_DAY_LATE, subject)
        assert ledger.chains[subject][-1].day == "2026-11-22"
        assert self.found(ledger) == set()
        assert ledger.late == {(subject, len(ledger.chains[subject]), Kind.LATE)}

    def test_it_may_be_followed_by_others(self):
        self.writers = lambda day: [["message#a"], ["message#b"], ["message#a"], []][day]
        assert self.found(self.ledger(self.ONE_DAY_LATE, "message#a")) == set()

    def test_it_is_no_alarm_before_that_either(self):
        ledger = self.ledger(self.ONE_DAY_LATE, "message#a", nights=1)
        assert self.found(ledger) == {("message#a", 2, Kind.UNSEEN)}
        assert Kind.UNSEEN in NOTES

    def test_what_comes_after_two_nights_was_added(self):
        ledger = self.ledger(self.ONE_DAY_LATE + timedelta(days=1), "message#a")
        assert self.found(ledger) == {("message#a", 2, Kind.ADDED)}

    def test_an_entry_that_was_put_in_as_if_it_were_late_is_found(self):
        ledger = self.ledger(self.ONE_DAY_LATE, "message#a")
        ledger.chains["message#b"].append(ledger.chains["message#b"][0])
        ledger.forge("message#b", 3)
        assert self.found(ledger) == {("message#b", 3, Kind.ADDED)}

    @pytest.mark.parametrize("nights", [1, 3])
    def test_no_removal_hides_behind_a_late_entry(self, nights):
        ledger = self.ledger(self.ONE_DAY_LATE, "message#a", nights=nights)
        del ledger.chains["message#a"][0]  # which the first day's checkpoint saw
        ledger.forge("message#a")
        assert {kind for _, _, kind in self.found(ledger)} & {Kind.REWRITTEN, Kind.CUT_OFF}

    def test_nothing_in_a_chain_that_is_in_doubt_is_called_late(self):
        ledger = self.ledger(self.ONE_DAY_LATE, "message#b", nights=1)
        ledger.change("message#b", 1, data={"at": 9})
        ledger.forge("message#b")
        assert self.found(ledger) == {("message#b", 1, Kind.REWRITTEN), ("message#b", 3, Kind.ADDED)}

    def test_a_late_entry_that_was_removed_is_missed(self):
        ledger = self.ledger(self.ONE_DAY_LATE, "message#a", "message#new")
        del ledger.chains["message#a"][-1]
        del ledger.chains["message#new"]
        assert self.found(ledger) == {("message#a", 2, Kind.CUT_OFF), ("message#new", None, Kind.CHAIN_MISSING)}

    @settings(max_examples=150, suppress_health_check=[HealthCheck.filter_too_much])
    @given(st.data())
    def test_whatever_is_done_to_a_chain_with_a_late_entry_is_found(self, data):
        ledger = self.ledger(self.ONE_DAY_LATE, "message#a", "message#b", "message#new")
        subject = data.draw(st.sampled_from(["message#a", "message#b", "message#new"]))
        data.draw(st.sampled_from([tamper_naively, tamper_as_forger, remove]))(data.draw, ledger, subject)
        assert subject in {fault.subject for fault in ledger.faults(now=self.now) if fault.kind not in NOTES}


def test_who_makes_all_anew_is_found_by_a_hash_that_was_noted_elsewhere(ledger):
    noted = {day: ledger.chains[subjects.checkpoint(day)][-1].hash for day in DAYS[2:]}
    assert ledger.faults(noted=noted) == []
    ledger.change("message#early", 2, data={"at": 9})
    ledger.forge("message#early")
    ledger.remake_checkpoints()
    assert ledger.faults() == []
    assert ledger.found(noted=noted) == {(subjects.checkpoint(day), None, Kind.WRONG_CHECKPOINT) for day in DAYS[2:]}


def tamper_naively(draw, ledger, subject):
    """Do something to a chain without a care for its hashes."""
    chain = ledger.chains[subject]
    number = draw(st.integers(1, len(chain)))
    entry = chain[number - 1]
    match draw(st.sampled_from(["data", "type", "timestamp", "index", "previous", "hash", "swap"])):
        case "data":
            ledger.change(subject, number, data={**entry.data, "added": 1})
        case "type":
            ledger.change(subject, number, type="rejected")
        case "timestamp":
            ledger.change(subject, number, timestamp=draw(st.sampled_from(DAYS)).isoformat() + "T00:00:00.001Z")
        case "index":
            ledger.change(subject, number, index={} if entry.index else {"day": "2026-11-22"})
        case "previous":
            ledger.change(subject, number, previous_hash="1" * 64)
        case "hash":
            ledger.change(subject, number, hash="1" * 64)
        case "swap":
            assume(len(chain) > 1)
            other = draw(st.integers(1, len(chain)).filter(lambda place: place != number))
            chain[number - 1], chain[other - 1] = (
                replace(chain[other - 1], sequence=number),
                replace(entry, sequence=other),
            )


def tamper_as_forger(draw, ledger, subject):
    """Do something to a chain, and make it hold in itself again."""
    chain = ledger.chains[subject]
    place = draw(st.integers(0, len(chain) - 1))
    match draw(st.sampled_from(["change", "insert", "remove", "append"])):
        case "change":
            chain[place] = replace(chain[place], data={**chain[place].data, "added": 1})
        case "insert":
            chain.insert(place, replace(chain[place], data={"put": "in"}))
        case "remove":
            assume(len(chain) > 1)
            del chain[place]
        case "append":
            chain.append(replace(chain[-1], data={"put": "behind"}))
    ledger.forge(subject)


def remove(draw, ledger, subject):
    """Take a stretch of entries out, the tail or all of them too."""
    chain = ledger.chains[subject]
    start = draw(st.integers(0, len(chain) - 1))
    del chain[start : draw(st.integers(start + 1, len(chain)))]


@settings(max_examples=300, suppress_health_check=[HealthCheck.filter_too_much])
@given(st.data(), st.sampled_from([tamper_naively, tamper_as_forger, remove]))
def test_whatever_is_done_to_a_checkpointed_chain_is_found_and_its_subject_named(data, tamper):
    ledger = Tampered()
    # The newest checkpoint is the day's own work: who forges that one is found by the next night's, or by a noted hash.
    kept = {NEWEST} if tamper is tamper_as_forger else set()
    subject = data.draw(st.sampled_from(sorted(set(ledger.chains) - kept)))
    tamper(data.draw, ledger, subject)
    found = ledger.faults()
    assert subject in {fault.subject for fault in found}
