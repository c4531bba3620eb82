"""Record a recipient's opt-in or opt-out: first in the ledger, then in the item that senders read.

An opt-out from an event is stored in the other order: it is in force before its entry is written, so that no message
leaves after that entry.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cxone_messaging.adapters.dynamodb.consents import ConsentStore
from cxone_messaging.domain import subjects
from cxone_messaging.domain.consents import (
    CERTAIN_KEY,
    IN_FORCE_SECONDS,
    Consent,
    ConsentStatus,
    consent_in,
    is_in_force_everywhere,
    is_override_spent,
    is_overruled,
    is_superseded,
    last_in_force,
)
from cxone_messaging.domain.entries import Draft, Entry, EntryType, Value, first_broken, unbroken
from cxone_messaging.domain.errors import Code, FieldError, MessagingError, StorageError
from cxone_messaging.domain.event_times import COPIES
from cxone_messaging.domain.ledger import BrokenChainError, SequenceTakenError
from cxone_messaging.domain.phone_numbers import PhoneNumber, other_forms
from cxone_messaging.domain.pseudonyms import Pseudonyms
from cxone_messaging.domain.times import parse_time
from cxone_messaging.platform.clock import Clock, instant
from cxone_messaging.use_cases.journal import Journal

# An event that loses this many races is refused; CXone posts it again.
_MOST_RACES_LOST = 100


@dataclass(frozen=True, slots=True)
class ConsentFromApi:
    """An opt-in or opt-out as the caller reports it.

    `given_at` is when the recipient decided, in this project's form. `evidence` is a URL, or a SHA-256 in hex.
    `overrides_reply` means that the recipient opted in again after an opt-out of their own.
    """

    status: ConsentStatus
    source: str
    campaign_id: str | None
    given_at: str | None = None
    evidence: str | None = None
    overrides_reply: bool = False


@dataclass(frozen=True, slots=True)
class ConsentFromEvent:
    """An opt-in or opt-out from an event.

    `event_id` identifies the event, `instant` is the event's own time or, if that cannot be believed, its receipt's;
    `is_certain` says which (`domain/event_times.py`). An event with neither an id nor a certain time is not
    `is_recognisable`: two of them may be two replies.
    """

    status: ConsentStatus
    source: str
    event_id: str
    instant: str
    is_certain: bool = False
    is_recognisable: bool = True


class ManageConsents:
    """Records and finds consents.

    A recipient has one consent, the latest; the ledger keeps all earlier ones.
    """

    def __init__(self, *, journal: Journal, consents: ConsentStore, pseudonyms: Pseudonyms, clock: Clock) -> None:
        self._journal = journal
        self._consents = consents
        self._pseudonyms = pseudonyms
        self._clock = clock

    def record(self, number: PhoneNumber, consent: ConsentFromApi) -> Consent:
        """Record a consent from the API, and return it. An opt-out is for all forms of the line.

        Raises `opted_out_by_recipient` for an opt-in after a recipient's own opt-out. After a `StorageError` the caller
        must repeat the request.
        """
        if consent.status is ConsentStatus.OPTED_OUT:
            for form in self._other_forms(number, consent.status):
                self._record(form, consent)
        return self._record(number, consent)

    def _record(self, number: PhoneNumber, consent: ConsentFromApi) -> Consent:
        recipient_hash = self._pseudonyms.recipient_hash(number)
        data = _data(recipient_hash, number.masked, consent.status, consent.source)
        optional = {"campaignId": consent.campaign_id, "givenAt": consent.given_at, "evidence": consent.evidence}
        data |= {name: value for name, value in optional.items() if value is not None}
        if consent.overrides_reply:
            data["overrides"] = "reply"
        draft, subject = Draft(EntryType.CONSENT, data), subjects.consent(recipient_hash)
        # One file may have the line in one form before its opt-out, and in another after it.
        others = self._other_forms(number, consent.status) if consent.overrides_reply else []
        chains = [self._journal.read(self._subject(each)) for each in others]

        def unless_opted_out(known: Sequence[Entry]) -> Draft:
            is_fresh = consent.overrides_reply and not any(
                is_override_spent(consent.given_at, consent.evidence, each) for each in (known, *chains)
            )
            if is_overruled(consent.status, consent.given_at, known) and not is_fresh:
                fault = "the recipient's own opt-out is later: name a later `givenAt`, or `overrides` with new evidence"
                raise MessagingError(
                    Code.OPTED_OUT_BY_RECIPIENT,
                    "nothing was recorded",
                    errors=[FieldError(Code.OPTED_OUT_BY_RECIPIENT, "status", fault)],
                )
            return draft

        try:
            own, before_gap = self._journal.append(subject, unless_opted_out).new, False
        except BrokenChainError:
            # Our appends leave no gap, so somebody has tampered with the chain. That must not lose an opt-out.
            if consent.status is not ConsentStatus.OPTED_OUT:
                raise
            own, before_gap = self._journal.append(subject, lambda _: draft, before_gap=True).new, True
        if own is None:
            raise AssertionError("a consent from the API is always appended")
        # No other writer's entry is put in force here, even if it follows this entry.
        self._store(own, regardless=before_gap)
        return consent_in(own)

    def record_opt_out(self, numbers: Sequence[PhoneNumber], consent: ConsentFromEvent) -> bool:
        """Opt out the recipient of an event, and return whether that was new.

        `numbers` are what the event may mean, the most likely first. If that one has a consent, it alone is meant.
        All forms of the same line that have a consent, or that a message can go to, are opted out too. Raises
        `StorageError`.
        """
        meant = numbers[:1] if len(numbers) == 1 or self._is_known(numbers[0]) else numbers
        return self._record_lines(meant, consent)

    def record_opt_in(self, number: PhoneNumber, consent: ConsentFromEvent) -> bool:
        """Opt in the recipient of an event, in all forms of the line that have a consent; return whether it was new.

        Raises `StorageError`.
        """
        return self._record_lines([number], consent)

    def record_event(self, number: PhoneNumber, consent: ConsentFromEvent) -> bool:
        """Record a consent from an event for one form of a line; return whether it was new.

        Raises `StorageError`, as `record` does.
        """
        return self.record_event_by_hash(self._pseudonyms.recipient_hash(number), number.masked, consent)

    def record_event_by_hash(self, recipient_hash: str, masked: str, consent: ConsentFromEvent) -> bool:
        """Record an event's consent for a recipient known only by hash; return whether it was new.

        An opt-out takes `IN_FORCE_SECONDS`. A repeated event already has its entry. That entry is put in force again,
        because the first run may have ended before that. In a broken chain an opt-in is not: an opt-out may be missing.
        """
        subject = subjects.consent(recipient_hash)
        data = _data(recipient_hash, masked, consent.status, consent.source)
        data |= {"eventId": consent.event_id, "instant": consent.instant}
        if consent.status is ConsentStatus.OPTED_IN and consent.is_certain:
            data[CERTAIN_KEY] = True
        for _ in range(_MOST_RACES_LOST):
            stored = self._journal.read(subject)
            # Of replies that are not recognisable, the last counts.
            own = _own(data, stored if consent.is_recognisable else reversed(stored))
            if own and (consent.is_recognisable or (_is_in_force(consent.status, stored) and self._is_recent(own))):
                # Compared with the whole chain: what is behind a gap may be later.
                if consent.status is ConsentStatus.OPTED_OUT or first_broken(subject, stored) is None:
                    self._put_in_force(own, stored, regardless=False)
                return False
            known = list(unbroken(stored))
            before_gap = len(known) < len(stored)
            if before_gap and consent.status is not ConsentStatus.OPTED_OUT:
                raise BrokenChainError(subject, known)
            try:
                new = self._append(subject, data, consent, known, before_gap=before_gap)
            except SequenceTakenError:
                continue
            self._put_in_force(new, [*known, new], regardless=before_gap)
            return True
        raise StorageError("the ledger's next sequence is always taken")

    def _record_lines(self, numbers: Sequence[PhoneNumber], consent: ConsentFromEvent) -> bool:
        forms = [form for number in numbers for form in self._other_forms(number, consent.status)]
        is_new = [self.record_event(each, consent) for each in dict.fromkeys([*numbers, *forms])]
        return any(is_new)

    def _other_forms(self, number: PhoneNumber, status: ConsentStatus) -> list[PhoneNumber]:
        """Return the other forms of a line that have a consent, and for an opt-out those that a message can go to."""
        is_opt_out = status is ConsentStatus.OPTED_OUT
        return [each for each in other_forms(number) if (is_opt_out and each.is_canonical) or self._is_known(each)]

    def _is_known(self, number: PhoneNumber) -> bool:
        return bool(self._journal.oldest(self._subject(number)))

    def _subject(self, number: PhoneNumber) -> str:
        return subjects.consent(self.recipient_hash(number))

    def recipient_hash(self, number: PhoneNumber) -> str:
        """Return the hash that a recipient has in the ledger."""
        return self._pseudonyms.recipient_hash(number)

    def find(self, number: PhoneNumber) -> Consent:
        """Return a recipient's consent. Raises `consent_not_found`, and `StorageError`."""
        consent = self._consents.find(self._pseudonyms.recipient_hash(number))
        if consent is None:
            raise MessagingError(Code.CONSENT_NOT_FOUND, "no consent was ever recorded for this number")
        return consent

    def _append(
        self,
        subject: str,
        data: Mapping[str, Value],
        consent: ConsentFromEvent,
        known: Sequence[Entry],
        *,
        before_gap: bool,
    ) -> Entry:
        """Append an event's consent after the entries `known`.

        Raises `SequenceTakenError` if another entry is first. An opt-out is stored first, and waits until no sender
        uses the earlier consent any more.
        """
        if is_superseded(consent.status, consent.instant, known, is_certain=consent.is_certain):
            draft = Draft(EntryType.CONSENT, {**data, "passedOver": True})
        else:
            draft = Draft(EntryType.CONSENT, data)
            if consent.status is ConsentStatus.OPTED_OUT and (before_gap or not is_in_force_everywhere(known)):
                early = consent_in(self._journal.entry(draft, subject, known))
                self._consents.store(early, regardless=before_gap, ahead=True)
                self._clock.sleep(IN_FORCE_SECONDS)
        entry = self._journal.entry(draft, subject, known)
        self._journal.ledger.insert(entry)
        return entry

    def _put_in_force(self, own: Entry, known: Sequence[Entry], *, regardless: bool) -> None:
        """Put an event's own entry in force, unless it was superseded.

        An opt-in is not put in force after a later consent. An opt-out is always passed to the store: either the store
        already has the later consent, or the opt-out was never in force.
        """
        if own.data.get("passedOver"):
            return
        is_last = own is last_in_force(known)
        if is_last or _is_opt_out(own):
            self._store(own, regardless=regardless and is_last)

    def _is_recent(self, entry: Entry) -> bool:
        return instant(self._clock.now()) < parse_time(entry.timestamp) + COPIES

    def _store(self, own: Entry, *, regardless: bool) -> None:
        """Store an entry's consent, unless a later one is stored.

        The stored item may be ahead of the ledger, as after a restore of the ledger. It does not outrank an opt-out
        that is the last in the ledger.
        """
        is_stored = self._consents.store(consent_in(own), regardless=regardless)
        if not is_stored and _is_opt_out(own) and last_in_force(self._journal.read(own.subject)) == own:
            self._consents.store(consent_in(own), regardless=True)


def _is_opt_out(entry: Entry) -> bool:
    return entry.data["status"] == ConsentStatus.OPTED_OUT


def _is_in_force(status: ConsentStatus, entries: Sequence[Entry]) -> bool:
    last = last_in_force(entries)
    return last is not None and last.data["status"] == status


def _own(data: Mapping[str, Value], known: Iterable[Entry]) -> Entry | None:
    """Return the first of the entries that records this event's consent.

    An entry with only the event's id may be another writer's.
    """
    fields = ("eventId", "recipientHash", "status")
    return next(
        (
            entry
            for entry in known
            if entry.type == EntryType.CONSENT and all(entry.data.get(name) == data[name] for name in fields)
        ),
        None,
    )


def _data(recipient_hash: str, masked: str, status: ConsentStatus, source: str) -> dict[str, Value]:
    return {"recipient": masked, "recipientHash": recipient_hash, "status": status.value, "source": source}
