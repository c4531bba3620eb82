"""What the schedule says, without the table that it is kept in (that is `integration/test_governor_contract.py`)."""

import pytest

from cxone_messaging.domain.schedule import (
    FAILURES_TO_OPEN,
    MAX_HOLD_SECONDS,
    MICRO,
    CircuitOpenError,
    RateUsedUpError,
    Schedule,
    Slots,
    hold_seconds,
    open_seconds,
)

NOW = 1_795_000_000 * MICRO


@pytest.mark.parametrize(
    ("failures", "seconds"), [(1, 6), (5, 6), (6, 12), (7, 24), (8, 48), (9, 60), (10, 60), (5000, 60)]
)
def test_an_outage_is_tried_less_and_less_often_but_never_stops_being_tried(failures, seconds):
    assert open_seconds(failures, 6.0) == seconds


@pytest.mark.parametrize(
    ("asked", "seconds"), [(None, 0.1), (0.0, 0.1), (0.01, 0.1), (7.0, 7), (1e9, MAX_HOLD_SECONDS)]
)
def test_a_429_holds_as_long_as_it_asks_for_but_not_for_good(asked, seconds):
    assert hold_seconds(asked) == seconds


def test_a_slot_within_the_horizon_is_free_and_one_beyond_is_waited_for():
    schedule = Schedule(next_slot=NOW + 2 * MICRO)
    schedule.refuse_reserving(NOW, 2.0)
    with pytest.raises(RateUsedUpError) as caught:
        schedule.refuse_reserving(NOW, 0.5)
    assert caught.value.retry_after == 1.5


@pytest.mark.parametrize("name", ["open_until", "probe_until", "held_until"])
def test_an_open_circuit_lets_nobody_through_until_all_that_keeps_it_closed_is_over(name):
    schedule = Schedule(failures=FAILURES_TO_OPEN, **{name: NOW + 3 * MICRO})
    assert not schedule.may_probe(NOW)
    with pytest.raises(CircuitOpenError) as caught:
        schedule.refuse_reserving(NOW, 60.0)
    assert caught.value.retry_after == 3
    assert schedule.may_probe(NOW + 3 * MICRO)
    schedule.refuse_reserving(NOW + 3 * MICRO, 60.0)


@pytest.mark.parametrize(
    ("schedule", "error", "retry_after"),
    [
        (Schedule(failures=FAILURES_TO_OPEN, open_until=NOW - MICRO), CircuitOpenError, 0),
        (Schedule(failures=FAILURES_TO_OPEN, open_until=NOW + MICRO), CircuitOpenError, 1),
        (Schedule(held_until=NOW + MICRO), RateUsedUpError, 1),
    ],
)
def test_slots_that_were_taken_before_a_429_or_an_outage_are_void(schedule, error, retry_after):
    with pytest.raises(error) as caught:
        schedule.refuse_using(NOW)
    assert caught.value.retry_after == retry_after


def test_slots_go_stale_and_are_missed_within_hundredths_of_a_second():
    slots = Slots(start=100.0, count=1, reserved_at=99.99, failures=0)
    assert slots.is_fresh(100.0)
    assert not slots.is_fresh(100.02)
    assert not slots.is_fresh(99.0), "the clock was set back: nobody knows how much time has passed"
    assert not slots.is_missed(100.02)
    assert slots.is_missed(100.04)
