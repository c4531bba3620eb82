"""Messages whose outcome is unknown, and the records of CXone's that may be theirs.

A record is a message's only if nothing else can be: the channel, the number, the text and the time are the same, no
other message owns it, no other record fits, and no other message without a record could claim it. Absence proves
nothing: a text may leave without a record.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cxone_messaging.domain.found_messages import FoundMessage

# A record, with the hashes of its number and its text.
type Found = tuple[FoundMessage, str, str]
# A message is looked for this long after its doubt began, in seconds. A search lags behind by minutes.
AGES = (30.0, 120.0, 600.0, 3_600.0)
# How much earlier than the sender says, and later than its deadline, a record may be dated.
_SKEW_SECONDS = 60.0
# CXone's clock may be off by more. Then a record seems to fit a message that is not its own, so others count as rivals
# over a longer time.
_RIVAL_SKEW_SECONDS = 180.0
# A younger record may be of a message whose sender has not recorded its outcome yet: a chunk takes 30 seconds to post,
# and 5 to record.
SETTLED_SECONDS = 35.0
# From the first byte of a message to its deadline, it takes no sender longer.
_LONGEST_SEND_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Doubt:
    """One message in doubt. Instants are in Unix seconds.

    It was sent between `sent_at` and `until`; the doubt began at `since`. One that `is_being_sent` is in doubt only
    until its sender records the outcome.
    """

    subject: str
    channel: str
    recipient_hash: str
    text_hash: str
    sent_at: float
    until: float
    since: float
    is_being_sent: bool = False

    @property
    def earliest(self) -> float:
        """When its record may have been created at the earliest."""
        return self.sent_at - _SKEW_SECONDS

    def fits(self, record: FoundMessage) -> bool:
        """Whether a record with the same number and text may be this message's, by its channel and time."""
        return self._is_within(record, _SKEW_SECONDS)

    def could_claim(self, record: FoundMessage) -> bool:
        """Whether this message prevents that a record with the same number and text becomes another's."""
        return self._is_within(record, _RIVAL_SKEW_SECONDS)

    def _is_within(self, record: FoundMessage, skew: float) -> bool:
        is_there = not record.channel or record.channel == self.channel
        return is_there and self.sent_at - skew <= record.created_at <= self.until + skew

    def is_due(self, last_run: float, now: float) -> bool:
        """Whether one of the ages at which it is looked for lies between two runs."""
        return any(last_run < self.since + age <= now for age in AGES)

    def is_last(self, last_run: float, now: float) -> bool:
        """Whether it is looked for no more after this run."""
        return last_run < self.since + AGES[-1] <= now

    @property
    def key(self) -> tuple[str, str]:
        """What its records share with it: the hashes of the number and the text."""
        return self.recipient_hash, self.text_hash

    def is_covered(self, reached: float) -> bool:
        """Whether all records that may be this message's were read, where all newer than `reached` were."""
        return reached <= self.earliest


@dataclass(frozen=True, slots=True)
class Match:
    """The records that may be a message's; `rivals` are the other messages without a record that could claim one."""

    doubt: Doubt
    records: tuple[FoundMessage, ...]
    rivals: tuple[Doubt, ...]

    @property
    def only(self) -> FoundMessage | None:
        """The one record that can be nothing but the message's."""
        return self.records[0] if len(self.records) == 1 and not self.rivals else None


def reference(message_id: str) -> str:
    """Return the short reference to a message that a contact's custom field may hold: 64 bits of its id."""
    return message_id.removeprefix("msg_")[:16]


def sent_within(records: Iterable[FoundMessage]) -> tuple[float, float]:
    """Return when the messages were sent that could claim one of some records, at the earliest and the latest."""
    dates = [record.created_at for record in records]
    return min(dates) - _RIVAL_SKEW_SECONDS - _LONGEST_SEND_SECONDS, max(dates) + _RIVAL_SKEW_SECONDS


def matches(doubts: Sequence[Doubt], found: Iterable[Found]) -> list[Match]:
    """Return each doubt with the records that fit; `found` are records that no message owns."""
    records_by_key: dict[tuple[str, str], list[FoundMessage]] = defaultdict(list)
    for record, recipient_hash, text_hash in found:
        records_by_key[recipient_hash, text_hash].append(record)
    fitting = {
        doubt.subject: tuple(record for record in records_by_key.get(doubt.key, ()) if doubt.fits(record))
        for doubt in doubts
    }
    doubts_by_key: dict[tuple[str, str], list[Doubt]] = defaultdict(list)
    for doubt in doubts:
        doubts_by_key[doubt.key].append(doubt)

    def rivals(doubt: Doubt) -> tuple[Doubt, ...]:
        others = (each for each in doubts_by_key[doubt.key] if each.subject != doubt.subject)
        return tuple(each for each in others if any(map(each.could_claim, fitting[doubt.subject])))

    return [Match(doubt, fitting[doubt.subject], rivals(doubt)) for doubt in doubts]
