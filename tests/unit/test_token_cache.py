"""One token for a fleet: who fetches, who waits, who goes on with the old one."""

import random
import threading
import time
from contextlib import suppress

import pytest

from cxone_messaging.adapters.cxone.token_cache import LEASE_SECONDS, WAIT_SECONDS, FetchedToken
from cxone_messaging.adapters.dynamodb.token_lease import JUST_RELEASED_SECONDS
from cxone_messaging.adapters.secrets import BusyStoreError
from cxone_messaging.domain.errors import Code, MessagingError, StorageError
from cxone_messaging.platform.clock import SystemClock
from cxone_messaging.platform.telemetry import Metric
from tests.fakes import FakeRefreshLease
from tests.token_fleet import Fleet


@pytest.fixture
def fleet():
    return Fleet()


DOWN = MessagingError(Code.CXONE_UNAVAILABLE, "down")


def test_one_fetch_serves_everybody_for_a_lifetime(fleet):
    caches = [fleet.cache() for _ in range(5)]
    assert {cache.get().value for cache in caches} == {"token-1"}
    fleet.clock.advance(3600 - 121)
    assert {cache.get().value for cache in caches} == {"token-1"}
    reads = fleet.secrets.reads
    assert [cache.get().value for cache in caches] == ["token-1"] * 5
    assert fleet.secrets.reads == reads, "a token in memory costs nothing"
    assert fleet.telemetry[Metric.TOKEN_FETCHES] == [1]


def test_it_is_refreshed_two_minutes_before_it_expires(fleet):
    cache = fleet.cache()
    cache.get()
    fleet.clock.advance(3600 - 119)
    assert cache.get().value == "token-2"
    assert fleet.cache().get().value == "token-2"


def test_a_token_that_lives_shorter_than_the_margin_is_not_fetched_at_every_call():
    fleet = Fleet(lifetime=60)
    cache = fleet.cache()
    for _ in range(6):
        cache.get()
        fleet.clock.advance(5)
    assert fleet.fetches == 1
    fleet.clock.advance(5)
    assert cache.get().value == "token-2"


def test_the_others_go_on_with_the_old_token_while_one_refreshes(fleet):
    holder, other = fleet.cache(), fleet.cache()
    holder.get(), other.get()
    fleet.clock.advance(3600 - 60)
    assert fleet.lease.acquire(1, "somebody else", fleet.clock.now(), LEASE_SECONDS) is not None
    began = fleet.clock.now()
    assert other.get().value == "token-1"
    assert fleet.clock.now() == began, "nobody waits while the old token works"
    assert fleet.fetches == 1


def test_a_failing_endpoint_does_not_matter_while_the_old_token_works(fleet):
    cache = fleet.cache()
    cache.get()
    fleet.clock.advance(3600 - 60)
    fleet.failure = DOWN
    assert cache.get().value == "token-1"
    fleet.clock.advance(61)
    with pytest.raises(MessagingError, match="cxone_unavailable"):
        cache.get()
    fleet.failure = None
    fleet.clock.advance(10)
    assert cache.get().value == "token-2"
    assert (fleet.telemetry[Metric.TOKEN_FETCHES], fleet.telemetry[Metric.TOKEN_FETCHES_FAILED]) == ([1, 1], [1, 1])


def test_a_refused_token_is_replaced_once_and_its_successor_stays(fleet):
    one, other = fleet.cache(), fleet.cache()
    first, same = one.get(), other.get()
    one.invalidate(first)
    assert one.get().value == "token-2"
    other.invalidate(same)
    assert other.get().value == "token-2"
    one.invalidate(first)
    assert one.get().value == "token-2"
    assert fleet.fetches == 2


def test_new_tokens_that_are_refused_too_are_not_fetched_for_ever(fleet):
    cache = fleet.cache()
    for _ in range(3):
        cache.invalidate(cache.get())
    for _ in range(5):
        with pytest.raises(MessagingError, match="cxone_auth_failed"):
            cache.get()
    assert fleet.fetches == 3
    fleet.clock.advance(31)
    assert cache.get().value == "token-4"


