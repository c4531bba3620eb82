"""Messages whose outcome is unknown, and the records of CXone's that may be theirs.

A record is a message's only if nothing else can be: the channel, the number, the text and the time are the same, no
other message owns it, no other record fits, and no other message in doubt could claim it. Absence proves nothing.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from cxone_messaging.domain.found_messages import FoundMessage
from cxone_messaging.domain.subjects import id_in

# A message is looked for this long after its doubt began, in seconds. A search lags behind by minutes.
AGES = (30.0, 120.0, 600.0, 3_600.0)
# How much earlier than the sender says, and later than its deadline, a record may be dated.
_SKEW_SECONDS = 60.0
# A younger record may be of a message whose sender has not recorded its outcome yet: a chunk takes 30 seconds to post,
# and 5 to record.
SETTLED_SECONDS = 35.0
# By then, a search shows every record that it ever shows.
_SHOWN_SECONDS = 590.0


@dataclass(frozen=True, slots=True)
class Doubt:
    """One message in doubt. Instants are in Unix seconds.

    It was sent between `sent_at` and `until`; the doubt began at `since`.
    """

    subject: str
    channel: str
    recipient_hash: str
    text_hash: str
    sent_at: float
    until: float
    since: float

    @property
    def earliest(self) -> float:
        """When its record may have been created at the earliest."""
        return self.sent_at - _SKEW_SECONDS

    def fits(self, record: FoundMessage) -> bool:
        """Whether a record with the same number and text may be this message's, by its channel and time."""
        is_there = not record.channel or record.channel == self.channel
        return is_there and self.earliest <= record.created_at <= self.until + _SKEW_SECONDS

    def is_due(self, last_run: float, now: float) -> bool:
        """Whether one of the ages at which it is looked for lies between two runs."""
        return any(last_run < self.since + age <= now for age in AGES)

    def is_last(self, last_run: float, now: float) -> bool:
        """Whether it is looked for no more after this run."""
        return last_run < self.since + AGES[-1] <= now

    def is_covered(self, reached: float) -> bool:
        """Whether all records that may be this message's were read, where all newer than `reached` were."""
        return reached <= self.earliest


@dataclass(frozen=True, slots=True)
class Match:
    """The records that may be a message's; `rivals` are other messages in doubt that could claim one of them."""

    doubt: Doubt
    records: tuple[FoundMessage, ...]
    rivals: tuple[str, ...]

    @property
    def only(self) -> FoundMessage | None:
        """The one record that can be nothing but the message's."""
        return self.records[0] if len(self.records) == 1 and not self.rivals else None

    def named(self, reference_of: Callable[[FoundMessage], str], now: float) -> FoundMessage | None:
        """Return the record whose contact holds this message's reference; None if there is none for certain.

        A contact holds the reference of the last message to it. So the newest record of that contact is meant, once
        each claimer has a record, or a search would long have shown the others.
        """
        newest = sorted(self.records, key=lambda record: record.created_at, reverse=True)
        if not newest or (len(newest) <= len(self.rivals) and now - newest[0].created_at < _SHOWN_SECONDS):
            return None
        return newest[0] if reference_of(newest[0]) == reference(id_in(self.doubt.subject)) else None


def reference(message_id: str) -> str:
    """Return the short reference to a message that a contact's custom field may hold: 64 bits of its id."""
    return message_id.removeprefix("msg_")[:16]


def matches(doubts: Sequence[Doubt], found: Iterable[tuple[FoundMessage, str, str]]) -> list[Match]:
    """Return each doubt with the records that fit; `found` are unowned records with the hashes of number and text."""
    by_key: dict[tuple[str, str], list[FoundMessage]] = defaultdict(list)
    for record, recipient_hash, text_hash in found:
        by_key[recipient_hash, text_hash].append(record)
    fitting = {
        doubt.subject: tuple(
            record for record in by_key.get((doubt.recipient_hash, doubt.text_hash), ()) if doubt.fits(record)
        )
        for doubt in doubts
    }
    claimed: dict[str, list[str]] = defaultdict(list)
    for subject, records in fitting.items():
        for record in records:
            claimed[record.id].append(subject)
    return [
        Match(
            doubt,
            fitting[doubt.subject],
            tuple(
                sorted({other for record in fitting[doubt.subject] for other in claimed[record.id]} - {doubt.subject})
            ),
        )
        for doubt in doubts
    ]
