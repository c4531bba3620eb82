"""The pace: what a 429 takes away and time gives back, in pure numbers and by many senders on one schedule."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxone_messaging.domain.pace import MICRO, AccountRate, Pace, PaceLaw
from cxone_messaging.domain.schedule import (
    ClockUnsureError,
    ClockWrongError,
    NoSlotError,
    RateUsedUpError,
    SendingStoppedError,
)
from cxone_messaging.platform.telemetry import Metric
from tests.fakes import FakeClock, FakeTelemetry
from tests.schedules import RATE, SetClock, TableOfOneItem, governor

LAW = PaceLaw(RATE)
NOW = 1_795_000_000 * MICRO

rates = st.builds(
    AccountRate,
    st.floats(0.5, 1000),
    st.floats(0.01, 1),
    st.none() | st.floats(1, 100_000),
)
# What happens one after the other: so many seconds pass, or CXone refuses a message and requires so long a wait.
histories = st.lists(st.tuples(st.sampled_from(["wait", "refused"]), st.floats(0, 120)), max_size=40)


def seconds(number):
    return round(number * MICRO)


def after(law, history):
    """Give the pace after a history, and the time."""
    pace, now, held_until, in_a_row = Pace(since=NOW), NOW, 0, 0
    for what, number in history:
        if what == "wait":
            now += seconds(number)
        else:
            in_a_row = in_a_row + 1 if now <= held_until + seconds(3) else 1
            held_until = now + seconds(min(number, 30))
            pace = law.lowered(pace, now, held_until, in_a_row)
            now = held_until
    return pace, now


class TestTheLaw:
    @given(rates, histories, st.floats(0, 1000))
    def test_it_is_never_above_what_is_allowed_nor_below_the_floor(self, rate, history, later):
        law = PaceLaw(rate)
        pace, now = after(law, history)
        here = law.at(pace, now + seconds(later))
        assert here <= rate.requests_per_second
        assert here * 60 <= (rate.requests_per_minute or 60 * rate.requests_per_second)
        assert here >= law.lowest(pace) - 1e-6

    @given(rates, histories, st.lists(st.floats(0, 400), min_size=2, max_size=8))
    def test_without_a_429_it_never_falls(self, rate, history, times):
        law = PaceLaw(rate)
        pace, now = after(law, history)
        paces = [law.at(pace, now + seconds(each)) for each in sorted(times)]
        assert all(later >= earlier - 1e-6 for earlier, later in itertools.pairwise(paces))

    @given(rates, histories, st.integers(1, 12))
    def test_a_429_lowers_it_by_3_percent_and_each_that_follows_by_twice_as_much(self, rate, history, in_a_row):
        law = PaceLaw(rate)
        pace, now = after(law, history)
        before = law.at(pace, now)
        step = min(0.5, 0.03 * 2 ** (in_a_row - 1))
        expected = max(before * (1 - step), law.lowest(pace))
        assert law.at(law.lowered(pace, now, now, in_a_row), now) == pytest.approx(expected, rel=1e-4, abs=1e-5)

    @given(rates, histories)
    def test_it_has_recovered_within_the_stated_time(self, rate, history):
        law = PaceLaw(rate)
        pace, now = after(law, history)
        recovered = law.at(pace, now + seconds(law.seconds_to_recover(pace)) + 1)
        assert recovered >= min(rate.utilisation * rate.requests_per_second, law.highest(pace)) - 1e-3

    def test_the_stated_times_of_an_account_of_100_a_second(self):
        assert LAW.seconds_to_recover(Pace()) == pytest.approx(80, abs=1)
        # Others who took 15 a second have left: it lingers, and is at 92 % of all within a minute.
        pace = LAW.lowered(Pace(lowered_to=85 * MICRO, refused=85 * MICRO, since=NOW), NOW, NOW, 1)
        assert LAW.at(pace, NOW + seconds(16)) == pytest.approx(85, abs=1)
        assert LAW.at(pace, NOW + seconds(45)) >= 92

    def test_it_is_fast_far_below_the_refused_pace_and_slow_near_it(self):
        pace = Pace(lowered_to=30 * MICRO, refused=80 * MICRO, since=NOW)
        first, middle, last = (
            LAW.at(pace, NOW + seconds(to)) - LAW.at(pace, NOW + seconds(to - 5)) for to in (5, 20, 40)
        )
        assert first > 2 * middle > 4 * last

    def test_it_begins_with_the_share_of_the_ceiling_and_creeps_towards_it(self):
        pace = Pace(since=NOW)
        assert [LAW.at(pace, NOW + seconds(each)) for each in (0, 300, 600, 9000)] == pytest.approx([96, 97, 98, 98])

    def test_the_minute_is_the_nearer_budget(self):
        law = PaceLaw(AccountRate(100, 0.96, 3000))
        assert law.at(Pace(), NOW) * 60 == pytest.approx(2940)

    def test_an_operators_ceiling_is_in_force_at_once_and_never_above_the_deployed_one(self):
        assert LAW.at(Pace(ceiling=20 * MICRO), NOW) == pytest.approx(19.2)
        assert LAW.at(Pace(ceiling=500 * MICRO), NOW) == pytest.approx(96)
        assert LAW.at(Pace(ceiling=0), NOW) == 0


class TestByManySenders:
    """The item's only writers are senders with conditional writes; what one of them believes may be old."""

    @given(st.integers(0, 10_000), st.booleans())
    def test_whatever_they_report_and_whenever_the_item_keeps_the_rules(self, seed, dated):
        rng = random.Random(seed)
        base = FakeClock()
        table = TableOfOneItem(base if dated else None)
        clocks = [SetClock(base, rng.choice([0, 0, 0.03, -0.5, 1.5])) for _ in range(4)]
        senders = [governor(table, clock) for clock in clocks]
        reserved = []
        for _ in range(rng.randrange(5, 60)):
            number = rng.randrange(4)
            sender, before = senders[number], dict(table.item)
            match rng.choice(["reserve", "reserve", "refused", "wait", "set"]):
                case "reserve":
                    try:
                        reserved.append((number, sender.reserve(rng.choice([1, 25]), 1.0)))
                    except NoSlotError:
                        continue
                    slots = reserved[-1][1]
                    assert slots.seconds >= 1 / 98 - 1e-5, "never above the ceiling"
                case "refused" if reserved:
                    who, slots = reserved.pop(rng.randrange(len(reserved)))
                    senders[who].throttled(rng.choice([None, None, 0.5, 3]), slots)
                    then = table.item["stampedAt"]
                    if slots.pace_version == before.get("paceVersion", 0):
                        assert pace_of(table.item, then) <= max(
                            pace_of(before, then) * 0.971, LAW.lowest(Pace()) + 1e-3
                        )
                    else:
                        assert paces(table.item) == paces(before), "one lowering a burst"
                case "wait":
                    base.advance(rng.choice([0.01, 0.3, 2, 40]))
                case "set":
                    clocks[number].skew = rng.choice([0, 0.2, -1, 1.9])
            assert LAW.lowest(Pace()) - 1e-3 <= table.item.get("pace", 96 * MICRO) / MICRO <= 98

    def test_what_one_sender_does_not_know_yet_does_not_shorten_its_slots(self, base, table):
        one, other = governor(table, base), governor(table, base)
        mine = other.reserve(1, 5)
        refused = one.reserve(1, 5)
        base.advance(0.5)
        one.throttled(None, refused)
        base.advance(1)
        slots = other.reserve(25, 5)
        assert slots.seconds > mine.seconds
        assert slots.seconds == pytest.approx(1 / pace_of(table.item, round(base.now() * MICRO)), rel=1e-2)

    def test_what_changes_between_the_length_and_the_write_is_learnt_first(self, base, table):
        """A sender that joins reads the schedule once more before its first chunk."""
        old = governor(table, base)
        slots = old.reserve(25, 5)
        base.advance(0.3)
        joining = governor(table, base)
        read = table.get_item

        def lowered_meanwhile(**asked):
            table.get_item = read
            old.throttled(None, slots)
            return read(**asked)

        table.get_item = lowered_meanwhile
        got = soon(joining, base, 25)
        assert table.item["paceVersion"] == 1
        assert got.seconds == pytest.approx(1 / pace_of(table.item, round(base.now() * MICRO)), rel=1e-3)
        assert got.pace_version == 1

    def test_a_long_retry_after_is_not_erased_by_a_later_429(self, base, table):
        one, other = governor(table, base), governor(table, base)
        late = one.reserve(1, 5)
        base.advance(0.1)
        other.throttled(None, other.reserve(1, 5))
        base.advance(0.2)
        current = soon(other, base, 90)
        base.advance(0.2)
        one.throttled(60, late)
        other.throttled(None, current)
        base.advance(1)
        with pytest.raises(RateUsedUpError) as caught:
            other.reserve(1, 5)
        assert caught.value.retry_after == pytest.approx(54, abs=1)

    def test_a_long_line_is_not_taken_for_a_mistake(self, base):
        table = TableOfOneItem(base)
        line = governor(table, base, rate=AccountRate(5.5, 0.96))
        starts = []
        for _ in range(70):
            try:
                starts.append(line.reserve(94, 900).start)
            except RateUsedUpError:
                base.advance(1)
        assert starts == sorted(starts)
        assert max(starts) >= base.now() + 850

    def test_a_burst_is_one_event_however_many_senders_find_it(self, base, table):
        senders = [governor(table, base) for _ in range(4)]
        telemetry = FakeTelemetry()
        senders.append(governor(table, base, telemetry))
        slots = [sender.reserve(5, 5) for sender in senders]
        base.advance(0.4)
        for sender, mine in zip(senders, slots, strict=True):
            for number in range(5):
                sender.throttled(None, mine.at(number))
        assert table.item["pace"] == pytest.approx(96 * 0.97 * MICRO, rel=1e-3)
        assert table.item["holdsInARow"] == 1
        assert telemetry[Metric.PACE_LOWERED] == []

    def test_the_pace_is_reported_with_each_reservation_and_its_lowering_once(self, base, table):
        telemetry = FakeTelemetry()
        sender = governor(table, base, telemetry)
        slots = sender.reserve(1, 5)
        base.advance(0.3)
        sender.throttled(None, slots)
        base.advance(1)
        sender.reserve(1, 5)
        assert telemetry[Metric.PACE] == [96, pytest.approx(93.1, abs=0.5)]
        assert telemetry[Metric.PACE_LOWERED] == [1]

    def test_an_operators_stop_is_obeyed_by_the_next_slot_and_by_a_new_process(self, base, table):
        old, waiting = governor(table, base), governor(table, base)
        slots = waiting.reserve(25, 5)
        table.item |= {"ceiling": 0, "paceVersion": table.item.get("paceVersion", 0) + 1}
        base.advance(0.2)
        with pytest.raises(SendingStoppedError):
            waiting.check(slots.at(20))
        for sender in (old, waiting, governor(table, base)):
            for count in (1, 25):
                with pytest.raises(SendingStoppedError) as caught:
                    sender.reserve(count, 5)
                assert caught.value.retry_after >= 1
        table.item |= {"ceiling": 50 * MICRO}
        assert old.reserve(1, 5).seconds == pytest.approx(1 / 48, rel=1e-3)

    def test_a_hold_that_this_process_knows_needs_no_call(self, base, table):
        sender = governor(table, base)
        slots = sender.reserve(2, 5)
        sender.throttled(2, slots)
        table.calls.clear()
        with pytest.raises(RateUsedUpError) as caught:
            sender.refuse_held()
        assert caught.value.retry_after == pytest.approx(2, abs=0.01)
        base.advance(2.1)
        sender.refuse_held()
        assert not table.calls

    def test_no_more_calls_than_before_are_made(self, base, table):
        sender = governor(table, base)
        for _ in range(3):
            sender.reserve(1, 5)
        table.calls.clear()
        for _ in range(100):
            sender.succeeded(sender.reserve(25, 5))
            base.advance(0.27)
        assert table.calls["written"] == 100
        assert sum(table.calls.values()) == 100

    def test_a_clock_an_hour_ahead_neither_lowers_nor_raises_it(self, base):
        table = TableOfOneItem(base)
        right = governor(table, base)
        slots = right.reserve(1, 5)
        base.advance(0.3)
        right.throttled(None, slots)
        lowered = table.item["pace"]
        with pytest.raises(ClockWrongError):
            governor(table, SetClock(base, 3600)).reserve(1, 5)
        assert (table.item["pace"], right.reserve(1, 5).seconds) == (lowered, pytest.approx(1 / 93.12, rel=1e-2))


@pytest.fixture
def base():
    clock = FakeClock()
    clock.advance(0.37)
    return clock


@pytest.fixture
def table(base):
    return TableOfOneItem(base)


def soon(sender, base, count):
    """Reserve, as soon as the sender is sure of the time."""
    while True:
        try:
            return sender.reserve(count, 5)
        except ClockUnsureError as error:
            base.advance(error.retry_after)


def learned(item):
    return Pace(*(item.get(name, 0) for name in ("pace", "refusedPace", "paceAt", "paceVersion")))


def paces(item):
    return [item.get(name) for name in ("pace", "refusedPace", "paceVersion")]


def pace_of(item, now):
    return LAW.at(learned(item), now)
