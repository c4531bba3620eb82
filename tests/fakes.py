"""In-memory stand-ins for what the adapters talk to, and a clock that tests turn themselves."""

import json
import threading
import uuid
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from typing import Any, override

from cxone_messaging.adapters.cxone.http import CxoneSession
from cxone_messaging.adapters.cxone.sms_v2.callback_urls import CallbackUrls
from cxone_messaging.adapters.cxone.sms_v2.sms import CxoneSms
from cxone_messaging.adapters.cxone.token_cache import TokenCache
from cxone_messaging.adapters.dynamodb.token_lease import (
    CLOCK_SKEW_SECONDS,
    JUST_RELEASED_SECONDS,
    Grant,
    LeaseTakenError,
    last_plausible,
)
from cxone_messaging.adapters.secrets import BusyStoreError, UnreadableSecretError
from cxone_messaging.domain.attention import UNSETTLED_KEY
from cxone_messaging.domain.batches import BATCH_KEY, BATCH_STATE_KEY, BulkRecord, entry_in_batch
from cxone_messaging.domain.consents import Consent
from cxone_messaging.domain.entries import DAY_KEY, Entry
from cxone_messaging.domain.errors import StorageError
from cxone_messaging.domain.ledger import Insertion, SequenceTakenError
from cxone_messaging.domain.schedule import (
    FAILURES_TO_OPEN,
    MAX_HOLD_SECONDS,
    MIN_OPEN_SECONDS,
    PROBE_SECONDS,
    CircuitOpenError,
    RateUsedUpError,
    Schedule,
    SlotMissedError,
    Slots,
    hold_seconds,
)
from cxone_messaging.domain.token_holds import STORAGE_HOLD_SECONDS, Cause, HeldBackError, Hold
from cxone_messaging.platform.clock import Clock
from cxone_messaging.platform.telemetry import Metric

EPOCH = 1_795_000_000.0


class FakeDeadline:
    """A deadline that shows given numbers of seconds, one at each look."""

    def __init__(self, *shown: float) -> None:
        self._shown = list(shown)

    @property
    def left(self) -> float:
        return self._shown.pop(0) if len(self._shown) > 1 else self._shown[0]

    def less(self, seconds: float) -> "FakeDeadline":
        return self


class FakeClock:
    """Time stands still unless somebody sleeps or advances it; threads may share it."""

    def __init__(self, now: float = EPOCH) -> None:
        self.time = now
        self._lock = threading.Lock()

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time - EPOCH

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.time += max(0.0, seconds)

    advance = sleep


class InlineExecutor(Executor):
    """Runs each task when it is submitted, one after the other: on a fake clock a history is then always the same."""

    def submit[T](self, task: Callable[..., T], /, *args: Any, **options: Any) -> Future[T]:
        future: Future[T] = Future()
        future.set_result(task(*args, **options))
        return future


class _Row:
    """An entry as the table has it: all of it as JSON, and beside it what the indexes need of it."""

    __slots__ = ("_read", "index", "sequence", "subject", "text", "timestamp", "type")

    def __init__(self, entry: Entry) -> None:
        self.subject, self.sequence = entry.subject, entry.sequence
        self.type, self.timestamp, self.index = entry.type, entry.timestamp, dict(entry.index)
        self.text = json.dumps(entry.attributes())
        self._read: Entry | None = None

    def entry(self) -> Entry:
        if self._read is None:
            self._read = Entry.from_attributes(json.loads(self.text))
        return self._read


