"""Senders in processes of their own, as execution environments are: started with the environment a function has."""

import itertools
import json
import multiprocessing
import os
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3

from cxone_messaging import segments
from cxone_messaging.adapters.cxone import connections
from cxone_messaging.adapters.cxone.http import CxoneSession
from cxone_messaging.adapters.queue import SqsBulkQueue
from cxone_messaging.domain.errors import MessagingError, StorageError
from cxone_messaging.domain.phone_numbers import PhoneNumber
from cxone_messaging.domain.schedule import NoSlotError, Slots
from cxone_messaging.domain.sms import Sms, SmsRequest
from cxone_messaging.platform import aws
from cxone_messaging.platform.clock import SystemClock
from cxone_messaging.platform.deadline import Deadline
from cxone_messaging.use_cases.bulk import chunks, in_flight
from cxone_messaging.use_cases.send.dispatcher import Dispatcher
from cxone_messaging.use_cases.send.send_message import SendMessage
from cxone_messaging.wiring import sending
from functions.send_bulk.handler import SendBulkSettings, read, work_queue
from functions.send_message.handler import SendMessageSettings, send_message
from tests import aws_models, simulators
from tests.fakes import FakeTelemetry

# A fork server with everything imported and read: a new sender takes milliseconds, not a second.
aws_models.read_ahead()
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload([__name__, *simulators.PRELOADED])
# The one name for which a function takes plain http.
SLOW_NAME = "localhost"

# A request's time: short, so that a killed sender's deadline passes while the test waits.
SECONDS = 9.0
CALLBACK_URL = "http://127.0.0.1:9/webhooks/cxone/sms?ref=paced"


def start(target: object, *args: object) -> multiprocessing.process.BaseProcess:
    """Start a worker."""
    process = processes.Process(target=target, args=args, daemon=True)  # type: ignore[arg-type]
    process.start()
    return process


def send_keys(
    environment: Mapping[str, str], to: str, keys: Sequence[str], log: Path, ready: Any = None, patient: bool = False
) -> None:
    """Send one message for each key, and write each answer as a line; killed, a line may be missing.

    `ready` is an event to set once all that comes before the first send is done. Who is `patient` repeats a request as
    its answer says, which is what our API asks of callers.
    """
    os.environ.update(environment)
    settings = SendMessageSettings.from_environment()
    use_case = send_message(sending.sender_parts(settings, FakeTelemetry()), settings.slot_horizon_seconds)
    if ready is not None:
        ready.set()
    with log.open("a", buffering=1) as answers:
        for key in keys:
            answer, wait = _send_key(use_case, to, key)
            while patient and wait is not None:
                time.sleep(wait)
                answer, wait = _send_key(use_case, to, key)
            answers.write(json.dumps([key, answer]) + "\n")


