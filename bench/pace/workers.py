"""Our senders as processes that begin together and stop after a time, whatever is left on the queue."""

import importlib
import json
import math
import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from botocore.httpsession import URLLib3Session

from bench import calls, workers

HANDLER, ROUNDS = "functions.send_bulk.handler", "cxone_messaging.use_cases.bulk.chunks"
# How long the slowest process may take to import its function.
PATIENCE_SECONDS = 120
_SIGMA = 0.4


@dataclass(frozen=True, slots=True)
class Order:
    """The functions' environment, for how long to send, and the median that an AWS call takes longer."""

    environment: Mapping[str, str]
    seconds: float
    aws_seconds: float


def work_off(order: Order, barrier: Barrier, results: str) -> None:
    """Feed `send_bulk` from the queue; write the references of the records that are done with, and the calls.

    Calls are those of the invocations that ended in time, which are done with `counted` records. Near the end an
    invocation has less time, so that it begins no round after it.
    """
    workers.become_function(order.environment)
    # Not before: the package reads its log level when it is imported.
    module, rounds = importlib.import_module(HANDLER), importlib.import_module(ROUNDS)
    poller = workers.Poller(order.environment)
    network = Network(order.aws_seconds)
    made: Counter[str] = Counter()
    put_back: set[str] = set()

    def note(operation: str, parameters: Mapping[str, Any], _: object) -> None:
        made.update([operation])
        if operation == "SendMessageBatch" and parameters["QueueUrl"] == order.environment["BULK_QUEUE_URL"]:
            put_back.update(_reference(entry["MessageBody"]) for entry in parameters["Entries"])

    calls.watch(note)
    counts: Counter[str] = Counter()
    done: list[str] = []
    counted = 0
    barrier.wait(PATIENCE_SECONDS)
    ends_at = time.monotonic() + order.seconds
    while time.monotonic() < ends_at:
        batch = poller.receive()
        left = ends_at - time.monotonic()
        if not batch or left <= 0:
            continue
        made.clear()
        put_back.clear()
        context = workers.Context(min(workers.TIMEOUT_SECONDS, left + rounds.ROUND_SECONDS))
        with network.slow():
            answer = module.handler({"Records": batch}, context)
        failed = {each["itemIdentifier"] for each in answer["batchItemFailures"]}
        gone = [record for record in batch if record["messageId"] not in failed]
        settled = {_reference(record["body"]) for record in gone} - put_back
        done += settled
        if time.monotonic() < ends_at:  # the last invocation puts back what it has no time for
            counts += made
            counted += len(settled)
        poller.delete(gone)
    Path(results).write_text(json.dumps({"calls": counts, "counted": counted, "done": done}))


def _reference(body: str) -> str:
    reference: str = json.loads(body)["reference"]
    return reference


def send_singles(order: Order, barrier: Barrier, to: str, results: str) -> None:
    """Send single messages, one after the other, as `bench.workers.send_singles` does, over the same network."""
    workers.become_function(order.environment)
    importlib.import_module("functions.send_message.handler")
    network = Network(order.aws_seconds)
    barrier.wait(PATIENCE_SECONDS)
    with network.slow():
        workers.send_singles(order.environment, to, order.seconds, results)


class Network:
    """The way to AWS of this process: while `slow`, each HTTP request takes longer, half of it there, half back.

    The delay is lognormal around a median. It is below botocore's retries and hooks, so that all of them see it. The
    poller's own calls stay as they are: Lambda makes them in AWS, ahead of time.
    """

    def __init__(self, median_seconds: float) -> None:
        self._is_slow = False
        if not median_seconds:
            return
        original = URLLib3Session.send
        rng = random.Random()  # noqa: S311  no secret

        def send(session: URLLib3Session, request: Any) -> Any:
            if not self._is_slow:
                return original(session, request)
            half = rng.lognormvariate(math.log(median_seconds), _SIGMA) / 2
            time.sleep(half)
            answer = original(session, request)
            time.sleep(half)
            return answer

        URLLib3Session.send = send  # type: ignore[method-assign, assignment]

    @contextmanager
    def slow(self) -> Iterator[None]:
        """Be slow meanwhile."""
        self._is_slow = True
        try:
            yield
        finally:
            self._is_slow = False
