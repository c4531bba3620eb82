"""Messaging templates, the rules that block an approval, and the advice that does not.

The rules are from CXone's documents, all in `RULES`. The advice is from the carriers' guidelines (CTIA), all in
`ADVICE`. The text of each says what to change. Content is counted as it is sent, in septets (TS 23.038), not in bytes.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from json import dumps
from typing import Any

from cxone_messaging import segments
from cxone_messaging.domain.errors import Code, FieldError
from cxone_messaging.domain.opt_out_wording import OPT_OUT_WORDINGS, names_opt_out, without_wordings
from cxone_messaging.domain.times import format_time, parse_time
from cxone_messaging.domain.written_numbers import mask_numbers_in

APPROVED = "APPROVED"

# The most characters of CXone's status word, and of a time that is no instant, in the ledger.
_KEPT_CHARACTERS = 40

MAX_SEPTETS = 160
# Content that is not GSM-7 has no septets, so its limit counts characters.
MAX_CHARACTERS = 160
SHORT_CODE = re.compile(r"[0-9]{5,6}")

# FCC 2025, CTIA: the words that recipients may reply with. In capitals, they do not count as shouting.
OPT_OUT_WORDS = frozenset(
    {
        "STOP",
        "STOPALL",
        "UNSUBSCRIBE",
        "CANCEL",
        "END",
        "QUIT",
        "REVOKE",
        "OPTOUT",
        "REMOVE",
        "ARRET",
        "ALTO",
        "BAJA",
        "PARAR",
        "STOPP",
        "HELP",
        "START",
    }
)
LONGEST_ABBREVIATION = 3
# Carriers block links that anybody may have made and that hide their target.
PUBLIC_SHORTENERS = (
    "bit.ly", "tinyurl.com", "t.co", "goo.gl", "ow.ly", "is.gd", "v.gd", "buff.ly", "cutt.ly", "rb.gy", "shorturl.at",
    "tiny.cc", "t.ly", "lnkd.in", "rebrand.ly", "bl.ink", "s.id", "soo.gd", "tr.im", "adf.ly",
)  # fmt: skip

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~:@-]{0,127}")
_WORD = re.compile(r"[^\W\d_]+(?:['\u2019&-][^\W\d_]+)*")
_SENTENCE_END = re.compile(r"[.!?\n]+\s*")
# A brand and a colon, or a brand in brackets, before anything else.
_BRAND_IN_FRONT = re.compile(r"\s*(?:\[[^\]]{2,30}\]|[^\W_][^:.!?]{1,30}:(?!/))")
_LINK_BY_SHORTENER = re.compile(
    r"(?<![\w.@-])(?:www\.)?(?:" + "|".join(map(re.escape, PUBLIC_SHORTENERS)) + r")(?![\w-]|\.\w)", re.IGNORECASE
)
_NAMED_CHARACTERS, _NAMED_PLACES = 10, 5


@dataclass(frozen=True, slots=True)
class Template:
    """A template as CXone returned it.

    `document` is the whole answer, and is sent back unchanged. `updated_at` is CXone's own text; `etag` is None if the
    answer had none.
    """

    id: str
    status: str
    content: str
    from_address: str
    updated_at: str | None
    etag: str | None
    document: Mapping[str, Any]

    @property
    def is_approved(self) -> bool:
        """Whether CXone reports it as approved."""
        return self.status.upper() == APPROVED

    @property
    def version(self) -> str:
        """The hash of the content and its sender, which carriers judge: 64 hex digits."""
        return sha256(dumps([self.content, self.from_address]).encode()).hexdigest()

    @property
    def state(self) -> tuple[str | None, ...]:
        """The values that show whether the template has changed since it was fetched."""
        return (self.version, self.status, self.updated_at, self.etag)

    @property
    def evidence(self) -> dict[str, str | None]:
        """The status and the time of the last change as the ledger may keep them: short, without phone numbers."""
        return {"status": _keepable(self.status), "updatedAt": _written_instant(self.updated_at or "")}


class AdviceCode(StrEnum):
    """The codes of advice, which blocks no approval."""

    SHORTCODE_UNASSIGNED = "template_shortcode_unassigned"
    LINK_SHORTENER = "template_link_shortener"
    SHOUTING = "template_shouting"
    BRAND_MISSING = "template_brand_missing"


@dataclass(frozen=True, slots=True)
class Advice:
    """One piece of advice about what carriers dislike; the message says what to change."""

    code: str
    message: str


def _keepable(text: str) -> str:
    return mask_numbers_in(text)[:_KEPT_CHARACTERS]


def _written_instant(text: str) -> str | None:
    """Return an instant in this project's form, any other text as the ledger may keep it, and None for no text."""
    try:
        return format_time(parse_time(text))
    except ValueError:
        return _keepable(text) or None