class FakeLedger:
    """The ledger's contract in a dictionary. Entries go through JSON, so that none is shared with who wrote it.

    All that read an entry share it: one who changed it would break its chain for all of them.
    """

    def __init__(self) -> None:
        # In the order in which they were written, and once more by subject.
        self._rows: dict[tuple[str, int], _Row] = {}
        self._chains: dict[str, dict[int, _Row]] = {}
        self._lock = threading.Lock()

    def insert(self, entry: Entry) -> None:
        row = _Row(entry)
        with self._lock:
            if self._chains.setdefault(row.subject, {}).setdefault(row.sequence, row).text != row.text:
                raise SequenceTakenError
            self._rows.setdefault((row.subject, row.sequence), row)

    def insert_many(self, entries: Sequence[Entry]) -> list[Insertion]:
        assert len({entry.subject for entry in entries}) == len(entries), "DynamoDB refuses a call with an item twice"
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
        rows = self._indexed(BATCH_KEY, batch_id)
        return [entry_in_batch(row.subject, row.sequence, row.index[BATCH_STATE_KEY]) for row in rows]

    def read(self, subject: str) -> list[Entry]:
        with self._lock:
            chain = self._chains.get(subject, {})
            return [chain[sequence].entry() for sequence in sorted(chain)]

    def walk(self, subject: str, *, backwards: bool = False, page: int | None = None) -> Iterator[Entry]:
        del page
        entries = self.read(subject)
        yield from reversed(entries) if backwards else entries

    def subject_of_cxone_message(self, cxone_message_id: str) -> str | None:
        return next(iter(self.subjects_of_cxone_message(cxone_message_id)), None)

    def subjects_of_cxone_message(self, cxone_message_id: str) -> list[str]:
        bearers = self._indexed("cxoneMessageId", cxone_message_id)
        bearers.sort(key=lambda row: row.type != "dispatched")
        return list(dict.fromkeys(row.subject for row in bearers))

    def subjects_of_day(self, day: str, after: str = "") -> Iterator[str]:
        yield from sorted({row.subject for row in self._indexed(DAY_KEY, day) if row.subject > after})

    def flagged(self, why: str, since: str, until: str) -> Iterator[str]:
        found = [row for row in self._indexed(UNSETTLED_KEY, why) if since <= row.timestamp <= until]
        return iter([row.subject for row in sorted(found, key=lambda row: row.timestamp, reverse=True)])

    def _indexed(self, key: str, value: str) -> list[_Row]:
        with self._lock:
            return [row for row in self._rows.values() if row.index.get(key) == value]

    def subjects(self) -> list[str]:
        return sorted({subject for subject, _ in self._rows})

    def places(self) -> set[tuple[str, int]]:
        """Give the subject and the sequence of each entry."""
        return set(self._rows)

    def copy(self) -> "FakeLedger":
        """Give a ledger with the entries that are here now."""
        copy = FakeLedger()
        copy._rows = dict(self._rows)
        copy._chains = {subject: dict(chain) for subject, chain in self._chains.items()}
        return copy

    def remove(self, subject: str, sequence: int) -> Entry:
        """Take an entry away, as nobody can who is not allowed to; give what it was."""
        del self._chains[subject][sequence]
        return self._rows.pop((subject, sequence)).entry()

    def put(self, entry: Entry) -> None:
        """Write an entry wherever it belongs, over another one too, as nobody can who is not allowed to."""
        row = _Row(entry)
        self._rows[row.subject, row.sequence] = self._chains.setdefault(row.subject, {})[row.sequence] = row

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

    def store(self, consent: Consent, *, regardless: bool = False, ahead: bool = False) -> bool:
        known = self._consents.get(consent.recipient_hash)
        is_stored = regardless or known is None or known.sequence <= consent.sequence - ahead
        if is_stored:
            self._consents[consent.recipient_hash] = consent
        return is_stored


class FakeSecretStore:
    """Secrets in a dictionary; `reads` and `writes` count."""

    write_seconds = 9.0
    spacing_seconds = 1000.0

    def __init__(self, **secrets: str) -> None:
        self.secrets = dict(secrets)
        self.reads = 0
        self.writes = 0

    def read(self, name: str) -> str:
        self.reads += 1
        if name not in self.secrets:
            raise UnreadableSecretError("a secret has no text")
        return self.secrets[name]

    def write(self, name: str, text: str) -> None:
        self.writes += 1
        self.secrets[name] = text


