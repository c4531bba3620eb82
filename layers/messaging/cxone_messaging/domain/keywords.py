"""The words by which a recipient says stop, start or help, and the errors by which a carrier says so for them.

Opting out is made easy, opting in is not: who is taken wrongly for opted out gets nothing until they say START, who is
taken wrongly for opted in gets what they refused.

The words are those of FCC 24-24 (47 CFR 64.1200(a)(10), in force since April 2025), of CTIA's Messaging Principles and
of Twilio's and AWS's lists. How strictly carriers read them differs: Twilio takes the word alone, AWS whatever begins
with it, and the FCC "any reasonable means". Taken here is a text that holds an opt-out word and nothing beside it but
words that don't change its sense.
"""

import re
import unicodedata
from enum import StrEnum


class Keyword(StrEnum):
    """What a recipient's text asks for; `other` is for people to read."""

    OPT_OUT = "opt_out"
    OPT_IN = "opt_in"
    HELP = "help"
    OTHER = "other"


# Words that ask for nothing else, whatever of `_OF_MESSAGES` stands around them.
_PLAIN = frozenset({"stop", "stopall", "unsubscribe", "optout", "arret", "arrete", "arretez"})
# Words that may be about an appointment or an order as well: only courtesies and `me` may stand around them.
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

# Errors of a failed delivery that mean an opt-out. CXone's own are not documented; these are Twilio's 21610, Telnyx's
# 40300 and Bandwidth's 4775, and the words that carriers' texts have in common. "Blocked" may mean a filter, "opt-out"
# a text that lacks one.
_REFUSAL_CODES = frozenset({"21610", "40300", "4775"})
_REFUSAL_WORDS = re.compile(
    r"^opt ?out$|\b(opted ?out|unsubscribed|(user|recipient|subscriber|customer) opt ?out"
    r"|(replied|texted|sent|due to)( with| word)? stop)\b"
)

_TEXT_LIMIT = 1000


def keyword_in(text: str) -> Keyword:
    """Tell what a recipient's text asks for."""
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
    """Tell whether a failed delivery's error says that the recipient has opted out."""
    plain = _plain(error)
    return not _REFUSAL_CODES.isdisjoint(plain.split()) or _REFUSAL_WORDS.search(plain) is not None


def _words(text: str) -> frozenset[str]:
    # In two words or with a hyphen it is the same word.
    joined = re.sub(r"\bopt out\b", "optout", re.sub(r"\bstop all\b", "stopall", _plain(text)))
    return frozenset(joined.split())


def _plain(text: str) -> str:
    """Give a text's words alone: no accents, letter case, punctuation, symbols or invisible characters."""
    letters = unicodedata.normalize("NFKD", text[:_TEXT_LIMIT]).casefold()
    # Marks, invisible characters and apostrophes vanish; whatever else is no letter or digit parts words.
    kept = (each for each in letters if unicodedata.category(each) not in {"Mn", "Cf"} and each not in "'\u2019")
    return " ".join("".join(each if each.isalnum() else " " for each in kept).split())