def is_template_id(text: str) -> bool:
    """Whether a text can be a template's id: safe in a URL's path without escapes, and no way up in it."""
    return _ID.fullmatch(text) is not None


def size_of(template: Template) -> segments.SegmentCount | None:
    """Return the size of the content, or None if it has a character that no encoding can carry."""
    try:
        return segments.count(template.content)
    except segments.InvalidCharacterError:
        return None


def violations(template: Template) -> tuple[FieldError, ...]:
    """Return all rules that a template breaks, and that block its approval."""
    found = ((code, field, check(template)) for code, field, check in RULES)
    return tuple(FieldError(code, field, message) for code, field, message in found if message)


def advice(template: Template) -> tuple[Advice, ...]:
    """Return all advice that applies to a template."""
    found = ((code, check(template)) for code, check in ADVICE)
    return tuple(Advice(code.value, message) for code, message in found if message)


def _length(template: Template) -> str | None:
    if segments.non_gsm7(template.content):
        over = len(template.content) - MAX_CHARACTERS
        fault = f"the content has {len(template.content)} characters, at most {MAX_CHARACTERS} fit"
    else:
        units = segments.count(template.content).units
        over = units - MAX_SEPTETS
        fault = f"the content takes {units} septets, at most {MAX_SEPTETS} fit"
    return f"{fault}: shorten it by {over}" if over > 0 else None


def _alphabet(template: Template) -> str | None:
    places: dict[str, list[str]] = {}
    for index, character in segments.non_gsm7(template.content):
        places.setdefault(character, []).append(str(index + 1))
    if not places:
        return None
    named = [f"{_named(each)} at {_listed(at, _NAMED_PLACES)}" for each, at in places.items()]
    return f"replace what GSM-7 can't spell, counted from 1: {_listed(named, _NAMED_CHARACTERS, '; ')}"


def _named(character: str) -> str:
    code = f"U+{ord(character):04X}"
    return f"“{character}” ({code})" if character.isprintable() else code


def _listed(items: list[str], limit: int, separator: str = ", ") -> str:
    more = [f"and {len(items) - limit} more"] if len(items) > limit else []
    return separator.join([*items[:limit], *more])


def _sender(template: Template) -> str | None:
    if SHORT_CODE.fullmatch(template.from_address):
        return None
    return "the sender must be a short code, of five or six digits and nothing else"


def _opt_out(template: Template) -> str | None:
    if names_opt_out(template.content, template.from_address):
        return None
    return f"say how to opt out, in one of these wordings: {'; '.join(OPT_OUT_WORDINGS)}"


def _unassigned(template: Template) -> str | None:
    if SHORT_CODE.fullmatch(template.from_address) and template.from_address.startswith("1"):
        return "no short code of the US starts with 1: check the sender"
    return None


def _shortener(template: Template) -> str | None:
    if _LINK_BY_SHORTENER.search(template.content):
        return "carriers block links by public shorteners: use a domain of your own"
    return None


def _shouting(template: Template) -> str | None:
    words = [word for word in _WORD.findall(without_wordings(template.content)) if _shouts(word)]
    return f"words in capitals look like spam: {_listed(words, _NAMED_CHARACTERS)}" if words else None


def _shouts(word: str) -> bool:
    return word.isupper() and len(word) > LONGEST_ABBREVIATION and word not in OPT_OUT_WORDS


def _brand(template: Template) -> str | None:
    if _BRAND_IN_FRONT.match(template.content):
        return None
    for sentence in _SENTENCE_END.split(without_wordings(template.content)):
        # The first word of a sentence has a capital anyway.
        for word in _WORD.findall(sentence)[1:]:
            is_name = word[0].isupper() and len(word) > 1 and not _shouts(word) and word not in OPT_OUT_WORDS
            if is_name and not word.startswith(("I'", "I\u2019")):
                return None
    return "say who writes: the content names no brand"


type _Check = Callable[[Template], str | None]

RULES: tuple[tuple[Code, str, _Check], ...] = (
    (Code.TEMPLATE_TOO_LONG, "content", _length),
    (Code.TEMPLATE_NOT_GSM7, "content", _alphabet),
    (Code.TEMPLATE_SHORTCODE_INVALID, "from_address", _sender),
    (Code.TEMPLATE_OPT_OUT_MISSING, "content", _opt_out),
)
ADVICE: tuple[tuple[AdviceCode, _Check], ...] = (
    (AdviceCode.SHORTCODE_UNASSIGNED, _unassigned),
    (AdviceCode.LINK_SHORTENER, _shortener),
    (AdviceCode.SHOUTING, _shouting),
    (AdviceCode.BRAND_MISSING, _brand),
)