class FakeParameterStore(FakeSecretStore):
    """Parameter Store's ways: no parameter before the first write, reads that lag, and so many requests a second."""

    write_seconds = 3.0
    spacing_seconds = 0.0

    LAG_SECONDS = 1.0

    def __init__(self, clock: Clock, requests_a_second: float = 40) -> None:
        super().__init__()
        self._clock = clock
        self.requests_a_second = requests_a_second
        self._before: dict[str, tuple[float, str | None]] = {}
        self._requests: deque[float] = deque()
        self._lock = threading.Lock()
        self.throttled = 0

    def read(self, name: str) -> str:
        self._request()
        with self._lock:
            written_at, before = self._before.get(name, (float("-inf"), None))
            if self._clock.monotonic() - written_at >= self.LAG_SECONDS:
                return super().read(name)
            if before is None:
                raise UnreadableSecretError("a parameter has no text")
            return before

    def write(self, name: str, text: str) -> None:
        self._request()
        with self._lock:
            self._before[name] = self._clock.monotonic(), self.secrets.get(name)
            super().write(name, text)

    def _request(self) -> None:
        with self._lock:
            now = self._clock.monotonic()
            while self._requests and self._requests[0] <= now - 1:
                self._requests.popleft()
            if len(self._requests) >= self.requests_a_second:
                self.throttled += 1
                raise BusyStoreError("rate exceeded")
            self._requests.append(now)


