"""Look up in CXone's records what became of messages whose answer was lost. Nothing is ever sent again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cxone_messaging.domain import subjects
from cxone_messaging.domain.attention import Attention
from cxone_messaging.domain.doubts import AGES, SETTLED_SECONDS, Doubt, Match, matches
from cxone_messaging.domain.entries import Draft, Entry, EntryType, Value, text_at
from cxone_messaging.domain.errors import Code
from cxone_messaging.domain.found_messages import FoundMessage
from cxone_messaging.domain.ledger import BrokenChainError
from cxone_messaging.domain.messages import Message, Status
from cxone_messaging.domain.phone_numbers import InvalidPhoneNumberError, PhoneNumber
from cxone_messaging.domain.pseudonyms import Pseudonyms
from cxone_messaging.domain.times import format_time, parse_time
from cxone_messaging.platform.clock import Clock, instant
from cxone_messaging.platform.deadline import Deadline
from cxone_messaging.use_cases.message_trail import MessageTrail

# Doubts that began earlier are looked for no more; the last run may be late. Their rivals may be older, as far as two
# messages that one record fits can be apart.
_LONGEST_SECONDS, _RIVAL_SECONDS = AGES[-1] + 900.0, 900.0
# A doubt that began so long after its send is of a sender that died; its records are too far back to be read.
_FURTHEST_SECONDS = AGES[-1] + 600.0
# What is left of a run for what follows.
_LEAST_SECONDS = 20.0
_MOST_NAMED = 10


@dataclass(frozen=True, slots=True)
class LookedUp:
    """The records that messages in doubt got, and how many such messages wait for a person."""

    adopted: tuple[FoundMessage, ...] = ()
    ambiguous: int = 0


class LookUp:
    """One run's look-up: `begin`, `offer` for each record that the run reads, `settle`."""

    def __init__(self, trail: MessageTrail, pseudonyms: Callable[[], Pseudonyms], clock: Clock) -> None:
        self._trail = trail
        self._pseudonyms = pseudonyms
        self._clock = clock
        self._doubts: list[Doubt] = []
        self._last_run = 0.0
        self._texts: frozenset[str] = frozenset()
        self._found: dict[str, tuple[FoundMessage, str, str]] = {}

    def begin(self, last_run: float) -> float | None:
        """Read the messages in doubt; return how far back the records must be read, None if no message is due.

        Raises `StorageError`.
        """
        now = self._clock.now()
        ledger = self._trail.journal.ledger
        flagged = ledger.flagged(Attention.UNKNOWN, _ago(now, _LONGEST_SECONDS + _RIVAL_SECONDS), _ago(now, 0))
        read = ((subject, self._trail.journal.newest(subject)) for subject in dict.fromkeys(flagged))
        self._doubts = [doubt for subject, entries in read if (doubt := _doubt(subject, entries))]
        self._texts = frozenset(doubt.text_hash for doubt in self._doubts)
        self._found, self._last_run = {}, last_run
        due = (doubt.earliest for doubt in self._doubts if doubt.is_due(last_run, now))
        return min((earliest for earliest in due if earliest > now - _FURTHEST_SECONDS), default=None)

    def offer(self, record: FoundMessage) -> None:
        """Note a record that may be of a message in doubt."""
        if not self._texts:
            return
        text_hash = self._pseudonyms().text_hash(record.text)
        if text_hash not in self._texts:
            return
        try:
            number = PhoneNumber.parse(record.number)
        except InvalidPhoneNumberError:
            return
        self._found[record.id] = record, self._pseudonyms().recipient_hash(number), text_hash

    def settle(
        self, reached: float, deadline: Deadline, reference_of: Callable[[FoundMessage], str] | None = None
    ) -> LookedUp:
        """Record what was found. All records that are newer than `reached` (Unix seconds) were read.

        Only a message all of whose time was read is settled: what was not read may fit too. `reference_of` returns the
        reference that a record's contact holds, if contacts hold any. Raises `StorageError`.
        """
        now = self._clock.now()
        ledger = self._trail.journal.ledger
        unowned = [
            found
            for id_, found in self._found.items()
            if found[0].created_at <= now - SETTLED_SECONDS and ledger.subject_of_cxone_message(id_) is None
        ]
        adopted: list[FoundMessage] = []
        ambiguous = 0
        for match in matches(self._doubts, unowned):
            if deadline.left < _LEAST_SECONDS:
                break
            if match.doubt.since < now - _LONGEST_SECONDS:
                continue  # it is here as a rival of others alone
            try:
                if not match.doubt.is_covered(reached):
                    self._record_nothing(match.doubt, now, was_read=False)
                elif record := self._certain(match, now, reference_of):
                    adopted.append(record)
                elif match.records:
                    ambiguous += self._leave_to_a_person(match)
                else:
                    self._record_nothing(match.doubt, now, was_read=True)
            except BrokenChainError:
                continue  # an alarm rings; the others are looked up
        return LookedUp(tuple(adopted), ambiguous)

    def _certain(
        self, match: Match, now: float, reference_of: Callable[[FoundMessage], str] | None
    ) -> FoundMessage | None:
        """Return the record that is certainly the message's, once it is adopted."""
        named = match.named(reference_of, now) if reference_of else None
        record = named or match.only
        if record is None:
            return None
        evidence: dict[str, Value] = {"createdAt": record.written_at, "contact": record.contact}
        evidence["byReference"] = named is not None
        return record if self._trail.adopt(match.doubt.subject, record.id, evidence) else None

    def _record_nothing(self, doubt: Doubt, now: float, *, was_read: bool) -> None:
        """Record, at the last look-up, that no record was found, or that not all were read."""
        if doubt.is_last(self._last_run, now):
            self._record(doubt.subject, {"found": 0} if was_read else {"found": 0, "notRead": True})

    def _leave_to_a_person(self, match: Match) -> bool:
        ids = sorted(record.id for record in match.records)[:_MOST_NAMED]
        rivals = [subjects.id_in(each) for each in match.rivals[:_MOST_NAMED]]
        return self._record(
            match.doubt.subject, {"found": len(match.records), "candidates": [*ids], "alsoFits": [*rivals]}
        )

    def _record(self, subject: str, found: dict[str, Value]) -> bool:
        """Record what a look-up found, unless the last one found the same; return whether that is new."""
        data: dict[str, Value] = {"error": Code.OUTCOME_UNKNOWN.value, **found}

        def unless_known(known: Sequence[Entry]) -> Draft | None:
            last = next((each for each in reversed(known) if each.type == EntryType.LOOKED_UP), None)
            if Message.of(known).status is not Status.UNKNOWN or (last and dict(last.data) == data):
                return None
            return Draft(EntryType.LOOKED_UP, data, Attention.REVIEW.as_index() if found["found"] else None)

        return self._trail.journal.append(subject, unless_known).new is not None


def _doubt(subject: str, entries: Sequence[Entry]) -> Doubt | None:
    """Return a message's doubt; None if it has none any more, or its entries do not say what to look for."""
    if not entries or Message.of(entries).status is not Status.UNKNOWN:
        return None
    sending = next((each for each in reversed(entries) if each.type == EntryType.SENDING), None)
    unknown = next((each for each in reversed(entries) if each.type == EntryType.UNKNOWN), None)
    if sending is None or unknown is None:
        return None
    try:
        return Doubt(
            subject=subject,
            channel=text_at(sending.data, "from") or "",
            recipient_hash=text_at(sending.data, "recipientHash") or "",
            text_hash=text_at(sending.data, "textHash") or "",
            sent_at=parse_time(sending.timestamp).timestamp(),
            until=parse_time(text_at(sending.data, "deadline") or unknown.timestamp).timestamp(),
            since=parse_time(unknown.timestamp).timestamp(),
        )
    except ValueError:
        return None


def _ago(now: float, seconds: float) -> str:
    return format_time(instant(now - seconds))
