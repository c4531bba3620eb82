"""Senders with a rate of their own: they keep it, use it, and hold up nobody else."""

import bisect
import itertools
import statistics

import pytest

from cxone_messaging.domain.batches import BulkRecord
from cxone_messaging.domain.consents import ConsentStatus
from cxone_messaging.domain.errors import Code
from cxone_messaging.domain.pace import AccountRate
from cxone_messaging.domain.schedule import FAILURES_TO_OPEN
from cxone_messaging.domain.sender_rates import SenderRates
from cxone_messaging.domain.sms import SmsRequest
from cxone_messaging.platform.telemetry import Metric
from cxone_messaging.use_cases.bulk.in_flight import Done, Later
from cxone_messaging.use_cases.send.sender_schedules import SenderSchedules
from local.simulator.faults import Fault
from tests.fakes import FakeGovernor
from tests.schedules import TableOfOneItem, governor
from tests.worlds import RECIPIENT, World

SLOW, OTHER_SLOW, FREE = "+12025550143", "+13025550143", "12345"


@pytest.fixture
def world():
    world = World()
    world.sender_rates = SenderRates.parse("+1*=5")
    world.opt(ConsentStatus.OPTED_IN)
    return world


def records(count, sender, first=0):
    request = SmsRequest(RECIPIENT.e164, "Hello", sender=sender)
    return [BulkRecord(f"{sender}-{number}", request) for number in range(first, first + count)]


def times(world, sender):
    return sorted(message.time for message in world.simulator.accepted_messages() if message.sender == sender)


def most_in_a_second(posts):
    return max((bisect.bisect_left(posts, post + 0.999) - number for number, post in enumerate(posts)), default=0)


def test_a_slow_sender_keeps_its_rate_and_the_rest_comes_back_when_it_has_room(world):
    dispositions = world.offer(records(40, SLOW))
    sent = dispositions.count(Done())
    assert 4 <= sent <= 6
    assert most_in_a_second(times(world, SLOW)) <= 6
    pauses = [each.seconds for each in dispositions if isinstance(each, Later)]
    assert pauses == sorted(pauses)
    assert pauses[0] >= 1
    assert pauses[-1] == pytest.approx(34 / 5.5, abs=1.5)


def test_other_senders_of_the_batch_go_out_at_the_accounts_pace(world):
    mixed = [each for pair in zip(records(50, SLOW), records(50, FREE), strict=True) for each in pair]
    began = world.clock.now()
    dispositions = world.offer(mixed)
    assert dispositions[1::2] == [Done()] * 50
    free = times(world, FREE)
    assert free[-1] - free[0] <= 50 / 97 + 0.6
    assert len(times(world, SLOW)) <= 6 * (world.clock.now() - began + 1)


def test_each_number_of_a_pattern_has_a_rate_of_its_own(world):
    world.offer(records(20, SLOW) + records(20, OTHER_SLOW))
    assert len(times(world, SLOW)) >= 4
    assert len(times(world, OTHER_SLOW)) >= 4


def send_at_its_rate(world, count):
    """Send a campaign of the slow sender, which uses its rate and never exceeds it; return the times of the posts."""
    world.queue.put(records(count, SLOW))
    world.work_off()
    posts = times(world, SLOW)
    assert len(posts) == count
    assert most_in_a_second(posts) <= 6
    assert count / (posts[-1] - posts[0]) >= 0.92 * 5
    return posts


def test_a_campaign_of_a_slow_sender_uses_its_rate_and_loses_nothing(world):
    send_at_its_rate(world, 300)
    assert (len(world.queue), world.queue.dead) == (0, [])


def test_a_slow_sender_keeps_its_rate_evenly_while_the_account_is_busy(world):
    """Others reserve the account's slots 1.2 seconds ahead, and now and then 1.6 or 0.9."""
    account = world.governor
    busy = itertools.cycle((1.2, 1.6, 0.9, 1.4))
    reserve = account.reserve

    def after_others(count, horizon):
        account.next_slot = max(account.next_slot, world.clock.now() + next(busy))
        return reserve(count, horizon)

    account.reserve = after_others
    posts = send_at_its_rate(world, 100)
    gaps = [later - earlier for earlier, later in itertools.pairwise(posts)]
    assert statistics.quantiles(gaps, n=10)[0] >= 0.19


def test_single_sends_of_other_senders_pass_by(world):
    world.offer(records(100, SLOW))
    began = world.clock.now()
    receipt = world.send(SmsRequest(RECIPIENT.e164, "Your code", sender=FREE))
    assert receipt.message.status == "dispatched"
    assert world.clock.now() - began <= 0.5


