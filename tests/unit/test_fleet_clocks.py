"""Senders whose clocks are wrong, or only differ: none decides for the others, and the rate stays the account's."""

import contextlib
import itertools
import random

import pytest

from cxone_messaging.domain.schedule import FAILURES_TO_OPEN, MICRO, CircuitOpenError, ClockWrongError, NoSlotError
from cxone_messaging.platform.telemetry import Metric
from tests.fakes import FakeClock, FakeTelemetry, just_refused
from tests.schedules import Fleet, SetClock, TableOfOneItem, governor

HOUR = 3600.0


@pytest.fixture
def base():
    clock = FakeClock()
    clock.advance(0.37)
    return clock


@pytest.fixture(params=[True, False], ids=["dated", "undated"])
def table(request, base):
    return TableOfOneItem(base if request.param else None)


def seconds_refused(sender, base, horizon=5.0):
    began = base.now()
    while base.now() < began + 2000:
        try:
            return sender.reserve(1, horizon).start - began
        except NoSlotError:
            base.advance(0.5)
    return None


class TestAnHourAhead:
    def test_one_reservation_stops_nobody(self, table, base):
        with_wrong_clock(table, base, lambda ahead: ahead.reserve(1, 5.0))
        assert seconds_refused(governor(table, base), base) <= 1

    def test_one_429_holds_for_its_second_only_and_is_not_forgotten(self, table, base):
        with_wrong_clock(table, base, lambda ahead: ahead.throttled(1.0, just_refused(SetClock(base, HOUR))))
        assert 0.5 <= seconds_refused(governor(table, base), base) <= 2

    def test_the_fifth_failure_opens_the_circuit_for_ten_seconds_only(self, table, base):
        right = governor(table, base)
        for _ in range(FAILURES_TO_OPEN - 1):
            right.failed(right.reserve(1, 5.0))
        with_wrong_clock(table, base, lambda ahead: ahead.failed(right.reserve(1, 5.0)))
        assert 4 <= seconds_refused(governor(table, base), base) <= 12

    def test_a_right_sender_that_was_there_already_goes_on_at_once(self, table, base):
        right = governor(table, base)
        right.reserve(1, 5.0)
        with_wrong_clock(table, base, lambda ahead: ahead.reserve(1, 5.0))
        base.advance(1)
        assert seconds_refused(right, base) <= 1

    @pytest.mark.parametrize("name", ["nextSlot", "heldUntil", "openUntil", "probeUntil"])
    def test_what_an_older_version_wrote_without_a_stamp_runs_out_too(self, table, base, name):
        table.item = {name: round((base.now() + HOUR) * MICRO)}
        if name in {"openUntil", "probeUntil"}:
            table.item |= {"failures": FAILURES_TO_OPEN, "openUntil": table.item.get("openUntil", 1)}
        assert seconds_refused(governor(table, base), base) <= 1


def with_wrong_clock(table, base, act):
    with contextlib.suppress(ClockWrongError):
        act(governor(table, SetClock(base, HOUR)))


def test_a_real_hold_of_ten_minutes_is_believed(table, base):
    governor(table, base).throttled(600, just_refused(base))
    assert 594 <= seconds_refused(governor(table, base), base) <= 606


