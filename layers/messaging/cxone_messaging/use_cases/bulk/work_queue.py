"""Process the records that SQS delivers, each received once unless its processing fails.

SQS counts receives, and moves a record to the dead-letter queue after a few. A record that must wait is therefore put
back as a new record, and the old one is consumed. So an outage of any length moves no record to the dead-letter queue.
After a crash in between, the record is on the queue twice, which the ledger makes harmless.

Nothing else ends such a loop, and SQS counts a record's age anew each time. So the age of the oldest record that is put
back is reported, since it first came on the queue.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from cxone_messaging.adapters.queue import BulkQueue
from cxone_messaging.domain.batches import BulkRecord
from cxone_messaging.platform.clock import Clock
from cxone_messaging.platform.deadline import Deadline
from cxone_messaging.platform.telemetry import Metric, Telemetry
from cxone_messaging.use_cases.bulk.in_flight import Later, Unusable
from cxone_messaging.use_cases.bulk.send_records import SendRecords

type Read = Callable[[str], BulkRecord | None]


class WorkQueue:
    """Sends the records of one SQS batch, requeues records that wait, and sets unusable ones aside."""

    def __init__(self, send: SendRecords, queue: BulkQueue, clock: Clock, telemetry: Telemetry) -> None:
        self._send = send
        self._queue = queue
        self._clock = clock
        self._telemetry = telemetry

    def __call__(
        self,
        bodies: Mapping[str, str],
        queued_at: Mapping[str, float],
        read: Read,
        deadline: Deadline,
        on_result: Callable[[str, str], None] = lambda *_: None,
    ) -> list[str]:
        """Process records, keyed by the queue's own ids; return the ids of records that need another receive.

        `queued_at` is when each first came on the queue, in Unix seconds. `on_result` is called with each message's id
        and its result in a word.
        """
        records = {id_: read(body) for id_, body in bodies.items()}
        failed = [
            id_
            for id_, record in records.items()
            if record is None and not self._queue.send_to_dead_letters(bodies[id_], "malformed_record")
        ]
        readable = {id_: record for id_, record in records.items() if record is not None}
        dispositions = self._send(list(readable.values()), deadline, on_result)
        delays: dict[str, float] = {}
        for id_, disposition in zip(readable, dispositions, strict=True):
            match disposition:
                case Later(seconds):
                    delays[id_] = seconds
                case Unusable(reason):
                    if not self._queue.send_to_dead_letters(bodies[id_], reason):
                        failed.append(id_)
        if delays:
            waiting = [replace(readable[id_], queued_at=queued_at[id_]) for id_ in delays]
            queued = self._queue.put(waiting, list(delays.values()))
            failed += [id_ for id_, is_queued in zip(delays, queued, strict=True) if not is_queued]
            oldest = min(queued_at[id_] for id_ in delays)
            self._telemetry.add(Metric.BULK_RECORD_AGE, max(0, self._clock.now() - oldest))
        return failed
