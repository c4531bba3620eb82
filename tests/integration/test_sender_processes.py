"""Real senders in real processes, against the emulator and the simulator: killed, racing, paced, cold.

`make proof` runs these at full size (PROOF=1), `make test` at a size that fits beside the other tests.
"""

import itertools
import json
import os
import random
import statistics
import threading
import time
from collections import Counter

import pytest
import requests

from cxone_messaging.domain import subjects
from cxone_messaging.domain.delivery import DeliveryEvent
from cxone_messaging.domain.entries import first_broken
from cxone_messaging.domain.messages import Message, Status
from cxone_messaging.domain.pseudonyms import Pseudonyms
from cxone_messaging.platform.clock import SystemClock
from cxone_messaging.wiring.events import record_delivery
from tests import workers
from tests.fakes import FakeTelemetry
from tests.integration.conftest import PEPPER, RECIPIENT

PROOF = os.environ.get("PROOF") == "1"
# An answer takes 50 ms to arrive and some more to be told, on a machine that runs other tests too much more: what was
# on its way by then is in flight.
IN_FLIGHT_SECONDS = 0.15 if PROOF else 0.6


def configure(simulator, **settings):
    assert requests.put(f"{simulator}/_simulator/settings", json=settings, timeout=10).ok


def add_fault(simulator, **fault):
    assert requests.post(f"{simulator}/_simulator/faults", json=fault, timeout=10).status_code == 201


def sends(simulator):
    answer = requests.get(f"{simulator}/_simulator/log", params={"operation": "send"}, timeout=60)
    return answer.json()["entries"]


def accepted(simulator):
    """Give CXone's messages by our own message id: each has a text of its own, of its key."""
    taken = {}
    for message in requests.get(f"{simulator}/_simulator/messages", timeout=60).json()["messages"]:
        taken.setdefault(message_id(message["text"].removeprefix("Message ")), []).append(message)
    return taken


def message_id(key):
    return Pseudonyms(PEPPER).message_id(key)


def subject(key):
    return subjects.message(message_id(key))


def is_sending(ledger, key):
    entries = ledger.read(subject(key))
    return bool(entries) and Message.of(entries).status is Status.SENDING


APIS = [
    pytest.param("environment", id="sms-v2"),
    pytest.param("dfo_environment", id="dfo-3.0", marks=pytest.mark.skipif(not PROOF, reason="the same: make proof")),
]


