"""In-memory stand-ins for what the adapters talk to, and a clock that tests turn themselves."""

import json
import threading
from collections.abc import Collection, Sequence

from cxone_messaging.adapters.governor import (
    FAILURES_TO_OPEN,
    LOOK_AGAIN_SECONDS,
    MIN_OPEN_SECONDS,
    MISSED_SECONDS,
    PROBE_SECONDS,
    THROTTLE_SECONDS,
    CircuitOpenError,
    RateUsedUpError,
    SlotMissedError,
    Slots,
)
from cxone_messaging.adapters.ledger import Insertion, SequenceTakenError
from cxone_messaging.domain.bulk import BATCH_KEY, BATCH_STATE_KEY, BulkRecord, entry_in_batch
from cxone_messaging.domain.consents import Consent
from cxone_messaging.domain.entries import Entry
from cxone_messaging.platform.telemetry import Metric

EPOCH = 1_795_000_000.0


class FakeClock:
    """Time stands still unless somebody sleeps or advances it."""

    def __init__(self, now: float = EPOCH) -> None:
        self.time = now

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time - EPOCH

    def sleep(self, seconds: float) -> None:
        self.time += max(0.0, seconds)

    advance = sleep


class FakeLedger:
    """The ledger's contract in a dictionary; entries go through JSON, so that no test shares one by reference."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, int], str] = {}
        self._lock = threading.Lock()

    def insert(self, entry: Entry) -> None:
        key, text = (entry.subject, entry.sequence), json.dumps(entry.attributes())
        with self._lock:
            if self._rows.setdefault(key, text) != text:
                raise SequenceTakenError

    def insert_many(self, entries: Sequence[Entry]) -> list[Insertion]:
        results = []
        for entry in entries:
            try:
                self.insert(entry)
            except SequenceTakenError:
                results.append(Insertion.TAKEN)
            else:
                results.append(Insertion.INSERTED)
        return results

    def batch_entries(self, batch_id: str) -> list[Entry]:
        with self._lock:
            rows = [Entry.from_attributes(json.loads(row)) for row in self._rows.values()]
        return [
            entry_in_batch(row.subject, row.sequence, row.index[BATCH_STATE_KEY])
            for row in rows
            if row.index.get(BATCH_KEY) == batch_id
        ]

    def read(self, subject: str) -> list[Entry]:
        with self._lock:
            return [
                Entry.from_attributes(json.loads(self._rows[key])) for key in sorted(self._rows) if key[0] == subject
            ]

    def subject_of_cxone_message(self, cxone_message_id: str) -> str | None:
        with self._lock:
            rows = [Entry.from_attributes(json.loads(row)) for row in self._rows.values()]
        return next((row.subject for row in rows if row.index.get("cxoneMessageId") == cxone_message_id), None)

    def subjects(self) -> list[str]:
        return sorted({subject for subject, _ in self._rows})

    def __len__(self) -> int:
        return len(self._rows)


class FakeConsentStore:
    """The latest consent of each recipient, by the ledger's order."""

    def __init__(self) -> None:
        self._consents: dict[str, Consent] = {}

    def find(self, recipient_hash: str) -> Consent | None:
        return self._consents.get(recipient_hash)

    def find_many(self, recipient_hashes: Collection[str]) -> dict[str, Consent]:
        return {each: self._consents[each] for each in recipient_hashes if each in self._consents}

    def store(self, consent: Consent) -> None:
        known = self._consents.get(consent.recipient_hash)
        if known is None or known.sequence < consent.sequence:
            self._consents[consent.recipient_hash] = consent


class FakeSecretStore:
    """Secrets in a dictionary; `reads` and `writes` count."""

    def __init__(self, **secrets: str) -> None:
        self.secrets = dict(secrets)
        self.reads = 0
        self.writes = 0

    def read(self, arn: str) -> str:
        self.reads += 1
        return self.secrets[arn]

    def write(self, arn: str, text: str) -> None:
        self.writes += 1
        self.secrets[arn] = text


class FakeRefreshLease:
    """The lease's contract in memory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.owner: str | None = None
        self.until = float("-inf")
        self.generation = 0

    def acquire(self, generation: int, owner: str, now: float, seconds: float) -> bool:
        with self._lock:
            if (self.owner is not None and self.until >= now) or self.generation > generation:
                return False
            self.owner, self.until = owner, now + seconds
            return True

    def release(self, owner: str, generation: int) -> None:
        with self._lock:
            if self.owner == owner:
                self.owner, self.until, self.generation = None, float("-inf"), generation


class FakeGovernor:
    """The schedule's contract in memory, but for the horizon's message: slots, holds, the circuit and its probe."""

    def __init__(self, clock: FakeClock, slot_seconds: float = 1 / 97) -> None:
        self._clock = clock
        self._slot = slot_seconds
        self._lock = threading.Lock()
        self.next_slot = self.held_until = self.open_until = self.probe_until = 0.0
        self.failures = 0

    def reserve(self, count: int, horizon: float) -> Slots:
        with self._lock:
            now = self._clock.now()
            if self.failures >= FAILURES_TO_OPEN:
                closed_until = max(self.open_until, self.probe_until)
                if closed_until > now:
                    raise CircuitOpenError(closed_until - now)
                self.probe_until = now + PROBE_SECONDS
                return Slots(now, 1, now, self.failures, probe=True)
            start = max(now, self.next_slot)
            if start - now > horizon:
                raise RateUsedUpError(start - now - horizon)
            self.next_slot = start + count * self._slot
            return Slots(start, count, now, self.failures)

    def check(self, slots: Slots) -> None:
        now = self._clock.now()
        if slots.probe or slots.start - slots.reserved_at < LOOK_AGAIN_SECONDS:
            return
        if self.failures >= FAILURES_TO_OPEN:
            raise CircuitOpenError(max(0.0, self.open_until - now))
        if self.held_until > now:
            raise RateUsedUpError(self.held_until - now)
        if now - slots.start > MISSED_SECONDS:
            raise SlotMissedError

    def succeeded(self, slots: Slots) -> None:
        if slots.probe or slots.failures:
            self.failures, self.open_until, self.probe_until = 0, 0.0, 0.0

    def failed(self, slots: Slots) -> None:
        self.failures += 1
        self.open_until, self.probe_until = self._clock.now() + MIN_OPEN_SECONDS, 0.0

    def throttled(self, retry_after: float | None) -> None:
        until = self._clock.now() + (THROTTLE_SECONDS if retry_after is None else retry_after)
        self.held_until, self.next_slot = max(self.held_until, until), max(self.next_slot, until)

    def give_back(self, slots: Slots) -> None:
        if slots.probe:
            self.probe_until = 0.0


class FakeTelemetry:
    """Remembers every value of every metric."""

    def __init__(self) -> None:
        self.values: dict[Metric, list[float]] = {}

    def add(self, metric: Metric, value: float = 1) -> None:
        self.values.setdefault(metric, []).append(value)

    def __getitem__(self, metric: Metric) -> list[float]:
        return self.values.get(metric, [])


class FakeBulkQueue:
    """Remembers what was put on the queue, with its delay, and what was put aside, with its reason."""

    def __init__(self) -> None:
        self.waiting: list[tuple[BulkRecord, float]] = []
        self.aside: list[tuple[str, str]] = []
        self.broken = False

    def put(self, records: Sequence[BulkRecord], delay: float = 0) -> list[bool]:
        if not self.broken:
            self.waiting += [(record, delay) for record in records]
        return [not self.broken] * len(records)

    def put_aside(self, body: str, reason: str) -> bool:
        if not self.broken:
            self.aside.append((body, reason))
        return not self.broken
