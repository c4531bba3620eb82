"""How fast the account may send: a pace that a 429 lowers once, and that time without any raises again.

The law is CUBIC's (RFC 9438), on a rate in place of a window. After a 429 the pace falls by 3 %, and twice as far if
the next 429 follows at once. Then it returns to the pace that was refused: fast where that is far, slowly near it. It
lingers there, and goes on ever faster until it is at the pace to begin with. From there it creeps towards the ceiling.

Only a 429 is written. The pace at any other time is a function of that and of the time, so no sender raises it.

Paces in the schedule are whole millionths of a request a second, and instants whole microseconds since 1970. Other
rates are requests a second.
"""

import math
from dataclasses import dataclass, replace

MICRO = 1_000_000
# What the second and the minute may be filled to, of all that is allowed. The rest absorbs requests that arrive late.
_TOP_SHARE = 0.98
# Some traffic goes on however often CXone refuses: only so a sender notices that it no longer does.
_FLOOR_SHARE = 0.05
# The share of the pace that a 429 takes away. Each 429 that follows at once takes twice as much as the one before.
_STEP, _LARGEST_STEP = 0.03, 0.5
# The pace needs this long to make up for one step: 16 s, or the time of 600 requests in a slower account, where each
# 429 weighs more.
_RETURN_SECONDS, _RETURN_REQUESTS = 16.0, 600.0
# From the pace to begin with to the highest.
_CREEP_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class AccountRate:
    """What the account is allowed, as deployed; `utilisation` is the share of it to begin with.

    Without a budget of its own, a minute allows 60 seconds' worth.
    """

    requests_per_second: float
    utilisation: float
    requests_per_minute: float | None = None


@dataclass(frozen=True, slots=True)
class Pace:
    """What the schedule's item holds of the pace: what the last 429 left of it, and an operator's ceiling.

    `lowered_to` and `refused` are 0 before the first 429. The pace rises since `since`, 0 until the first reservation.
    `ceiling` is None unless an operator has set one; `ceiling_entry` is the sequence of the ledger's entry about it, or
    0. `version` counts the changes: a sender that knows another version
    does not know the pace.
    """

    lowered_to: int = 0
    refused: int = 0
    since: int = 0
    version: int = 0
    ceiling: int | None = None
    ceiling_entry: int = 0


@dataclass(frozen=True, slots=True)
class PaceLaw:
    """The pace at any time, within what the account is allowed."""

    rate: AccountRate

    def ceiling(self, pace: Pace) -> float:
        """Return the requests a second that are allowed: as deployed, or fewer by an operator. 0 stops all sending."""
        deployed = self.rate.requests_per_second
        return deployed if pace.ceiling is None else min(deployed, max(0, pace.ceiling) / MICRO)

    def per_minute(self, pace: Pace) -> float:
        """Return the requests a minute that are allowed."""
        own = self.rate.requests_per_minute
        by_second = 60 * self.ceiling(pace)
        return by_second if own is None else min(own, by_second)

    def highest(self, pace: Pace) -> float:
        """Return the highest pace: the ceiling or the minute's budget, whichever is nearer, less some room."""
        return _TOP_SHARE * min(self.ceiling(pace), self.per_minute(pace) / 60)

    def lowest(self, pace: Pace) -> float:
        """Return the pace below which no 429 lowers it."""
        return min(self._begin(pace), _FLOOR_SHARE * self.highest(pace))

    def at(self, pace: Pace, now: int) -> float:
        """Return the pace at an instant, in requests a second; 0 if an operator has stopped all sending."""
        highest, begin = self.highest(pace), self._begin(pace)
        if not highest:
            return 0.0
        seconds = max(0, now - pace.since) / MICRO if pace.since else 0.0
        creep = (highest - begin) / _CREEP_SECONDS
        lowered, refused = pace.lowered_to / MICRO or begin, pace.refused / MICRO
        if lowered < begin:
            growth = self._growth(pace)
            plateau = math.cbrt((refused - lowered) / growth)
            reached = plateau + math.cbrt((begin - refused) / growth)
            if seconds < reached:
                return max(self.lowest(pace), growth * (seconds - plateau) ** 3 + refused)
            lowered, seconds = begin, seconds - reached
        return min(highest, lowered + creep * seconds)

    def lowered(self, pace: Pace, now: int, until: int, in_a_row: int) -> Pace:
        """Return the pace after a 429 at `now` that holds all senders back `until` an instant.

        `in_a_row` counts the 429s that have followed one another at once, this one included.
        """
        refused = self.at(pace, now)
        step = min(_LARGEST_STEP, _STEP * 2.0 ** min(in_a_row - 1, 10))
        lowered = max(self.lowest(pace), refused * (1 - step))
        return replace(
            pace,
            lowered_to=round(lowered * MICRO),
            refused=round(refused * MICRO),
            since=until,
            version=pace.version + 1,
        )

    def share(self, pace: Pace, present: float) -> float:
        """Return the `present` pace in percent of what is allowed; 100 if an operator has stopped all sending."""
        highest = self.highest(pace)
        return 100 * _TOP_SHARE * present / highest if highest else 100.0

    def seconds_to_recover(self, pace: Pace) -> float:
        """Return the longest time from any pace to the pace to begin with, if no 429 comes."""
        # The way up to the refused pace, and on from there, is longest if that lies in the middle.
        return 2 * math.cbrt((self._begin(pace) - self.lowest(pace)) / 2 / self._growth(pace))

    def _begin(self, pace: Pace) -> float:
        return min(self.rate.utilisation * self.ceiling(pace), self.highest(pace))

    def _growth(self, pace: Pace) -> float:
        highest = self.highest(pace)
        return _STEP * highest / max(_RETURN_SECONDS, _RETURN_REQUESTS / highest) ** 3


def as_number(micro: int) -> float:
    """Return a rate of the item in requests, as an integer where it is whole."""
    return micro // MICRO if micro % MICRO == 0 else micro / MICRO


def ceiling_from(number: float, rate: AccountRate) -> int | None:
    """Return a caller's ceiling as the item holds it, or None if it cannot be set.

    It is a number from 0 to the deployed rate with at most three decimals.
    """
    if not 0 <= number <= rate.requests_per_second:  # false for NaN
        return None
    if number == rate.requests_per_second:
        return round(number * MICRO)
    micro = round(number * 1000) * (MICRO // 1000)
    return micro if as_number(micro) == number else None
