"""Record what a recipient said: an entry in the ledger first, then the item that sends look at."""

from dataclasses import dataclass

from cxone_messaging.adapters.consent_store import ConsentStore
from cxone_messaging.adapters.ledger import Draft, Ledger, append
from cxone_messaging.domain.consents import Consent, ConsentStatus
from cxone_messaging.domain.entries import EntryType, Value
from cxone_messaging.domain.errors import Code, FieldError, MessagingError
from cxone_messaging.domain.phone_numbers import InvalidPhoneNumberError, PhoneNumber, mask_numbers_in
from cxone_messaging.domain.pseudonyms import Pseudonyms
from cxone_messaging.platform.clock import Clock


@dataclass(frozen=True, slots=True)
class GivenConsent:
    """A recipient's word as the caller reports it."""

    status: ConsentStatus
    source: str
    campaign_id: str | None


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
        source = mask_numbers_in(given.source)
        data: dict[str, Value] = {
            "recipient": number.masked,
            "recipientHash": recipient_hash,
            "status": given.status.value,
            "source": source,
        }
        if given.campaign_id is not None:
            data["campaignId"] = given.campaign_id
        draft = Draft(EntryType.CONSENT, data)
        entry = append(self._ledger, self._clock, f"consent#{recipient_hash}", lambda _: draft)[-1]
        consent = Consent(
            recipient_hash=recipient_hash,
            recipient=number.masked,
            status=given.status,
            source=source,
            campaign_id=given.campaign_id,
            updated_at=entry.timestamp,
            sequence=entry.sequence,
        )
        self._consents.store(consent)
        return consent

    def find(self, number: PhoneNumber) -> Consent:
        """Read a recipient's consent. Raises `consent_not_found`, and `StorageError`."""
        consent = self._consents.find(self._pseudonyms.recipient_hash(number))
        if consent is None:
            raise MessagingError(Code.CONSENT_NOT_FOUND, "nothing was ever recorded for this number")
        return consent


def number_in_path(text: str) -> PhoneNumber:
    """Read a number that names a resource. Raises `validation_failed` with `invalid_recipient`."""
    try:
        return PhoneNumber.parse(text)
    except InvalidPhoneNumberError as error:
        told = FieldError(Code.INVALID_RECIPIENT, "phoneNumber", str(error))
        raise MessagingError(Code.VALIDATION_FAILED, "the path names no phone number", errors=[told]) from None
