"""A fleet of token caches in memory, on a clock that tests turn."""

import itertools
import random
import threading

from cxone_messaging.adapters.cxone.token_cache import FetchedToken, TokenCache
from cxone_messaging.platform.clock import Clock
from tests.fakes import FakeClock, FakeParameterStore, FakeRefreshLease, FakeSecretStore, FakeTelemetry


class Fleet:
    """Caches that share a secret, a lease and an endpoint, as execution environments do."""

    def __init__(
        self,
        clock: Clock | None = None,
        lifetime: float = 3600,
        endpoint_seconds: float = 0.0,
        *,
        ssm: bool = False,
        requests_a_second: float = 40,
    ) -> None:
        self.clock = clock or FakeClock()
        self.secrets = FakeParameterStore(self.clock, requests_a_second) if ssm else FakeSecretStore(token="{}")
        self.lease = FakeRefreshLease()
        self.telemetry = FakeTelemetry()
        self.lifetime, self.endpoint_seconds = lifetime, endpoint_seconds
        self.fetches = 0
        self.failure: Exception | None = None
        self._lock = threading.Lock()
        self._seeds = itertools.count()

    def fetch(self, seconds: float) -> FetchedToken:
        assert seconds > 0
        self.clock.sleep(self.endpoint_seconds)
        if self.failure:
            raise self.failure
        with self._lock:
            self.fetches += 1
            return FetchedToken(f"token-{self.fetches}", self.lifetime)

    def cache(self) -> TokenCache:
        return TokenCache(
            fetch=self.fetch,
            store=self.secrets,
            name="token",
            lease=self.lease,
            clock=self.clock,
            telemetry=self.telemetry,
            rng=random.Random(next(self._seeds)),  # so that they do not wait in step
        )
