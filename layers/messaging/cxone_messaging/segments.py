"""How many SMS segments a text takes, by 3GPP TS 23.038 and TS 23.040.

A text is sent as GSM-7 if the default alphabet and its extension table contain all of its characters (TS 23.038 6.2.1
and 6.2.1.1). Otherwise it is sent as UCS-2, which in practice is UTF-16 (6.2.3). One segment carries 140 octets. If a
text needs several, 6 octets of each are the header that joins them (TS 23.040 9.2.3.24.1).

Two kinds of characters look encodable but are not, and raise `InvalidCharacterError`: U+001B, which on the air is the
escape to the extension table, and a surrogate code point, which is half of a character.
"""

from typing import Literal, NamedTuple

Encoding = Literal["GSM-7", "UCS-2"]

# TS 23.038 6.2.1, in the table's order; 0x1B is the escape, which is no character.
_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ"
    "ÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
# TS 23.038 6.2.1.1: each is sent as the escape and a second septet.
_EXTENSION = frozenset("\f^{}\\[~]|€")
_GSM7 = _BASIC | _EXTENSION

_ESCAPE = "\x1b"
# The two units that a character of two units counts as; the escape marks the unit that must not end a segment.
_PAIR = _ESCAPE + " "

# Units in the only segment, and in each of several: septets, UTF-16 units.
_LIMITS: dict[Encoding, tuple[int, int]] = {"GSM-7": (160, 153), "UCS-2": (70, 67)}


class InvalidCharacterError(ValueError):
    """The text contains a character that neither encoding can carry.

    `index` is the place of the first one.
    """

    def __init__(self, text: str, index: int) -> None:
        super().__init__(f"U+{ord(text[index]):04X} at index {index} can't be sent in a message")
        self.index = index


class SegmentCount(NamedTuple):
    """The size of a text: `units` are septets (GSM-7) or UTF-16 code units (UCS-2), without any headers."""

    encoding: Encoding
    units: int
    segments: int


def count(text: str) -> SegmentCount:
    """Return the units and segments of a text, in time linear in its length.

    An extension character takes two septets, a character beyond U+FFFF two UTF-16 units. Neither pair is ever split
    between two segments, so a segment may contain one unit less than it could. An empty text is one segment of no units
    in GSM-7: an empty message can be sent (TP-UDL 0, TS 23.040 9.2.3.16). Whether it may be sent is not decided here.

    Raises `InvalidCharacterError` for a text with U+001B or a surrogate code point.
    """
    characters = set(text)
    encoding: Encoding
    if characters <= _GSM7:
        encoding, pairs = "GSM-7", characters & _EXTENSION
    else:
        _refuse_unencodable(text, characters)
        encoding, pairs = "UCS-2", {character for character in characters if character > "\uffff"}
    units = text.translate(dict.fromkeys(map(ord, pairs), _PAIR)) if pairs else text
    return SegmentCount(encoding, len(units), _segments(units, *_LIMITS[encoding]))


def non_gsm7(text: str) -> list[tuple[int, str]]:
    """Return the characters that GSM-7 cannot carry, each with its index in the text.

    U+001B is one of them.
    """
    return [(index, character) for index, character in enumerate(text) if character not in _GSM7]


def _refuse_unencodable(text: str, characters: set[str]) -> None:
    refused = {character for character in characters if character == _ESCAPE or "\ud800" <= character <= "\udfff"}
    if refused:
        raise InvalidCharacterError(text, min(map(text.index, refused)))


def _segments(units: str, alone: int, joined: int) -> int:
    if len(units) <= alone:
        return 1
    segments = end = 0
    while end < len(units):
        end += joined
        if units[end - 1 : end] == _ESCAPE:
            end -= 1
        segments += 1
    return segments
