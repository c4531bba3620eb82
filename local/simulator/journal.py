"""The log of the requests that the simulator really accepted."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Literal

type Outcome = Literal["accepted", "replayed", "refused", "fault"]


@dataclass(frozen=True, slots=True)
class Message:
    """One recipient of an accepted send; `id` is the one in the 202."""

    id: str
    to: str
    sender: str
    text: str
    campaign_id: str
    webhook_url: str | None
    time: float

    def as_json(self) -> dict[str, object]:
        """The message in the words of the send request."""
        return {
            "id": self.id,
            "to": self.to,
            "from": self.sender,
            "text": self.text,
            "campaignId": self.campaign_id,
            "webhookUrl": self.webhook_url,
            "time": self.time,
        }


@dataclass(frozen=True, slots=True)
class Entry:
    """One request: `accepted` even if a fault hid the answer; `fault` if it was neither accepted nor answered.

    `replayed` is one whose `Idempotency-Key` was known: the first answer was given again, and nothing done.

    `status` is what was sent to the client (None for nothing), `fault` the action that interfered, if one did.
    """

    number: int
    time: float
    operation: str
    outcome: Outcome
    status: int | None
    fault: str | None = None
    details: dict[str, object] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """The entry as a JSON object."""
        return asdict(self)


class Journal:
    """Requests, in order."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._counts: Counter[tuple[str, Outcome]] = Counter()

    def add(
        self,
        time: float,
        operation: str,
        outcome: Outcome,
        status: int | None,
        *,
        fault: str | None = None,
        details: dict[str, object],
    ) -> None:
        """Append one entry."""
        self._counts[operation, outcome] += 1
        self.entries.append(Entry(len(self.entries) + 1, time, operation, outcome, status, fault, details))

    def since(self, number: int, operation: str | None) -> list[Entry]:
        """The entries after number `number`, of one operation or of all."""
        return [entry for entry in self.entries[max(number, 0) :] if operation in {None, entry.operation}]

    def counts(self) -> dict[str, dict[str, int]]:
        """How many requests of each operation had each outcome."""
        counts: dict[str, dict[str, int]] = {}
        for (operation, outcome), count in sorted(self._counts.items()):
            counts.setdefault(operation, {})[outcome] = count
        return counts
