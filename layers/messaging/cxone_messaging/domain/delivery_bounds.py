"""Which delivery events become entries, and how many such entries a chain may have.

The holder of a message's callback URL may post events without end, and an entry is permanent. So only an event with new
content becomes an entry. Signed events have their own room, which no holder of a URL can fill. A word that only a URL
proves keeps no signed final word out. Final words also have their own room.
"""

from collections.abc import Mapping, Sequence

from cxone_messaging.domain.delivery import FINAL_WORDS, is_signed, rank
from cxone_messaging.domain.entries import Entry, EntryType, Value, text_at

# The most entries of events that only a URL proves, and of signed events: each beside the first of each final word.
URL_LIMIT, SIGNED_LIMIT = 20, 20
# The most entries of events in a chain.
MOST_DELIVERIES = URL_LIMIT + SIGNED_LIMIT + 2 * len(FINAL_WORDS)

# An event's own texts share this many bytes, so that its entry takes less than 1 KB in DynamoDB. Names, hashes, our
# longest id and the longest index keys take the rest.
_TEXT_BYTES = 460
_STATUS_BYTES, _ERROR_CHARACTERS = 32, 200


def deliveries_in(entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries of delivery events."""
    return [entry for entry in entries if entry.type == EntryType.DELIVERY]


def is_worth_an_entry(entries: Sequence[Entry], data: Mapping[str, Value], *, brings_id: bool = False) -> bool:
    """Whether an event with such `data` becomes an entry of a chain with these entries.

    It does if its word and error are new, or if it `brings_id`, by which the message is found. It also does if its word
    is final and no final word so far outranks it. So, while there is room, a message's state is the state that all of
    its events give it, in any order. The first of each final word has its own room.
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
    is_new = all(_content(event.data) != _content(data) for event in alike)
    return is_new or brings_id or (word in FINAL_WORDS and all(rank(data) >= rank(event.data) for event in alike))


def is_recorded(entries: Sequence[Entry], data: Mapping[str, Value]) -> bool:
    """Whether one of these entries records the event with such `data`, signed if the event is signed."""
    return any(
        entry.data.get("eventId") == data["eventId"] and (is_signed(entry.data) or not is_signed(data))
        for entry in entries
    )


def bounded(data: Mapping[str, Value]) -> dict[str, Value]:
    """Return an event's data with its texts cut, so that its entry stays under 1 KB."""
    cut = {**data, "status": _cut(str(data["status"]), _STATUS_BYTES), "word": _cut(str(data["word"]), _STATUS_BYTES)}
    # The entry's index contains the id too, and the batch's index the word.
    taken = 2 * len(str(cut["cxoneMessageId"])) + sum(
        len(str(cut.get(name, "")).encode()) for name in ("status", "word", "word", "told")
    )
    if "error" in cut:
        cut["error"] = _cut(str(cut["error"])[:_ERROR_CHARACTERS], max(0, _TEXT_BYTES - taken))
    return cut


def _counts_for(data: Mapping[str, Value], earlier: Mapping[str, Value]) -> bool:
    """Whether an `earlier` event counts for an event with such `data`.

    For a signed final word, only signed events count. A word that is not final means the same with a signature and
    without.
    """
    return is_signed(earlier) or not is_signed(data) or text_at(data, "word") not in FINAL_WORDS


def _content(data: Mapping[str, Value]) -> tuple[Value, Value]:
    return data.get("status"), data.get("error")


def _cut(text: str, size: int) -> str:
    """Return a text cut to at most `size` bytes of UTF-8."""
    return text.encode("utf-8", "replace")[:size].decode("utf-8", "ignore")
