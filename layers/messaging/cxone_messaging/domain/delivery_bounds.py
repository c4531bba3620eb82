"""What a delivery event must bring to be an entry, and how many such entries a chain may have.

The holder of a message's callback URL may post events without end, and an entry is for good. So an event is an entry if
it says something new. Signed events have room of their own, which no URL's holder can fill, and a URL's word keeps no
signed word out that settles a message. The words that settle a message have room of their own, too.
"""

from collections.abc import Mapping, Sequence

from cxone_messaging.domain.delivery import FINAL_WORDS, is_signed, rank
from cxone_messaging.domain.entries import Entry, EntryType, Value, text_at

# Entries of events on a URL's word alone, and of signed ones: each beside the first of each final word.
URL_LIMIT, SIGNED_LIMIT = 20, 20
# So many entries of events a chain has at most.
MOST_DELIVERIES = URL_LIMIT + SIGNED_LIMIT + 2 * len(FINAL_WORDS)

# An event's own texts share so many bytes, so that its entry takes less than 1 KB in DynamoDB: names, hashes, the
# longest id of ours and the longest keys of indexes take the rest.
_TEXT_BYTES = 460
_STATUS_BYTES, _TOLD_CHARACTERS, _ERROR_CHARACTERS = 32, 40, 200


def deliveries_in(entries: Sequence[Entry]) -> list[Entry]:
    """Choose the entries of delivery events."""
    return [entry for entry in entries if entry.type == EntryType.DELIVERY]


def is_worth_an_entry(entries: Sequence[Entry], data: Mapping[str, Value], *, brings_id: bool = False) -> bool:
    """Whether an event with such `data` becomes an entry of a chain with these entries.

    It does if its word and error are new, if it `brings_id`, by which the message is found, or if it is final and no
    final word so far outranks it. So the state of a message is what all of its events would make of it, in any order,
    while there is room. The first of each final word has room of its own.
    """
    word, signed = text_at(data, "word"), is_signed(data)
    events = [event for event in deliveries_in(entries) if _counts_for(data, event.data)]
    if word in FINAL_WORDS and all(text_at(event.data, "word") != word for event in events):
        return True
    sharing = [text_at(event.data, "word") for event in events if is_signed(event.data) is signed]
    if len(sharing) - len({*sharing} & FINAL_WORDS) >= (SIGNED_LIMIT if signed else URL_LIMIT):
        return False
    # Events of one id that name different recipients may belong to different messages.
    alike = [event for event in events if event.data.get("recipientHash") == data.get("recipientHash")]
    is_new = all(_said(event.data) != _said(data) for event in alike)
    return is_new or brings_id or (word in FINAL_WORDS and all(rank(data) >= rank(event.data) for event in alike))


def is_entered(entries: Sequence[Entry], data: Mapping[str, Value]) -> bool:
    """Whether one of these entries is about the event with such `data`, and is signed if that is."""
    return any(
        entry.data.get("eventId") == data["eventId"] and (is_signed(entry.data) or not is_signed(data))
        for entry in entries
    )


def bounded(data: Mapping[str, Value]) -> dict[str, Value]:
    """Cut the texts of an event's entry so that the entry stays under 1 KB."""
    cut = {**data, "status": _cut(str(data["status"]), _STATUS_BYTES), "word": _cut(str(data["word"]), _STATUS_BYTES)}
    if "told" in cut:
        cut["told"] = _cut(str(cut["told"]), _TOLD_CHARACTERS)
    # The id stands in the entry's index, too, and the word in the batch's.
    taken = 2 * len(str(cut["cxoneMessageId"])) + sum(
        len(str(cut.get(name, "")).encode()) for name in ("status", "word", "word", "told")
    )
    if "error" in cut:
        cut["error"] = _cut(str(cut["error"])[:_ERROR_CHARACTERS], max(0, _TEXT_BYTES - taken))
    return cut


def _counts_for(data: Mapping[str, Value], said: Mapping[str, Value]) -> bool:
    """Whether what was `said` counts when an event with such `data` comes: to a signed final word, only what is signed.

    A word that settles nothing says the same with a signature and without.
    """
    return is_signed(said) or not is_signed(data) or text_at(data, "word") not in FINAL_WORDS


def _said(data: Mapping[str, Value]) -> tuple[Value, Value]:
    return data.get("status"), data.get("error")


def _cut(text: str, size: int) -> str:
    """Cut a text to at most so many bytes of UTF-8."""
    return text.encode("utf-8", "replace")[:size].decode("utf-8", "ignore")