class TestWrongClocks:
    @pytest.mark.parametrize("skew", [3.1, -3.1, 31, 600, -600, HOUR])
    def test_a_sender_whose_clock_is_wrong_reserves_nothing_and_reports_by_how_much(self, base, skew):
        table, telemetry = TableOfOneItem(base), FakeTelemetry()
        governor(table, base).reserve(1, 5.0)
        before = table.item
        with pytest.raises(ClockWrongError) as caught:
            governor(table, SetClock(base, skew), telemetry).reserve(1, 5.0)
        assert caught.value.retry_after > 0
        assert table.item == before
        assert telemetry[Metric.CLOCK_SKEW] == [pytest.approx(abs(skew), abs=1.1)]

    @pytest.mark.parametrize("skew", [0, 1.9, -1.9])
    def test_a_clock_within_two_seconds_is_right(self, base, skew):
        table, telemetry = TableOfOneItem(base), FakeTelemetry()
        sender = governor(table, SetClock(base, skew), telemetry)
        for _ in range(50):
            sender.reserve(1, 5.0)
            base.advance(0.37)
        assert telemetry[Metric.CLOCK_SKEW] == []

    def test_a_clock_that_is_set_wrong_later_is_noticed_before_anything_is_reserved(self, base):
        table = TableOfOneItem(base)
        clock = SetClock(base)
        sender = governor(table, clock)
        sender.reserve(1, 5.0)
        clock.skew = HOUR
        before = dict(table.item)
        with pytest.raises(ClockWrongError):
            sender.reserve(1, 5.0)
        assert table.item == before

    def test_a_clock_that_is_put_right_is_used_at_once(self, base):
        clock = SetClock(base, HOUR)
        sender = governor(TableOfOneItem(base), clock)
        with pytest.raises(ClockWrongError):
            sender.reserve(1, 5.0)
        clock.skew = 0.0
        base.advance(1)
        assert sender.reserve(1, 5.0).start == pytest.approx(base.now(), abs=1)

    def test_a_process_that_was_frozen_is_not_mistaken_for_one_with_a_wrong_clock(self, base):
        class Thawed(SetClock):
            frozen = 0.0

            def monotonic(self):
                return self.base.monotonic() - self.frozen

        clock = Thawed(base)
        sender = governor(TableOfOneItem(base), clock)
        sender.reserve(1, 5.0)
        base.advance(900)
        clock.frozen = 900.0
        assert sender.reserve(1, 5.0).start == pytest.approx(base.now(), abs=0.1)

    def test_slots_that_a_set_clock_made_wait_for_ten_minutes_are_void(self, base):
        clock = SetClock(base)
        sender = governor(TableOfOneItem(base), clock)
        sender.reserve(96, 5.0)
        slots = sender.reserve(1, 5.0)
        clock.skew = -600
        base.advance(601)
        with pytest.raises(ClockWrongError):
            sender.check(slots)

    def test_a_right_sender_makes_no_call_more_than_one_a_reservation(self, base):
        table = TableOfOneItem(base)
        sender = governor(table, base)
        for _ in range(3):
            sender.reserve(1, 5.0)
        table.calls.clear()
        for _ in range(50):
            sender.reserve(1, 5.0)
            base.advance(0.2)
        assert table.calls == {"written": 50}


class TestProbes:
    def test_a_clock_31_seconds_ahead_takes_no_second_probe(self, base):
        table = TableOfOneItem(base)
        right = governor(table, base)
        for _ in range(FAILURES_TO_OPEN):
            right.failed(right.reserve(1, 5.0))
        base.advance(11)
        assert right.reserve(1, 5.0).probe
        with pytest.raises(ClockWrongError):
            governor(table, SetClock(base, 31)).reserve(1, 5.0)

    def test_nor_does_one_that_is_set_ahead_while_it_waits(self, base):
        table, clock = TableOfOneItem(base), SetClock(base)
        right, other = governor(table, base), governor(table, clock)
        for _ in range(FAILURES_TO_OPEN):
            right.failed(right.reserve(1, 5.0))
        with pytest.raises(CircuitOpenError):
            other.reserve(1, 5.0)
        base.advance(11)
        assert right.reserve(1, 5.0).probe
        clock.skew = 31
        with pytest.raises(ClockWrongError):
            other.reserve(1, 5.0)


