"""Senders in processes of their own, as execution environments are: started with the environment a function has."""

import json
import multiprocessing
import os
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from cxone_messaging import assembly, segments
from cxone_messaging.adapters.cxone_http import CxoneSession
from cxone_messaging.adapters.governor import NoSlotError, Slots
from cxone_messaging.domain.errors import MessagingError, StorageError
from cxone_messaging.domain.messages import Sms, SmsRequest
from cxone_messaging.domain.phone_numbers import PhoneNumber
from cxone_messaging.platform.clock import SystemClock
from cxone_messaging.platform.settings import SendMessageSettings
from cxone_messaging.use_cases.dispatch import send_in_slot, tell_fleet
from tests.fakes import FakeTelemetry

# A fork server with everything imported: a new sender takes milliseconds, not a second.
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["tests.workers"])

# A request's time: short, so that a killed sender's deadline passes while the test waits.
SECONDS = 9.0
CALLBACK_URL = "http://127.0.0.1:9/webhooks/cxone/sms?ref=paced"


def start(target: object, *args: object) -> multiprocessing.process.BaseProcess:
    """Start a worker."""
    process = processes.Process(target=target, args=args, daemon=True)  # type: ignore[arg-type]
    process.start()
    return process


def send_keys(environment: Mapping[str, str], to: str, keys: Sequence[str], log: Path) -> None:
    """Send one message for each key, and write each answer as a line; killed, a line may be missing."""
    os.environ.update(environment)
    use_case = assembly.send_message(SendMessageSettings.from_environment(), FakeTelemetry())
    with log.open("a", buffering=1) as answers:
        for key in keys:
            give_up_at = time.monotonic() + SECONDS
            try:
                receipt = use_case.send(
                    SmsRequest(to, f"Message {key}"), key, lambda at=give_up_at: at - time.monotonic()
                )
                answer = "replayed" if receipt.replayed else "dispatched"
            except MessagingError as error:
                answer = error.code.value
            except StorageError:
                answer = "storage_error"
            answers.write(json.dumps([key, answer]) + "\n")


def send_at_pace(environment: Mapping[str, str], to: str, threads: int, batch: int, seconds: float) -> None:
    """Send as fast as the schedule allows, a batch of slots at a time, until the time is up."""
    os.environ.update(environment)
    settings, clock, telemetry = SendMessageSettings.from_environment(), SystemClock(), FakeTelemetry()
    governor, gateway = assembly.governor(settings, telemetry), assembly.sms_gateway(settings, telemetry)
    size = segments.count("Hello")
    sms = Sms(PhoneNumber.parse(to), "Hello", "campaign", "12345", size)
    gateway.prepare(10)
    stop_at = time.monotonic() + seconds
    length = 100 / settings.cxone_requests_per_second / settings.rate_utilisation_percent

    def send(slot: Slots) -> None:
        used, outcome = send_in_slot(slot, sms, CALLBACK_URL, 20, gateway=gateway, governor=governor, clock=clock)
        tell_fleet(used, outcome, governor, telemetry)

    with ThreadPoolExecutor(threads) as pool:
        while time.monotonic() < stop_at:
            try:
                slots = governor.reserve(batch, 1.0)
            except NoSlotError as error:
                time.sleep(min(error.retry_after, 0.1))
                continue
            sent = [
                pool.submit(send, replace(slots, start=slots.start + number * length, count=1))
                for number in range(slots.count)
            ]
            wait(sent)


def get_tokens(environment: Mapping[str, str], threads: int, log: Path) -> None:
    """Ask for a token from many threads at once, with nothing in memory; write what each took, in seconds."""
    os.environ.update(environment)
    clock = SystemClock()
    tokens = assembly.sms_tokens(SendMessageSettings.from_environment(), CxoneSession(clock), FakeTelemetry())
    barrier = threading.Barrier(threads)
    waits: list[object] = []

    def ask() -> None:
        barrier.wait()
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
