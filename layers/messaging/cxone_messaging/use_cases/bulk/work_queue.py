"""Work off what the bulk queue hands over, so that every receive but a failed one is a record's last.

SQS counts receives and gives up on a record after a few. A record that has to wait is therefore put back as a new one
and the old one consumed: however long an outage lasts, none ends in the dead-letter queue for it. A crash in between
leaves the record twice on the queue, which the ledger makes harmless.
"""

from collections.abc import Callable, Mapping

from cxone_messaging.adapters.queue import BulkQueue
from cxone_messaging.domain.batches import BulkRecord
from cxone_messaging.use_cases.bulk.in_flight import Later, Unusable
from cxone_messaging.use_cases.bulk.send_records import SendBatch

type Read = Callable[[str], BulkRecord | None]


class WorkQueue:
    """The use case."""

    def __init__(self, send: SendBatch, queue: BulkQueue) -> None:
        self._send = send
        self._queue = queue

    def __call__(
        self,
        bodies: Mapping[str, str],
        read: Read,
        seconds_left: Callable[[], float],
        tell: Callable[[str, str], None] = lambda *_: None,
    ) -> list[str]:
        """Work off records by the queue's own ids; gives the ids of those that are worth another receive.

        `tell` is told each message's id and, in a word, what came of it.
        """
        records = {id_: read(body) for id_, body in bodies.items()}
        failed = [
            id_
            for id_, record in records.items()
            if record is None and not self._queue.put_aside(bodies[id_], "malformed_record")
        ]
        readable = {id_: record for id_, record in records.items() if record is not None}
        dispositions = self._send(list(readable.values()), seconds_left, tell)
        later: dict[float, list[str]] = {}
        for id_, disposition in zip(readable, dispositions, strict=True):
            match disposition:
                case Later(seconds):
                    later.setdefault(round(seconds), []).append(id_)
                case Unusable(reason):
                    if not self._queue.put_aside(bodies[id_], reason):
                        failed.append(id_)
        for seconds, ids in later.items():
            there = self._queue.put([readable[id_] for id_ in ids], seconds)
            failed += [id_ for id_, is_there in zip(ids, there, strict=True) if not is_there]
        return failed
