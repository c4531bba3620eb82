"""What tests and people do to the Digital Engagement side, beside its settings."""

from collections.abc import Callable
from threading import RLock

from pydantic import NonNegativeFloat

from local.simulator.dfo.api import DfoApi
from local.simulator.dfo.search import digits_of
from local.simulator.dfo.settings import MAIN_CHANNEL, Delivery
from local.simulator.dfo.shapes import message_json
from local.simulator.model import Strict
from local.simulator.settings import Settings
from local.simulator.wire import RefusedError


class DfoInbound(Strict):
    """A text of a recipient, on order; `at` is in epoch seconds, None for now."""

    channel: str = MAIN_CHANNEL
    number: str
    text: str
    at: NonNegativeFloat | None = None


class Rotation(Strict):
    """A change of the signing key."""

    keep_old: bool = True


class Console:
    """Every method may be called from any thread."""

    def __init__(self, api: DfoApi, lock: RLock, clock: Callable[[], float], settings: Callable[[], Settings]) -> None:
        self._api = api
        self._lock = lock
        self._clock = clock
        self._settings = settings

    def inbound(self, channel: str, number: str, text: str, at: float | None = None) -> str:
        """Store a text of a recipient, created at `at` or now; returns its id. Raises RefusedError."""
        digits = digits_of(number)
        if not digits:
            raise RefusedError(400, "number: no digits")
        with self._lock:
            now = self._clock()
            created, settings = now if at is None else at, self._settings()
            return self._api.receive(channel, digits, text, created=created, now=now, settings=settings).id

    def rotate_keys(self, *, keep_old: bool = True) -> str:
        """Sign with a new key from now on, and list the old ones or not; returns the new key's id."""
        with self._lock:
            return self._api.keys.rotate(keep_old=keep_old)

    def set_delivery(self, message_id: str, delivery: Delivery) -> None:
        """Change what becomes of a message; the seconds count from now. Raises RefusedError."""
        with self._lock:
            message = self._api.store.by_id.get(message_id)
            if message is None:
                raise RefusedError(404, "no such message")
            age = self._clock() + self._settings().dfo_clock_ahead_seconds - message.created
            times = ("delivered_after", "failed_after", "seen_after")
            later = {name: after + age for name in times if (after := getattr(delivery, name)) is not None}
            message.delivery = delivery.model_copy(update=later)

    def messages(self) -> list[dict[str, object]]:
        """Every message that is stored, in both directions, as it is now; in the order in which they were stored."""
        with self._lock:
            settings = self._settings()
            now = self._clock() + settings.dfo_clock_ahead_seconds
            return [message_json(message, now, settings) for message in self._api.store.by_id.values()]

    def limits(self) -> dict[str, dict[str, int]]:
        """How many requests each budget let in and refused."""
        with self._lock:
            return self._api.limits.as_json()
