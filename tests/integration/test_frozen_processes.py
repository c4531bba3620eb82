"""Real senders that are frozen and thawed at any moment, on a network that is slow, drops requests and holds them back.

Lambda freezes an execution environment between invocations, and a machine may stop for any time. `make proof` runs 300
processes (PROOF=1), `make test` some.
"""

import json
import os
import random
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from urllib.parse import urlsplit

import pytest

from cxone_messaging.domain.entries import first_broken
from cxone_messaging.domain.messages import Message, Status
from cxone_messaging.domain.times import parse_time
from tests import workers
from tests.integration.conftest import RECIPIENT
from tests.integration.test_sender_processes import accepted, configure, message_id, subject
from tests.network import Proxy

PROOF = os.environ.get("PROOF") == "1"
PROCESSES, SIDE_BY_SIDE = (300, 10) if PROOF else (8, 8)
# Shorter than a send, past a send's deadline, and past the deadline that its entry names.
FREEZES = [0.1, 0.5, 7.0, 15.0, 15.5]
# A sender's and a reader's clock are the same here, but a process that is thawed takes a moment to look at it.
SCHEDULING_SECONDS = 0.25


@pytest.fixture
def proxy(simulator):
    proxy = Proxy(urlsplit(simulator).port, random.Random(20261126))
    yield proxy
    proxy.close()


@pytest.mark.usefixtures("opted_in")
def test_senders_that_are_frozen_send_nothing_twice_lose_nothing_and_post_nothing_late(
    environment, simulator, proxy, ledger, tmp_path
):
    configure(simulator, requests_per_second=100_000, delivery_steps=[], latency_median_seconds=0.03)
    environment |= {
        "CXONE_REQUESTS_PER_SECOND": "100000",
        "CXONE_SMS_BASE_URL": f"http://{workers.SLOW_NAME}:{proxy.port}",
    }
    log = tmp_path / "answers"
    log.touch()
    keys = [f"key-{number}" for number in range(PROCESSES)]

    def run(number):
        """Freeze one sender of a key of its own and of one that others have too, and thaw it."""
        rng = random.Random(number)
        ready = workers.processes.Event()
        shared = keys[max(0, number - rng.randrange(8))]
        arguments = ([keys[number], shared], log, ready, number)
        process = workers.start(workers.send_on_a_bad_network, environment, RECIPIENT, *arguments)
        assert ready.wait(60), "a sender did not start"
        time.sleep(rng.uniform(0, 1.8))
        with suppress(ProcessLookupError):  # it was done before
            os.kill(process.pid, signal.SIGSTOP)
            time.sleep(rng.choice(FREEZES))
            os.kill(process.pid, signal.SIGCONT)
        process.join(60)
        assert process.exitcode == 0, "a sender that is thawed comes to an end"

    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        list(pool.map(run, range(PROCESSES)))
    time.sleep(Proxy.HOLD_SECONDS + 1)
    finisher = workers.start(
        workers.send_keys, environment | {"CXONE_SMS_BASE_URL": simulator}, RECIPIENT, keys, log, None, True
    )
    finisher.join()

    taken, counts = accepted(simulator), Counter()
    for key in keys:
        entries = ledger.read(subject(key))
        sent, status = len(taken.get(message_id(key), [])), Message.of(entries).status
        counts[status.value, sent] += 1
        assert sent <= 1, f"{key} was sent {sent} times"
        assert (status, sent) in {(Status.DISPATCHED, 1), (Status.UNKNOWN, 0), (Status.UNKNOWN, 1)}
        assert first_broken(subject(key), entries) is None
        claims = [entry for entry in entries if entry.type == "sending"]
        for posted_at in proxy.written.get(message_id(key), []):
            claim = [each for each in claims if parse_time(each.timestamp).timestamp() <= posted_at + 0.001][-1]
            assert posted_at <= parse_time(claim.data["deadline"]).timestamp() + SCHEDULING_SECONDS, "posted too late"
    answers = Counter(json.loads(line)[1] for line in log.read_text().splitlines() if line.endswith("]"))
    print(f"{PROCESSES} frozen, {proxy.held} held back; answers {dict(answers)}; in the end {dict(counts)}")
    assert proxy.held or not PROOF, "nothing was held back, which proves little"
