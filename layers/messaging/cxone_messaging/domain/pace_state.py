"""The account's pace as its schedule's item holds it, and the limits of the deployment that it stays within.

Rates of the item are whole micro-requests a second, its instants whole microseconds since 1970, as in the schedule.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from cxone_messaging.domain.schedule import FAILURES_TO_OPEN, MICRO
from cxone_messaging.domain.sender_rates import SenderRates

# An operator sets a ceiling in thousandths of a request a second, so that its text is exact.
_FINEST = MICRO // 1000


class Circuit(StrEnum):
    """The circuit breaker: `OPEN` lets nothing out, `PROBING` one message."""

    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


@dataclass(frozen=True, slots=True)
class AccountLimits:
    """What the deployment says of the account: its rates, the share of the rate to begin with, and senders' rates."""

    requests_per_second: float
    utilisation: float
    requests_per_minute: float
    senders: SenderRates = field(default_factory=SenderRates)

    @property
    def ceiling(self) -> int:
        """The highest ceiling that an operator may set, in micro-requests a second."""
        return round(self.requests_per_second * MICRO)


@dataclass(frozen=True, slots=True)
class PaceState:
    """What the item says of the pace.

    `ceiling` is an operator's, and None where the deployed one is in force; `ceiling_entry` is the sequence of the
    ledger's entry about it, or 0. `pace` is None until a refusal has lowered it. The other fields are 0 where their
    event never happened.
    """

    ceiling: int | None = None
    ceiling_entry: int = 0
    pace: int | None = None
    paced_at: int = 0
    lowered: int = 0
    next_slot: int = 0
    held_until: int = 0
    holds: int = 0
    failures: int = 0
    open_until: int = 0
    probe_until: int = 0

    def ceiling_within(self, limits: AccountLimits) -> int:
        """Return the ceiling in force: the lower of the deployed one and an operator's."""
        return limits.ceiling if self.ceiling is None else min(self.ceiling, limits.ceiling)

    def per_minute_within(self, limits: AccountLimits) -> int:
        """Return the requests a minute in force, in millionths: the lower of the budget and what the ceiling allows."""
        return min(round(limits.requests_per_minute * MICRO), 60 * self.ceiling_within(limits))

    def circuit(self, now: int) -> Circuit:
        """Return the state of the circuit breaker."""
        if self.failures < FAILURES_TO_OPEN:
            return Circuit.CLOSED
        return Circuit.PROBING if self.probe_until > now else Circuit.OPEN


def pace_of(state: PaceState, limits: AccountLimits) -> int:
    """Return the pace in force: the stored one, or else the one to begin with, but never above the ceiling."""
    pace = round(limits.ceiling * limits.utilisation) if state.pace is None else state.pace
    return min(pace, state.ceiling_within(limits))


def as_number(micro: int) -> float:
    """Return a rate of the item in requests, as an integer where it is whole."""
    return micro // MICRO if micro % MICRO == 0 else micro / MICRO


def ceiling_from(number: float, limits: AccountLimits) -> int | None:
    """Return a caller's ceiling as the item holds it, or None if it cannot be set.

    It is a number from 0 to the deployed rate with at most three decimals.
    """
    if not 0 <= number <= limits.requests_per_second:  # false for NaN
        return None
    micro = round(number * 1000) * _FINEST
    is_deployed = number == limits.requests_per_second
    return limits.ceiling if is_deployed else micro if as_number(micro) == number else None
