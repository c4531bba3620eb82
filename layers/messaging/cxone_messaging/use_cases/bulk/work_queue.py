"""Process the records that SQS delivers, each received once unless its processing fails.

SQS counts receives, and moves a record to the dead-letter queue after a few. A record that must wait is therefore put
back as a new record, and the old one is consumed. So an outage of any length moves no record to the dead-letter queue.
After a crash in between, the record is on the queue twice, which the ledger makes harmless.
"""

from collections.abc import Callable, Mapping

from cxone_messaging.adapters.queue import BulkQueue
from cxone_messaging.domain.batches import BulkRecord
from cxone_messaging.platform.deadline import Deadline
from cxone_messaging.use_cases.bulk.in_flight import Later, Unusable
from cxone_messaging.use_cases.bulk.send_records import SendRecords

type Read = Callable[[str], BulkRecord | None]


class WorkQueue:
    """Sends the records of one SQS batch, requeues records that wait, and sets unusable ones aside."""

    def __init__(self, send: SendRecords, queue: BulkQueue) -> None:
        self._send = send
        self._queue = queue

    def __call__(
        self,
        bodies: Mapping[str, str],
        read: Read,
        deadline: Deadline,
        on_result: Callable[[str, str], None] = lambda *_: None,
    ) -> list[str]:
        """Process records, keyed by the queue's own ids; return the ids of records that need another receive.

        `on_result` is called with each message's id and its result in a word.
        """
        records = {id_: read(body) for id_, body in bodies.items()}
        failed = [
            id_
            for id_, record in records.items()
            if record is None and not self._queue.send_to_dead_letters(bodies[id_], "malformed_record")
        ]
        readable = {id_: record for id_, record in records.items() if record is not None}
        dispositions = self._send(list(readable.values()), deadline, on_result)
        later: dict[float, list[str]] = {}
        for id_, disposition in zip(readable, dispositions, strict=True):
            match disposition:
                case Later(seconds):
                    later.setdefault(round(seconds), []).append(id_)
                case Unusable(reason):
                    if not self._queue.send_to_dead_letters(bodies[id_], reason):
                        failed.append(id_)
        for seconds, ids in later.items():
            queued = self._queue.put([readable[id_] for id_ in ids], seconds)
            failed += [id_ for id_, is_queued in zip(ids, queued, strict=True) if not is_queued]
        return failed
