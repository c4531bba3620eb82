"""Reading Digital Engagement's records: searches of messages, one message, a contact's custom fields, channels.

Sources: NICE's OpenAPI files for the paths; its agent SDK for dates, sorting, scrolling and the two shapes of
`delivered`. A search lags behind, so that what it does not show may still exist.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from http import HTTPStatus
from urllib.parse import quote, urlencode

import requests

from cxone_messaging.adapters.cxone.dfo.sms import PATH
from cxone_messaging.adapters.cxone.http import Answer, CxoneSession
from cxone_messaging.adapters.cxone.json_answers import Document, child, children, document, objects, text
from cxone_messaging.adapters.cxone.oauth import unavailable
from cxone_messaging.adapters.cxone.token_cache import TokenCache
from cxone_messaging.domain.delivery import cxone_id
from cxone_messaging.domain.errors import Code, MessagingError
from cxone_messaging.domain.found_messages import Direction, FoundMessage, Page, Receipt
from cxone_messaging.domain.times import parse_time
from cxone_messaging.platform.deadline import Deadline

_TIMEOUT_SECONDS = 10.0
# The tenant may have moved to another area.
_MOVED = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE, HTTPStatus.MISDIRECTED_REQUEST})
_REASON_LIMIT, _TEXT_LIMIT, _NUMBER_LIMIT = 1024, 20_000, 256
# A search is asked from so much earlier, because its days may be of the tenant's own time zone.
_DAY_SECONDS = 86_400.0
# A read changes nothing, so it is repeated at once where CXone fails.
_TRIES = 3
# 25 messages with all that CXone says about them.
_ANSWER_LIMIT = 2 * 1024 * 1024


class DfoMessages:
    """The records of one tenant.

    `reference_field` is the custom field of a contact that holds a reference to the last message; empty if none does.
    """

    def __init__(self, tokens: TokenCache, session: CxoneSession, reference_field: str = "") -> None:
        self._tokens = tokens
        self._session = session
        self._reference_field = reference_field
        self.holds_references = bool(reference_field)
        self.reads = 0

    def search(
        self, channels: Sequence[str], direction: Direction, since: float, scroll: str, deadline: Deadline
    ) -> Page:
        """Return a page of the channels' messages, newest first, of the days from `since` (Unix seconds) on.

        Days are the finest dates of a search, so a page may have older messages.
        """
        query = [
            *(("channel[]", channel) for channel in channels),
            ("direction", direction.value),
            ("date[from]", datetime.fromtimestamp(since - _DAY_SECONDS, UTC).date().isoformat()),
            ("sorting", "createdAt"),
            ("sortingType", "desc"),
        ]
        if scroll:
            query.append(("scrollToken", scroll))
        found = document(self._get(f"/messages?{urlencode(query)}", deadline))
        if not isinstance(found.get("data"), list):
            raise unavailable("a search was answered 200 without a list of messages")
        following, data = text(found, "scrollToken"), children(found, "data")
        messages = tuple(each for item in data if (each := _message(child(item, "message") or item, direction)))
        return Page(messages, following if data else "")

    def message(self, message_id: str, deadline: Deadline) -> FoundMessage | None:
        """Return one message; None if CXone has none with this id."""
        found = document(self._get(f"/messages/{quote(message_id, safe='')}", deadline, missing=True))
        # Some answers may wrap the message as an outbound one does.
        return _message(child(found, "message") or found, None)

    def reference(self, record: FoundMessage, deadline: Deadline) -> str:
        """Return the reference that a record's contact holds; empty if it holds none."""
        # No source shows how numbers are written.
        query = [("endUserIdOnExternalPlatform[]", number) for number in (record.number, record.number.lstrip("+"))]
        found = document(self._get(f"/contacts?{urlencode([('channel[]', record.channel), *query])}", deadline))
        contact = next((each for each in children(found, "data") if text(each, "id") == record.contact), {})
        fields = {text(each, "ident"): text(each, "value") for each in children(contact, "customFields")}
        return fields.get(self._reference_field, "")

    def channels(self, ids: Collection[str], deadline: Deadline) -> Mapping[str, bool | None]:
        """Return which of some channels exist, and whether each tracks delivery; None if CXone does not say."""
        found = objects(self._get(f"/channels?{urlencode([('id[]', id_) for id_ in sorted(ids)])}", deadline))
        flags = {text(each, "id"): each.get("isTrackingMessageDeliveryStatus") for each in found}
        return {id_: flag if isinstance(flag, bool) else None for id_, flag in flags.items() if id_ in ids}

    def _get(self, path: str, deadline: Deadline, *, missing: bool = False) -> bytes:
        """Return an answer's body; empty if CXone has nothing there and `missing` says that this is no error.

        A refused token is replaced once, and so is the tenant's place, where nothing is there. Where CXone fails, the
        read is repeated twice.
        """
        refused = moved = False
        for number in range(1, _TRIES + 1):
            token = self._tokens.get(deadline.left)
            self.reads += 1
            try:
                answer = self._session.exchange(
                    f"{token.base_url}{PATH}{path}",
                    None,
                    {"Authorization": f"Bearer {token.value}", "Accept": "application/json"},
                    min(_TIMEOUT_SECONDS, max(deadline.left, 0.1)),
                    must_read={HTTPStatus.OK},
                    method="GET",
                    limit=_ANSWER_LIMIT,
                )
            except (requests.RequestException, OSError, ValueError) as error:
                if number == _TRIES:
                    self._tokens.discard(token)  # the tenant may have moved
                    raise unavailable(f"a read sent no answer ({type(error).__name__})") from None
                continue
            if answer.status == HTTPStatus.UNAUTHORIZED and not refused:
                refused = True
                self._tokens.invalidate(token)
                continue
            if answer.status in _MOVED and not (missing or moved):
                moved = True
                self._tokens.discard(token)
                continue
            if answer.status < HTTPStatus.INTERNAL_SERVER_ERROR or number == _TRIES:
                return _read(answer, missing=missing)
        raise AssertionError("the last answer is read")


