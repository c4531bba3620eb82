"""One contract for the lease of a token's refresh, kept by the real one and by the stand-in that unit tests use."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from cxone_messaging.adapters.dynamodb.token_lease import JUST_RELEASED_SECONDS, DynamoRefreshLease, LeaseTakenError
from cxone_messaging.domain.errors import StorageError
from cxone_messaging.domain.schedule import MAX_HOLD_SECONDS
from cxone_messaging.domain.token_holds import STORAGE_HOLD_SECONDS, Cause, HeldBackError, Hold
from cxone_messaging.platform.clock import SystemClock
from cxone_messaging.platform.clock_skew import ClockCheck
from tests.fakes import FakeRefreshLease
from tests.schedules import SetClock

NOW = 1_795_000_000.0
SECONDS = 12


@pytest.fixture(params=["fake", "moto", "dynamodb"])
def lease(request):
    if request.param == "fake":
        return FakeRefreshLease()
    if request.param == "moto":
        return DynamoRefreshLease(*request.getfixturevalue("moto").table("CoordinationTable"), "sms")
    table = request.getfixturevalue("coordination_table")
    return DynamoRefreshLease(request.getfixturevalue("dynamodb"), table, "sms")


DOWN = Hold(Cause.UNAVAILABLE, 40)


def acquire(lease, owner, generation=0, now=NOW, accepted=0):
    with suppress(LeaseTakenError):
        return lease.acquire(generation, owner, now, SECONDS, accepted) is not None
    return False


def held_back(lease, now=NOW, **options):
    with pytest.raises(HeldBackError) as caught:
        acquire(lease, "somebody", now=now, **options)
    return caught.value.hold.cause, caught.value.hold.seconds


def test_the_first_gets_it_and_nobody_else_meanwhile(lease):
    assert acquire(lease, "a") is True
    assert acquire(lease, "b") is False
    assert acquire(lease, "b", now=NOW + SECONDS) is False


def test_who_finds_it_taken_is_told_so_and_who_must_read_the_token_again_is_not(lease):
    assert acquire(lease, "a") is True
    with pytest.raises(LeaseTakenError):
        lease.acquire(0, "b", NOW, SECONDS)
    lease.release("a", 1, NOW)
    assert lease.acquire(0, "b", NOW, SECONDS) is None


def test_a_repeated_request_for_it_finds_it_taken_by_itself(lease):
    """The SDK repeats a call whose answer was lost."""
    assert acquire(lease, "a") is True
    assert acquire(lease, "a") is True
    assert acquire(lease, "b") is False


def test_each_owner_has_a_generation_of_its_own_that_never_goes_down(lease):
    assert lease.acquire(0, "a", NOW, SECONDS).generation == 1
    lease.release("a", 1, NOW)
    assert lease.acquire(1, "b", NOW, SECONDS).generation == 2
    stolen = NOW + SECONDS + 1
    assert lease.acquire(1, "thief", stolen, SECONDS).generation == 3, "b may still be fetching"
    lease.release("thief", 3, stolen)
    later = stolen + JUST_RELEASED_SECONDS + 1
    grant = lease.acquire(0, "c", later, SECONDS)
    assert (grant.generation, grant.issued, grant.issued_at) == (4, 3, stolen), "a token that was lost can be replaced"


def test_a_generation_is_past_all_that_its_owner_knows(lease):
    """The item may have been lost, and the shared token not."""
    assert lease.acquire(57, "a", NOW, SECONDS).generation == 58
    lease.release("a", 58, NOW)
    assert lease.acquire(58, "b", NOW, SECONDS).generation == 59


@pytest.mark.parametrize("known", [10**15 - 1, 10**15, 10**18])
def test_a_generation_that_no_fleet_reaches_is_not_counted_on(lease, known):
    assert lease.acquire(known, "a", NOW, SECONDS).generation == 1
    lease.release("a", 1, NOW)
    assert lease.acquire(1, "b", NOW, SECONDS).generation == 2


@pytest.mark.parametrize("late", [0.001, 3600])
def test_a_dead_holders_lease_runs_out(lease, late):
    assert acquire(lease, "a") is True
    assert acquire(lease, "b", now=NOW + SECONDS + late) is True
    assert acquire(lease, "c", now=NOW + SECONDS + late) is False


def test_given_back_it_can_be_had_for_the_next_generation_only(lease):
    assert acquire(lease, "a") is True
    lease.release("a", 1, NOW)
    assert acquire(lease, "b", generation=0) is False  # who read the shared token just before
    assert acquire(lease, "b", generation=1) is True


def test_given_back_after_a_failure_it_can_be_had_at_once(lease):
    assert acquire(lease, "a") is True
    lease.release("a", 0, NOW)
    assert acquire(lease, "b", generation=0) is True


def test_only_its_holder_can_give_it_back_and_learns_whether_it_did(lease):
    assert acquire(lease, "a") is True
    assert lease.release("b", 5, NOW) is False
    assert acquire(lease, "b", generation=5) is False
    lease.release("a", 1, NOW)
    assert acquire(lease, "b", generation=1) is True


def test_one_that_was_given_up_for_dead_gives_nothing_back(lease):
    assert acquire(lease, "a") is True
    later = NOW + SECONDS + 1
    assert acquire(lease, "b", now=later) is True
    assert lease.release("a", 1, NOW) is False
    assert acquire(lease, "c", generation=1, now=later) is False
    lease.release("b", 1, NOW)
    assert acquire(lease, "c", generation=1, now=later) is True


def test_nobody_holds_it_so_giving_it_back_does_nothing(lease):
    lease.release("a", 7, NOW)
    assert acquire(lease, "b", generation=0) is True


def test_a_repeated_release_finds_it_given_back_by_itself(lease):
    """The SDK repeats a call whose answer was lost."""
    assert acquire(lease, "a") is True
    assert lease.release("a", 1, NOW) is True
    assert lease.release("a", 1, NOW) is True
    assert acquire(lease, "b", generation=1) is True
    assert lease.release("b", 0, NOW) is True
    assert lease.release("b", 0, NOW) is False


class TestHolds:
    @pytest.mark.parametrize("cause", [Cause.UNAVAILABLE, Cause.CREDENTIALS, Cause.REFUSED])
    def test_nobody_gets_it_before_the_hold_ends_and_all_learn_why(self, lease, cause):
        assert acquire(lease, "a") is True
        lease.release("a", 0, NOW, failures=3, hold=Hold(cause, 40))
        assert held_back(lease) == (cause, 40)
        assert held_back(lease, now=NOW + 30) == (cause, 10)
        assert lease.acquire(0, "b", NOW + 40, SECONDS).failures == 3

    def test_a_lease_after_a_hold_says_nothing_of_it(self, lease):
        acquire(lease, "a")
        lease.release("a", 0, NOW, failures=1, hold=DOWN)
        assert acquire(lease, "b", now=NOW + 41) is True
        assert acquire(lease, "c", now=NOW + 42) is False
        lease.release("b", 1, NOW + 42)
        assert lease.acquire(1, "c", NOW + 42, SECONDS).failures == 0

    def test_who_knows_an_older_generation_is_sent_back_to_read_the_token_first(self, lease):
        acquire(lease, "a")
        lease.release("a", 1, NOW, failures=2, hold=Hold(Cause.REFUSED, 20))
        assert acquire(lease, "b", generation=0) is False
        assert held_back(lease, generation=1) == (Cause.REFUSED, 20)
        assert held_back(lease, generation=0, now=NOW + JUST_RELEASED_SECONDS + 1) == (Cause.REFUSED, 9)

    @pytest.mark.parametrize("cause", [Cause.UNAVAILABLE, Cause.CREDENTIALS, Cause.STORAGE])
    def test_a_token_that_had_worked_ends_a_hold_for_refused_ones_only(self, lease, cause):
        acquire(lease, "a")
        lease.release("a", 1, NOW, failures=2, hold=Hold(Cause.REFUSED, 20))
        assert held_back(lease, generation=1, accepted=0) == (Cause.REFUSED, 20)
        assert acquire(lease, "b", generation=1, accepted=1) is True
        lease.release("b", 0, NOW, failures=3, hold=Hold(cause, 20))
        assert held_back(lease, generation=1, accepted=1) == (cause, 20)

    def test_a_store_of_ours_that_failed_is_waited_for(self, lease):
        acquire(lease, "a")
        lease.release("a", 0, NOW, failures=1, hold=Hold(Cause.STORAGE, STORAGE_HOLD_SECONDS))
        assert acquire(lease, "b", now=NOW + 1) is False
        assert acquire(lease, "b", now=NOW + STORAGE_HOLD_SECONDS) is True

    def test_a_generation_that_could_not_be_shared_is_waited_for_no_longer_than_that(self, lease):
        acquire(lease, "a")
        lease.release("a", 1, NOW)
        lease.withdraw(1, NOW, Hold(Cause.STORAGE, 3))
        assert acquire(lease, "b", now=NOW + 1) is False
        assert acquire(lease, "b", now=NOW + 3) is True
        lease.withdraw(1, NOW + 3, Hold(Cause.STORAGE, 3))
        lease.release("b", 2, NOW + 3)
        lease.withdraw(1, NOW + 3, DOWN)
        assert acquire(lease, "c", generation=2, now=NOW + 3) is True, "a newer one is out"


class TestWrongClocks:
    """No worker's clock makes it last longer than its rule allows."""

    @pytest.mark.parametrize("ahead", [4.001, 60, 3600, 10**7])
    def test_a_lease_from_the_future_has_run_out(self, lease, ahead):
        assert acquire(lease, "a", now=NOW + ahead) is True
        assert acquire(lease, "b") is True
        assert acquire(lease, "c") is False
        assert lease.release("a", 1, NOW + ahead) is False

    @pytest.mark.parametrize("ahead", [0.5, 4])
    def test_two_right_clocks_may_differ_by_four_seconds(self, lease, ahead):
        assert acquire(lease, "a", now=NOW + ahead) is True
        assert acquire(lease, "b") is False
        lease.release("a", 0, NOW + ahead, failures=1, hold=Hold(Cause.UNAVAILABLE, MAX_HOLD_SECONDS))
        assert held_back(lease) == (Cause.UNAVAILABLE, MAX_HOLD_SECONDS + ahead)

    @pytest.mark.parametrize("ahead", [4.001, 60, 3600, 10**7])
    def test_neither_a_hold_nor_a_release_from_the_future_counts(self, lease, ahead):
        acquire(lease, "a", now=NOW + ahead)
        lease.release("a", 1, NOW + ahead, failures=1, hold=DOWN)
        assert acquire(lease, "b", generation=0) is True

    def test_a_hold_that_is_longer_than_any_may_be_does_not_count(self, lease):
        acquire(lease, "a")
        lease.release("a", 0, NOW, failures=1, hold=Hold(Cause.UNAVAILABLE, MAX_HOLD_SECONDS + 4.001))
        assert acquire(lease, "b") is True