def test_a_single_send_of_the_slow_sender_that_finds_no_slot_is_refused_with_the_time_to_wait(world):
    world.own_schedules[f"schedule of {SLOW}"] = full = FakeGovernor(world.clock, 1 / 5)
    full.next_slot = world.clock.now() + 30
    refused = world.refusal(SmsRequest(RECIPIENT.e164, "Your code", sender=SLOW))
    assert (refused.code, refused.retry_after) == (Code.RATE_LIMITED, pytest.approx(25, abs=1))


def test_a_single_send_of_the_slow_sender_waits_for_its_slot(world):
    for number in range(30):
        began = world.clock.now()
        world.send(SmsRequest(RECIPIENT.e164, "Your code", sender=SLOW), f"k{number}")
        assert world.clock.now() - began <= 0.5
    assert most_in_a_second(times(world, SLOW)) <= 6


def test_a_429_of_a_slow_sender_holds_that_sender_only(world):
    world.simulator.add_fault(Fault(action="status", operation="send", status=429, retry_after_seconds=20))
    dispositions = world.offer([*records(1, SLOW), *records(30, FREE)])
    assert isinstance(dispositions[0], Later)
    assert dispositions[1:] == [Done()] * 30
    assert (world.governor.held_until, world.governor.holds) == (0, 0)
    assert world.own_schedules[f"schedule of {SLOW}"].holds == 1
    assert world.telemetry[Metric.THROTTLED] == [1]


def test_429s_of_two_slow_senders_in_a_row_hold_the_account(world):
    world.simulator.add_fault(Fault(action="status", operation="send", status=429, retry_after_seconds=20, times=2))
    world.offer([*records(1, SLOW), *records(1, OTHER_SLOW)])
    assert world.governor.holds == 1
    assert world.governor.held_until - world.clock.now() > 15


def test_429s_of_two_slow_senders_minutes_apart_hold_each_only(world):
    for sender in (SLOW, OTHER_SLOW):
        world.simulator.add_fault(Fault(action="status", operation="send", status=429, retry_after_seconds=1))
        world.offer(records(1, sender))
        world.clock.advance(120)
    assert world.governor.holds == 0


def test_a_429_of_another_sender_holds_the_account(world):
    world.simulator.add_fault(Fault(action="status", operation="send", status=429, retry_after_seconds=20))
    world.offer(records(1, FREE))
    assert world.governor.holds == 1


def test_while_no_slot_may_be_used_a_slow_sender_claims_nothing(world):
    world.governor.failures, world.governor.open_until = FAILURES_TO_OPEN, world.clock.now() + 50
    dispositions = world.offer(records(5, SLOW))
    assert all(each.seconds >= 50 for each in dispositions)
    assert [each for each in world.ledger.subjects() if each.startswith("message#")] == []


def test_what_is_rejected_is_rejected_once_while_the_sender_waits_for_its_rate(world):
    world.own_schedules[f"schedule of {SLOW}"] = own = FakeGovernor(world.clock, 1 / 5)
    own.next_slot = world.clock.now() + 4
    refused = BulkRecord("refused", SmsRequest("+15550000001", "Hello", sender=SLOW))
    world.offer([*records(3, SLOW), refused, *records(40, SLOW, first=3), *records(200, FREE)])
    assert world.telemetry[Metric.MESSAGES_REJECTED] == [1]


def test_cold_workers_are_unsure_of_the_time_and_do_not_take_that_for_a_long_line(world):
    """Each of them learns from the item's stamps how its clock differs from the others', for up to a second."""
    tables = {}

    def make():
        def schedule(name, rate):
            table = tables.setdefault(name, TableOfOneItem(world.clock))
            return governor(table, world.clock, rate=AccountRate(rate, 0.96))

        return schedule

    pauses = []
    for _ in range(3):
        schedules = SenderSchedules(world.sender_rates, make(), world.clock, world.rng)
        pauses += schedules.pauses(SLOW, 95)
        assert schedules.reserve(SLOW, 5, 5.0).count == 5
    assert len(pauses) == 285
    assert max(pauses) <= 285 / 5.5 / 0.96 + 5


def test_a_cold_process_of_a_slow_account_waits_until_it_is_sure_of_the_time(world):
    """At 10 a second one slot is longer than what clocks may differ by."""
    table, rate = TableOfOneItem(world.clock), AccountRate(10, 0.96)
    busy = governor(table, world.clock, rate=rate)
    busy.reserve(5, 1.0)
    world.clock.advance(0.2)
    busy.reserve(5, 1.0)
    world.governor = governor(table, world.clock, rate=rate)
    assert world.send(SmsRequest(RECIPIENT.e164, "Your code", sender=FREE)).message.status == "dispatched"