def _read(answer: Answer, *, missing: bool) -> bytes:
    match answer.status:
        case HTTPStatus.OK:
            return answer.body
        case HTTPStatus.NOT_FOUND if missing:
            return b""
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
            raise MessagingError(Code.CXONE_AUTH_FAILED, f"a read was answered {answer.status}: check the permissions")
        case HTTPStatus.TOO_MANY_REQUESTS:
            wait = None if answer.retry_after is None else max(1, round(answer.retry_after))
            raise MessagingError(Code.RATE_LIMITED, "CXone takes no more reads now", retry_after=wait)
        case _:
            raise unavailable(f"a read was answered {answer.status}", answer.retry_after)


def _message(item: Document, direction: Direction | None) -> FoundMessage | None:
    """Return a record as a message; None if it is one of ours without an id or a time."""
    id_ = cxone_id(item.get("id"))
    said = text(item, "direction")
    way = Direction(said) if said in Direction else direction
    is_inbound = way is Direction.INBOUND
    if way is None or (id_ is None and not is_inbound):
        return None
    written_at = text(item, "createdAtWithMilliseconds") or text(item, "createdAt")
    try:
        created_at = parse_time(written_at).timestamp()
    except ValueError:
        if not is_inbound:
            return None
        created_at, written_at = 0.0, ""  # it may be a STOP
    party = child(item, "authorEndUserIdentity") if is_inbound else next(iter(children(item, "recipients")), {})
    found = FoundMessage(
        id=id_ or "",
        direction=way,
        created_at=created_at,
        written_at=written_at,
        written=_written(party)[:_NUMBER_LIMIT],
        text=_words(item)[:_TEXT_LIMIT],
        channel=text(child(item, "channel"), "id") or text(item, "channelId"),
        contact=cxone_id(item.get("contactNumber")) or "",
        receipts=tuple(_receipts(item)),
    )
    if id_ is not None:
        return found
    # A reply without an id may be a STOP. What CXone does not change later distinguishes it.
    lasting = [found.written_at, found.written, found.text, found.channel, found.contact]
    return replace(found, id=sha256(json.dumps(lasting).encode()).hexdigest())


def _written(party: Document) -> str:
    """Return a party's number as it is written; of "channel_number", the number."""
    found = party.get("idOnExternalPlatform")
    written = found if isinstance(found, str) else cxone_id(found) or ""
    *_, end = written.split("_")
    return end if any(each.isdigit() for each in end) else written


def _words(item: Document) -> str:
    """Return a message's text: a field of the content or its payload, or the word of a button."""
    content = child(item, "messageContent")
    payload = child(content, "payload")
    found = (text(payload, "text"), text(content, "payload"), text(content, "text"), text(content, "fallbackText"))
    return next(filter(None, (*found, text(payload, "postback"), text(content, "postback"))), "")


def _receipts(item: Document) -> list[Receipt]:
    """Return what a record says about delivery, in either shape that NICE's code reads.

    A message that was seen was delivered. In the shape that names who got it, an item without an end user is of an
    agent's screen.
    """
    found: list[Receipt] = []
    for each in filter(_is_of_end_user, children(item, "delivered")):
        at, reason = text(each, "deliveredAt"), text(each, "reason")[:_REASON_LIMIT] or None
        if each.get("isSuccess") is False or (reason and not at and "isSuccess" not in each):
            found.append(Receipt("failed", at or text(item, "createdAt"), reason))
        elif at or each.get("isSuccess") is True:
            found.append(Receipt("delivered", at or text(item, "createdAt")))
    seen = [child(item, "customerStatistics"), *filter(_is_of_end_user, children(item, "seen"))]
    if at := next((at for each in seen if (at := text(each, "seenAt"))), ""):
        if not any(receipt.word == "delivered" for receipt in found):
            found.append(Receipt("delivered", at))
        found.append(Receipt("seen", at))
    return found


def _is_of_end_user(item: Document) -> bool:
    return bool(item.get("endUserId")) or not {"endUserId", "userId"} & item.keys()
