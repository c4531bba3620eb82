"""What people are told: one text whose `{placeholders}` are filled from a row's values."""

import re
from collections.abc import Collection, Mapping

from cli.campaign.people import CampaignError

# A doubled brace stands for itself; what is left over is a slip.
_BRACES = re.compile(r"(?P<doubled>\{\{|\}\})|\{(?P<name>[^{}]*)\}|[{}]")


class MissingValueError(Exception):
    """A row has nothing to fill a placeholder with."""


class Wording:
    """A text for everybody. Raises `CampaignError` where it names a column that there is none of."""

    def __init__(self, text: str, columns: Collection[str]) -> None:
        self._text = text
        for match in _BRACES.finditer(text):
            name = match["name"]
            if name is None and match["doubled"] is None:
                raise CampaignError("the text has a brace on its own; write {{ or }} for a brace that is to be sent")
            if name is not None and _column(name) not in columns:
                raise CampaignError(f"the text has {{{name}}}, but the file has no such column")

    def filled(self, values: Mapping[str, str]) -> str:
        """Fill the placeholders; a value's own braces are left alone. Raises `MissingValueError`."""

        def value(match: re.Match[str]) -> str:
            if match["doubled"]:
                return match["doubled"][0]
            found = values.get(_column(match["name"]))
            if not found:
                raise MissingValueError
            return found

        return _BRACES.sub(value, self._text)


def _column(name: str) -> str:
    return name.strip().lower()