@pytest.mark.usefixtures("opted_in")
@pytest.mark.parametrize("api", APIS)
def test_senders_killed_at_work_send_nothing_twice_and_lose_nothing(request, api, simulator, ledger, tmp_path):
    environment = request.getfixturevalue(api)
    kills, side_by_side = (320, 4) if PROOF else (16, 4)
    unlimited = {"dfo_sends_per_minute": 10_000_000, "dfo_contact_burst": 10_000_000}
    configure(simulator, requests_per_second=100_000, delivery_steps=[], latency_median_seconds=0.1, **unlimited)
    environment |= {"CXONE_REQUESTS_PER_SECOND": "100000"}
    rng = random.Random(20261122)
    log = tmp_path / "answers"
    log.touch()
    keys, killed, at_death = [], 0, Counter()
    # Most die at work, but when that is nobody can time; too few would prove nothing. So half wait to be seen at work.
    while killed < kills or (at_death[Status.SENDING] < kills / 20 and killed < 5 * kills):
        # Each round's senders share a few keys, which earlier ones may have died on: redelivery and racing at once.
        keys += [f"key-{len(keys) + number}" for number in range(side_by_side)]
        some = keys[-side_by_side:] + rng.sample(keys, k=side_by_side)
        ready = [workers.processes.Event() for _ in range(side_by_side)]
        running = [
            workers.start(workers.send_keys, environment, RECIPIENT, rng.sample(some, k=len(some)), log, each)
            for each in ready
        ]
        for process, event in zip(running, ready, strict=True):
            assert event.wait(60), "a sender did not start"
            give_up_at = time.monotonic() + rng.choice([rng.uniform(0, 0.1), 3])
            while time.monotonic() < give_up_at and not any(is_sending(ledger, key) for key in keys[-side_by_side:]):
                time.sleep(0.005)
            process.kill()  # at work, or still waiting for its first token
            killed += 1
        for process in running:
            process.join()
        found = [Message.of(entries).status for key in keys[-side_by_side:] if (entries := ledger.read(subject(key)))]
        at_death.update(found)
    finisher = workers.start(workers.send_keys, environment, RECIPIENT, keys, log, None, True)
    finisher.join()

    taken = accepted(simulator)
    record = record_delivery(ledger, SystemClock(), FakeTelemetry())
    counts = Counter()
    for key in keys:
        messages = taken.get(message_id(key), [])
        assert len(messages) <= 1, f"{key} was sent {len(messages)} times"
        status = Message.of(ledger.read(subject(key))).status
        counts[status, len(messages)] += 1
        # Asked for until every deadline was over: whatever is not known to be dispatched is `unknown`, nothing hangs.
        assert (status, len(messages)) in {(Status.DISPATCHED, 1), (Status.UNKNOWN, 0), (Status.UNKNOWN, 1)}
        for message in messages:
            record(DeliveryEvent(message["id"], "delivered", RECIPIENT, "2026-11-22T10:00:00Z"), message_id(key))
            assert Message.of(ledger.read(subject(key))).status is Status.DELIVERED
        assert first_broken(subject(key), ledger.read(subject(key))) is None
    answers = Counter(json.loads(line)[1] for line in log.read_text().splitlines() if line.endswith("]"))
    print(
        f"{killed} kills; by status when they had died: {dict(at_death)}; answers: {dict(answers)}; in the end: ",
        end="",
    )
    print(", ".join(f"{number} {status} and {sent} sent" for (status, sent), number in counts.items()))
    assert at_death[Status.SENDING] >= kills / 20, "too few were killed at work to prove anything"


def test_four_processes_use_the_rate_and_no_more(environment, simulator):
    seconds = 20 if PROOF else 5
    configure(simulator, delivery_steps=[], latency_median_seconds=0.15, latency_sigma=0.4, latency_maximum_seconds=0.4)
    pace(environment, seconds=seconds)
    log = sends(simulator)
    begin = log[0]["time"] + 1
    span = seconds - 2.5
    within = [entry for entry in log if begin <= entry["time"] < begin + span]
    used = sum(entry["outcome"] == "accepted" for entry in within) / (100 * span)
    throttled = sum(entry["status"] == 429 for entry in log) / len(log)
    print(f"used {used:.1%} of the rate, {throttled:.2%} of {len(log)} requests were throttled")
    # How much a busy machine manages is no matter of right or wrong; that it never sends too much is. Held up between
    # its clock and its socket, it bunches a few of them all the same; with no schedule to keep, one in twelve.
    assert throttled <= (0.001 if PROOF else 0.04)
    assert used >= (0.94 if PROOF else 0.2)


def test_a_429_holds_the_whole_fleet_back(environment, simulator):
    configure(simulator, delivery_steps=[], latency_median_seconds=0.05)
    add_fault(simulator, operation="send", action="status", status=429, retry_after_seconds=2, after=150)
    pace(environment, seconds=6 if PROOF else 5)
    log = sends(simulator)
    refused = next(entry for entry in log if entry["status"] == 429 and entry["fault"])
    late = [entry for entry in log if refused["time"] + IN_FLIGHT_SECONDS < entry["time"] < refused["time"] + 2]
    after = [entry for entry in log if entry["time"] >= refused["time"] + 2]
    in_flight = [entry for entry in log if refused["time"] < entry["time"] <= refused["time"] + IN_FLIGHT_SECONDS]
    print(f"{len(in_flight)} in flight, {len(late)} late, {len(after)} after the wait")
    assert len(late) == 0
    assert len(in_flight) <= 20
    assert len(after) > (100 if PROOF else 10)