class TestTheItem:
    """What only the real one can find in its item."""

    @pytest.fixture
    def put(self, dynamodb, coordination_table):
        def put(**values):
            item = {
                name: {"N": str(value)} if isinstance(value, int) else {"S": value} for name, value in values.items()
            }
            dynamodb.put_item(TableName=coordination_table, Item={"name": {"S": "token#sms"}, **item})
            return DynamoRefreshLease(dynamodb, coordination_table, "sms")

        return put

    def test_one_that_an_earlier_version_wrote(self, put):
        lease = put(generation=41, releasedAt=round(NOW * 1000))
        assert acquire(lease, "a", generation=40) is False
        assert lease.acquire(41, "b", NOW, SECONDS).generation == 42

    def test_a_hold_without_a_cause_or_with_a_later_versions(self, put):
        until = round(NOW * 1000) + 5000
        assert held_back(put(notBefore=until)) == (Cause.UNAVAILABLE, 5)
        assert held_back(put(notBefore=until, heldFor="news")) == (Cause.UNAVAILABLE, 5)

    def test_a_count_that_no_fleet_reaches_begins_anew(self, put):
        lease = put(lastGeneration=10**15 + 7, generation=10**15 + 7, releasedAt=round(NOW * 1000) - 60_000)
        grant = lease.acquire(0, "a", NOW, SECONDS)
        assert (grant.generation, grant.issued) == (1, 0)
        lease.release("a", 1, NOW)
        assert lease.acquire(1, "b", NOW, SECONDS).generation == 2

    @pytest.mark.parametrize("skew", [-3600, -600, 600, 3600])
    def test_a_wrong_clock_that_is_checked_does_no_harm(self, dynamodb, coordination_table, skew):
        def checked(clock):
            return DynamoRefreshLease(dynamodb, coordination_table, "sms", ClockCheck(clock)), clock

        right, right_clock = checked(SystemClock())
        wrong, wrong_clock = checked(SetClock(SystemClock(), skew))
        assert right.acquire(0, "a", right_clock.now(), SECONDS) is not None
        assert acquire(wrong, "b", now=wrong_clock.now()) is False
        right.release("a", 0, right_clock.now(), failures=1, hold=DOWN)
        with pytest.raises(HeldBackError) as caught:
            wrong.acquire(0, "b", wrong_clock.now(), SECONDS)
        assert caught.value.hold.seconds == pytest.approx(40, abs=4)

    def test_a_service_that_does_not_say_why_means_held(self, dynamodb, coordination_table, monkeypatch):
        lease = DynamoRefreshLease(dynamodb, coordination_table, "sms")
        acquire(lease, "a")
        lease.release("a", 0, NOW, failures=1, hold=DOWN)
        update = dynamodb.update_item

        def without_item(**options):
            del options["ReturnValuesOnConditionCheckFailure"]
            return update(**options)

        monkeypatch.setattr(dynamodb, "update_item", without_item)
        assert acquire(lease, "b") is False


