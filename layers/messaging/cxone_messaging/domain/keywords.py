"""A recipient's words for stop, start and help.

Opting out is easy, opting in is not. A recipient who is wrongly opted out gets no messages until they reply START. A
recipient who is wrongly opted in gets messages that they refused. So whatever can be read as a wish not to be texted
is an opt-out. What is about an order or an appointment, or quotes a message of ours, is for people to read.

The words, their sources and counter-examples are in `opt_out_words.py`. All rules take time linear in the text.
"""

import re
from collections.abc import Iterator, Sequence
from enum import StrEnum
from functools import cache

from cxone_messaging.domain import opt_out_words as data
from cxone_messaging.domain.words import folded, words_in


class Keyword(StrEnum):
    """The request in a recipient's text; a person must read `other`."""

    OPT_OUT = "opt_out"
    OPT_IN = "opt_in"
    HELP = "help"
    OTHER = "other"


type Phrases = dict[str, list[tuple[tuple[str, ...], str]]]

_OPT_IN = frozenset({"start", "unstop"})
_HELP = frozenset({"help", "info"})
_COURTESIES = frozenset(data.COURTESIES.split())
_MESSAGES = frozenset(data.MESSAGES.split())
_NEUTRAL = _COURTESIES | _MESSAGES | frozenset(data.OF_MESSAGES.split())
_PLURALS = frozenset(data.PLURALS.split())
_BEGINNINGS = frozenset(data.BEGINNINGS.split())
_DENIALS = frozenset(data.DENIALS.split())
_LINK_WORDS = frozenset(data.LINKS.split())
_ORDERS = frozenset(data.ORDERS.split())
_PLACES = frozenset(data.PLACES.split())
# They stand for an opt-out word of either kind; no word has these characters.
_STOP, _END = "!", "?"

_TEXT_LIMIT = 2000
# "STOP Jane Doe"
_SIGNED = (
    r"\W*(?:STOP|UNSUBSCRIBE)\s+(?!By |The |At |In |On |Off |Over |Sign|START)"
    r"(?:[A-Z][A-Za-z'\u2019-]{0,20}\.?\s*){1,3}"
)
# The most words between a denial and what it denies.
_LINKS = 5
_SHORTEST_SENTENCE = 2
_WILL = frozenset({"i", "will"})
_UNSUBSCRIBE, _SHORTEST_MISSPELLING, _SLIPS = "unsubscribe", 7, 2

# Patterns are texts, compiled at their first use: few events are replies.
_SENTENCES = r"[.!?;\u2026\u3002]+(?=\W|$)"
_CLAUSES = r"[,:()\[\]{}|\"\u201c\u201d\u201e\u00ab\u00bb*\u2013\u2014]|\s[-~_]+\s|--"
_SPELT = r"\b(?:[^\W\d_] ){2,}[^\W\d_]\b"
_DRAWN_OUT = r"([^\W\d_])\1{2,}"
_ZERO = r"(?<=[a-z])0(?=[a-z])"
_TO = r"(?<=[a-z])([24])(?=[a-z])"

_OPENING = r"[\"\u201c\u201e\u201f\u00ab\u300c\u300e]|(?<![^\s:,])['\u2018\u2039](?=\w)"
_CLOSING = r"[\"\u201c\u201d\u00bb\u300d\u300f]|['\u2019\u203a](?!\w)"
_REACTION_TO = frozenset({"to", "a", "zu", "auf"})

_WHOSE = "(?:(?:all|the|these|those|this|your|my|our|any|more|further|future|of|from|with) )"
_ACTS = (
    "texting|txting|txtin|textin|texing|text|txt|messaging|messeging|msging|contacting|spamming|bothering|harassing"
    "|scamming|(?:sending|receiving|getting) (?:me|us|my|these|this|those|any|texts?|messages?|sms|to)"
)
_TEXTS = "(?:texts|txts|text messages?|messages|msgs|sms|spam|notifications|alerts)"
_FROM_A_LIST = (
    "(?:off|from) (?:of )?(?:(?:the|your|this|all|any) )?"
    "(?:(?:text|texting|sms|contact|call|calling|mailing|marketing|phone) )?lists?"
)
# A request about messages, whatever else the sentence says.
_REQUEST = "|".join(
    (
        rf"\b(?:(?:stop|quit|cease) {_WHOSE}?(?:{_ACTS})",
        rf"(?:stop|quit|cease|end|cancel|discontinue) (?:please )?(?:{_WHOSE}{{0,3}}|{_WHOSE}{{1,3}}\w+ ){_TEXTS}",
        rf"(?:take|get|remove|delete) (?:me|my number|this number) {_FROM_A_LIST}",
        rf"{'|'.join(data.REQUESTS)})\b",
    )
)
# These ask for it, though they deny.
_ROUNDABOUT = (
    r"\b(?:if (?:you|u|yall) (?:dont|do not) stop|(?:why )?(?:wont|dont|cant|will not) (?:you|u|yall|this|it|these)"
    r" (?:please |just )?stop|when (?:will|do|does) (?:you|u|yall|this|it|these) (?:texts |messages )?stop)\b"
)
_I_WILL = r"\b(?:i (?:will|would)|im (?:going to|gonna)|imma)\b"


