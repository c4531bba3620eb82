"""A recipient's words for stop, start and help, and a carrier's errors that mean an opt-out.

Opting out is easy, opting in is not. A recipient who is wrongly opted out gets no messages until they reply START. A
recipient who is wrongly opted in gets messages that they refused.

The words are those of FCC 24-24 (47 CFR 64.1200(a)(10), in force since April 2025), of CTIA's Messaging Principles and
of Twilio's and AWS's lists. Carriers differ in how strictly they read them: Twilio accepts the word alone, AWS any text
that begins with it, and the FCC "any reasonable means". This module accepts a text with an opt-out word, if all its
other words do not change its sense.
"""

import re
import unicodedata
from enum import StrEnum


class Keyword(StrEnum):
    """The request in a recipient's text; a person must read `other`."""

    OPT_OUT = "opt_out"
    OPT_IN = "opt_in"
    HELP = "help"
    OTHER = "other"


# Words that always mean an opt-out, whichever words of `_OF_MESSAGES` surround them.
_PLAIN = frozenset({"stop", "stopall", "unsubscribe", "optout", "arret", "arrete", "arretez"})
# Words that may also be about an appointment or an order: only courtesies and `me` may surround them.
_AMBIGUOUS = frozenset({"cancel", "end", "quit", "revoke", "remove"})
_OPT_IN = frozenset({"start", "unstop"})
_HELP = frozenset({"help", "info"})

_COURTESIES_TEXT = "all hello hey hi it kindly me now ok okay please pls plz thank thanks the this you"
_OF_MESSAGES_TEXT = """
    any anymore can contacting could everything from i immediately list message messages messaging msg msgs my number of
    sending sms spam text texting texts these to us want would your
"""
_COURTESIES = frozenset(_COURTESIES_TEXT.split())
_OF_MESSAGES = _COURTESIES | frozenset(_OF_MESSAGES_TEXT.split())

# Errors of a failed delivery that mean an opt-out. CXone's own errors are not documented. These are Twilio's 21610,
# Telnyx's 40300 and Bandwidth's 4775, and the words that carriers' texts have in common. "Blocked" may mean a filter,
# and "opt-out" a text that lacks one.
_REFUSAL_CODES = frozenset({"21610", "40300", "4775"})
_REFUSAL_WORDS = re.compile(
    r"^opt ?out$|\b(opted ?out|unsubscribed|(user|recipient|subscriber|customer) opt ?out"
    r"|(replied|texted|sent|due to)( with| word)? stop)\b"
)

_TEXT_LIMIT = 1000


def keyword_in(text: str) -> Keyword:
    """Return the request in a recipient's text."""
    words = _words(text)
    if not words:
        return Keyword.OTHER
    if words <= _PLAIN | _AMBIGUOUS | _COURTESIES and not words.isdisjoint(_PLAIN | _AMBIGUOUS):
        return Keyword.OPT_OUT
    if words <= _PLAIN | _OF_MESSAGES and not words.isdisjoint(_PLAIN):
        return Keyword.OPT_OUT
    if len(words) == 1 and words <= _OPT_IN:
        return Keyword.OPT_IN
    if words <= _HELP | _COURTESIES and not words.isdisjoint(_HELP):
        return Keyword.HELP
    return Keyword.OTHER


def means_opted_out(error: str) -> bool:
    """Whether a failed delivery's error means that the recipient has opted out."""
    plain = _plain(error)
    return not _REFUSAL_CODES.isdisjoint(plain.split()) or _REFUSAL_WORDS.search(plain) is not None


def _words(text: str) -> frozenset[str]:
    # The same word may be written as two words or with a hyphen.
    joined = re.sub(r"\bopt out\b", "optout", re.sub(r"\bstop all\b", "stopall", _plain(text)))
    return frozenset(joined.split())


def _plain(text: str) -> str:
    """Return a text's words alone: no accents, letter case, punctuation, symbols or invisible characters."""
    letters = unicodedata.normalize("NFKD", text[:_TEXT_LIMIT]).casefold()
    # Marks, invisible characters and apostrophes are removed; any other character but a letter or digit ends a word.
    kept = (each for each in letters if unicodedata.category(each) not in {"Mn", "Cf"} and each not in "'\u2019")
    return " ".join("".join(each if each.isalnum() else " " for each in kept).split())
