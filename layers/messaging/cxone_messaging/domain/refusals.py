"""A carrier's or an aggregator's refusal of a message because its recipient has opted out.

CXone documents no errors of its own, so these are the codes and wordings of the suppliers of SMS that are in use
(`opt_out_words.py`, `REFUSAL_CODES`). "Blocked" alone may mean a filter, and "opt-out" a text that lacks one.
"""

import re

from cxone_messaging.domain.opt_out_words import REFUSAL_CODES
from cxone_messaging.domain.words import folded, plain

# A message with one of these words is under way or has arrived, so nobody refused it.
_UNDER_WAY = frozenset(
    {
        *("accepted", "buffered", "delivered", "delivering", "dispatched", "enroute", "pending", "processing"),
        *("queued", "read", "received", "scheduled", "seen", "sending", "sent", "submitted"),
    }
)

_ERROR_LIMIT = 4096
# Denials and units are this near, in characters.
_NEAR = 60
# Patterns are texts, compiled at their first use: few events have an error.
_CAMEL = "(?<=[a-z])(?=[A-Z])"
# A JSON key and its value stay together: `"optedOut": false`.
_CLAUSES = r"[.,;!?}\])(|\n](?![0-9])|\s-\s"

_CODE = (
    rf"(?<![0-9A-Za-z])(?<![0-9A-Fa-f]{{4}}-)(?<![0-9][-.])[A-Za-z]{{0,4}}({'|'.join(REFUSAL_CODES)})"
    r"(?![0-9A-Za-z]|-[0-9A-Fa-f]|\.[0-9]*[1-9])"
)
# Before or after such a word, the digits count or name something else.
_NAMES = frozenset(
    {"id", "ids", "uuid", "ref", "reference", "port", "line", "after", "batch", "sequence", "zip", "order"}
)
_UNITS = frozenset(
    {"ms", "msec", "milliseconds", "s", "sec", "seconds", "bytes", "characters", "messages", "kb", "usd"}
)
_PHONE_BEFORE = r"[0-9]\)? $"