# moto does not make the writes of several threads wait for one another.
@pytest.mark.parametrize("lease", ["fake", "dynamodb"], indirect=True)
@pytest.mark.parametrize("before", ["nobody held it", "its holder died", "it was given back"])
def test_of_32_who_race_for_it_one_gets_it(lease, before):
    now, generation = NOW, 0
    if before != "nobody held it":
        assert acquire(lease, "before") is True
        if before == "its holder died":
            now += SECONDS + 1
        else:
            lease.release("before", 1, NOW)
            generation = 1
    start = threading.Barrier(32)

    def run(owner):
        start.wait()
        return acquire(lease, str(owner), generation, now)

    with ThreadPoolExecutor(32) as pool:
        assert sum(pool.map(run, range(32))) == 1


def test_each_token_has_its_own(dynamodb, coordination_table):
    sms, admin = (DynamoRefreshLease(dynamodb, coordination_table, name) for name in ("sms", "admin"))
    assert acquire(sms, "a") is True
    assert acquire(admin, "a") is True


def test_a_table_that_is_not_there_is_a_storage_error(dynamodb):
    nowhere = DynamoRefreshLease(dynamodb, "nowhere", "sms")
    with pytest.raises(StorageError):
        acquire(nowhere, "a")
    with pytest.raises(StorageError):
        nowhere.release("a", 1, NOW)
    with pytest.raises(StorageError):
        nowhere.withdraw(1, NOW, DOWN)
