"""Searches: what they take, and the pages that they give. A page starts by bisection and ends when it is full."""

import base64
import heapq
import itertools
import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from math import inf

from local.simulator.dfo.errors import DfoRefusedError
from local.simulator.dfo.settings import DfoSettings
from local.simulator.dfo.store import KEY, MILLISECOND, Contact, Direction, Key, Store, Stored
from local.simulator.wire import Request

_LISTS = {"channel[]", "idOnExternalPlatform[]", "authorIdOnExternalPlatform[]"}
_MESSAGE_FIELDS = _LISTS | {
    "direction",
    "contentContains",
    "contentNotContains",
    "contactNumber",
    "date[from]",
    "date[to]",
    "sorting",
    "sortingType",
    "scrollToken",
}
_CONTACT_FIELDS = {"channel[]", "status[]", "endUserIdOnExternalPlatform[]", "scrollToken"}


@dataclass(frozen=True, slots=True)
class Page[T]:
    """Some of the hits, and the token of the next page if there is one to ask for."""

    hits: int
    found: list[T]
    scroll_token: str | None


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a search goes on."""

    pairs: Sequence[tuple[str, str]]
    after: Key | None = None
    hits: int | None = None


@dataclass(frozen=True, slots=True)
class _Filter:
    channels: list[str]
    direction: Direction | None
    contact: str | None
    since: float
    until: float  # not itself
    ascending: bool
    contains: str | None
    contains_not: str | None
    external_ids: set[str] = field(default_factory=set)
    authors: set[str] = field(default_factory=set)

    @property
    def is_by_line(self) -> bool:
        """Whether all messages of the lines and times are hits, so that nobody needs to look at them."""
        is_any = self.contains is None and self.contains_not is None and self.contact is None
        return is_any and not (self.external_ids or self.authors)


def find_messages(store: Store, request: Request, settings: DfoSettings, seen: float) -> Page[Stored]:
    """Return a page of messages as a search shows them that knows what was before `seen`; 400 for what it cannot do."""
    place = _place(request, _MESSAGE_FIELDS)
    wanted = _filter(place.pairs)
    if wanted.contact is None:
        lines = store.lines(wanted.channels, wanted.direction)
    else:
        contact = store.contacts.get(wanted.contact)
        lines = [contact.messages] if contact else []
    if wanted.contains is not None:  # a quick look at each, for few pass it
        needle = wanted.contains if settings.dfo_content_match == "substring" else _longest_word(wanted.contains)
        lines = [[message for message in line if needle in message.folded] for line in lines]
    hits = place.hits
    if hits is None:
        hits = _hits(store, lines, wanted, settings, seen)
    following = (
        message for message in _walk(lines, wanted, place.after, seen) if _fits(message, wanted, settings, seen)
    )
    return _page(following, hits, place, settings)


def messages_of(contact: Contact, request: Request, settings: DfoSettings, seen: float) -> Page[Stored]:
    """Return a page of a contact's messages, the newest first."""
    place = _place(request, {"scrollToken"})
    found = [message for message in reversed(contact.messages) if message.kept <= seen]
    following = (message for message in found if place.after is None or message.key < place.after)
    return _page(following, len(found), place, settings)


def find_contacts(store: Store, request: Request, settings: DfoSettings, seen: float) -> Page[Contact]:
    """Return a page of contacts, the newest first; numbers are compared by their digits (assumption 3)."""
    place = _place(request, _CONTACT_FIELDS)
    channels, statuses = _all(place.pairs, "channel[]"), _all(place.pairs, "status[]")
    numbers = {digits_of(number) for number in _all(place.pairs, "endUserIdOnExternalPlatform[]")}
    if numbers:
        candidates = sorted(store.contacts_with(channels, numbers), key=KEY, reverse=True)
    else:
        candidates = [each for each in reversed(store.contacts.values()) if not channels or each.channel in channels]
    found = [each for each in candidates if (as_of := each.as_of(seen)) and (not statuses or as_of[1] in statuses)]
    following = (each for each in found if place.after is None or each.key < place.after)
    return _page(following, len(found), place, settings)


def digits_of(number: str) -> str:
    """The digits of a number."""
    return "".join(character for character in number if character in "0123456789")


def _page[T: (Stored, Contact)](following: Iterator[T], hits: int, place: _Place, settings: DfoSettings) -> Page[T]:
    found = list(itertools.islice(following, settings.dfo_page_size))
    is_more = found and (settings.dfo_last_page == "token" or next(following, None) is not None)
    token = _token(replace(place, after=found[-1].key, hits=hits)) if is_more else None
    return Page(hits, found, token)


def _walk(lines: list[list[Stored]], wanted: _Filter, after: Key | None, seen: float) -> Iterator[Stored]:
    """The messages of the lines in the order of the search, none before its place."""
    ways = []
    for line in lines:
        start, end = _bounds(line, wanted, seen)
        if after is not None and wanted.ascending:
            start = max(start, bisect_right(line, after, key=KEY))
        elif after is not None:
            end = min(end, bisect_left(line, after, key=KEY))
        numbers = range(start, end) if wanted.ascending else range(end - 1, start - 1, -1)
        ways.append(map(line.__getitem__, numbers))
    return ways[0] if len(ways) == 1 else heapq.merge(*ways, key=KEY, reverse=not wanted.ascending)


