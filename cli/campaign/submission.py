"""Submit batches, and follow them until every message is final."""

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import requests

from cli.campaign.people import CampaignError
from cli.campaign.plan import Batch, Refused
from cli.status_bar import final
from cli.target import Api

_GIVE_UP_AFTER_SECONDS = 300.0
_LONGEST_PAUSE_SECONDS = 15.0
# How many unfinished batches are read together, the oldest first: the queue is processed roughly in order.
_READ_TOGETHER = 4
# Reading takes at most a fifth of the time, however slow it is.
_PAUSE_FACTOR, _SHORTEST_PAUSE_SECONDS = 4.0, 1.0

type Sleep = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Submitted:
    """A batch that the API has accepted, now or in an earlier run."""

    batch_id: str
    accepted: int
    refused: list[Refused]
    replayed: bool


def submit(api: Api, batch: Batch, sleep: Sleep = time.sleep) -> Submitted:
    """Submit a batch, with retries while they can help: its key makes all of them one batch.

    Raises `CampaignError` if a retry cannot help, or after five minutes without success.
    """
    waited, attempt = 0.0, 0
    while True:
        pause = min(_LONGEST_PAUSE_SECONDS, 2.0**attempt) * random.uniform(0.5, 1.0)  # noqa: S311
        try:
            answer = api.call("POST", "/messages/bulk", batch.body, {"Idempotency-Key": batch.key})
        except (requests.ConnectionError, requests.Timeout) as error:
            reason = f"the API does not answer ({type(error).__name__})"
        else:
            if answer.status_code == HTTPStatus.ACCEPTED:
                return _submitted(batch, answer)
            reason = _reason(answer)
            if answer.status_code not in {409, 429} and answer.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
                raise CampaignError(f"the API refused a batch: {reason}")
            retry_after = answer.headers.get("Retry-After", "")
            pause = float(retry_after) if retry_after.isascii() and retry_after.isdigit() else pause
        if waited > _GIVE_UP_AFTER_SECONDS:
            raise CampaignError(f"a batch could not be submitted: {reason}")
        sleep(pause)
        waited, attempt = waited + pause, attempt + 1


def _submitted(batch: Batch, answer: requests.Response) -> Submitted:
    document = answer.json()
    refused = [
        Refused(message.line, message.masked, tuple(error["code"] for error in each["errors"]))
        for each in document["rejected"]
        for message in [batch.messages[each["index"]]]
    ]
    return Submitted(
        document["batchId"], document["accepted"], refused, answer.headers.get("Idempotency-Replayed") == "true"
    )


def _reason(answer: requests.Response) -> str:
    try:
        document = answer.json()
    except ValueError:
        document = {}
    detail = document.get("detail") or document.get("message") or ""
    return f"{answer.status_code} {document.get('code') or ''} {detail}".strip()


@dataclass(slots=True)
class Watch:
    """The status of all submitted messages, as last read from the API."""

    api: Api
    now: Callable[[], float] = time.monotonic
    total: int = 0
    changed_at: float = 0.0
    _counts: dict[str, Mapping[str, int]] = field(default_factory=dict)
    _open: dict[str, int] = field(default_factory=dict)
    _next_look: float = 0.0

    def add(self, batch: Submitted) -> None:
        """Follow one more batch."""
        self.total += batch.accepted
        self.changed_at = self.now()
        self._counts[batch.batch_id] = {"queued": batch.accepted}
        if batch.accepted:
            self._open[batch.batch_id] = batch.accepted

    @property
    def counts(self) -> dict[str, int]:
        """Messages by status."""
        return dict(sum((Counter(each) for each in list(self._counts.values())), Counter()))

    @property
    def is_over(self) -> bool:
        """Whether every message is final."""
        return not self._open

    @property
    def next_look_in(self) -> float:
        """The seconds until the next read is due."""
        return max(0.0, self._next_look - self.now())

    def look(self) -> None:
        """Read the counts of the oldest unfinished batches; a failed read is repeated later."""
        began = self.now()
        for batch_id in list(self._open)[:_READ_TOGETHER]:
            counts = self._read(batch_id)
            if counts is None:
                continue
            if counts != self._counts[batch_id]:
                self.changed_at = self.now()
            self._counts[batch_id] = counts
            if final(counts) >= self._open[batch_id]:
                del self._open[batch_id]
        took = self.now() - began
        self._next_look = self.now() + max(_SHORTEST_PAUSE_SECONDS, took * _PAUSE_FACTOR)

    def _read(self, batch_id: str) -> dict[str, int] | None:
        try:
            answer = self.api.call("GET", f"/batches/{batch_id}")
            document: dict[str, Any] = answer.json() if answer.status_code == HTTPStatus.OK else {}
        except (requests.RequestException, ValueError):
            return None
        return document.get("counts")
