"""The events that the simulator POSTs: a queue by due times, with redelivery unless the answer is 2xx."""

import hashlib
import heapq
import hmac
import json
from dataclasses import dataclass, replace

from local.simulator.settings import Settings


@dataclass(frozen=True, slots=True)
class Event:
    """One POST to be made; `attempt` counts from 1."""

    number: int
    kind: str
    url: str
    body: bytes
    secret: str | None
    due: float
    attempt: int = 1

    def headers(self, now: float) -> dict[str, str]:
        """Return the headers of a POST at `now`, with a secret signed: HMAC-SHA256 over `<timestamp>.<body>`."""
        headers = {"Content-Type": "application/json"}
        if self.secret is not None:
            timestamp = str(int(now))
            signature = hmac.new(self.secret.encode(), timestamp.encode() + b"." + self.body, hashlib.sha256)
            headers |= {"X-CXone-Timestamp": timestamp, "X-CXone-Signature": f"sha256={signature.hexdigest()}"}
        return headers


@dataclass(slots=True)
class _History:
    event: Event
    state: str
    attempts: list[tuple[float, int | None]]


class EventQueue:
    """Events are pending, then in flight, then delivered, pending again, or abandoned."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, Event]] = []
        self._histories: list[_History] = []
        self.open = 0  # pending or in flight

    def add(self, kind: str, url: str, body: object, due: float, secret: str | None) -> None:
        """Queue a new event."""
        event = Event(len(self._histories) + 1, kind, url, json.dumps(body).encode(), secret, due)
        self._histories.append(_History(event, "pending", []))
        heapq.heappush(self._waiting, (due, event.number, event))
        self.open += 1

    def due(self, now: float, limit: int | None) -> list[Event]:
        """Return the due events; the caller must report each one through `answered`."""
        events: list[Event] = []
        while self._waiting and self._waiting[0][0] <= now and (limit is None or len(events) < limit):
            event = heapq.heappop(self._waiting)[2]
            self._histories[event.number - 1].state = "in_flight"
            events.append(event)
        return events

    def answered(self, event: Event, status: int | None, settings: Settings, now: float) -> None:
        """Record an answer (None: no answer); without a 2xx the event is retried, each time after twice the delay."""
        history = self._histories[event.number - 1] if event.number <= len(self._histories) else None
        if history is None or history.event != event or history.state != "in_flight":
            return  # handed out before a reset, or answered twice
        history.attempts.append((now, status))
        if status is not None and 200 <= status < 300:  # noqa: PLR2004
            history.state = "delivered"
            self.open -= 1
        elif event.attempt >= settings.redelivery_attempts:
            history.state = "abandoned"
            self.open -= 1
        else:
            due = now + settings.redelivery_first_seconds * 2 ** (event.attempt - 1)
            again = replace(event, due=due, attempt=event.attempt + 1)
            history.event, history.state = again, "pending"
            heapq.heappush(self._waiting, (due, again.number, again))

    def next_due(self) -> float | None:
        """When the next event is due, or None."""
        return self._waiting[0][0] if self._waiting else None

    def as_json(self) -> list[dict[str, object]]:
        """Every event with its state and attempts."""
        return [
            {
                "number": history.event.number,
                "kind": history.event.kind,
                "url": history.event.url,
                "event": json.loads(history.event.body),
                "due": history.event.due,
                "state": history.state,
                "attempts": [{"time": time, "status": status} for time, status in history.attempts],
            }
            for history in self._histories
        ]