def _bounds(line: list[Stored], wanted: _Filter, seen: float) -> tuple[int, int]:
    """What of a line can be a hit: nothing is stored before it is created."""
    end = min(bisect_left(line, (wanted.until, 0), key=KEY), bisect_right(line, (seen + MILLISECOND, inf), key=KEY))
    return bisect_left(line, (wanted.since, 0), key=KEY), end


def _hits(store: Store, lines: list[list[Stored]], wanted: _Filter, settings: DfoSettings, seen: float) -> int:
    if not wanted.is_by_line:
        return sum(_fits(message, wanted, settings, seen) for message in _walk(lines, wanted, None, seen))
    bounds = [_bounds(line, wanted, seen) for line in lines]
    hidden = 0
    for message in reversed(store.past):
        if message.kept <= seen:
            break
        of_line = not wanted.channels or message.contact.channel in wanted.channels
        in_time = wanted.since <= message.created < wanted.until and message.created <= seen + MILLISECOND
        hidden += of_line and in_time and wanted.direction in {None, message.direction}
    return sum(max(0, end - start) for start, end in bounds) - hidden


def _fits(message: Stored, wanted: _Filter, settings: DfoSettings, seen: float) -> bool:
    return message.kept <= seen and (wanted.is_by_line or _is_wanted(message, wanted, settings))


def _is_wanted(message: Stored, wanted: _Filter, settings: DfoSettings) -> bool:
    contact = message.contact
    return (
        (not wanted.channels or contact.channel in wanted.channels)
        and wanted.direction in {None, message.direction}
        and (wanted.contains is None or _contains(message, wanted.contains, settings))
        and (wanted.contains_not is None or not _contains(message, wanted.contains_not, settings))
        and (not wanted.external_ids or message.external_id in wanted.external_ids)
        and (not wanted.authors or (message.direction == "inbound" and contact.digits in wanted.authors))
    )


def _longest_word(text: str) -> str:
    return max(text.split(), key=len, default="")


def _contains(message: Stored, folded: str, settings: DfoSettings) -> bool:
    if settings.dfo_content_match == "words":
        return set(folded.split()) <= set(message.folded.split())
    return folded in message.folded


def _filter(pairs: Sequence[tuple[str, str]]) -> _Filter:
    values = dict(pairs)
    direction = _one_of(values, "direction", (None, "inbound", "outbound"))
    _one_of(values, "sorting", (None, "createdAt"))
    contains, contains_not = values.get("contentContains"), values.get("contentNotContains")
    return _Filter(
        channels=_all(pairs, "channel[]"),
        direction=direction,  # type: ignore[arg-type]
        contact=values.get("contactNumber"),
        since=_day(values, "date[from]", -inf),
        until=_day(values, "date[to]", inf, days=1),  # the day is in (assumption 12), and it is one of UTC
        ascending=_one_of(values, "sortingType", (None, "asc", "desc")) == "asc",  # the newest first is a choice
        contains=contains and contains.casefold(),
        contains_not=contains_not and contains_not.casefold(),
        external_ids=set(_all(pairs, "idOnExternalPlatform[]")),
        authors={digits_of(author) for author in _all(pairs, "authorIdOnExternalPlatform[]")},
    )


def _one_of(values: dict[str, str], name: str, known: tuple[str | None, ...]) -> str | None:
    value = values.get(name)
    if value not in known:
        raise DfoRefusedError(400, f"not one of {', '.join(str(word) for word in known if word)}", field=name)
    return value


def _day(values: dict[str, str], name: str, otherwise: float, days: int = 0) -> float:
    if name not in values:
        return otherwise
    try:
        day = datetime.strptime(values[name], "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as error:
        raise DfoRefusedError(400, "not a date YYYY-MM-DD", field=name) from error
    return (day + timedelta(days=days)).timestamp()


def _all(pairs: Sequence[tuple[str, str]], name: str) -> list[str]:
    return [value for key, value in pairs if key == name]


def _place(request: Request, known: set[str]) -> _Place:
    """Where a request's search begins. A scroll token has the search in it: what stands beside it is not looked at."""
    pairs = list(request.pairs or request.query.items())
    for name, _ in pairs:
        if name not in known:
            raise DfoRefusedError(400, "the simulator does not know this parameter", field=name)
    if (token := dict(pairs).get("scrollToken")) is None:
        return _Place(pairs)
    try:
        kept, after, hits = json.loads(base64.urlsafe_b64decode(token))
        return _Place([(name, value) for name, value in kept], (after[0], after[1]), hits)
    except (ValueError, TypeError, LookupError) as error:
        raise DfoRefusedError(400, "not a scroll token", field="scrollToken") from error


def _token(place: _Place) -> str:
    return base64.urlsafe_b64encode(json.dumps([place.pairs, place.after, place.hits]).encode()).decode()