def test_what_refused_one_message_twice_does_not_stop_the_next(fleet):
    cache = fleet.cache()
    for _ in range(5):
        for _ in range(2):
            cache.invalidate(cache.get())
        cache.mark_accepted(cache.get())


def test_tokens_that_worked_may_be_refused_in_quick_succession(fleet):
    cache = fleet.cache()
    for _ in range(5):
        token = cache.get()
        cache.mark_accepted(token)
        cache.invalidate(token)
    assert cache.get().value == "token-6"


def test_a_token_that_never_worked_is_told_from_one_that_did(fleet):
    cache = fleet.cache()
    worked = cache.get()
    cache.mark_accepted(worked)
    cache.invalidate(worked)
    for _ in range(2):
        cache.invalidate(cache.get())
    with pytest.raises(MessagingError, match="cxone_auth_failed"):
        cache.get()


def test_a_dead_holders_lease_runs_out_while_the_others_wait(fleet):
    assert fleet.lease.acquire(0, "dead", fleet.clock.now(), LEASE_SECONDS) is not None
    began = fleet.clock.now()
    assert fleet.cache().get().value == "token-1"
    assert LEASE_SECONDS <= fleet.clock.now() - began <= LEASE_SECONDS + 1.5


def test_who_has_less_time_waits_no_longer_than_that(fleet):
    assert fleet.lease.acquire(0, "busy", fleet.clock.now(), LEASE_SECONDS) is not None
    began = fleet.clock.now()
    with pytest.raises(MessagingError, match="cxone_unavailable") as caught:
        fleet.cache().get(3)
    assert fleet.clock.now() - began <= 3
    assert caught.value.retry_after


def test_who_read_the_secret_before_a_refresh_does_not_fetch_after_it(fleet):
    """Between the read and the lease somebody else may have fetched: the lease knows the generation."""
    late = fleet.cache()
    read, fleet.secrets.read = fleet.secrets.read, None

    def read_then_refresh(arn):
        text = read(arn)
        fleet.secrets.read = read
        fleet.cache().get()
        return text

    fleet.secrets.read = read_then_refresh
    assert late.get().value == "token-1"
    assert fleet.fetches == 1


def test_who_learns_of_a_new_token_has_it_a_moment_later(fleet):
    """The pauses of one who waits for a slow fetch have grown; the lease says that the fetch is over."""
    began, acquire = fleet.clock.now(), fleet.lease.acquire
    acquire(0, "slow", began, LEASE_SECONDS)
    over_at = []

    def acquire_as_the_fetch_ends(*args):
        if not over_at and fleet.clock.now() >= began + 3:
            over_at.append(fleet.clock.now())
            fleet.lease.release("slow", 0, fleet.clock.now())
            fleet.cache().get()
        return acquire(*args)

    fleet.lease.acquire = acquire_as_the_fetch_ends
    assert fleet.cache().get().value == "token-1"
    assert fleet.clock.now() - over_at[0] <= 0.15
    assert fleet.fetches == 1


def test_a_token_that_can_not_be_shared_still_serves_who_fetched_it(fleet):
    def broken(arn, text):
        raise StorageError("no")

    fleet.secrets.write = broken
    cache = fleet.cache()
    assert cache.get().value == "token-1"
    assert cache.get().value == "token-1"


def test_a_token_that_can_not_be_shared_leaves_no_lease_behind(fleet):
    """Secrets Manager refuses writes for up to a day once it has a hundred new versions of a secret."""

    def broken(arn, text):
        raise StorageError("no")

    fleet.secrets.write = broken
    fleet.cache().get()
    began = fleet.clock.now()
    assert fleet.cache().get().value == "token-2"
    assert fleet.clock.now() - began < LEASE_SECONDS / 2


def test_a_shared_token_that_was_reset_is_replaced(fleet):
    """An operator drops a leaked token: the lease remembers a newer generation than the secret holds."""
    for _ in range(3):
        fleet.cache().get()
        fleet.clock.advance(3600)
    fleet.secrets.secrets["token"] = "{}"
    fleet.clock.advance(60)
    token = fleet.cache().get()
    assert (token.value, token.generation) == ("token-4", 4)
    assert fleet.cache().get() == token


