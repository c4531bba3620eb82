"""The budgets of a tenant: sends of a minute, changes of one contact, reads of an hour."""

from collections import Counter

from local.simulator.dfo.errors import DfoRefusedError
from local.simulator.rate import SlidingLog
from local.simulator.settings import Settings
from local.simulator.wire import retry_after


class _Bucket:
    """A token bucket; it is full at first, and of the size that is set when one looks."""

    def __init__(self, now: float) -> None:
        self._used, self._per_second = 0.0, 1.0
        self._since = now

    def refill(self, now: float, per_second: float) -> None:
        """Put back what has come since the last time."""
        self._used = max(0.0, self._used - (now - self._since) * per_second)
        self._since, self._per_second = now, per_second

    def wait_seconds(self, burst: float) -> float:
        """Return 0 if a token may be taken, else the seconds until one may be."""
        missing = self._used + 1 - burst
        return missing / self._per_second if missing > 1e-9 else 0.0  # noqa: PLR2004

    def take(self) -> None:
        """Take a token."""
        self._used += 1


class DfoLimits:
    """Lets a request in, or refuses it with 429; one that is refused uses nothing up (assumption 13)."""

    def __init__(self) -> None:
        self._sends, self._reads = SlidingLog(60.0), SlidingLog(3_600.0)
        self._contacts: dict[str, _Bucket] = {}
        self._counts: Counter[tuple[str, str]] = Counter()

    def send(self, contact: str | None, now: float, settings: Settings) -> None:
        """Let in a send; `contact` is the number of the contact that it changes, None for one that it opens."""
        waits = {"sends": self._sends.wait_seconds(now, settings.dfo_sends_per_minute)}
        if contact is not None:
            waits["contact"] = self._bucket(contact, now, settings).wait_seconds(settings.dfo_contact_burst)
        self._admit(waits, now, settings)
        self._sends.add(now)

    def change(self, contact: str, now: float, settings: Settings) -> None:
        """Count a change of a contact, which is not refused here: a message of either direction is one."""
        self._bucket(contact, now, settings).take()

    def read(self, now: float, settings: Settings) -> None:
        """Let in a GET of any kind."""
        self._admit({"reads": self._reads.wait_seconds(now, settings.dfo_reads_per_hour)}, now, settings)
        self._reads.add(now)

    def as_json(self) -> dict[str, dict[str, int]]:
        """How many requests each budget let in and refused."""
        names = ("accepted", "refused")
        return {limit: {name: self._counts[limit, name] for name in names} for limit in ("sends", "contact", "reads")}

    def _bucket(self, contact: str, now: float, settings: Settings) -> _Bucket:
        bucket = self._contacts.setdefault(contact, _Bucket(now))
        bucket.refill(now, settings.dfo_contact_refill_per_minute / 60)
        return bucket

    def _admit(self, waits: dict[str, float], now: float, settings: Settings) -> None:
        limit = max(waits, key=lambda name: waits[name])
        if waits[limit] > 0:
            self._counts[limit, "refused"] += 1
            headers = retry_after(settings.retry_after, waits[limit], now)
            raise DfoRefusedError(429, f"too many requests: {limit}", headers, code="throttled", limit=limit)
        for name in waits:
            self._counts[name, "accepted"] += 1
