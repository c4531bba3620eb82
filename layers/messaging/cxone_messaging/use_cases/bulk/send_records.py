"""Send the records of one SQS batch, as fast as the schedule allows.

A message that cannot be sent now goes back on the queue, because no caller waits for it. Messages of a sender with a
rate of its own are sent beside the others, so that these do not wait for it. What its rate has no room for goes back on
the queue until it has.
"""

import random
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from threading import Event

from cxone_messaging.adapters.dynamodb.consents import ConsentStore
from cxone_messaging.domain.batches import BulkRecord
from cxone_messaging.domain.errors import StorageError
from cxone_messaging.domain.pseudonyms import Pseudonyms
from cxone_messaging.domain.schedule import NoSlotError, SenderRateUsedUpError
from cxone_messaging.domain.sms import SmsRules, check
from cxone_messaging.platform.clock import Clock
from cxone_messaging.platform.deadline import Deadline
from cxone_messaging.use_cases.bulk.chunks import CHUNK, HORIZON_SECONDS, ROUND_SECONDS, Chunks
from cxone_messaging.use_cases.bulk.in_flight import Disposition, Done, InFlight, Later, later, postpone
from cxone_messaging.use_cases.send.permission import Permission
from cxone_messaging.use_cases.send.sender_schedules import SenderSchedules

# A slow sender's chunk takes as long as three others. So none begins later than so many chunks before the end, and no
# worker waits for it alone.
_LAST_CHUNKS = 3
# So many senders with a rate of their own are served at once.
_SENDERS_AT_ONCE = 8


class SendRecords:
    """Sends the records of one SQS batch, those of senders with a rate of their own in the executor `beside`."""

    def __init__(
        self,
        *,
        chunks: Chunks,
        schedules: SenderSchedules,
        consents: ConsentStore,
        pseudonyms: Pseudonyms,
        rules: SmsRules,
        clock: Clock,
        rng: random.Random,
        beside: Executor | None = None,
    ) -> None:
        self._chunks = chunks
        self._schedules = schedules
        self._consents = consents
        self._pseudonyms = pseudonyms
        self._rules = rules
        self._clock = clock
        self._rng = rng
        self._beside = beside or ThreadPoolExecutor(_SENDERS_AT_ONCE)

    def __call__(
        self,
        records: Sequence[BulkRecord],
        deadline: Deadline,
        on_result: Callable[[str, str], None] = lambda *_: None,
    ) -> list[Disposition]:
        """Send records while time is left; return the disposition of each record. Never raises.

        `deadline` is the invocation's. `on_result` is called with each message's id and its result in a word.
        """
        items = [self._item(record) for record in records]
        self._postpone_repeats(items)
        by_sender: dict[str, list[InFlight]] = {"": []}
        for item in items:
            if item.disposition is None:
                by_sender.setdefault(self._schedules.name(item.sender), []).append(item)
        others, done = by_sender.pop(""), Event()
        if not others:
            done.set()
        started = [self._start(each, sender, deadline, done) for sender, each in by_sender.items()]
        try:
            self._send_all(others, deadline, done)
        finally:
            done.set()
            for future in started:
                if future:
                    future.result()
        postpone(items, Later(0))
        for item in items:
            on_result(item.message_id, item.label)
        return [item.disposition or Done() for item in items]

    def _send_all(self, items: Sequence[InFlight], deadline: Deadline, nearly_done: Event) -> None:
        """Send in chunks, the messages that CXone refused first, while time is left."""
        waiting = deque(items)
        while waiting and deadline.left >= ROUND_SECONDS:
            if len(waiting) <= _LAST_CHUNKS * CHUNK:
                nearly_done.set()
            self._chunks.send_next(waiting, "")

    def _start(self, items: Sequence[InFlight], sender: str, deadline: Deadline, done: Event) -> Future[None] | None:
        try:
            return self._beside.submit(self._send_at_own_rate, items, sender, deadline, done)
        except RuntimeError:  # the machine has no room for another thread
            postpone(items, later(self._rng))
            return None

    def _send_at_own_rate(self, items: Sequence[InFlight], sender: str, deadline: Deadline, done: Event) -> None:
        """Send messages of a sender with a rate of its own: some, and more until the others are nearly `done`."""
        waiting = deque(items)
        while waiting and deadline.left >= ROUND_SECONDS:
            try:
                self._chunks.send_next(waiting, sender)
            except SenderRateUsedUpError as error:
                if not done.is_set():
                    self._clock.sleep(min(error.retry_after, HORIZON_SECONDS))
            if done.is_set():
                break
        postponed = [item for item in items if item.disposition is None]
        try:
            pauses = self._schedules.pauses(sender, len(postponed)) if postponed else []
        except (NoSlotError, StorageError):
            pauses = [later(self._rng).seconds for _ in postponed]
        for item, pause in zip(postponed, pauses, strict=True):
            item.disposition = Later(pause)

    def _item(self, record: BulkRecord) -> InFlight:
        message_id = self._pseudonyms.message_id(record.reference)
        fingerprint = self._pseudonyms.fingerprint(record.request)
        checked = check(record.request, self._rules)
        permission = None
        if checked.to:
            permission = Permission(self._consents, self._pseudonyms.recipient_hash(checked.to), self._clock)
        return InFlight(record, message_id, fingerprint, checked, permission)

    def _postpone_repeats(self, items: Sequence[InFlight]) -> None:
        """Postpone a record that is repeated in the batch: later it finds the first record's entries."""
        seen: set[str] = set()
        for item in items:
            if item.message_id in seen:
                item.disposition = later(self._rng)
            seen.add(item.message_id)