class TestRate:
    @pytest.mark.parametrize("dated", [True, False], ids=["dated", "undated"])
    @pytest.mark.parametrize("skew", [0.05, 0.1, 0.2, 0.5, 1.0, 2.0])
    def test_two_senders_whose_clocks_differ_keep_the_rate(self, skew, dated):
        fleet = Fleet([0, skew], dated=dated).run()
        assert fleet.most_in_a_second() <= 102
        assert len(fleet.posts) >= 4800, "nor is more than a sixth of it left unused"

    @pytest.mark.parametrize("dated", [True, False], ids=["dated", "undated"])
    def test_eight_senders_within_two_seconds_all_get_their_share(self, dated):
        fleet = Fleet([0, 0.01, -0.02, 0.3, -0.5, 1, -1.5, 1.9], dated=dated).run()
        assert fleet.most_in_a_second() <= 102
        assert min(map(len, fleet.reserved)) >= 15

    def test_of_eight_senders_up_to_an_hour_off_the_right_ones_share_the_rate(self):
        fleet = Fleet([0, 0.3, 600, -600, 200, -100, HOUR, -1.2]).run()
        assert fleet.most_in_a_second() <= 102
        assert [bool(times) for times in fleet.reserved] == [True, True, False, False, False, False, False, True]
        for number in (0, 1, 7):
            times = [0, *fleet.reserved[number], 60]
            assert max(later - earlier for earlier, later in itertools.pairwise(times)) <= 5
        assert all(fleet.telemetry[number][Metric.CLOCK_SKEW] for number in range(2, 7))

    @pytest.mark.parametrize("seed", range(5))
    def test_clocks_that_are_set_wrong_and_right_again_keep_the_rate(self, seed):
        sets = [(7, 0, 600.0), (13, 1, -600.0), (21, 0, 0.0), (29, 2, 30.0), (34, 1, 0.0), (41, 2, 0.0), (47, 3, HOUR)]
        fleet = Fleet([0.0] * 8, sets=sets, seed=seed).run()
        assert fleet.most_in_a_second() <= 102
        assert min(len(fleet.reserved[number]) for number in range(4, 8)) >= 20

    @pytest.mark.parametrize("seed", range(12))
    def test_clocks_off_by_anything_and_set_at_any_time_keep_the_rate(self, seed):
        rng = random.Random(seed)

        def skew():
            return rng.uniform(-1.9, 1.9) if rng.random() < 0.5 else rng.choice([-1, 1]) * rng.uniform(3, 600)

        sets = [(rng.uniform(2, 58), rng.randrange(8), skew()) for _ in range(6)]
        assert Fleet([skew() for _ in range(8)], sets=sets, seed=seed).run().most_in_a_second() <= 102

    def test_a_sender_that_began_with_a_wrong_clock_takes_nothing_of_it_along(self):
        for seed in range(5):
            fleet = Fleet([600.0, -600.0, *[0.0] * 6], sets=[(10, 0, 0.0), (20, 1, 0.0)], seed=seed).run()
            assert fleet.most_in_a_second() <= 102
            assert min(map(len, fleet.reserved)) >= 10

    def test_right_clocks_cost_no_more_failed_writes_than_before(self):
        fleet = Fleet([0.0] * 8).run()
        assert len(fleet.posts) >= 5800
        # Before the stamps: 235 written, 772 refused, of the same senders.
        assert fleet.table.calls["written"] <= 240
        assert fleet.table.calls["refused"] <= 820
        # Seven senders each listen for some tenths of a second before their first chunk, beside 5,875 messages.
        assert fleet.table.calls["read"] <= 180


class TestFailures:
    def test_a_failure_that_the_sdk_reports_twice_counts_once(self, table, base):
        sender = governor(table, base)
        for number in range(FAILURES_TO_OPEN):
            slots = sender.reserve(1, 5.0)
            assert slots.failures == number
            table.repeats = 1
            sender.failed(slots)
        with pytest.raises(CircuitOpenError):
            sender.reserve(1, 5.0)

    def test_it_counts_once_also_where_another_sender_reports_in_between(self, table, base):
        one, other = governor(table, base), governor(table, base)
        slots = [one.reserve(1, 5.0), other.reserve(1, 5.0)]
        apply = table.update_item

        def interrupted(**update):
            table.update_item = apply
            apply(**update)
            other.failed(slots[1])
            return apply(**update)

        table.update_item = interrupted
        one.failed(slots[0])
        assert table.item["failures"] == 2

    def test_reports_at_the_same_time_all_count(self, table, base):
        senders = [governor(table, base) for _ in range(FAILURES_TO_OPEN - 1)]
        slots = [sender.reserve(1, 5.0) for sender in senders]
        for sender, slot in zip(senders, slots, strict=True):
            sender.failed(slot)
        assert table.item["failures"] == FAILURES_TO_OPEN - 1
