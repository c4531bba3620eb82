"""Record what a recipient said: an entry in the ledger first, then the item that sends look at.

Only an opt-out that an event brings is the other way round: it is in force before it is proven, so that nothing goes
out after its entry.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cxone_messaging.adapters.consent_store import ConsentStore
from cxone_messaging.adapters.ledger import BrokenChainError, Draft, Ledger, append
from cxone_messaging.domain.consents import (
    IN_FORCE_SECONDS,
    Consent,
    ConsentStatus,
    consent_in,
    is_in_force_everywhere,
    is_passed_over,
    last_word,
)
from cxone_messaging.domain.entries import Entry, EntryType, Value, unbroken
from cxone_messaging.domain.errors import Code, FieldError, MessagingError
from cxone_messaging.domain.phone_numbers import InvalidPhoneNumberError, PhoneNumber
from cxone_messaging.domain.pseudonyms import Pseudonyms
from cxone_messaging.domain.written_numbers import mask_numbers_in
from cxone_messaging.platform.clock import Clock


@dataclass(frozen=True, slots=True)
class GivenConsent:
    """A recipient's word as the caller reports it."""

    status: ConsentStatus
    source: str
    campaign_id: str | None


@dataclass(frozen=True, slots=True)
class HeardConsent:
    """A recipient's word as an event brings it: `event_id` tells it from others, `instant` is the event's own time."""

    status: ConsentStatus
    source: str
    event_id: str
    instant: str


class ManageConsents:
    """The use case. A recipient has one consent, the latest; the ledger keeps all there ever were."""

    def __init__(self, *, ledger: Ledger, consents: ConsentStore, pseudonyms: Pseudonyms, clock: Clock) -> None:
        self._ledger = ledger
        self._consents = consents
        self._pseudonyms = pseudonyms
        self._clock = clock

    def record(self, number: PhoneNumber, given: GivenConsent) -> Consent:
        """Record a recipient's word. Raises `StorageError`: then it may not be in force and is to be given again."""
        recipient_hash = self._pseudonyms.recipient_hash(number)
        data = _data(recipient_hash, number.masked, given.status, mask_numbers_in(given.source))
        if given.campaign_id is not None:
            data["campaignId"] = given.campaign_id
        draft = Draft(EntryType.CONSENT, data)
        entries, before_gap = self._append(f"consent#{recipient_hash}", given.status, lambda _, __: draft)
        # Nobody else's entry is put in force, even where it follows this one.
        consent = consent_in(entries[-1])
        self._consents.store(consent, **_regardless(before_gap))
        return consent

    def hear(self, number: PhoneNumber, heard: HeardConsent) -> bool:
        """Record a word that an event brings; tells whether it was new. Raises `StorageError`, as `record` does."""
        return self.hear_of(self._pseudonyms.recipient_hash(number), number.masked, heard)

    def hear_of(self, recipient_hash: str, masked: str, heard: HeardConsent) -> bool:
        """Record an event's word on a recipient of whom we have no more than the ledger has.

        An opt-out takes `IN_FORCE_SECONDS`. An event that comes again is in the ledger already. Its own entry is put in
        force all the same, for the first time may have broken off before that; no other entry is.
        """
        subject = f"consent#{recipient_hash}"
        data = _data(recipient_hash, masked, heard.status, heard.source)
        data |= {"eventId": heard.event_id, "instant": heard.instant}
        is_new = False

        def decide(known: Sequence[Entry], before_gap: bool) -> Draft | None:
            nonlocal is_new
            is_new = _own(data, known) is None
            if not is_new:
                return None
            if is_passed_over(heard.status, heard.instant, known):
                return Draft(EntryType.CONSENT, {**data, "passedOver": True})
            draft = Draft(EntryType.CONSENT, data)
            if unbroken(known) is not known:
                return draft  # which is refused: it has no place behind a gap
            if heard.status is ConsentStatus.OPTED_OUT and (before_gap or not is_in_force_everywhere(known)):
                # Senders may have read the consent just before. Once this is stored, none of them goes by that.
                consent = consent_in(draft.following(known, subject, self._clock))
                self._consents.store(consent, **_regardless(before_gap))
                self._clock.sleep(IN_FORCE_SECONDS)
            return draft

        entries, before_gap = self._append(subject, heard.status, decide)
        self._put_own_in_force(_own(data, entries), entries, before_gap)
        return is_new

    def recipient_hash(self, number: PhoneNumber) -> str:
        """Return the hash that a recipient has in the ledger."""
        return self._pseudonyms.recipient_hash(number)

    def find(self, number: PhoneNumber) -> Consent:
        """Read a recipient's consent. Raises `consent_not_found`, and `StorageError`."""
        consent = self._consents.find(self._pseudonyms.recipient_hash(number))
        if consent is None:
            raise MessagingError(Code.CONSENT_NOT_FOUND, "nothing was ever recorded for this number")
        return consent

    def _append(
        self, subject: str, status: ConsentStatus, decide: Callable[[Sequence[Entry], bool], Draft | None]
    ) -> tuple[list[Entry], bool]:
        """Append to a recipient's chain; an opt-out even where the chain has a gap, which the second value tells.

        Nothing of ours leaves a gap, so somebody has tampered with the chain. An opt-out must not be lost for that: it
        is appended before the gap, and in force whatever is stored.
        """
        try:
            return append(self._ledger, self._clock, subject, lambda known: decide(known, False)), False
        except BrokenChainError:
            if status is not ConsentStatus.OPTED_OUT:
                raise
        return append(self._ledger, self._clock, subject, lambda known: decide(known, True), before_gap=True), True

    def _put_own_in_force(self, own: Entry | None, entries: Sequence[Entry], before_gap: bool) -> None:
        """Put an event's own entry in force unless the rules say otherwise.

        An opt-in is not, once there is a later word. An opt-out is then offered to the store: there the later word
        stands already, or else it was never in force.
        """
        if own is None or own.data.get("passedOver"):
            return
        consent, is_last = consent_in(own), own is last_word(entries)
        if is_last or consent.status is ConsentStatus.OPTED_OUT:
            self._consents.store(consent, **_regardless(before_gap and is_last))


def _own(data: Mapping[str, Value], known: Sequence[Entry]) -> Entry | None:
    """Return the entry that records this event's word: one that only bears the event's id may be anybody's."""

    def is_own(entry: Entry) -> bool:
        told = ("eventId", "recipientHash", "status")
        return entry.type == EntryType.CONSENT and all(entry.data.get(name) == data[name] for name in told)

    return next(filter(is_own, known), None)


def _regardless(before_gap: bool) -> dict[str, bool]:
    return {"regardless": True} if before_gap else {}


def _data(recipient_hash: str, masked: str, status: ConsentStatus, source: str) -> dict[str, Value]:
    return {"recipient": masked, "recipientHash": recipient_hash, "status": status.value, "source": source}


def number_in_path(text: str) -> PhoneNumber:
    """Read a number that names a resource. Raises `validation_failed` with `invalid_recipient`."""
    try:
        return PhoneNumber.parse(text)
    except InvalidPhoneNumberError as error:
        told = FieldError(Code.INVALID_RECIPIENT, "phoneNumber", str(error))
        raise MessagingError(Code.VALIDATION_FAILED, "the path names no phone number", errors=[told]) from None