def keyword_in(text: str, extra: Phrases | None = None) -> Keyword:
    """Return the request in a recipient's text; `extra` are a deployment's own words for an opt-out (`phrases()`)."""
    own = _without_quotes(folded(text, _TEXT_LIMIT))
    whole = _spelt_out(own)
    if not whole:
        return Keyword.OTHER
    is_signed = re.fullmatch(_SIGNED, text[:_TEXT_LIMIT]) is not None and _ORDERS.isdisjoint(whole)
    if is_signed or _asks_to_stop(own, whole, _Reading(extra or {})):
        return Keyword.OPT_OUT
    words = frozenset(whole)
    if len(whole) == 1 and words <= _OPT_IN:
        return Keyword.OPT_IN
    if words <= _HELP | _COURTESIES and not words.isdisjoint(_HELP):
        return Keyword.HELP
    return Keyword.OTHER


def phrases(texts: Sequence[str], mark: str = _STOP) -> Phrases:
    """Return words and phrases in the form that `keyword_in` takes; those that mean an opt-in or help are left out."""
    found: Phrases = {}
    for text in texts:
        words = tuple(_spelt_out(folded(text, _TEXT_LIMIT)))
        if words and not (len(words) == 1 and words[0] in _OPT_IN | _HELP):
            found.setdefault(words[0], []).append((words, mark))
    for each in found.values():
        each.sort(key=lambda phrase: -len(phrase[0]))
    return found


@cache
def _listed() -> Phrases:
    listed = phrases(tuple(data.PLAIN))
    for first, added in phrases(tuple(data.OF_ORDERS_TOO), _END).items():
        listed[first] = sorted(listed.get(first, []) + added, key=lambda phrase: -len(phrase[0]))
    return listed


def _asks_to_stop(own: str, whole: Sequence[str], reading: "_Reading") -> bool:
    about_order = not _ORDERS.isdisjoint(whole)
    if reading.is_request(whole):
        return True
    for line in own.splitlines():
        words = _spelt_out(line)
        if reading.is_request(words, plain_only=about_order) or reading.asks_within(words, about_order=about_order):
            return True
        for sentence in re.split(_SENTENCES, line):
            words = _spelt_out(sentence)
            if reading.is_request(words, plain_only=True) or _is_request_anywhere(words):
                return True
            if about_order:
                continue
            if not line[line.find(sentence) + len(sentence) :].startswith("?") and reading.asks_at_the_end(words):
                return True
            if any(reading.is_request(_spelt_out(clause), plain_only=True) for clause in re.split(_CLAUSES, sentence)):
                return True
    return False