class FakeRefreshLease:
    """The lease's contract in memory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.owner: str | None = None
        self.until = self.released_at = self.not_before = self.held_at = float("-inf")
        self.held_for = Cause.UNAVAILABLE
        self.generation = self.last_generation = self.failures = 0

    def acquire(self, generation: int, owner: str, now: float, seconds: float, accepted: int = 0) -> Grant | None:
        with self._lock:
            if self.owner != owner:
                if now <= self.until <= now + seconds + CLOCK_SKEW_SECONDS:
                    raise LeaseTakenError
                soon = now + CLOCK_SKEW_SECONDS
                if self.generation > generation and now - JUST_RELEASED_SECONDS <= self.released_at <= soon:
                    return None
                left = self.not_before - now
                is_possible = left <= MAX_HOLD_SECONDS + CLOCK_SKEW_SECONDS and self.held_at <= soon
                has_ended = self.held_for is Cause.REFUSED and 0 < self.generation <= accepted
                if left > 0 and is_possible and not has_ended:
                    if self.held_for is Cause.STORAGE and left <= STORAGE_HOLD_SECONDS:
                        return None
                    raise HeldBackError(Hold(self.held_for, left))
            self.owner, self.until = owner, now + seconds
            last, issued, known = map(last_plausible, (self.last_generation, self.generation, generation))
            self.last_generation = max(last, issued, known) + 1
            return Grant(owner, self.last_generation, self.failures, issued, self.released_at)

    def release(self, owner: str, generation: int, now: float, *, failures: int = 0, hold: Hold | None = None) -> bool:
        with self._lock:
            if self.owner != owner:
                return 0 < generation == self.generation
            self.owner, self.until, self.failures = None, float("-inf"), failures
            self.not_before = self.held_at = float("-inf")
            if generation:
                self.generation, self.released_at = generation, now
            if hold:
                self._hold(hold, now)
            return True

    def withdraw(self, generation: int, now: float, hold: Hold) -> None:
        with self._lock:
            if self.owner is None and self.generation == generation:
                self.released_at = now - JUST_RELEASED_SECONDS - 0.001
                self._hold(hold, now)

    def _hold(self, hold: Hold, now: float) -> None:
        self.not_before, self.held_at, self.held_for = now + hold.seconds, now, hold.cause


class FakeGovernor:
    """The schedule's contract in memory, but for the horizon's message: slots, holds, the circuit and its probe."""

    def __init__(self, clock: FakeClock, slot_seconds: float = 1 / 97) -> None:
        self._clock = clock
        self._slot_seconds = slot_seconds
        self._lock = threading.Lock()
        self.next_slot = self.held_until = self.held_from = self.open_until = self.probe_until = 0.0
        self.failures = self.holds = self.pace_version = 0
        self.probe_owner = ""

    def reserve(self, count: int, horizon: float) -> Slots:
        with self._lock:
            now = self._clock.now()
            if self.failures >= FAILURES_TO_OPEN:
                closed_until = max(self.open_until, self.probe_until, self.held_until)
                if closed_until > now:
                    raise CircuitOpenError(closed_until - now)
                self.probe_until = now + PROBE_SECONDS
                self.probe_owner = uuid.uuid4().hex
                return Slots(now, 1, now, self.failures, self.probe_owner, self._slot_seconds, self.pace_version)
            start = max(now, self.next_slot)
            if start - now > horizon:
                raise RateUsedUpError(start - now - horizon)
            count = max(1, min(count, int(horizon / self._slot_seconds)))
            self.next_slot = start + count * self._slot_seconds
            return Slots(start, count, now, self.failures, "", self._slot_seconds, self.pace_version)

    def refuse_closed(self) -> None:
        if self.failures >= FAILURES_TO_OPEN:
            raise CircuitOpenError(max(0.0, self.open_until - self._clock.now()))
        self.refuse_held()

    def refuse_held(self) -> None:
        if self.held_until > self._clock.now():
            raise RateUsedUpError(self.held_until - self._clock.now())

    def check(self, slots: Slots) -> None:
        now = self._clock.now()
        if slots.probe:
            return
        if slots.is_missed(now):
            raise SlotMissedError
        if slots.is_fresh(now):
            return
        if self.failures >= FAILURES_TO_OPEN:
            raise CircuitOpenError(max(0.0, self.open_until - now))
        if self.held_until > now:
            raise RateUsedUpError(self.held_until - now)

    def succeeded(self, slots: Slots) -> None:
        if slots.probe == self.probe_owner if slots.probe else self.failures < FAILURES_TO_OPEN:
            self.failures, self.open_until, self.probe_until = 0, 0.0, 0.0

    def failed(self, slots: Slots) -> None:
        if slots.probe == self.probe_owner if slots.probe else self.failures < FAILURES_TO_OPEN:
            self.failures += 1
            self.open_until, self.probe_until = self._clock.now() + MIN_OPEN_SECONDS, 0.0

    def throttled(self, retry_after: float | None, slots: Slots) -> None:
        now = self._clock.now()
        self.succeeded(slots)
        if slots.pace_version != self.pace_version:
            until, longest = now + min(retry_after or 0.0, MAX_HOLD_SECONDS), self.held_from + MAX_HOLD_SECONDS
            until = min(until, longest) if longest > now else until
            if until <= now:
                return
        else:
            follows = now <= self.held_until + max(3.0, self.held_until - self.held_from)
            self.holds = self.holds + 1 if follows else 1
            until = now + hold_seconds(retry_after, self.holds)
            self.held_from, self.pace_version = now, self.pace_version + 1
        self.held_until, self.next_slot = max(self.held_until, until), max(self.next_slot, until)

    def release(self, slots: Slots) -> None:
        if slots.probe and slots.probe == self.probe_owner:
            self.probe_until = 0.0


def just_refused(clock: FakeClock, pace_version: int = 0) -> Slots:
    """Give a slot of a message that CXone has just refused, reserved at that pace."""
    return Slots(clock.now(), 1, clock.now(), 0, pace_version=pace_version)


class FakeTelemetry:
    """Remembers every value of every metric."""

    def __init__(self) -> None:
        self.values: dict[Metric, list[float]] = {}

    def add(self, metric: Metric, value: float = 1) -> None:
        self.values.setdefault(metric, []).append(value)

    def __getitem__(self, metric: Metric) -> list[float]:
        return self.values.get(metric, [])


class FakeBulkQueue:
    """Remembers what was put on the queue, with its delay, and what was put aside, with its reason.

    `room` is how many records it takes, `broken` that it takes nothing at all.
    """

    def __init__(self, room: int | None = None) -> None:
        self.waiting: list[tuple[BulkRecord, float]] = []
        self.aside: list[tuple[str, str]] = []
        self.room = room
        self.broken = False

    def put(self, records: Sequence[BulkRecord], delays: Sequence[float] = ()) -> list[bool]:
        left = 0 if self.broken else len(records) if self.room is None else max(0, self.room - len(self.waiting))
        self.waiting += list(zip(records, delays or [0] * len(records), strict=True))[:left]
        return [number < left for number in range(len(records))]

    def send_to_dead_letters(self, body: str, reason: str) -> bool:
        if not self.broken:
            self.aside.append((body, reason))
        return not self.broken


@dataclass(slots=True)
class _Queued:
    body: str
    visible_at: float
    queued_at: float
    receives: int = 0


class FakeSqs:
    """SQS on a fake clock: each receive hides a record until its visibility ends, or until it is deleted.

    Received more often than `max_receives`, it is among the `dead`, as is what was put aside; those have a reason.
    """

    def __init__(self, clock: FakeClock, visibility: float = 360, max_receives: int = 5) -> None:
        self._clock = clock
        self._visibility = visibility
        self._max_receives = max_receives
        self._queued: dict[str, _Queued] = {}
        self.dead: list[tuple[str, str | None]] = []
        self.most_receives = 0

    def put(self, records: Sequence[BulkRecord], delays: Sequence[float] = ()) -> list[bool]:
        for record, delay in zip(records, delays or [0] * len(records), strict=True):
            self.send(json.dumps(record.body()), round(delay), record.queued_at)
        return [True] * len(records)

    def send_to_dead_letters(self, body: str, reason: str) -> bool:
        self.dead.append((body, reason))
        return True

    def send(self, body: str, delay: float = 0, queued_at: float | None = None) -> None:
        assert delay <= 900, "SQS delays nothing for longer"
        now = self._clock.now()
        self._queued[uuid.uuid4().hex] = _Queued(body, now + delay, now if queued_at is None else queued_at)

    def queued_at(self, ids: Iterable[str]) -> dict[str, float]:
        """Give when each of some records first came on the queue."""
        return {id_: self._queued[id_].queued_at for id_ in ids}

    def receive(self, limit: int) -> dict[str, str]:
        received: dict[str, str] = {}
        for id_, record in list(self._queued.items()):
            if record.visible_at > self._clock.now() or len(received) == limit:
                continue
            if record.receives == self._max_receives:
                self.dead.append((self._queued.pop(id_).body, None))
                continue
            record.receives += 1
            record.visible_at = self._clock.now() + self._visibility
            self.most_receives = max(self.most_receives, record.receives)
            received[id_] = record.body
        return received

    def delete(self, ids: Iterable[str]) -> None:
        for id_ in ids:
            self._queued.pop(id_, None)

    def show_all(self) -> None:
        """Let every record be seen now, those under way included: SQS delivers at least once."""
        for record in self._queued.values():
            record.visible_at = self._clock.now()

    def redrive(self) -> None:
        """Put the dead letters back, under new ids, as an operator may."""
        dead, self.dead = self.dead, []
        for body, _ in dead:
            self.send(body)

    def next_visible(self) -> float | None:
        return min((record.visible_at for record in self._queued.values()), default=None)

    def __len__(self) -> int:
        return len(self._queued)


class FakePaceStore:
    """The schedule's item as operators see it, in memory.

    Of the next writes, `fails` fail; with `loses_answer` one is done and looks like a lost race; `before_write` runs
    once before one; with `always_races` each finds another's ceiling.
    """

    def __init__(self) -> None:
        self.state = Schedule()
        self.fails = 0
        self.loses_answer = False
        self.always_races = False
        self.before_write: Callable[[], object] | None = None

    def read(self) -> Schedule:
        return self.state

    def set_ceiling(self, ceiling: int | None, *, entry: int, seen: int) -> bool:
        if self.fails:
            self.fails -= 1
            raise StorageError("the ceiling could not be written")
        if act := self.before_write:
            self.before_write = None
            act()
        if self.always_races or self.state.pace.ceiling_entry != seen:
            return False
        was = self.state.pace
        pace = replace(was, version=was.version + 1, ceiling=ceiling, ceiling_entry=entry)
        self.state = replace(self.state, pace=pace)
        is_answered, self.loses_answer = not self.loses_answer, False
        return is_answered


class UnsignedUrls(CallbackUrls):
    """The URLs that delivery events are posted to, without a signature, and so without a secret."""

    def __init__(self) -> None: ...

    @override
    def prepare(self) -> None: ...

    @override
    def of(self, message_id: str) -> str:
        return f"http://us.test/webhooks/cxone/sms?ref={message_id}"


def cxone_sms(url: str, tokens: TokenCache, session: CxoneSession, clock: Clock) -> CxoneSms:
    """Make the client of the SMS API v2 at a URL."""
    return CxoneSms(url, tokens, session, clock, timeout_seconds=20, callback_urls=UnsignedUrls())