def test_a_token_never_shows_in_its_repr(fleet):
    assert "token-1" not in repr(fleet.cache().get())


@pytest.mark.parametrize("ssm", [False, True], ids=["secretsmanager", "ssm"])
def test_a_thousand_cold_environments_fetch_once(ssm):
    fleet = Fleet(clock=SystemClock(), endpoint_seconds=0.4, ssm=ssm, requests_a_second=1000)
    waits = []
    barrier = threading.Barrier(1000)

    def start():
        cache = fleet.cache()
        barrier.wait()
        began = time.monotonic()
        token = cache.get()
        waits.append((time.monotonic() - began, token.generation))

    threads = [threading.Thread(target=start) for _ in range(1000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert fleet.fetches == 1
    assert [generation for _, generation in waits] == [1] * 1000
    assert not ssm or fleet.secrets.throttled > 0


class HurriedClock(SystemClock):
    """Time that passes ten times as fast."""

    def now(self):
        return super().now() * 10

    def monotonic(self):
        return super().monotonic() * 10

    def sleep(self, seconds):
        super().sleep(seconds / 10)


def test_200_cold_environments_get_along_with_40_requests_a_second():
    """Parameter Store's own limit: waiting readers must not keep the one who fetched from sharing the token."""
    fleet = Fleet(clock=HurriedClock(), endpoint_seconds=0.4, ssm=True)
    barrier = threading.Barrier(200)
    generations = []

    def start():
        cache = fleet.cache()
        barrier.wait()
        generations.append(cache.get().generation)

    threads = [threading.Thread(target=start) for _ in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert generations == [1] * 200
    assert fleet.fetches == 1
    assert fleet.secrets.throttled > 0


class TestParameterStore:
    """What differs from Secrets Manager: the first write creates, reads lag, and there are fewer a second."""

    @pytest.fixture
    def fleet(self):
        return Fleet(ssm=True)

    def test_the_first_token_makes_the_parameter(self, fleet):
        assert fleet.secrets.secrets == {}
        assert fleet.cache().get().value == "token-1"
        assert set(fleet.secrets.secrets) == {"token"}

    def test_a_read_that_lags_behind_the_write_costs_no_fetch(self, fleet):
        for number in (1, 2, 3):
            assert fleet.cache().get().value == f"token-{number}"
            began = fleet.clock.now()
            assert fleet.cache().get().value == f"token-{number}"
            assert fleet.clock.now() - began <= fleet.secrets.LAG_SECONDS + 1
            fleet.clock.advance(3600)
        assert fleet.fetches == 3

    def test_a_holder_that_dies_costs_two_fetches_and_its_lease(self, fleet):
        assert died_fetching(fleet) == 1
        began = fleet.clock.now()
        assert [fleet.cache().get().value for _ in range(5)] == ["token-2"] * 5
        assert fleet.fetches == 2
        assert fleet.clock.now() - began <= LEASE_SECONDS + fleet.secrets.LAG_SECONDS + 1

    @pytest.mark.parametrize("seconds", [1, 5, WAIT_SECONDS - 1])
    def test_who_is_refused_a_read_waits_and_reads_again(self, fleet, seconds):
        fleet.cache().get()
        fleet.clock.advance(60)
        quiet_at, read = fleet.clock.now() + seconds, fleet.secrets.read
        fleet.secrets.read = lambda name: throttled() if fleet.clock.now() < quiet_at else read(name)
        assert fleet.cache().get().value == "token-1"
        assert fleet.clock.now() <= quiet_at + 6
        assert fleet.fetches == 1

    def test_who_waits_for_a_fetch_asks_the_lease_and_leaves_the_requests_to_the_one_who_fetches(self, fleet):
        fleet.lease.acquire(0, "slow", fleet.clock.now(), LEASE_SECONDS)
        reads = fleet.secrets.reads
        with pytest.raises(MessagingError, match="cxone_unavailable"):
            fleet.cache().get(14)
        assert fleet.secrets.reads - reads <= 4, "once in five seconds, and before it gives up"

    def test_who_is_refused_for_too_long_is_told_to_come_back_and_does_not_fetch(self, fleet):
        fleet.secrets.requests_a_second = 0
        with pytest.raises(MessagingError, match="cxone_unavailable") as caught:
            fleet.cache().get()
        assert caught.value.retry_after
        assert (fleet.fetches, fleet.lease.owner) == (0, None)

    def test_who_has_a_token_that_works_goes_on_with_it_meanwhile(self, fleet):
        cache = fleet.cache()
        cache.get()
        fleet.clock.advance(3600 - 60)
        fleet.secrets.requests_a_second = 0
        began = fleet.clock.now()
        assert cache.get().value == "token-1"
        assert fleet.clock.now() - began <= 3, "no longer than the AWS client tries"

    def test_a_write_that_is_refused_is_tried_again_while_nobody_else_may_fetch(self, fleet):
        write, tries = fleet.secrets.write, []

        def refused_at_first(*args):
            tries.append(fleet.clock.now())
            return throttled() if len(tries) < 20 else write(*args)

        fleet.secrets.write = refused_at_first
        cache = fleet.cache()
        assert cache.get().value == "token-1"
        assert len(tries) == 20
        assert fleet.cache().get().value == "token-1"
        assert fleet.fetches == 1

    def test_the_last_try_to_write_ends_before_another_may_fetch(self, fleet):
        tries = []
        fleet.secrets.write = lambda *_: (tries.append(fleet.clock.now()), throttled())
        fleet.cache().get()
        assert tries[-1] + fleet.secrets.write_seconds <= tries[0] + JUST_RELEASED_SECONDS

    def test_a_write_that_is_refused_is_a_token_that_is_not_shared(self, fleet):
        cache = fleet.cache()
        fleet.secrets.write = lambda *_: throttled()
        assert cache.get().value == "token-1"
        assert cache.get().value == "token-1"
        del fleet.secrets.write
        assert fleet.cache().get().value == "token-2"
        assert fleet.lease.owner is None


def throttled():
    raise BusyStoreError("rate exceeded")


def died_fetching(fleet):
    """Let a process die in its fetch, and give how often the endpoint was asked."""

    def die(_):
        fleet.fetches += 1
        raise KeyboardInterrupt

    fleet.fetch = die
    with suppress(KeyboardInterrupt):
        fleet.cache().get()
    del fleet.fetch
    return fleet.fetches


def test_a_thread_does_not_wait_for_another_ones_refresh_while_the_old_token_works(fleet):
    cache = fleet.cache()
    cache.get()
    fleet.clock.advance(3600 - 60)
    meanwhile = []
    fleet.secrets.read = lambda _, read=fleet.secrets.read: (meanwhile.append(cache.get().value), read("token"))[1]
    began = time.monotonic()
    assert cache.get().value == "token-2"
    assert meanwhile == ["token-1"]
    assert time.monotonic() - began < 0.5


class TestTheLeaseIsReleased:
    """Whatever a fetch raises; only a killed process releases nothing."""

    @pytest.mark.parametrize(
        "error", [DOWN, StorageError("no"), OverflowError(), RuntimeError("a defect"), KeyError("x"), RecursionError()]
    )
    def test_whatever_the_fetch_raises(self, fleet, error):
        fleet.failure = error
        with pytest.raises((MessagingError, StorageError)):
            fleet.cache().get()
        assert fleet.lease.owner is None
        fleet.failure = None
        fleet.clock.advance(5)
        began = fleet.clock.now()
        assert fleet.cache().get().value == "token-1"
        assert fleet.clock.now() == began

    def test_a_defect_is_named_by_its_type_and_does_not_matter_while_the_old_token_works(self, fleet):
        fleet.failure = RuntimeError("secret&=")
        with pytest.raises(MessagingError, match="RuntimeError") as caught:
            fleet.cache().get()
        assert (caught.value.code, "secret&=" in str(caught.value)) == (Code.CXONE_UNAVAILABLE, False)
        fleet.failure = None
        fleet.clock.advance(5)
        cache = fleet.cache()
        cache.get()
        fleet.clock.advance(3600 - 60)
        fleet.failure = RuntimeError("a defect")
        assert cache.get().value == "token-1"

    @pytest.mark.parametrize("is_same", [True, False])
    def test_credentials_that_can_not_be_read_once_cost_the_next_caller_a_moment(self, fleet, is_same):
        fleet.failure = StorageError("throttled")
        cache = fleet.cache()
        with pytest.raises(StorageError):
            cache.get()
        fleet.failure = None
        began = fleet.clock.now()
        assert (cache if is_same else fleet.cache()).get().value == "token-1"
        assert fleet.clock.now() - began < 4

    def test_credentials_that_can_never_be_read_are_not_read_for_each_message(self, fleet):
        fetches = count_failures(fleet, StorageError("denied"), seconds=300, each=0.3)
        assert fetches <= 12

    def test_a_fetch_that_would_have_no_time_is_not_begun(self, fleet):
        with pytest.raises(MessagingError, match="cxone_unavailable"):
            fleet.cache().get(0.5)
        assert (fleet.fetches, fleet.lease.owner, fleet.lease.failures) == (0, None, 0)


def count_failures(fleet, failure, seconds, each, fresh=True):
    """Have a token requested every so often while all fetches fail, and return how many there were."""
    fetches = 0

    def fetch(_):
        nonlocal fetches
        fetches += 1
        raise failure

    fleet.fetch = fetch
    cache, until = fleet.cache(), fleet.clock.now() + seconds
    while fleet.clock.now() < until:
        began = fleet.clock.now()
        with pytest.raises((MessagingError, StorageError)):
            (fleet.cache() if fresh else cache).get()
        assert fleet.clock.now() - began <= 4
        fleet.clock.advance(each)
    del fleet.fetch
    return fetches


class TestTheFleetIsHeldBack:
    """After a failed fetch nobody fetches for a while, whichever process."""

    @pytest.mark.parametrize("fresh", [True, False], ids=["fresh processes", "one process"])
    @pytest.mark.parametrize(
        ("code", "retry_after", "most"),
        [
            (Code.CXONE_UNAVAILABLE, None, 12),
            (Code.CXONE_UNAVAILABLE, 1, 12),
            (Code.CXONE_UNAVAILABLE, 60, 6),
            (Code.CXONE_UNAVAILABLE, 10**9, 1),
            (Code.CXONE_AUTH_FAILED, None, 6),
        ],
    )
    def test_a_thousand_sends_in_five_minutes_of_failures(self, fleet, code, retry_after, most, fresh):
        failure = MessagingError(code, "no", retry_after=retry_after)
        assert count_failures(fleet, failure, seconds=300, each=0.3, fresh=fresh) <= most
        fleet.clock.advance(900 if most == 1 else 60)
        assert fleet.cache().get().value == "token-1", "and soon after it is well again, there is a token"

    def test_the_pause_grows_from_5_to_60_seconds(self, fleet):
        fleet.failure = DOWN
        pauses = []
        for _ in range(7):
            with pytest.raises(MessagingError) as caught:
                fleet.cache().get()
            pauses.append(caught.value.retry_after)
            fleet.clock.advance(pauses[-1])
        assert pauses == [5, 10, 20, 40, 60, 60, 60]

    def test_a_refresh_that_works_ends_it(self, fleet):
        fleet.failure = DOWN
        for _ in range(4):
            with pytest.raises(MessagingError):
                fleet.cache().get()
            fleet.clock.advance(60)
        fleet.failure = None
        fleet.cache().get()
        fleet.clock.advance(3600)
        fleet.failure = DOWN
        with pytest.raises(MessagingError) as caught:
            fleet.cache().get()
        assert caught.value.retry_after == 5

    @pytest.mark.parametrize("code", [Code.CXONE_UNAVAILABLE, Code.CXONE_AUTH_FAILED])
    def test_who_finds_it_held_back_fails_at_once_with_the_code_and_the_wait(self, fleet, code):
        fleet.failure = MessagingError(code, "no", retry_after=90)
        one = fleet.cache()
        with pytest.raises(MessagingError):
            one.get()
        fleet.clock.advance(30.5)
        for cache in (one, fleet.cache()):
            with pytest.raises(MessagingError) as caught:
                cache.get()
            assert (caught.value.code, caught.value.retry_after) == (code, 60)
        assert fleet.clock.monotonic() == 30.5

    def test_a_process_that_knows_of_it_makes_few_calls(self, fleet):
        fleet.failure = DOWN
        for cache in (fleet.cache(), fleet.cache()):
            reads = fleet.secrets.reads
            for _ in range(1000):
                with pytest.raises(MessagingError):
                    cache.get()
                fleet.clock.advance(0.004)
            assert fleet.secrets.reads - reads <= 2

    def test_a_token_that_still_works_is_used_meanwhile(self, fleet):
        caches = [fleet.cache(), fleet.cache()]
        assert [cache.get().value for cache in caches] == ["token-1"] * 2
        fleet.clock.advance(3600 - 60)
        assert count_fetches_with_the_old_one(fleet, caches) == 4  # after 0, 5, 15 and 35 seconds

    def test_who_waits_for_a_fetch_in_the_same_process_shares_its_failure(self):
        fleet = Fleet(clock=SystemClock(), endpoint_seconds=0.2)
        fleet.failure = DOWN
        cache, errors = fleet.cache(), []

        def run():
            with pytest.raises(MessagingError) as caught:
                cache.get()
            errors.append(caught.value.code)

        threads = [threading.Thread(target=run) for _ in range(20)]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == [Code.CXONE_UNAVAILABLE] * 20
        assert time.monotonic() - began < 2


def count_fetches_with_the_old_one(fleet, caches):
    fleet.failure = DOWN
    began = fleet.clock.now()
    while fleet.clock.now() - began < 59:
        assert {cache.get().value for cache in caches} == {"token-1"}
        fleet.clock.advance(0.5)
    return len(fleet.telemetry[Metric.TOKEN_FETCHES_FAILED])


class TestRefusedTokens:
    """CXone issues tokens and refuses them at use: no storm of fetches, and no stop for tokens that had worked."""

    def test_fresh_processes_whose_tokens_are_all_refused_do_not_fetch_for_each_message(self, fleet):
        errors, until = [], fleet.clock.now() + 300
        while fleet.clock.now() < until:
            cache = fleet.cache()
            try:
                for _ in range(2):
                    cache.invalidate(cache.get())
            except MessagingError as error:
                errors.append(error)
            fleet.clock.advance(0.3)
        assert 5 <= fleet.fetches <= 12
        assert {error.code for error in errors} == {Code.CXONE_AUTH_FAILED}
        assert all(1 <= error.retry_after <= 60 for error in errors)

    def test_the_first_refused_token_is_replaced_at_once_in_a_fresh_process_too(self, fleet):
        fleet.cache().get()
        fleet.clock.advance(1800)
        cache = fleet.cache()
        cache.invalidate(cache.get())
        assert cache.get().value == "token-2"

    def test_what_was_refused_while_it_was_new_is_forgotten_by_a_normal_refresh(self, fleet):
        cache = fleet.cache()
        for _ in range(3):
            cache.invalidate(cache.get())
        fleet.clock.advance(6)
        cache.mark_accepted(cache.get())
        fleet.clock.advance(3600)
        for _ in range(2):
            cache.invalidate(cache.get())
        assert cache.get().value == "token-7"

    def test_a_token_that_was_used_for_long_counts_as_one_that_had_worked(self, fleet):
        cache = fleet.cache()
        for _ in range(3):
            cache.invalidate(cache.get())
        fleet.clock.advance(6)
        assert cache.get().value == "token-4"
        fleet.clock.advance(1800)
        fresh = fleet.cache()
        for _ in range(2):
            fresh.invalidate(fresh.get())
        assert fresh.get().value == "token-6"

    def test_a_late_401_for_an_old_token_leaves_the_newer_one(self, fleet):
        one, other = fleet.cache(), fleet.cache()
        old = one.get()
        other.invalidate(other.get())
        new = other.get()
        one.invalidate(old)
        assert one.get() == other.get() == new
        assert fleet.fetches == 2

    def test_a_401_is_noted_without_waiting_for_a_fetch(self, fleet):
        cache = fleet.cache()
        token = cache.get()
        fleet.clock.advance(3600 - 60)
        fleet.secrets.read = lambda _, read=fleet.secrets.read: (cache.invalidate(token), read("token"))[1]
        assert cache.get().value == "token-2"

    @pytest.mark.parametrize("works_for_some", [True, False])
    def test_a_token_that_lacks_a_scope_is_replaced_at_once_but_not_for_each_request(self, fleet, works_for_some):
        cache = fleet.cache()
        for number in range(1000):
            token = cache.get()
            if works_for_some:
                cache.mark_accepted(token)
            cache.discard(token)
            if number == 0:
                assert cache.get().value == "token-2"
            fleet.clock.advance(0.3)
        assert fleet.fetches <= 12, "and it serves what it is good for meanwhile"


class TestTheLeasesTime:
    """A live holder never outlives its lease, and what it fetched too late is its own only."""

    def test_a_slow_fetch_gets_what_the_lease_has_left(self, fleet):
        given = []
        acquire = fleet.lease.acquire
        fleet.lease.acquire = lambda *args: (acquire(*args), fleet.clock.sleep(7))[0]
        fleet.fetch = lambda seconds: (given.append(seconds), FetchedToken("token", 3600))[1]
        fleet.cache().get()
        assert given == [LEASE_SECONDS - 7 - 4]

    def test_a_lease_that_was_had_too_late_is_given_back_without_a_fetch(self, fleet):
        acquire = fleet.lease.acquire
        fleet.lease.acquire = lambda *args: (acquire(*args), fleet.clock.sleep(12))[0]
        with pytest.raises(MessagingError, match="cxone_unavailable"):
            fleet.cache().get()
        assert (fleet.fetches, fleet.lease.owner, fleet.lease.failures) == (0, None, 0)

    def test_a_holder_that_was_frozen_does_not_share_what_it_has(self, fleet):
        fleet.endpoint_seconds = LEASE_SECONDS
        thawed = fleet.cache().get()
        assert fleet.secrets.writes == 0
        fleet.endpoint_seconds = 0.0
        other = fleet.cache().get()
        assert (thawed.generation, other.generation, other.value) == (1, 2, "token-2")
        assert fleet.cache().get() == other

    def test_a_token_that_expired_while_its_holder_was_frozen_is_not_used(self, fleet):
        fleet.endpoint_seconds = 4000
        with pytest.raises(MessagingError, match="cxone_unavailable"):
            fleet.cache().get()

    def test_a_holder_whose_lease_was_taken_over_does_not_share_what_it_has(self, fleet):
        def taken_over(seconds):
            fleet.lease.until = float("-inf")
            fleet.fetch = lambda _: FetchedToken("thiefs", 3600)
            thieves.append(fleet.cache().get())
            return FetchedToken("victims", 3600)

        thieves = []
        fleet.fetch = taken_over
        victim = fleet.cache().get()
        assert victim.value == "victims"
        assert victim.generation < thieves[0].generation, "no two owners share a generation"
        assert fleet.cache().get() == thieves[0]

    def test_a_slow_release_leaves_no_time_to_share(self, fleet):
        release = fleet.lease.release
        fleet.lease.release = lambda *args, **options: (release(*args, **options), fleet.clock.sleep(5))[0]
        fleet.cache().get()
        assert fleet.secrets.writes == 0

    def test_a_holder_that_dies_costs_two_fetches_and_its_lease(self, fleet):
        class Killed(BaseException):
            pass

        def die(seconds):
            fleet.fetches += 1
            raise Killed

        fleet.fetch = die
        with pytest.raises(Killed):
            fleet.cache().get()
        del fleet.fetch
        began = fleet.clock.now()
        assert fleet.cache().get().value == "token-2"
        assert fleet.clock.now() - began <= LEASE_SECONDS + 1

    def test_generations_never_go_down_even_if_both_the_secret_and_the_item_are_lost(self, fleet):
        cache = fleet.cache()
        for _ in range(3):
            cache.get()
            fleet.clock.advance(3600)
        fleet.secrets.secrets["token"] = "{}"
        fleet.lease = FakeRefreshLease()
        cache._lease = fleet.lease
        assert cache.get().generation == 4


class TestATokenThatCanNotBeShared:
    def broken(self, *_):
        raise StorageError("LimitExceededException")

    def test_the_others_do_not_wait_for_it_for_long(self, fleet):
        fleet.secrets.write = self.broken
        waits = []
        for number in range(5):
            began = fleet.clock.now()
            assert fleet.cache().get().value == f"token-{number + 1}"
            waits.append(fleet.clock.now() - began)
        assert max(waits) < 4
        assert min(waits[1:]) >= 3, "nor do they all fetch at once"

    def test_its_owner_goes_on_with_it(self, fleet):
        fleet.secrets.write = self.broken
        cache = fleet.cache()
        for _ in range(100):
            assert cache.get().value == "token-1"
            fleet.clock.advance(10)

    def test_one_whose_write_went_through_all_the_same_is_shared(self, fleet):
        write = fleet.secrets.write
        fleet.secrets.write = lambda *args: (write(*args), self.broken())[1]
        fleet.cache().get()
        assert fleet.cache().get().value == "token-1"

    def test_tokens_that_are_refused_too_are_held_back_all_the_same(self, fleet):
        fleet.secrets.write = self.broken
        cache = fleet.cache()
        until = fleet.clock.now() + 300
        while fleet.clock.now() < until:
            with suppress(MessagingError):
                cache.invalidate(cache.get())
            fleet.clock.advance(0.3)
        assert fleet.fetches <= 12


class Skewed:
    """A worker's clock that is so many seconds off; its stopwatch is right."""

    def __init__(self, base, seconds):
        self.base, self.seconds = base, seconds

    def now(self):
        return self.base.now() + self.seconds

    def monotonic(self):
        return self.base.monotonic()

    def sleep(self, seconds):
        self.base.sleep(seconds)


class TestWrongClocks:
    @pytest.mark.parametrize("ahead", [5, 60, 600, 3600, 10**6])
    def test_a_holder_with_a_fast_clock_that_dies_stops_the_fleet_for_20_seconds_at_most(self, fleet, ahead):
        fleet.lease.acquire(0, "dead", fleet.clock.now() + ahead, LEASE_SECONDS)
        began = fleet.clock.now()
        fleet.cache().get()
        assert fleet.clock.now() - began <= 20

    @pytest.mark.parametrize("ahead", [5, 60, 600, 3600, 10**6])
    def test_a_failure_of_a_worker_with_a_fast_clock_holds_nobody_back_for_long(self, fleet, ahead):
        right, fleet.clock = fleet.clock, Skewed(fleet.clock, ahead)
        fleet.failure = MessagingError(Code.CXONE_UNAVAILABLE, "down", retry_after=900)
        with pytest.raises(MessagingError):
            fleet.cache().get()
        fleet.clock, fleet.failure = right, None
        assert fleet.cache().get().value == "token-1"

    @pytest.mark.parametrize("ahead", [600, 3600, 10**6])
    def test_a_token_of_a_worker_with_a_fast_clock_does_not_stop_the_next(self, fleet, ahead):
        right, fleet.clock = fleet.clock, Skewed(fleet.clock, ahead)
        fleet.cache().get()
        fleet.clock = right
        cache = fleet.cache()
        cache.invalidate(cache.get())
        assert cache.get().value.startswith("token-")

    def test_workers_whose_clocks_are_minutes_off_never_share_a_generation(self, fleet):
        rng, tokens = random.Random(11), {}
        right = fleet.clock
        clocks = [Skewed(right, each) for each in (-600, -60, -5, 0, 0, 5, 60, 600)]
        for _ in range(2000):
            fleet.clock = rng.choice(clocks)
            fleet.endpoint_seconds = rng.choice([0, 0, 1, 12, 20])
            cache = fleet.cache()
            with suppress(MessagingError):
                token = cache.get()
                assert tokens.setdefault(token.generation, token.value) == token.value
                if rng.random() < 0.3:
                    cache.invalidate(token)
            right.advance(rng.expovariate(1 / 60))
