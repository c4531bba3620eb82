"""Two ways to send without a shared schedule, for comparison: they post straight to the simulator, without a ledger."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path
from urllib.parse import urlencode

import urllib3

from bench.pace.workers import PATIENCE_SECONDS
from local.simulator.api import SEND_PATH

PROCESSES = 4
# The documents' pool has a semaphore, three repeats and delays that double from a second on. They do not say how many
# workers; these reach the rate of 100/s at a latency of 150 to 400 ms.
_POOL_THREADS, _POOL_TRIES = 5, 4
# The bucket's threads are enough for its share of the rate, with some that wait after a 429.
_BUCKET_THREADS, _BUCKET_SHARE = 16, 0.96
_THROTTLED = 429


@dataclass(frozen=True, slots=True)
class Order:
    """What to send: the simulator's URL, the account's rate, and for how long."""

    url: str
    requests_per_second: float
    seconds: float


class _Account:
    """A client of the simulator's with one token; each post is a message of its own unless it is repeated."""

    def __init__(self, url: str, process: str, threads: int) -> None:
        self._http = urllib3.PoolManager(maxsize=threads, retries=False)
        self._url, self._process = url, process
        form = {
            "grant_type": "client_credentials",
            "client_id": "local-client",
            "client_secret": "local-secret&=+%",
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = self._http.request("POST", url + "/api/v2/oauth/token", body=urlencode(form), headers=headers)
        self._bearer = f"Bearer {json.loads(answer.data)['access_token']}"
        self._numbers = iter(range(10**9))
        self._lock = threading.Lock()

    def next(self) -> str:
        """Return a new message's reference."""
        with self._lock:
            return f"{self._process}-{next(self._numbers)}"

    def post(self, reference: str) -> float | None:
        """Send; return None if it was accepted, else the seconds that CXone's 429 requires, at least one."""
        body = {
            "to": ["+15551230001"],
            "from": "12345",
            "text": "Your appointment is tomorrow at 10:30",
            "campaignId": "campaign",
            "webhookUrl": f"http://127.0.0.1:9/?ref={reference}",
            "segmentation": {"enabled": True},
        }
        headers = {"Content-Type": "application/json", "Authorization": self._bearer}
        answer = self._http.request("POST", self._url + SEND_PATH, body=json.dumps(body), headers=headers)
        if answer.status == _THROTTLED:
            return max(1.0, float(answer.headers.get("Retry-After", "1")))
        if answer.status >= 400:  # noqa: PLR2004
            raise RuntimeError(f"a send was answered with {answer.status}")
        return None


def pool(order: Order, barrier: Barrier, results: str) -> None:
    """Send with a pool of workers; each waits twice as long after each 429, and gives up after the third repeat."""
    account = _Account(order.url, Path(results).name, _POOL_THREADS)
    semaphore = threading.Semaphore(_POOL_THREADS)

    def send() -> str:
        reference = account.next()
        with semaphore:
            for attempt in range(_POOL_TRIES):
                if account.post(reference) is None:
                    return "accepted"
                if attempt < _POOL_TRIES - 1:
                    time.sleep(2.0**attempt)
        return "lost"

    _run(_POOL_THREADS, send, barrier, order.seconds, results)


def bucket(order: Order, barrier: Barrier, results: str) -> None:
    """Send with this process's share of a fixed rate, without bursts; a refused message waits as CXone requires."""
    account = _Account(order.url, Path(results).name, _BUCKET_THREADS)
    tokens = _Tokens(order.requests_per_second * _BUCKET_SHARE / PROCESSES)

    def send() -> str:
        reference = account.next()
        tokens.take()
        while (wait := account.post(reference)) is not None:
            time.sleep(wait)
            tokens.take()
        return "accepted"

    _run(_BUCKET_THREADS, send, barrier, order.seconds, results)


class _Tokens:
    """A token bucket of one token."""

    def __init__(self, rate: float) -> None:
        self._seconds = 1 / rate
        self._next = 0.0
        self._lock = threading.Lock()

    def take(self) -> None:
        """Wait for a token."""
        with self._lock:
            at = self._next = max(self._next + self._seconds, time.monotonic())
        time.sleep(max(0.0, at - time.monotonic()))


def _run(threads: int, send: Callable[[], str], barrier: Barrier, seconds: float, results: str) -> None:
    """Send in each thread until the time is over; write how many messages were accepted and given up."""
    barrier.wait(PATIENCE_SECONDS)
    ends_at = time.monotonic() + seconds

    def work(_: int) -> Counter[str]:
        counts: Counter[str] = Counter()
        while time.monotonic() < ends_at:
            counts[send()] += 1
        return counts

    with ThreadPoolExecutor(threads) as executor:
        counts = sum(executor.map(work, range(threads)), Counter[str]())
    Path(results).write_text(json.dumps(counts))


RIVALS: dict[str, Callable[..., None]] = {"pool": pool, "bucket": bucket}
