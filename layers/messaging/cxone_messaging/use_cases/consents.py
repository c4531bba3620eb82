"""Record a recipient's opt-in or opt-out: first in the ledger, then in the item that senders read.

An opt-out from an event is stored in the other order: it is in force before its entry is written, so that no message
leaves after that entry.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cxone_messaging.adapters.dynamodb.consents import ConsentStore
from cxone_messaging.domain import subjects
from cxone_messaging.domain.consents import (
    IN_FORCE_SECONDS,
    Consent,
    ConsentStatus,
    consent_in,
    is_in_force_everywhere,
    is_superseded,
    last_in_force,
)
from cxone_messaging.domain.entries import Draft, Entry, EntryType, Value, first_broken, unbroken
from cxone_messaging.domain.errors import Code, MessagingError, StorageError
from cxone_messaging.domain.ledger import BrokenChainError, SequenceTakenError
from cxone_messaging.domain.phone_numbers import PhoneNumber
from cxone_messaging.domain.pseudonyms import Pseudonyms
from cxone_messaging.domain.written_numbers import mask_numbers_in
from cxone_messaging.platform.clock import Clock
from cxone_messaging.use_cases.journal import Journal

# An event that loses this many races is refused; CXone posts it again.
_MOST_RACES_LOST = 100


@dataclass(frozen=True, slots=True)
class ConsentFromApi:
    """An opt-in or opt-out as the caller reports it."""

    status: ConsentStatus
    source: str
    campaign_id: str | None


@dataclass(frozen=True, slots=True)
class ConsentFromEvent:
    """An opt-in or opt-out from an event.

    `event_id` identifies the event, `instant` is the event's own time.
    """

    status: ConsentStatus
    source: str
    event_id: str
    instant: str


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
        """Record a consent from the API, and return it.

        After a `StorageError` the caller must repeat the request.
        """
        recipient_hash = self._pseudonyms.recipient_hash(number)
        data = _data(recipient_hash, number.masked, consent.status, mask_numbers_in(consent.source))
        if consent.campaign_id is not None:
            data["campaignId"] = consent.campaign_id
        draft, subject = Draft(EntryType.CONSENT, data), subjects.consent(recipient_hash)
        try:
            own, before_gap = self._journal.append(subject, lambda _: draft).new, False
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

    def record_event(self, number: PhoneNumber, consent: ConsentFromEvent) -> bool:
        """Record a consent from an event; return whether it was new.

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
        for _ in range(_MOST_RACES_LOST):
            stored = self._journal.read(subject)
            if own := _own(data, stored):
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
        if is_superseded(consent.status, consent.instant, known):
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


def _own(data: Mapping[str, Value], known: Sequence[Entry]) -> Entry | None:
    """Return the entry that records this event's consent.

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
