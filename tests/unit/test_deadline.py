"""A deadline has passed as soon as the stopwatch or the time of day says so."""

from cxone_messaging.platform.deadline import Deadline
from tests.fakes import FakeClock


class TwoHands:
    """A clock whose stopwatch and time of day are set apart."""

    def __init__(self):
        self.time, self.stopwatch = 1_000.0, 5.0

    def now(self):
        return self.time

    def monotonic(self):
        return self.stopwatch

    def sleep(self, seconds):
        self.time += seconds
        self.stopwatch += seconds


def test_time_runs_out():
    clock = FakeClock()
    deadline = Deadline.after(clock, 3)
    assert deadline.at == clock.now() + 3
    clock.advance(1)
    assert deadline.left == 2
    assert not deadline.has_passed
    clock.advance(2)
    assert deadline.has_passed


def test_an_environment_that_was_frozen_with_its_stopwatch_is_late():
    clock = TwoHands()
    deadline = Deadline.after(clock, 3)
    clock.time += 3_600
    assert deadline.has_passed


def test_a_clock_that_is_set_back_gives_no_time():
    clock = TwoHands()
    deadline = Deadline.after(clock, 3)
    clock.sleep(2)
    clock.time -= 3_600
    assert deadline.left == 1


def test_an_earlier_deadline_and_a_nearer_one():
    clock = FakeClock()
    deadline = Deadline.after(clock, 10)
    assert deadline.less(4).left == 6
    assert deadline.less(4).at == deadline.at - 4
    assert deadline.within(2).left == 2
    assert deadline.within(20).left == 10
