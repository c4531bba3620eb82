"""Execution environments as processes: Lambda's poller, the functions and a caller."""

import importlib
import json
import multiprocessing
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import boto3

from bench import calls

BATCH_SIZE = 100
WINDOW_SECONDS = 1.0
TIMEOUT_SECONDS = 60.0

processes = multiprocessing.get_context("spawn")


def start(target: Callable[..., None], *args: object) -> SpawnProcess:
    """Start a process that ends with this one."""
    process = processes.Process(target=target, args=args, daemon=True)
    process.start()
    return process


class Context:
    """The context of an invocation."""

    aws_request_id = "bench"

    def __init__(self, seconds: float) -> None:
        self._ends_at = time.monotonic() + seconds

    def get_remaining_time_in_millis(self) -> int:
        """Return the time that is left."""
        return max(0, round((self._ends_at - time.monotonic()) * 1000))


def work_off(environment: Mapping[str, str], handler: str, results: str) -> None:
    """Feed a handler from the bulk queue until it stays empty; write its calls, its CPU and its batches."""
    become_function(environment)
    module = importlib.import_module(handler)
    poller = Poller(environment)
    made: Counter[str] = Counter()
    calls.watch(lambda operation, *_: made.update([operation]))
    counts: Counter[str] = Counter()
    cpu = 0.0
    records = 0
    while batch := poller.receive():
        made.clear()
        began = time.process_time()
        answer = module.handler({"Records": batch}, Context(TIMEOUT_SECONDS))
        cpu += time.process_time() - began
        counts += made
        records += len(batch)
        failed = {each["itemIdentifier"] for each in answer["batchItemFailures"]}
        poller.delete([record for record in batch if record["messageId"] not in failed])
    Path(results).write_text(json.dumps({"calls": counts, "cpuSeconds": cpu, "records": records}))


class Poller:
    """Lambda's event source for SQS: it gathers records for a window or until a batch is full. Its calls are free."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._sqs: Any = boto3.Session().client("sqs")
        self._url = environment["BULK_QUEUE_URL"]

    def receive(self, patience: float = 6.0) -> list[dict[str, Any]]:
        """Return the next batch of records; it is empty if none came for `patience` seconds."""
        began = time.monotonic()
        first: float | None = None
        batch: list[dict[str, Any]] = []
        while len(batch) < BATCH_SIZE:
            received = self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10).get("Messages", [])
            batch += [
                {
                    "messageId": each["MessageId"],
                    "body": each["Body"],
                    "receipt": each["ReceiptHandle"],
                    "attributes": {"SentTimestamp": str(round(time.time() * 1000))},
                }
                for each in received
            ]
            now = time.monotonic()
            first = first or (now if batch else None)
            if (first and now - first > WINDOW_SECONDS) or (not batch and now - began > patience):
                break
            if not received:
                time.sleep(0.1)
        return batch

    def delete(self, batch: list[dict[str, Any]]) -> None:
        """Delete the records of a batch."""
        for first in range(0, len(batch), 10):
            entries = [
                {"Id": str(number), "ReceiptHandle": each["receipt"]}
                for number, each in enumerate(batch[first : first + 10])
            ]
            self._sqs.delete_message_batch(QueueUrl=self._url, Entries=entries)


def send_singles(environment: Mapping[str, str], to: str, seconds: float, results: str) -> None:
    """Send a single message about twice a second, as a sender of one-time passwords does; write each wait."""
    become_function(environment)
    module = importlib.import_module("functions.send_message.handler")
    rng = random.Random(1)  # noqa: S311  no secret
    waits = []
    statuses: Counter[int] = Counter()
    stop_at = time.monotonic() + seconds
    while time.monotonic() < stop_at:
        event = {
            "httpMethod": "POST",
            "resource": "/messages",
            "headers": {},
            "body": json.dumps({"to": to, "text": "Your code is 849201"}),
        }
        began = time.monotonic()
        statuses[module.handler(event, Context(28))["statusCode"]] += 1
        waits.append(time.monotonic() - began)
        time.sleep(rng.uniform(0.2, 0.6))
    Path(results).write_text(json.dumps({"waits": waits[1:], "statuses": statuses}))


def become_function(environment: Mapping[str, str]) -> None:
    """Make this process an execution environment; what it prints is gone."""
    os.environ.update(environment)
    os.environ["LOG_LEVEL"] = "ERROR"
    sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115  for good: a function prints its metrics
