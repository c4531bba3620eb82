"""Consent: whether a recipient may be sent to, since when, and on whose word."""

from dataclasses import dataclass
from enum import StrEnum

from cxone_messaging.domain.entries import Value
from cxone_messaging.domain.errors import Code, FieldError


class ConsentStatus(StrEnum):
    """A recipient's word; who never gave one has no consent at all."""

    OPTED_IN = "opted_in"
    OPTED_OUT = "opted_out"


@dataclass(frozen=True, slots=True)
class Consent:
    """A recipient's latest word. `sequence` is its entry in the ledger under `consent#<recipient hash>`.

    `source` says where it was given (a form, a keyword, a clerk), `campaign_id` for which campaign it was asked.
    """

    recipient_hash: str
    recipient: str
    status: ConsentStatus
    source: str
    campaign_id: str | None
    updated_at: str
    sequence: int

    def evidence(self) -> dict[str, Value]:
        """Say on a message's entry why it was allowed; `sequence` finds the consent's own entry."""
        return {
            "status": self.status.value,
            "source": self.source,
            "updatedAt": self.updated_at,
            "sequence": self.sequence,
        }


def refusal(consent: Consent | None) -> FieldError | None:
    """Say why nothing may be sent under this consent, or None when it may (documents: the recipient is opted in)."""
    if consent is None:
        return FieldError(Code.NOT_OPTED_IN, "to", "the recipient has not opted in")
    match consent.status:
        case ConsentStatus.OPTED_IN:
            return None
        case ConsentStatus.OPTED_OUT:
            return FieldError(Code.OPTED_OUT, "to", "the recipient has opted out")