_WHO = "(?:end users?|user|recipients?|subscriber|customer|consumer|destination|handset|msisdn|contact|number)"
_PERSON = "(?:end user|user|recipient|subscriber|customer)"
_FIELD = (
    "(?:errors?|reasons?|status|codes?|title|message|details?|description|name|type|cause|result|rejected|blocked|failed"
    "|undelivered|carrier|text|sms|ec|err)"
)
_LIST = (
    "(?:(?:opt out|opted out|optout|unsubscribed?|suppression|stop|do not contact|do not disturb|dnc|dnd|black|block)"
    " ?list|blacklist|blocklist)"
)
_REGISTER = "(?:(?:dnd|dnc|do not (?:contact|disturb|text))(?: registry| register)?)"
_ASKED = "(?:keyword|message|reply|request)"
_OUR = "(?:(?:the|a|an|our|your|its|carriers?|account|global|national|operator|platform) ){0,3}"
_NO_FACT = "(?! (?:list|status|check|lookup|numbers|registry|database|service))"
_TO_RECEIVE = "(?:receive|be (?:contacted|texted|messaged))"
_STOPPED = (
    "(?:replied|responded|texted|sent|due to|because of|blocked by|keyword|received)(?:"
    " with| in| the| an?| word| keyword){0,3}"
)
_REFUSAL = "|".join(
    (
        rf"^(?:{_FIELD} ){{0,4}}(?:opt(?:ed)? ?out(?: true| yes| 1| list| (?:by )?{_PERSON})?|dnd|dnc|do not disturb)$",
        # Of Bandwidth ("destination-rejected-opt-out"), Infobip ("REJECTED_BLACKLISTED_RECIPIENT") and India's DND.
        rf"rejected opt ?out|{_WHO} opt ?out list|blacklisted (?:by (?:the )?)?{_WHO}|^blacklisted$",
        rf"dnd (?:registered|list)|do not disturb (?:list|registry|registered)|{_WHO} (?:is )?(?:on|in) dnd",
        # What AWS ("Phone number is opted out"), Sinch ("opted out subscriber") and most others say.
        rf"\b(?:opted ?out\b{_NO_FACT}|opt ?out (?:status )?(?:is )?(?:true|yes)",
        # Of Twilio ("Attempt to send to unsubscribed recipient") and Infobip.
        rf"unsubscribed|{_WHO} (?:has |have )?(?:unsubscribed|(?:\w+ ){{0,3}}(?:blacklisted|blocklisted))",
        # Of Bandwidth ("rejected due to user opt out").
        rf"{_WHO} (?:has |have |is |was )?(?:requested |sent )?(?:an? )?opt ?out{_NO_FACT}",
        rf"(?:due to|because of|caused by|reason|by) (?:(?:an?|the|{_PERSON}) ){{0,2}}opt ?out{_NO_FACT}",
        # Lists: of AWS (opt-out), Infobip (blacklist), Twilio ("blacklist rule"), Telnyx ("block rule").
        rf"(?:on|in|matche[sd]|by) {_OUR}(?:{_LIST}|{_REGISTER})|blacklist rule|existing block rule",
        rf"(?:blocked|barred) by (?:the )?{_PERSON}(?! carrier| operator| network)",
        rf"{_PERSON} (?:has |have )?blocked (?:the )?(?:sender|messages|sms|you|this|texts)",
        # Of Twilio ("replied with STOP"), Telnyx ("due to STOP message") and Plivo ("blocked by STOP").
        rf"{_STOPPED} stop(?! (?:sign|bit))|stop (?:{_ASKED} )?(?:was )?(?:received|sent)|blocked stop",
        r"consent (?:was |is |has been )?(?:revoked|withdrawn)|(?:revoked|withdrew) (?:the |their |its )?consent",
        # Of Vonage: err-code 9, "the user has requested not to receive messages".
        rf"err code 9$|(?:requested|asked|chosen|wants?|wishes) (?:to )?not (?:to )?{_TO_RECEIVE}",
        rf"does not (?:want|wish) to {_TO_RECEIVE}|desabonne|desinscrit|dado de baja|abgemeldet)\b",
    )
)
# Between a denial and what it denies.
_DENIED = (
    r"(?:\b(?:no|not|never|without|isnt|hasnt|wasnt|arent|havent|didnt|non|neither|nor|if|unless|whether)\b"
    r"(?: (?:yet|currently|been|be|on|in|the|a|an|our|any|have|has|previously|actually|found|marked|as|listed"
    r"|recipients?|user|subscriber|customer|is|was|are|longer|known|considered|flagged))*"
    r"|\bfrom(?: (?:the|our|your))*) $"
)
# Carriers block senders and links too.
_NO_RECIPIENT = (
    r"\b(?:url|link|sender|sending|source|originating|originator|content|domain|ip|template|your)"
    r"(?: (?:is|was|number|found))* $"
)
# After it.
_UNDONE = (
    r"(?: (?:value|state|status|flag))? (?:is |was )?(?:false|null|none|unknown|(?:no|0)$|expired|removed|revoked"
    r"|cleared|reversed|not (?:found|set|known|applicable))\b"
    r"|(?: (?:list|status|flag|check|lookup|state|registry|database|service))+ (?:\w+ )?"
    r"(?:failed|failure|unavailable|empty|timed|timeout|error|could|cannot|not|down|unreachable|no|expired)\b"
)
_BACK_IN = (
    r"\b(?P<not>(?:once|until|unless|not|never|if|before|hasnt|havent) (?:\w+ ){0,3}?)?"
    r"(?:opted (?:back )?in|resubscribed|re subscribed|removed from \w+ opt ?out list|no longer opted out)\b"
)


def is_refusal(word: str, error: str | None) -> bool:
    """Whether a delivery event with a status word and an error means that the recipient has opted out."""
    if word in _UNDER_WAY:
        return False
    return means_opted_out(word) or (bool(error) and means_opted_out(error or ""))


def means_opted_out(error: str) -> bool:
    """Whether the error of a failed delivery means that its recipient has opted out."""
    text = re.sub(_CAMEL, " ", error[:_ERROR_LIMIT].replace("\\n", "\n"))
    if _has_code(text):
        return True
    whole = plain(text, _ERROR_LIMIT)
    if any(not each["not"] for each in re.finditer(_BACK_IN, whole)):
        return False
    return any(
        _says_opted_out(plain(clause, _ERROR_LIMIT)) for clause in re.split(_CLAUSES, folded(text, _ERROR_LIMIT))
    )


def _says_opted_out(clause: str) -> bool:
    for match in re.finditer(_REFUSAL, clause):
        before = clause[max(match.start() - _NEAR, 0) : match.start()]
        is_of_sender = "list" in match[0] and re.search(_NO_RECIPIENT, before)
        if not (is_of_sender or re.search(_DENIED, f" {before}") or re.match(_UNDONE, clause[match.end() :][:_NEAR])):
            return True
    return False


def _has_code(text: str) -> bool:
    for match in re.finditer(_CODE, text):
        before = plain(text[max(match.start() - _NEAR, 0) : match.start()], _ERROR_LIMIT).split()[-1:]
        after = plain(text[match.end() : match.end() + _NEAR], _ERROR_LIMIT).split()[:1]
        is_phone = re.search(_PHONE_BEFORE, text[max(match.start() - 3, 0) : match.start()])
        if _NAMES.isdisjoint(before) and _UNITS.isdisjoint(after) and not is_phone:
            return True
    return False
