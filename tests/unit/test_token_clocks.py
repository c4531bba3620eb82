"""Workers whose clocks differ share one lease: no more fetches than where all clocks are right."""

import json
import random
from contextlib import suppress

import pytest

from cxone_messaging.adapters.cxone.token_cache import FetchedToken, TokenCache
from cxone_messaging.adapters.dynamodb.token_lease import DynamoRefreshLease, LeaseTakenError
from cxone_messaging.domain.errors import Code, MessagingError
from cxone_messaging.platform.clock_skew import CheckedClock, ClockCheck
from tests.fakes import FakeClock, FakeSecretStore, FakeTelemetry
from tests.schedules import SetClock, TableOfOneItem

MINUTES = 300


class Workers:
    """Workers of one token, each with a clock so many seconds off; DynamoDB tells its time, or does not."""

    def __init__(self, skews, *, dated):
        self.base = FakeClock()
        self.base.advance(0.4)
        self.dated = dated
        self.table = TableOfOneItem(self.base if dated else None)
        self.secrets = FakeSecretStore(token="{}")
        self.clocks = [SetClock(self.base, skew) for skew in skews]
        self.failure = None
        self.lifetime = 3600.0
        self.fetches = 0

    def fetch(self, _):
        self.fetches += 1
        self.base.advance(0.2)
        if self.failure:
            raise MessagingError(self.failure, "refused")
        return FetchedToken(f"T{self.fetches}", self.lifetime)

    def cache(self, number):
        clock = self.clocks[number]
        check = ClockCheck(clock) if self.dated else None
        return TokenCache(
            fetch=self.fetch,
            store=self.secrets,
            name="token",
            lease=DynamoRefreshLease(self.table, "t", "sms", check),
            clock=CheckedClock(clock, check) if check else clock,
            telemetry=FakeTelemetry(),
            rng=random.Random(1),
        )

    def run(self, *, fresh, use=lambda cache: cache.get(5)):
        """Let five minutes pass, in which one worker after the other needs a token; return how many were fetched."""
        caches = [self.cache(number) for number in range(len(self.clocks))]
        until, turn = self.base.now() + MINUTES, 0
        while self.base.now() < until:
            number = turn % len(caches)
            turn += 1
            if fresh:
                caches[number] = self.cache(number)
            with suppress(MessagingError):
                use(caches[number])
            self.base.advance(0.5)
        return self.fetches


@pytest.mark.parametrize("fresh", [True, False], ids=["fresh processes", "long-lived"])
@pytest.mark.parametrize(("code", "most"), [(Code.CXONE_UNAVAILABLE, 12), (Code.CXONE_AUTH_FAILED, 6)])
class TestFailedFetches:
    @pytest.mark.parametrize("skews", [[0, 1.9, -1.9, 0], [1.1, -1.1], [0, 0, 0, 3]], ids=str)
    def test_right_clocks_differ_without_a_fetch_more(self, skews, code, most, fresh):
        workers = Workers(skews, dated=False)
        workers.failure = code
        assert 4 <= workers.run(fresh=fresh) <= most

    @pytest.mark.parametrize(
        "skews",
        [[0, 1.9, -1.9, 0], [0] * 7 + [600], [0] * 7 + [-600], [-600, -300, -60, 0, 0, 60, 300, 600], [86_000, 0]],
        ids=str,
    )
    def test_a_wrong_clock_costs_no_fetch_where_dynamodb_tells_its_time(self, skews, code, most, fresh):
        workers = Workers(skews, dated=True)
        workers.failure = code
        assert 4 <= workers.run(fresh=fresh) <= most

    def test_a_clock_that_is_set_wrong_later_costs_no_fetch(self, code, most, fresh):
        workers = Workers([0] * 4, dated=True)
        workers.failure = code
        rng = random.Random(2)

        def use(cache):
            rng.choice(workers.clocks).skew = rng.choice([0, 0, 600, -600])
            cache.get(5)

        assert 4 <= workers.run(fresh=fresh, use=use) <= most


def test_a_worker_with_a_wrong_clock_takes_no_lease_from_a_live_owner():
    workers = Workers([0, 600], dated=True)
    one, wrong = (DynamoRefreshLease(workers.table, "t", "sms", ClockCheck(clock)) for clock in workers.clocks)
    assert one.acquire(0, "a", workers.clocks[0].now(), 16) is not None
    with pytest.raises(LeaseTakenError):
        wrong.acquire(0, "b", workers.clocks[1].now(), 16)
    workers.base.advance(17.5)
    assert wrong.acquire(0, "b", workers.clocks[1].now(), 16) is not None


@pytest.mark.parametrize("fresh", [True, False], ids=["fresh processes", "long-lived"])
def test_a_worker_with_a_fast_clock_shares_tokens_that_live_short(fresh):
    workers = Workers([0, 600], dated=True)
    workers.lifetime = 200.0

    def use(cache):
        assert cache.get(5).value in {f"T{workers.fetches}", f"T{workers.fetches - 1}"}

    assert workers.run(fresh=fresh, use=use) <= 4


@pytest.mark.parametrize("generation", [10**15 - 2, 10**15 - 1, 10**15, 10**15 + 10, 10**18])
def test_a_generation_that_no_fleet_reaches_heals_by_itself(generation):
    workers = Workers([0], dated=False)
    document = {"accessToken": "bad", "generation": generation, "expiresAt": workers.base.now() - 1, "refreshAt": 0}
    workers.secrets.secrets["token"] = json.dumps(document)
    workers.table.item = {"lastGeneration": generation, "generation": generation, "releasedAt": 0}
    long_lived = workers.cache(0)
    for _ in range(10):
        workers.cache(0).get()
        long_lived.get()
        workers.base.advance(60)
    assert workers.fetches == 1
    workers.base.advance(3600)
    assert long_lived.get().value == workers.cache(0).get().value == "T2"
