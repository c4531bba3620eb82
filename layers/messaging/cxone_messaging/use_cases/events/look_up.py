"""Look up in CXone's records what became of messages whose answer was lost. Nothing is ever sent again."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from cxone_messaging.domain import subjects
from cxone_messaging.domain.attention import Attention, sends_of
from cxone_messaging.domain.collection import FURTHEST_SECONDS
from cxone_messaging.domain.doubts import AGES, SETTLED_SECONDS, Doubt, Found, Match, matches, reference, sent_within
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

# A run may be late. Doubts of other runs are looked for no more, but may be rivals: those that are older by as much as
# two messages that one record fits can be apart.
_LATE_SECONDS, _RIVAL_SECONDS = 900.0, 900.0
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
        self._found: dict[str, Found] = {}

    def begin(self, last_run: float, channels: Collection[str]) -> float | None:
        """Read the messages in doubt that were sent by `channels`, the others being another API's.

        Returns how far back the records must be read, None if no message is due. Raises `StorageError`.
        """
        now = self._clock.now()
        ledger = self._trail.journal.ledger
        since = _earliest(last_run, now) - _RIVAL_SECONDS
        flagged = ledger.flagged(Attention.UNKNOWN, format_time(instant(since)), format_time(instant(now)))
        read = ((subject, self._trail.journal.newest(subject)) for subject in dict.fromkeys(flagged))
        self._doubts = [
            doubt for subject, entries in read if (doubt := _doubt(subject, entries, now)) and doubt.channel in channels
        ]
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
        run = _Settlement(self._clock.now(), self._last_run, reached, deadline, reference_of)
        unowned = [found for found in self._found.values() if self._is_unowned(found[0], run.now)]
        doubts = self._doubts + self._others(unowned, run.now)
        found = matches(doubts, unowned)
        adopted = self._adopt(found, run)
        ambiguous = sum(self._leave(each, run) for each in run.settleable(found) if each.doubt.subject not in adopted)
        return LookedUp(tuple(adopted.values()), ambiguous)

    def _is_unowned(self, record: FoundMessage, now: float) -> bool:
        if record.created_at > now - SETTLED_SECONDS:
            return False
        return self._trail.journal.ledger.subject_of_cxone_message(record.id) is None

    def _others(self, unowned: Iterable[Found], now: float) -> list[Doubt]:
        """Return the messages that may have one of the records, although nobody has recorded that they are in doubt.

        They are being sent, or their senders died. The latter are recorded as unknown, and so are looked up as well.
        """
        keys, known = {doubt.key for doubt in self._doubts}, {doubt.subject for doubt in self._doubts}
        by_key: dict[tuple[str, str], list[FoundMessage]] = defaultdict(list)
        for record, recipient_hash, text_hash in unowned:
            by_key[recipient_hash, text_hash].append(record)
        found: dict[str, Doubt | None] = {}
        for key in by_key.keys() & keys:
            since, until = (format_time(instant(each)) for each in sent_within(by_key[key]))
            for subject in self._trail.journal.ledger.flagged(sends_of(*key), since, until):
                if subject not in known and subject not in found:
                    entries = self._trail.mark_overdue_unknown(subject, self._trail.journal.newest(subject))
                    found[subject] = _doubt(subject, entries, now)
        return [each for each in found.values() if each]

    def _adopt(self, found: Iterable[Match], run: "_Settlement") -> dict[str, FoundMessage]:
        """Record what is certain; return the records by the subjects of their messages."""
        adopted = {}
        for match in run.settleable(found):
            record = run.certain(match)
            if record is None or not match.doubt.is_covered(run.reached):
                continue
            evidence: dict[str, Value] = {"createdAt": record.written_at, "contact": record.contact}
            evidence["byReference"] = run.reference_of is not None
            # An alarm rings for a broken chain; the others are looked up.
            with suppress(BrokenChainError):
                if self._trail.adopt(match.doubt.subject, record.id, evidence):
                    adopted[match.doubt.subject] = record
        return adopted

    def _leave(self, match: Match, run: "_Settlement") -> bool:
        """Record what was found of a message that stays in doubt; return whether a person must look at that."""
        is_last = match.doubt.is_last(run.last_run, run.now)
        # A sender may yet record its outcome, and a search of contacts lags behind too.
        is_early = run.reference_of and match.only and run.now < match.doubt.since + AGES[2]
        if not is_last and (is_early or any(rival.is_being_sent for rival in match.rivals)):
            return False
        with suppress(BrokenChainError):
            if match.records and match.doubt.is_covered(run.reached):
                return self._leave_to_a_person(match)
            if is_last:
                was_read = match.doubt.is_covered(run.reached)
                self._record(match.doubt.subject, {"found": 0} if was_read else {"found": 0, "notRead": True})
        return False

    def _leave_to_a_person(self, match: Match) -> bool:
        ids = sorted(record.id for record in match.records)[:_MOST_NAMED]
        rivals = [subjects.id_in(each.subject) for each in match.rivals[:_MOST_NAMED]]
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


@dataclass(frozen=True, slots=True)
class _Settlement:
    """One settlement: its time, that of the run before, how far back the records were read, who knows references."""

    now: float
    last_run: float
    reached: float
    deadline: Deadline
    reference_of: Callable[[FoundMessage], str] | None

    def settleable(self, found: Iterable[Match]) -> Iterator[Match]:
        """Yield the messages that are looked for while there is time; the others are here as rivals alone."""
        for match in found:
            if self.deadline.left < _LEAST_SECONDS:
                return
            if not match.doubt.is_being_sent and match.doubt.since >= _earliest(self.last_run, self.now):
                yield match

    def certain(self, match: Match) -> FoundMessage | None:
        """Return the record that is certainly the message's.

        Where contacts hold references, the record's contact must name the message.
        """
        record = match.only
        if record and self.reference_of and self.reference_of(record) != reference(subjects.id_in(match.doubt.subject)):
            return None
        return record


def _doubt(subject: str, entries: Sequence[Entry], now: float) -> Doubt | None:
    """Return a message's doubt; None if it has none any more, or its entries do not say what to look for.

    A message that is being sent has one that begins now.
    """
    status = Message.of(entries).status if entries else None
    if status not in {Status.UNKNOWN, Status.SENDING}:
        return None
    sending = next((each for each in reversed(entries) if each.type == EntryType.SENDING), None)
    unknown = next((each for each in reversed(entries) if each.type == EntryType.UNKNOWN), None)
    if sending is None:
        return None
    try:
        return Doubt(
            subject=subject,
            channel=text_at(sending.data, "from") or "",
            recipient_hash=text_at(sending.data, "recipientHash") or "",
            text_hash=text_at(sending.data, "textHash") or "",
            sent_at=parse_time(sending.timestamp).timestamp(),
            until=parse_time(text_at(sending.data, "deadline") or sending.timestamp).timestamp(),
            since=parse_time(unknown.timestamp).timestamp() if unknown else now,
            is_being_sent=status is Status.SENDING,
        )
    except ValueError:
        return None


def _earliest(last_run: float, now: float) -> float:
    """Return when the oldest doubt began that is still looked for; after an outage, that is longer ago."""
    return max(min(last_run, now - _LATE_SECONDS) - AGES[-1], now - FURTHEST_SECONDS)