def send_on_a_bad_network(
    environment: Mapping[str, str], to: str, keys: Sequence[str], log: Path, ready: Any, seed: int
) -> None:
    """Do as `send_keys` does where names are slow and have dead addresses; `SLOW_NAME` leads to this machine.

    The machine is slow between a request's head and its body too, so that a freeze falls there as well.
    """
    rng, real = random.Random(seed), socket.getaddrinfo
    end_headers = connections._Connecting.endheaders

    def slowly(*args: Any, **options: Any) -> None:
        end_headers(*args, **options)
        time.sleep(rng.choice([0, 0.3, 1.5]))

    connections._Connecting.endheaders = slowly  # type: ignore[method-assign]

    def look_up(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        if host != SLOW_NAME:
            return real(host, port, *args, **options)
        time.sleep(rng.choice([0, 0.3, 1.5]))
        addresses = [("127.0.0.2", 9)] * rng.choice([0, 0, 2]) + [("127.0.0.1", port)]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", each) for each in addresses]

    socket.getaddrinfo = look_up
    send_keys(environment, to, keys, log, ready)


def _send_key(use_case: SendMessage, to: str, key: str) -> tuple[str, float | None]:
    """Give the answer to one request, and after how many seconds it is to be repeated, where it is."""
    try:
        receipt = use_case.send(SmsRequest(to, f"Message {key}"), key, Deadline.after(SystemClock(), SECONDS))
    except MessagingError as error:
        return error.code.value, error.retry_after
    except StorageError:
        return "storage_error", 1.0
    return "replayed" if receipt.replayed else "dispatched", None


def send_at_pace(environment: Mapping[str, str], to: str, threads: int, batch: int, seconds: float) -> None:
    """Send as fast as the schedule allows, a batch of slots at a time, until the time is up."""
    os.environ.update(environment)
    settings, clock, telemetry = SendMessageSettings.from_environment(), SystemClock(), FakeTelemetry()
    governor, gateway = sending.governor(settings, telemetry), sending.sms_gateway(settings, telemetry)
    size = segments.count("Hello")
    sms = Sms(PhoneNumber.parse(to), "Hello", "campaign", "12345", size)
    gateway.prepare(10)
    stop_at = time.monotonic() + seconds
    schedules = sending.sender_schedules(settings)
    dispatcher = Dispatcher(gateway, governor, schedules, clock, telemetry)

    def send(slot: Slots) -> None:
        used, outcome = dispatcher.send_in_slot(slot, sms, CALLBACK_URL, Deadline.after(clock, 20), lambda: None)
        dispatcher.report(used, outcome, sms.sender)

    with ThreadPoolExecutor(threads) as pool:
        while time.monotonic() < stop_at:
            try:
                slots = governor.reserve(batch, 1.0)
            except NoSlotError as error:
                time.sleep(min(error.retry_after, 0.1))
                continue
            wait([pool.submit(send, slots.at(number)) for number in range(slots.count)])


def get_tokens(environment: Mapping[str, str], threads: int, start_at: float, log: Path) -> None:
    """Ask for a token from many threads at one instant, with nothing in memory; write what each took, in seconds."""
    os.environ.update(environment)
    clock = SystemClock()
    tokens = sending.sms_tokens(SendMessageSettings.from_environment(), CxoneSession(clock), FakeTelemetry())
    waits: list[object] = []

    def ask() -> None:
        time.sleep(max(0.0, start_at - time.time()))
        began = time.monotonic()
        with suppress(MessagingError):
            generation = tokens.get().generation
            waits.append([time.monotonic() - began, generation])

    callers = [threading.Thread(target=ask) for _ in range(threads)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    with log.open("a") as file:
        file.write("".join(json.dumps(wait) + "\n" for wait in waits))


class EventSource:
    """A queue polled as Lambda polls it for `send_bulk`: ten at a time, until a batch is full or its window is over."""

    BATCH, WINDOW_SECONDS, TIMEOUT_SECONDS = 100, 1.0, 60.0
    _LIMIT = 10

    def __init__(self, queue_url: str, visibility_seconds: int | None = None) -> None:
        # A client of its own: what Lambda asks of the queue are not the function's calls.
        self._client: Any = boto3.session.Session().client("sqs")
        self._queue_url = queue_url
        self._options = {} if visibility_seconds is None else {"VisibilityTimeout": visibility_seconds}
        self.calls = 0

    def work_off_one(self, work: Callable[[dict[str, str], Deadline], Collection[str]]) -> int:
        """Hand one batch over, delete what is not failed, and give how many records there were."""
        records = self._receive()
        if records:
            bodies = {id_: record["Body"] for id_, record in records.items()}
            failed = work(bodies, Deadline.after(SystemClock(), self.TIMEOUT_SECONDS))
            self._delete([record["ReceiptHandle"] for id_, record in records.items() if id_ not in failed])
        return len(records)

    def _receive(self) -> dict[str, dict[str, str]]:
        records: dict[str, dict[str, str]] = {}
        until = time.monotonic() + self.WINDOW_SECONDS
        while len(records) < self.BATCH and time.monotonic() < until:
            self.calls += 1
            answer = self._client.receive_message(
                QueueUrl=self._queue_url, MaxNumberOfMessages=self._LIMIT, WaitTimeSeconds=1, **self._options
            )
            records |= {message["MessageId"]: message for message in answer.get("Messages", [])}
        return records

    def _delete(self, handles: Sequence[str]) -> None:
        for some in itertools.batched(handles, self._LIMIT, strict=False):
            self.calls += 1
            entries = [{"Id": str(number), "ReceiptHandle": handle} for number, handle in enumerate(some)]
            self._client.delete_message_batch(QueueUrl=self._queue_url, Entries=entries)


def work_off_queue(
    environment: Mapping[str, str],
    stop: Path,
    report: Path | None = None,
    visibility_seconds: int | None = None,
    hurry: bool = False,
) -> None:
    """Work the bulk queue off as one execution environment of `send_bulk` does, until the file `stop` is there.

    Then write a line into `report`: the AWS calls that the function made, by operation, and its CPU seconds. In a
    `hurry`, deadlines and waits are seconds, so that a test sees them pass.
    """
    os.environ.update(environment)
    if hurry:
        chunks._SEND_SECONDS, chunks._OUTCOME_SECONDS, chunks.CLOCK_SKEW_SECONDS = 4.5, 0.5, 0.5
        in_flight._MIN_LATER_SECONDS, in_flight._MAX_LATER_SECONDS = 0.5, 2.0
    settings = SendBulkSettings.from_environment()
    queue = SqsBulkQueue(aws.sqs(), settings.bulk_queue_url, settings.bulk_dead_letter_queue_url)
    work = work_queue(sending.sender_parts(settings, FakeTelemetry()), queue)
    calls: Counter[str] = Counter()
    for client in (aws.dynamodb(), aws.secrets_manager(), aws.sqs()):
        client.meta.events.register("before-call.*.*", lambda model, **_: calls.update([model.name]))
    source = EventSource(environment["BULK_QUEUE_URL"], visibility_seconds)
    while not stop.exists():
        source.work_off_one(lambda bodies, deadline: work(bodies, dict.fromkeys(bodies, time.time()), read, deadline))
    if report:
        with report.open("a") as file:
            file.write(json.dumps({"calls": calls, "cpu": time.process_time(), "polls": source.calls}) + "\n")
