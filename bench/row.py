"""A row of the table of results."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table; `holds` is None if a row has no goal."""

    what: str
    goal: str
    ours: str
    naive: str
    holds: bool | None
