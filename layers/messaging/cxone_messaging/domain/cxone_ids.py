"""Which message has a CXone id: what the ledger's index records, and how certain that is.

A sender that got CXone's answer knows its message's id. A signed event at the message's URL proves the id if it names
the message's recipient. Both are indexed under the id itself. Every other event at a callback URL only claims that an
id is the message's. A claim has its own index key, and yields to a certain record, whichever is first. So an event with
a claimed id is kept until the id's true sender must have recorded it (`WAIT`). Then the message that claims the id gets
the event. If several messages claim it, the one whose recipient the event names gets it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta

from cxone_messaging.domain.entries import Entry, EntryType, text_at
from cxone_messaging.domain.ledger import CXONE_MESSAGE_KEY, Ledger

# In a message's `sending` entry, and in an early event that names a recipient.
RECIPIENT_HASH_KEY = "recipientHash"
# In the place of the hash if an event names its recipient in a form that is no phone number here.
UNREADABLE = "unreadable"
# Before the hashes of the numbers that a text may mean: one without a plus sign may lack its country's code.
_UNCERTAIN = "uncertain:"
# A sender records CXone's id within a minute of CXone's answer, or never. The rest allows for clocks and the index.
WAIT = timedelta(minutes=5)
# If more messages claim one id, none of them gets its events: each costs a read.
MOST_CLAIMERS = 10

# CXone's ids are ASCII, so no id begins with either of these.
_CLAIMED, _CONTESTED = "≈", "≠"


def named_recipient(recipient_hashes: Sequence[str], *, is_certain: bool) -> str:
    """Return how an event names a recipient: by the hashes of the numbers that its text may mean.

    It is certain only for one number with its plus sign. Without any number the result is `UNREADABLE`.
    """
    if not recipient_hashes:
        return UNREADABLE
    return recipient_hashes[0] if is_certain else _UNCERTAIN + ",".join(recipient_hashes)


def claimers(ledger: Ledger, cxone_message_id: str) -> list[str]:
    """Return the subjects that claim an id; none if they are more than `MOST_CLAIMERS`.

    The index may be a moment behind. Raises `StorageError`.
    """
    found = ledger.subjects_of_cxone_message(_CLAIMED + cxone_message_id)
    if found:
        # No claim is contested before there is one.
        found = list(dict.fromkeys([*found, *ledger.subjects_of_cxone_message(_CONTESTED + cxone_message_id)]))
    return found if len(found) <= MOST_CLAIMERS else []


def index_key(
    ledger: Ledger, subject: str, entries: Sequence[Entry], cxone_message_id: str, *, signed: bool
) -> dict[str, str]:
    """Return the index key for an event's entry under the message of its callback URL.

    It is empty if the entry needs none. `signed` is whether the event `is_proved`. Raises `StorageError`.
    """
    keys = {entry.index.get(CXONE_MESSAGE_KEY, "") for entry in entries}
    if cxone_message_id in keys:
        return {}
    if signed:
        return {CXONE_MESSAGE_KEY: cxone_message_id}
    # A message has one id. If its sender knows the id, or an event has claimed one already, no claim is possible.
    has_one = any(entry.type == EntryType.DISPATCHED for entry in entries) or any(keys)
    if has_one or sending_of(entries) is None or ledger.subject_of_cxone_message(cxone_message_id) is not None:
        return {}
    other = ledger.subject_of_cxone_message(_CLAIMED + cxone_message_id)
    return {CXONE_MESSAGE_KEY: (_CLAIMED if other in {None, subject} else _CONTESTED) + cxone_message_id}


def has_id(entries: Sequence[Entry], cxone_message_id: str) -> bool:
    """Whether a message with these entries has this id for certain."""
    return own_id(entries) == cxone_message_id or any(
        entry.index.get(CXONE_MESSAGE_KEY) == cxone_message_id for entry in entries
    )


def names_another(entries: Sequence[Entry], named: str | None) -> bool:
    """Whether `named`, the recipient that an event names, is certainly another than that of these entries' message."""
    sending = sending_of(entries)
    return sending is not None and is_readable(named) and named != text_at(sending.data, RECIPIENT_HASH_KEY)


def strays_of(entries: Sequence[Entry], strays: Iterable[Entry]) -> list[Entry]:
    """Return the early events of an id that belong to the message with these entries, which has the id for certain."""
    return [stray for stray in strays if not names_another(entries, _named(stray))]


def strays_of_claimers(chains: Mapping[str, Sequence[Entry]], strays: Sequence[Entry]) -> dict[str, list[Entry]]:
    """Return the early events of an id that belong to each message that only claims it.

    `chains` are the entries of all claimers. An event that names a recipient belongs to the only claimer with that
    recipient, and an event that names nobody to the only claimer. A claim is void if its sender got another id.
    """
    sent = {subject: sending_of(entries) for subject, entries in chains.items() if own_id(entries) is None}
    recipients = {subject: text_at(each.data, RECIPIENT_HASH_KEY) for subject, each in sent.items() if each}
    counts = Counter(recipients.values())
    return {
        subject: [
            stray
            for stray in strays
            if (_is(_named(stray), recipient) and counts[recipient] == 1)
            or (_named(stray) is None and len(recipients) == 1)
        ]
        for subject, recipient in recipients.items()
    }


def is_proved(entries: Sequence[Entry], cxone_message_id: str, named: Callable[[], str | None]) -> bool:
    """Whether an event with a signed body is certainly of the message of its callback URL, which has these entries.

    `named` returns the recipient that the body names (`named_recipient`), `UNREADABLE`, or None. A holder of a URL may
    post another message's body there. So a body that names no readable recipient proves nothing before the message has
    the body's id.
    """
    own, sending = own_id(entries), sending_of(entries)
    if sending is None or own not in {None, cxone_message_id}:
        return False
    recipient = named()
    if _is(recipient, text_at(sending.data, RECIPIENT_HASH_KEY)):
        return True
    return not is_readable(recipient) and has_id(entries, cxone_message_id)


def is_readable(named: str | None) -> bool:
    """Whether an event names a recipient, in a form that is certainly one phone number."""
    return named is not None and named != UNREADABLE and not named.startswith(_UNCERTAIN)


def own_id(entries: Sequence[Entry]) -> str | None:
    """Return the id that a message's sender got from CXone, or None."""
    dispatched = next((entry for entry in entries if entry.type == EntryType.DISPATCHED), None)
    return text_at(dispatched.data, CXONE_MESSAGE_KEY) if dispatched else None


def sending_of(entries: Sequence[Entry]) -> Entry | None:
    """Return the entry that names a message's recipient, or None if the message was never sent."""
    return next((entry for entry in entries if entry.type == EntryType.SENDING), None)


def _is(named: str | None, recipient_hash: str | None) -> bool:
    return named is not None and recipient_hash in named.removeprefix(_UNCERTAIN).split(",")


def _named(stray: Entry) -> str | None:
    return text_at(stray.data, RECIPIENT_HASH_KEY)
