"""Matters that a person or a later job must handle.

A sparse index of the ledger finds them without a scan.

An entry cannot be changed, so it stays in the index after its matter is settled. A reader of the index therefore reads
the subject too.
"""

from enum import StrEnum

# The index is keyed by this attribute and by the entry's own `timestamp`.
UNSETTLED_KEY = "unsettled"


class Attention(StrEnum):
    """Why an entry is in the index."""

    UNKNOWN = "unknown"  # a message that may or may not have been sent
    UNMATCHED = "unmatched"  # a delivery event that matches no message
    REVIEW = "review"  # an event for a person to review

    def as_index(self) -> dict[str, str]:
        """Return the index key of such an entry."""
        return {UNSETTLED_KEY: self.value}


def sends_of(recipient_hash: str, text_hash: str) -> str:
    """Return what the sends of one text to one recipient are indexed under, where lost answers are looked up."""
    return f"sending {recipient_hash} {text_hash}"
