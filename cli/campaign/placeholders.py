"""A campaign's text: its `{placeholders}` are filled from a row's values."""

import re
from collections.abc import Collection, Mapping

from cli.campaign.people import CampaignError

# A doubled brace is a literal one; any other single brace is a mistake.
_BRACES = re.compile(r"(?P<doubled>\{\{|\}\})|\{(?P<name>[^{}]*)\}|[{}]")


class MissingValueError(Exception):
    """A row has no value for a placeholder."""


class TextWithPlaceholders:
    """A text for all recipients. Raises `CampaignError` if it names a column that does not exist."""

    def __init__(self, text: str, columns: Collection[str]) -> None:
        self._text = text
        for match in _BRACES.finditer(text):
            name = match["name"]
            if name is None and match["doubled"] is None:
                raise CampaignError("the text has a brace on its own; write {{ or }} for a brace that is to be sent")
            if name is not None and _column(name) not in columns:
                raise CampaignError(f"the text has {{{name}}}, but the file has no such column")

    def filled(self, values: Mapping[str, str]) -> str:
        """Return the text with its placeholders filled; braces in values stay. Raises `MissingValueError`."""

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
