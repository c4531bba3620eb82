"""Secrets Manager takes 100 writes of a secret in 24 hours, and after that none: a fleet stays below that for good."""

import json
import random

import pytest

from cxone_messaging.adapters.cxone.shared_token import SharedToken, Token
from cxone_messaging.domain.errors import MessagingError, StorageError
from tests.fakes import EPOCH, FakeClock, FakeParameterStore, FakeSecretStore
from tests.token_fleet import Fleet

DAY, HOUR, QUOTA = 86_400, 3600, 100


class Quota:
    """Secrets Manager's quota of a secret's versions, put before a fleet's writes."""

    def __init__(self, fleet):
        self._clock, self._write = fleet.clock, fleet.secrets.write
        self.versions, self.refused = [], 0
        fleet.secrets.write = self.write

    def write(self, name, text):
        now = self._clock.now()
        if sum(now - DAY < each for each in self.versions) >= QUOTA:
            self.refused += 1
            raise StorageError("the quota of versions is reached")
        self.versions.append(now)
        self._write(name, text)


def refused_all_day(hour, rng):
    return True


def refused_every_other_hour(hour, rng):
    return int(hour) % 2 == 0


def refused_by_one_node_of_four(hour, rng):
    return rng.random() < 0.25


def refused_for_minutes(hour, rng):
    return int(hour * 12) % 2 == 0


def send(cache, refuses):
    """Ask for a token as a message does, which takes a second one when the first is refused; tell whether it went."""
    for _ in range(2):
        try:
            token = cache.get()
        except (MessagingError, StorageError):
            return False
        if not refuses():
            cache.mark_accepted(token)
            return True
        cache.invalidate(token)
    return False


@pytest.mark.parametrize("fresh", [True, False], ids=["fresh processes", "long-lived ones"])
@pytest.mark.parametrize(
    "is_refused", [refused_all_day, refused_every_other_hour, refused_by_one_node_of_four, refused_for_minutes]
)
def test_a_day_of_refused_tokens_leaves_room_for_good_ones(is_refused, fresh):
    fleet, rng = Fleet(), random.Random(7)
    quota, began = Quota(fleet), fleet.clock.now()
    caches = [fleet.cache() for _ in range(10)]
    while (hour := (fleet.clock.now() - began) / HOUR) < 26:
        if fresh and rng.random() < 0.2:
            caches[rng.randrange(10)] = fleet.cache()
        send(rng.choice(caches), lambda hour=hour: is_refused(hour, rng))
        fleet.clock.advance(rng.uniform(5, 15))
    assert fleet.fetches > 500
    assert quota.refused == 0
    assert max(sum(at <= each < at + DAY for each in quota.versions) for at in quota.versions) < QUOTA

    fleet.clock.advance(60)
    before = fleet.fetches
    assert send(caches[0], lambda: False)
    fleet.clock.advance(6)
    assert all(send(cache, lambda: False) for cache in [*caches, *(fleet.cache() for _ in range(20))])
    assert fleet.fetches - before <= 1, "once CXone is well, one fetch is for all"


def test_a_token_in_doubt_that_was_not_shared_is_shared_once_cxone_accepts_it():
    fleet = Fleet()
    cache = fleet.cache()
    for _ in range(12):
        cache.invalidate(cache.get())
        fleet.clock.advance(60)
    written, token = fleet.secrets.writes, cache.get()
    assert fleet.secrets.writes == written, "as many were in doubt before it"
    cache.mark_accepted(token)
    cache.mark_accepted(token)
    assert fleet.secrets.writes == written + 1
    assert fleet.cache().get().value == token.value
    assert "doubtedUntil" not in json.loads(fleet.secrets.secrets["token"])


def test_a_token_in_doubt_does_not_replace_a_newer_one():
    fleet = Fleet()
    late = fleet.cache()
    for _ in range(12):
        late.invalidate(late.get())
        fleet.clock.advance(60)
    token = late.get()
    fleet.clock.advance(60)
    newer = Token.issued("newer", token.generation + 1, fleet.clock.now(), 3600)
    SharedToken(fleet.secrets, "token", fleet.clock).write(newer)
    late.mark_accepted(token)
    assert fleet.cache().get().value == "newer"


class TestPace:
    @pytest.fixture
    def clock(self):
        return FakeClock()

    @pytest.fixture
    def store(self):
        return FakeSecretStore(token="{}")

    @pytest.fixture
    def shared(self, store, clock):
        return SharedToken(store, "token", clock)

    def written(self, shared, clock, tries, *, doubted=False):
        """Give how many of so many tokens could be shared, each after a look at the one before."""
        done = 0
        for number in range(tries):
            shared.read()
            token = Token("T", number + 1, clock.now() + HOUR, clock.now() + HOUR, clock.now() + 60 if doubted else 0.0)
            try:
                shared.write(token)
            except StorageError:
                continue
            done += 1
        return done

    def test_ten_may_be_shared_at_once_and_one_more_in_each_thousand_seconds(self, shared, clock):
        assert self.written(shared, clock, 20) == 10
        for _ in range(5):
            clock.advance(999)
            assert self.written(shared, clock, 3) == 0
            clock.advance(1.01)
            assert self.written(shared, clock, 3) == 1
        clock.advance(DAY)
        assert self.written(shared, clock, 20) == 10

    def test_tokens_in_doubt_leave_half_of_them(self, shared, clock):
        assert self.written(shared, clock, 20, doubted=True) == 5
        assert self.written(shared, clock, 20) == 5

    def test_all_workers_keep_to_one_pace(self, store, clock):
        workers = [SharedToken(store, "token", clock) for _ in range(5)]
        assert sum(self.written(worker, clock, 4) for worker in workers) == 10

    def test_parameter_store_needs_none(self, clock):
        store = FakeParameterStore(clock, requests_a_second=10_000)
        assert self.written(SharedToken(store, "token", clock), clock, 1000) == 1000
        assert "pacedUntil" not in json.loads(store.secrets["token"])

    @pytest.mark.parametrize("paced_until", [None, "soon", True, -1, float("nan"), float("inf"), EPOCH + 2 * DAY])
    def test_a_pace_that_can_not_be_is_none(self, shared, store, clock, paced_until):
        store.secrets["token"] = json.dumps({"pacedUntil": paced_until})
        assert self.written(shared, clock, 20) == 10

    @pytest.mark.parametrize("ahead", [10_061, DAY])
    def test_a_pace_from_a_wrong_clock_is_put_right_by_the_next_write(self, shared, store, clock, ahead):
        store.secrets["token"] = json.dumps({"pacedUntil": EPOCH + ahead})
        assert self.written(shared, clock, 3) == 1
        clock.advance(1000.01)
        assert self.written(shared, clock, 3) == 1
