"""Whether a template says how to opt out, in English, Spanish, French or German.

Words count, not parts of words, and a recipient must be able to use the wording: it names a word that a reply is read
by (`keywords.py`), and the reply goes to the sender.
"""

import re

from cxone_messaging.domain.words import folded, words_in

# As the message of a refused template names them. CXone's documents list the first three.
OPT_OUT_WORDINGS = (
    "Reply STOP",
    "STOP to opt out",
    "Text STOP to unsubscribe",
    "Responda ALTO para cancelar",
    "R\u00e9pondez STOP pour vous d\u00e9sabonner",
)

_LIMIT = 4096
# A denial is this near, in characters.
_NEAR = 80
_WORD = r"(?:stop|stopp|alto|parar|baja|arret)"
# After these, the word has another sense.
_SENSE = r"(?! (?:by|in|at|over|off|sign|signs|watch|motion|loss|lights?|start|de)\b)"
_ENGLISH_PURPOSE = r"(?:to|2) (?:opt ?out|unsubscribe|cancel|end|quit|stop)"
_PURPOSE = (
    rf"(?:{_ENGLISH_PURPOSE}|para (?:cancelar|terminar|salir|parar|anular|detener|no (?:recibir|mas)|dejar de recibir|"
    r"dar(?:se|te|me)? de baja|desuscribir\w*)|pour (?:(?:vous|te|se|me) )?(?:desabonner|desinscrire|arreter|annuler)"
    r"|pour ne plus recevoir|(?:um|zum) (?:sich )?(?:abmelden|abzumelden|abbestellen|abzubestellen))"
)
_REPLY = (
    r"(?:repl(?:y|ying)|respond|answer|responda|responde|responder|conteste|contesta|contestar|repondez|reponds|repondre"
    r"|antworten(?: sie)?|antworte)"
)
_SEND = (
    "(?:text|txt|send|texting|envie|envia|enviar|mande|manda|escriba|escribe|envoyez|envoie|envoyer|senden(?: sie)?"
    "|sende)"
)
_WITH = r"(?:(?:with|the|word|con|la|palabra|avec|le|mot|mit|by|texting|sending|back|us|or|help) ){0,4}"
# Where the word goes to another number, nobody here reads it.
_NUMBER = r"(?: (?:to|at|al|a|au|an) [0-9]+)?"
_USE = (
    rf"\b(?:{_REPLY} {_WITH}{_WORD}\b{_SENSE}{_NUMBER}|{_WORD}{_NUMBER} {_PURPOSE}\b(?! (?:your|su|tu|votre|ihre)\b)"
    rf"|{_PURPOSE} {_SEND} {_WITH}{_WORD}\b{_SENSE}{_NUMBER})"
)
_DENIED = (
    rf"\b(?:not|dont|never|cannot|cant|no|no need to|ne|nicht) (?:(?:just|please|simply) )?(?:(?:{_REPLY}|{_SEND}) )?"
    rf"{_WITH}$"
)
_SENTENCES = r"[.!?;]+(?=\W|$)"
_ADDRESS = r"://|^www\.|[a-z0-9]\.[a-z]{2,}/|@"


def names_opt_out(content: str, sender: str = "") -> bool:
    """Whether a content that `sender` sends says how to opt out."""
    return any(_names_opt_out(sentence, sender) for sentence in _sentences(content))


def without_wordings(content: str) -> str:
    """Return a content without the wordings of CXone's documents, in any letter case and with any white space."""
    for wording in OPT_OUT_WORDINGS:
        pattern = r"[\s-]+".join(map(re.escape, wording.split()))
        content = re.sub(pattern, ".", content, flags=re.IGNORECASE)
    return content


def _sentences(content: str) -> list[str]:
    text = " ".join(word for word in folded(content, _LIMIT).split() if not re.search(_ADDRESS, word))
    return [" ".join(words_in(sentence)) for sentence in re.split(_SENTENCES, text)]


def _names_opt_out(sentence: str, sender: str) -> bool:
    for match in re.finditer(_USE, sentence):
        numbers = re.findall("[0-9]{3,}", match[0])
        if all(each == sender for each in numbers) and not re.search(_DENIED, sentence[: match.start()][-_NEAR:]):
            return True
    return False