class _Reading:
    """The listed words, and a deployment's own."""

    def __init__(self, extra: Phrases) -> None:
        self._extra = extra

    def is_request(self, words: Sequence[str], *, plain_only: bool = False) -> bool:
        """Whether words ask to stop, and nothing among them changes that."""
        marked = self._marked(words)
        rest = list(_undescribed(marked))
        if _STOP in marked:
            return all(word in _NEUTRAL or word.isdecimal() for word in rest)
        if plain_only or _END not in marked:
            return False
        if _COURTESIES.issuperset(rest):
            return True
        return _NEUTRAL.issuperset(rest) and not _MESSAGES.isdisjoint(marked) and "of" not in rest

    def asks_within(self, words: Sequence[str], *, about_order: bool) -> bool:
        """Whether a plain word begins the line and a sentence of its own follows it without a full stop."""
        marked = self._marked(words)
        if about_order or _STOP not in marked:
            return False
        after = marked.index(_STOP) + 1
        before = marked[: after - 1]
        return after < len(marked) and marked[after] in _BEGINNINGS and _NEUTRAL.issuperset(before)

    def asks_at_the_end(self, words: Sequence[str]) -> bool:
        """Whether a plain word ends a sentence, and is neither denied nor a place: "I moved away please stop"."""
        marked = self._marked(words)
        if len(marked) < _SHORTEST_SENTENCE or words[-1] not in {"stop", _UNSUBSCRIBE} or marked[-2] in _PLACES:
            return False
        before = marked[-1 - _LINKS : -1]
        return not _is_denied(before) and not _WILL.issubset(before) and "to" not in marked[-2:-1]

    def _marked(self, words: Sequence[str]) -> list[str]:
        """Return words with a mark in place of each listed word or phrase."""
        marked: list[str] = []
        at = 0
        while at < len(words):
            length, mark = self._at(words, at)
            marked.append(mark or words[at])
            at += length
        return marked

    def _at(self, words: Sequence[str], at: int) -> tuple[int, str]:
        word = words[at]
        for listed in (self._extra, _listed()):
            for phrase, mark in listed.get(word, ()):
                if tuple(words[at : at + len(phrase)]) == phrase:
                    return len(phrase), mark
        is_joined = word.startswith("stop") and (word[4:] in _NEUTRAL or word[4:].isdecimal())
        is_joined = is_joined or (word.endswith("stop") and word[:-4] in _COURTESIES) or not word.replace("stop", "")
        return 1, _STOP if is_joined or _is_misspelt(word) else ""


def _undescribed(marked: Sequence[str]) -> Iterator[str]:
    for at, word in enumerate(marked):
        describes = at + 1 < len(marked) and marked[at + 1] in _PLURALS and word not in _DENIALS
        if word not in {_STOP, _END} and not describes:
            yield word


def _is_request_anywhere(words: Sequence[str]) -> bool:
    text = re.sub(_I_WILL, "ill", re.sub(_ROUNDABOUT, "stop", " ".join(words)))
    for match in re.finditer(_REQUEST, text):
        before = text[: match.start()].rsplit(maxsplit=_LINKS)[-_LINKS:]
        # "Stop sending me the wrong order"
        is_order = "sending" in match[0] and not _ORDERS.isdisjoint(words) and _MESSAGES.isdisjoint(words)
        if not (_is_denied(before) or is_order or text.startswith(" while", match.end())):
            return True
    return False


def _is_denied(before: Sequence[str]) -> bool:
    """Whether the words before a request deny it, with no more than links between."""
    return next((word in _DENIALS for word in reversed(before) if word not in _LINK_WORDS), False)


def _is_misspelt(word: str) -> bool:
    """Whether a word is `unsubscribe` with at most two letters wrong, missing or too many; `subscribe` is not."""
    if not (word.startswith("un") and _SHORTEST_MISSPELLING <= len(word) <= len(_UNSUBSCRIBE) + _SLIPS):
        return False
    row = list(range(len(_UNSUBSCRIBE) + 1))
    for count, letter in enumerate(word, 1):
        above, row = row, [count]
        for at, right in enumerate(_UNSUBSCRIBE):
            row.append(min(above[at] + (letter != right), above[at + 1] + 1, row[at] + 1))
    return row[-1] <= _SLIPS


def _spelt_out(text: str) -> list[str]:
    """Return the words of a folded text: `s t o p`, `st0p`, `stoooop` and `stop2end` are written out."""
    joined = re.sub(_SPELT, lambda letters: letters[0].replace(" ", ""), " ".join(words_in(text)))
    return re.sub(_TO, r" \1 ", re.sub(_ZERO, "o", re.sub(_DRAWN_OUT, r"\1", joined))).split()


def _without_quotes(text: str) -> str:
    """Return a folded text without what it quotes, as a reaction such as `Liked “…”` does.

    A quotation is the recipient's own if the words around it change nothing: `reply "STOP"`.
    """
    opening = re.search(_OPENING, text)
    if not opening:
        return text
    end = max((opening.end() + each.end() for each in re.finditer(_CLOSING, text[opening.end() :])), default=len(text))
    before, after = text[: opening.start()], text[end:]
    around = words_in(before.rpartition("\n")[2]) + words_in(after.partition("\n")[0])
    is_reaction = bool(around) and _REACTION_TO.issuperset(around) and any(not each.isascii() for each in before)
    listed = _listed()
    if (
        is_reaction
        or "like" in around
        or not all(each in _NEUTRAL or each in listed or each.isdecimal() for each in around)
    ):
        return f"{before}\n{after}"
    return text
