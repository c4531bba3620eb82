"""One contract for the lease of a token's refresh, kept by the real one and by the stand-in that unit tests use."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from cxone_messaging.adapters.lease import JUST_RELEASED_SECONDS, DynamoRefreshLease
from cxone_messaging.domain.errors import StorageError
from tests.fakes import FakeRefreshLease

NOW = 1_795_000_000.0
SECONDS = 12


@pytest.fixture(params=["fake", "dynamodb"])
def lease(request):
    if request.param == "fake":
        return FakeRefreshLease()
    table = request.getfixturevalue("coordination_table")
    return DynamoRefreshLease(request.getfixturevalue("dynamodb"), table, "sms")


def acquire(lease, owner, generation=0, now=NOW):
    return lease.acquire(generation, owner, now, SECONDS) is not None


def test_the_first_gets_it_and_nobody_else_meanwhile(lease):
    assert acquire(lease, "a") is True
    assert acquire(lease, "b") is False
    assert acquire(lease, "b", now=NOW + SECONDS) is False


def test_a_repeated_request_for_it_finds_it_taken_by_itself(lease):
    """The SDK repeats a call whose answer was lost."""
    assert acquire(lease, "a") is True
    assert acquire(lease, "a") is True
    assert acquire(lease, "b") is False


def test_who_gets_it_learns_the_newest_generation_there_ever_was(lease):
    assert lease.acquire(0, "a", NOW, SECONDS) == 0
    lease.release("a", 4, NOW)
    assert lease.acquire(4, "b", NOW, SECONDS) == 4
    lease.release("b", 5, NOW)
    later = NOW + JUST_RELEASED_SECONDS + 1
    assert lease.acquire(0, "c", later, SECONDS) == 5, "a shared token that was lost can be replaced"


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


def test_only_its_holder_can_give_it_back(lease):
    assert acquire(lease, "a") is True
    lease.release("b", 5, NOW)
    assert acquire(lease, "b", generation=5) is False
    lease.release("a", 1, NOW)
    assert acquire(lease, "b", generation=1) is True


def test_one_that_was_given_up_for_dead_gives_nothing_back(lease):
    assert acquire(lease, "a") is True
    later = NOW + SECONDS + 1
    assert acquire(lease, "b", now=later) is True
    lease.release("a", 1, NOW)
    assert acquire(lease, "c", generation=1, now=later) is False
    lease.release("b", 1, NOW)
    assert acquire(lease, "c", generation=1, now=later) is True


def test_nobody_holds_it_so_giving_it_back_does_nothing(lease):
    lease.release("a", 7, NOW)
    assert acquire(lease, "b", generation=0) is True


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