def test_an_outage_opens_the_circuit_and_one_probe_closes_it(environment, simulator):
    # At full size the first probe meets the outage too; the next comes 10 to 20 s later.
    outage, seconds = (14, 36) if PROOF else (4, 14)
    configure(simulator, delivery_steps=[], latency_median_seconds=0.05)
    add_fault(simulator, operation="send", action="status", status=503, after=50, times="forever")

    def end_outage():
        # Counted from its first answer: how long senders take to get going is the machine's affair.
        while not any(entry["status"] == 503 for entry in sends(simulator)):
            time.sleep(0.1)
        time.sleep(outage)
        requests.delete(f"{simulator}/_simulator/faults", timeout=10)

    threading.Thread(target=end_outage, daemon=True).start()
    pace(environment, seconds=seconds)
    log = sends(simulator)
    opened = [entry for entry in log if entry["status"] == 503][4]["time"]
    in_flight = [entry for entry in log if opened < entry["time"] <= opened + IN_FLIGHT_SECONDS]
    after = [entry for entry in log if entry["time"] > opened + IN_FLIGHT_SECONDS]
    probes = list(itertools.takewhile(lambda entry: entry["outcome"] != "accepted", after))
    failed, closing = len(probes), after[len(probes)]
    probes.append(closing)
    waited = [round(each["time"] - opened, 1) for each in probes]
    print(f"{len(in_flight)} in flight when it opened; probes after {waited} s, {failed} of which failed")
    assert len(in_flight) <= 40, "each process has at most ten sends under way"
    assert probes[0]["time"] - opened >= 4.5, "while the circuit is open nothing goes out"
    assert all(later["time"] - earlier["time"] >= 9.5 for earlier, later in itertools.pairwise(probes)), "one at a time"
    assert failed >= (1 if PROOF else 0)
    # Whoever comes next has waited for the probe's answer, which takes 50 ms.
    assert after[failed + 1]["time"] - closing["time"] >= 0.05
    assert log[-1]["outcome"] == "accepted", "it closes again"


def pace(environment, *, seconds):
    """Send from four processes, each with batches of ten."""
    running = [workers.start(workers.send_at_pace, environment, RECIPIENT, 10, 10, seconds) for _ in range(4)]
    for process in running:
        process.join()


@pytest.mark.parametrize("token_store", ["secretsmanager", "ssm"])
@pytest.mark.parametrize(
    "holder_dies",
    [False, pytest.param(True, marks=pytest.mark.skipif(not PROOF, reason="a lease lasts long: make proof"))],
)
def test_a_thousand_cold_callers_fetch_one_token(environment, simulator, tmp_path, dynamodb, holder_dies):
    endpoint_seconds = 0.4
    configure(simulator, token_latency_seconds=endpoint_seconds)
    if holder_dies:
        holder = workers.start(workers.get_tokens, environment, 1, time.time(), tmp_path / "dead")
        key = {"name": {"S": "token#sms"}}
        while not dynamodb.get_item(TableName=environment["COORDINATION_TABLE"], Key=key, ConsistentRead=True).get(
            "Item"
        ):
            time.sleep(0.01)
        holder.kill()
        holder.join()
    log = tmp_path / "waits"
    start_at = time.time() + 4  # when all processes and threads are there
    running = [workers.start(workers.get_tokens, environment, 125, start_at, log) for _ in range(8)]
    for process in running:
        process.join()
    waits = [json.loads(line) for line in log.read_text().splitlines()]
    fetches = requests.get(f"{simulator}/_simulator/log", params={"operation": "token_sms"}, timeout=10).json()
    fetched = len(fetches["entries"])
    # How long the fetch takes, the endpoint and the machine decide; who fetches is the first to have the token.
    fetching = min(seconds for seconds, _ in waits)
    added = statistics.median(seconds for seconds, _ in waits) - fetching
    print(f"{len(waits)} callers, {fetched} fetches in {fetching:.2f} s, median added wait {added:.2f} s")
    assert len(waits) == 1000
    assert len({generation for _, generation in waits}) == 1
    assert fetched <= (2 if holder_dies else 1)
    if not holder_dies:
        assert fetched == 1
        assert added <= (0.3 if PROOF else 2)
