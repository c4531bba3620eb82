"""The rates of single senders: `SenderRequestsPerSecond`, a text such as `+1*=5, 12345=2`.

Carriers limit each sender by itself, a US long code to about five messages a second. A sender that the text does not
name has the account's rate only.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

LIMIT = 50
# They are compiled at their first use: most deployments have no such text.
_NAME = r"\+?[0-9]{1,15}\*?|\+?\*"
_RATE = r"[0-9]{1,6}(\.[0-9]{1,6})?"
# No short code is longer, and no number of a phone is shorter.
_LONGEST_SHORT_CODE = 8


class SenderRate(NamedTuple):
    """A sender's rate in requests a second, and the name or pattern of the text that sets it."""

    name: str
    rate: float


@dataclass(frozen=True, slots=True)
class SenderRates:
    """The rates by name. A name that ends in `*` is a pattern: it names all senders that begin so."""

    by_name: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    _patterns: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Put the longest pattern first."""
        patterns = (name[:-1] for name in self.by_name if name.endswith("*"))
        object.__setattr__(self, "_patterns", tuple(sorted(patterns, key=len, reverse=True)))

    @classmethod
    def parse(cls, text: str) -> "SenderRates":
        """Return the rates of a text of entries `name=rate`, with commas between them; of a blank text, none.

        A name is a short code, a number with its plus sign, or the beginning of either and `*`. A rate is in requests a
        second and more than 0. Raises `ValueError`, which quotes no number.
        """
        entries = text.split(",") if text.strip(" ") else []
        if len(entries) > LIMIT:
            raise ValueError(f"at most {LIMIT} senders can have a rate of their own, not {len(entries)}")
        rates: dict[str, float] = {}
        for place, entry in enumerate(entries, 1):
            name, equals, rate = (part.strip(" ") for part in entry.partition("="))
            if not equals or not re.fullmatch(_NAME, name):
                raise ValueError(f"entry {place} is not a number, a short code or a pattern such as +1*, with =rate")
            if not re.fullmatch(_RATE, rate) or float(rate) == 0:
                raise ValueError(f"the rate of entry {place} is not a number of requests a second above 0")
            if (known := canonical(name)) in rates:
                raise ValueError(f"entry {place} names a sender that an entry before it names")
            rates[known] = float(rate)
        return cls(MappingProxyType(rates))

    def rate_of(self, sender: str) -> SenderRate | None:
        """Return the rate that holds for a sender, or None where the text does not name the sender.

        The sender's own name comes before any pattern, and a longer pattern before a shorter one.
        """
        if not self.by_name:
            return None
        sender = canonical(sender)
        if (rate := self.by_name.get(sender)) is not None and not sender.endswith("*"):
            return SenderRate(sender, rate)
        for prefix in self._patterns:
            if sender.startswith(prefix):
                return SenderRate(prefix + "*", self.by_name[prefix + "*"])
        return None


def canonical(sender: str) -> str:
    """Return a sender by the one name under which it is counted: a number has its plus sign.

    Digits without it are a number if no short code has as many.
    """
    sender = sender.strip()
    if sender.isascii() and sender.isdigit() and len(sender) > _LONGEST_SHORT_CODE:
        return "+" + sender
    return sender
