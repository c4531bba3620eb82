"""Sending through Digital Engagement: the URL, payload and answers of an outbound message, all of them and only here.

Sources: NICE's OpenAPI files, and the agent SDK that NICE publishes. What neither shows is an assumption, and marked.
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Literal
from urllib.parse import quote

import requests

from cxone_messaging.adapters.cxone.dfo.contact_buckets import ContactBuckets
from cxone_messaging.adapters.cxone.explanations import refusal_reason
from cxone_messaging.adapters.cxone.http import LEAST_SECONDS, Answer, CxoneSession, WatchedBody
from cxone_messaging.adapters.cxone.json_answers import child, document
from cxone_messaging.adapters.cxone.token_cache import Token, TokenCache
from cxone_messaging.domain.delivery import cxone_id
from cxone_messaging.domain.doubts import reference
from cxone_messaging.domain.errors import StorageError
from cxone_messaging.domain.outcomes import Accepted, NotAccepted, OutcomeUnknown, Rejected, SendOutcome, TokenRefused
from cxone_messaging.domain.sms import Sms
from cxone_messaging.platform.clock import Clock

type NumberFormat = Literal["digits", "e164"]

PATH = "/dfo/3.0"
_ACCEPTANCES = frozenset(range(200, 300))  # no source shows which
# 303 names the result of a request that was done (RFC 9110, 15.4.4); NICE's own client takes 304 for a success.
_UNCLEAR = frozenset({HTTPStatus.SEE_OTHER, HTTPStatus.NOT_MODIFIED, HTTPStatus.REQUEST_TIMEOUT})
_EXPLAINED = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY})
_FIELDS = frozenset({"recipients", "messageContent", "contact", "channel", "channelId", "thread"})
# The tenant may have moved to another area: its channel is not where it was. No redirect is followed.
_MOVED = frozenset(
    {
        *(HTTPStatus.NOT_FOUND, HTTPStatus.GONE, HTTPStatus.MISDIRECTED_REQUEST),
        *(HTTPStatus.MOVED_PERMANENTLY, HTTPStatus.FOUND),
        *(HTTPStatus.TEMPORARY_REDIRECT, HTTPStatus.PERMANENT_REDIRECT),
    }
)
# A token that is younger was found with the tenant's present area, so that the channel is what does not exist.
_MOVED_SECONDS = 60.0
_NO_TOKEN = NotAccepted("cxone_unavailable", "no_token", tried=False)


def address(number: str, format_: NumberFormat) -> str:
    """Return a phone number, with its plus sign, as recipients are written; no source shows which form is right."""
    return number.removeprefix("+") if format_ == "digits" else number


class DfoSms:
    """The outbound messages of a tenant's channels.

    `number_format` is how recipients are written. `reference_field` is the custom field of a contact that gets a short
    reference to the message; empty if there is none. `on_channel` is called with the channel of each message before it
    leaves; if it raises `StorageError`, the message does not.
    """

    def __init__(
        self,
        tokens: TokenCache,
        session: CxoneSession,
        clock: Clock,
        *,
        timeout_seconds: float,
        number_format: NumberFormat = "digits",
        reference_field: str = "",
        on_channel: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._tokens = tokens
        self._session = session
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._number_format: NumberFormat = number_format
        self._reference_field = reference_field
        self._on_channel = on_channel
        self._contacts = ContactBuckets(clock)

    def prepare(self, seconds: float) -> None:
        """Make ready for sends within `seconds`: fetch a token if none is current.

        Raises `MessagingError`, and `StorageError`.
        """
        self._tokens.get(seconds)

    def send(
        self, sms: Sms, message_id: str, seconds: float, hold_back: Callable[[], bool] = lambda: False
    ) -> SendOutcome:
        """Send the message with our id once, with the current token, within `seconds`, and return the outcome.

        The message goes out through the channel that is its sender. `hold_back` is called at the last moment before any
        part of the message leaves. If it returns True, no part leaves, now or later.
        """
        token = self._tokens.current()
        if token is None:
            return _NO_TOKEN
        if not_now := self._not_now(sms, seconds):
            return not_now
        body = WatchedBody(self._payload(sms, message_id), hold_back)
        try:
            answer = self._post(token, sms.sender, body, seconds)
        except (requests.RequestException, OSError, ValueError) as error:
            if body.written:
                return OutcomeUnknown(f"no_answer_{type(error).__name__}")
            if not body.held:
                self._ask_again(token)
            return NotAccepted("cxone_unavailable", f"not_reached_{type(error).__name__}")
        return self._read(answer, token, sms)

    def _not_now(self, sms: Sms, seconds: float) -> SendOutcome | None:
        if not sms.sender.strip("."):
            return Rejected("cxone_rejected", "no channel has this id", None)  # in a path it means another folder
        if seconds <= LEAST_SECONDS:
            return NotAccepted("cxone_unavailable", "no_time_left", tried=False)
        if wait := self._contacts.take(sms.to.e164):
            return NotAccepted("rate_limited", "contact_throttled", retry_after=wait, tried=False)
        try:
            self._on_channel(sms.sender)
        except StorageError:
            return NotAccepted("cxone_unavailable", "channel_unrecorded", tried=False)
        return None

    def _post(self, token: Token, channel: str, body: WatchedBody, seconds: float) -> Answer:
        return self._session.exchange(
            f"{token.base_url}{PATH}/channels/{quote(channel, safe='')}/outbound",
            body,
            {
                "Authorization": f"Bearer {token.value}",
                "Content-Type": "application/json",
                "Accept": "application/json",
            },
            min(self._timeout_seconds, seconds),
            must_read=_ACCEPTANCES,
            may_read=_EXPLAINED,
        )

    def _read(self, answer: Answer, token: Token, sms: Sms) -> SendOutcome:
        if answer.status in _MOVED and self._ask_again(token):
            # CXone answers: a wrong channel in a few requests must not hold back all others.
            return NotAccepted("cxone_unavailable", "channel_not_found", answer.status, tried=False)
        if answer.status == HTTPStatus.TOO_MANY_REQUESTS and self._contacts.is_busy(sms.to.e164):
            # It holds back this contact alone, as if it had not been tried.
            wait = max(answer.retry_after or 0.0, self._contacts.emptied(sms.to.e164))
            return NotAccepted("rate_limited", "contact_throttled", answer.status, wait, tried=False)
        outcome = _outcome(answer, sms)
        if isinstance(outcome, TokenRefused):
            self._tokens.invalidate(token)
        elif isinstance(outcome, Accepted):
            self._tokens.mark_accepted(token)
        return outcome

    def _payload(self, sms: Sms, message_id: str) -> dict[str, Any]:
        number = address(sms.to.e164, self._number_format)
        # NICE's own client sends all four fields of a recipient. SMS channels are private.
        payload: dict[str, Any] = {
            "recipients": [{"idOnExternalPlatform": number, "name": number, "isPrimary": True, "isPrivate": True}],
            "messageContent": {"type": "TEXT", "payload": {"text": sms.text}},
        }
        if self._reference_field:
            payload["contact"] = {"customFields": [{"ident": self._reference_field, "value": reference(message_id)}]}
        return payload

    def _ask_again(self, token: Token) -> bool:
        """Have the next token found with the tenant's area anew; return whether that is worth another try."""
        if self._clock.now() - token.issued_at < _MOVED_SECONDS:
            return False
        self._tokens.discard(token)
        return True


def _outcome(answer: Answer, sms: Sms) -> SendOutcome:  # noqa: PLR0911  a line of the table each
    """Return the outcome that an answer means.

    No source shows the statuses of an outbound message, so each that may follow an acceptance leaves it unknown.
    """
    status = answer.status
    match status:
        case _ if status in _ACCEPTANCES:
            id_ = cxone_id(child(document(answer.body), "message").get("id"))
            return OutcomeUnknown("unreadable_acceptance", status) if id_ is None else Accepted(id_)
        case HTTPStatus.UNAUTHORIZED:
            return TokenRefused()
        case HTTPStatus.FORBIDDEN:
            return Rejected("cxone_rejected", "the access key's user may not send through this channel", status)
        case HTTPStatus.TOO_MANY_REQUESTS:
            return NotAccepted("rate_limited", "throttled", status, answer.retry_after)
        case HTTPStatus.TOO_EARLY:
            return NotAccepted("cxone_unavailable", "too_early", status, answer.retry_after)
        case _ if 300 <= status < 500 and status not in _UNCLEAR:  # noqa: PLR2004
            return Rejected("cxone_rejected", refusal_reason(answer, sms, _FIELDS), status)
        case _:
            return OutcomeUnknown("unclear_answer", status)
