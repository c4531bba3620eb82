"""What somebody has to come back to: kept in a sparse index of the ledger, so that it is found without a scan.

An entry can't be changed, so it stays in the index when the matter is settled: whoever looks there reads the subject.
"""

from enum import StrEnum

# The index is keyed by this attribute and by the entry's own `timestamp`.
UNSETTLED_KEY = "unsettled"


class Attention(StrEnum):
    """Why an entry is in the index."""

    UNKNOWN = "unknown"  # a message of which nobody knows whether it went out
    UNMATCHED = "unmatched"  # a delivery event of a message that nobody knows
    REVIEW = "review"  # an event for people to look at

    def as_index(self) -> dict[str, str]:
        """Give the index key of such an entry."""
        return {UNSETTLED_KEY: self.value}
