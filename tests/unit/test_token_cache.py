"""One token for a fleet: who fetches, who waits, who goes on with the old one."""

import json
import random
import threading
import time

import pytest

from cxone_messaging.adapters.token_cache import LEASE_SECONDS, FetchedToken, TokenCache
from cxone_messaging.domain.errors import Code, MessagingError, StorageError
from cxone_messaging.platform.clock import SystemClock
from cxone_messaging.platform.telemetry import Metric
from tests.fakes import FakeClock, FakeRefreshLease, FakeSecretStore, FakeTelemetry


class Fleet:
    """Caches that share a secret, a lease and an endpoint, as execution environments do."""

    def __init__(self, clock=None, lifetime=3600, endpoint_seconds=0.0):
        self.clock = clock or FakeClock()
        self.secrets = FakeSecretStore(token="{}")
        self.lease = FakeRefreshLease()
        self.telemetry = FakeTelemetry()
        self.lifetime, self.endpoint_seconds = lifetime, endpoint_seconds
        self.fetches = 0
        self.failure = None
        self._lock = threading.Lock()

    def fetch(self, seconds):
        assert seconds > 0
        self.clock.sleep(self.endpoint_seconds)
        if self.failure:
            raise self.failure
        with self._lock:
            self.fetches += 1
            return FetchedToken(f"token-{self.fetches}", self.lifetime)

    def cache(self):
        return TokenCache(
            fetch=self.fetch,
            secrets=self.secrets,
            secret_arn="token",
            lease=self.lease,
            clock=self.clock,
            telemetry=self.telemetry,
            rng=random.Random(1),
        )


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
    fleet.clock.advance(2)
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
        cache.prove(cache.get())


def test_tokens_that_worked_may_be_refused_in_quick_succession(fleet):
    cache = fleet.cache()
    for _ in range(5):
        token = cache.get()
        cache.prove(token)
        cache.invalidate(token)
    assert cache.get().value == "token-6"


def test_a_token_that_never_worked_is_told_from_one_that_did(fleet):
    cache = fleet.cache()
    worked = cache.get()
    cache.prove(worked)
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


def test_a_token_that_can_not_be_shared_still_serves_who_fetched_it(fleet):
    def broken(arn, text):
        raise StorageError("no")

    fleet.secrets.write = broken
    cache = fleet.cache()
    assert cache.get().value == "token-1"
    assert cache.get().value == "token-1"


def test_a_shared_token_that_makes_no_sense_is_an_error_of_our_own(fleet):
    fleet.secrets.secrets["token"] = json.dumps({"accessToken": "x"})
    with pytest.raises(StorageError):
        fleet.cache().get()


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


def test_a_thousand_cold_environments_fetch_once():
    fleet = Fleet(clock=SystemClock(), endpoint_seconds=0.4)
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
