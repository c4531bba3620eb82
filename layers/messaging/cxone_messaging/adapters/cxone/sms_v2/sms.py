"""CXone's SMS API: its URLs, payloads and answers, all of them and only here.

No independent public source confirms this API (README). Another API, such as Digital Engagement, can be supported by a
second implementation of `SmsGateway`.
"""

from collections.abc import Callable
from http import HTTPStatus

import requests

from cxone_messaging.adapters.cxone.explanations import refusal_reason
from cxone_messaging.adapters.cxone.http import LEAST_SECONDS, Answer, CxoneSession, WatchedBody
from cxone_messaging.adapters.cxone.json_answers import document
from cxone_messaging.adapters.cxone.sms_v2.callback_urls import CallbackUrls
from cxone_messaging.adapters.cxone.token_cache import TokenCache
from cxone_messaging.domain.delivery import cxone_id
from cxone_messaging.domain.errors import StorageError
from cxone_messaging.domain.outcomes import Accepted, NotAccepted, OutcomeUnknown, Rejected, SendOutcome, TokenRefused
from cxone_messaging.domain.sms import Sms
from cxone_messaging.platform.clock import Clock

SCOPE = "message:sms:send"
TOKEN_PATH = "/api/v2/oauth/token"  # noqa: S105  a path
_ACCEPTANCES = frozenset({HTTPStatus.OK, HTTPStatus.ACCEPTED})
# Documents: retry after 502 and 503, which CXone sends before it accepts the message. Any other 5xx may come later.
_NOT_TAKEN = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE})

# These answers explain what is wrong with a message. The documents do not specify their body.
_EXPLAINED = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY})
_FIELDS = frozenset({"to", "from", "text", "campaignId", "webhookUrl", "segmentation"})


class CxoneSms:
    """The SMS family at one base URL."""

    def __init__(
        self,
        base_url: str,
        tokens: TokenCache,
        session: CxoneSession,
        clock: Clock,
        *,
        timeout_seconds: float,
        callback_urls: CallbackUrls,
    ) -> None:
        self._url = base_url + "/api/v2/message/sms/send"
        self._tokens = tokens
        self._session = session
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._callback_urls = callback_urls

    def prepare(self, seconds: float) -> None:
        """Make ready for sends within `seconds`: fetch a token if none is current, and read the callback secret.

        Raises `MessagingError`, and `StorageError`.
        """
        self._callback_urls.prepare()
        self._tokens.get(seconds)

    def send(
        self, sms: Sms, message_id: str, seconds: float, hold_back: Callable[[], bool] = lambda: False
    ) -> SendOutcome:
        """Send the message with our id once, with the current token, within `seconds`, and return the outcome.

        `hold_back` is called at the last moment before any part of the message leaves. If it returns True, no part
        leaves, now or later.
        """
        token = self._tokens.current()
        if token is None:
            return _NO_TOKEN
        if seconds <= LEAST_SECONDS:
            return NotAccepted("cxone_unavailable", "no_time_left", tried=False)
        try:
            callback_url = self._callback_urls.of(message_id)
        except StorageError:
            return NotAccepted("cxone_unavailable", "callback_secret_unreadable", tried=False)
        body = WatchedBody(
            {
                "to": [sms.to.e164],
                "from": sms.sender,
                "text": sms.text,
                "campaignId": sms.campaign_id,
                "webhookUrl": callback_url,
                "segmentation": {"enabled": True},
            },
            hold_back,
        )
        headers = {"Authorization": f"Bearer {token.value}", "Content-Type": "application/json"}
        try:
            answer = self._session.exchange(
                self._url,
                body,
                headers,
                min(self._timeout_seconds, seconds),
                must_read=_ACCEPTANCES,
                may_read=_EXPLAINED,
            )
        except (requests.RequestException, OSError, ValueError) as error:
            if body.written:
                return OutcomeUnknown(f"no_answer_{type(error).__name__}")
            return NotAccepted("cxone_unavailable", f"not_reached_{type(error).__name__}")
        outcome = _outcome(answer, sms)
        if isinstance(outcome, TokenRefused):
            self._tokens.invalidate(token)
        elif isinstance(outcome, Accepted):
            self._tokens.mark_accepted(token)
        return outcome


_NO_TOKEN = NotAccepted("cxone_unavailable", "no_token", tried=False)


def _outcome(  # noqa: PLR0911  a line of the table each
    answer: Answer, sms: Sms
) -> SendOutcome:
    """Return the outcome that an answer means, line by line as in the documents' table of errors."""
    status = answer.status
    match status:
        case HTTPStatus.OK | HTTPStatus.ACCEPTED:
            return _accepted(status, answer.body)
        case HTTPStatus.UNAUTHORIZED:
            return TokenRefused()
        case HTTPStatus.FORBIDDEN:
            return Rejected("cxone_rejected", f"the credentials lack the scope {SCOPE}", status)
        case HTTPStatus.TOO_MANY_REQUESTS:
            return NotAccepted("rate_limited", "throttled", status, answer.retry_after)
        case _ if status in _NOT_TAKEN:
            return NotAccepted("cxone_unavailable", "unavailable", status, answer.retry_after)
        # 303 names the result of a request that was done (RFC 9110, 15.4.4).
        case _ if 300 <= status < 500 and status not in {HTTPStatus.SEE_OTHER, HTTPStatus.REQUEST_TIMEOUT}:  # noqa: PLR2004
            return Rejected("cxone_rejected", refusal_reason(answer, sms, _FIELDS), status)
        case _:
            return OutcomeUnknown("unclear_answer", status)


def _accepted(status: int, answer: bytes) -> SendOutcome:
    id_ = cxone_id(document(answer).get("id"))
    # With any other id the message may still have been sent. Its delivery events show that, by their URL.
    return OutcomeUnknown("unreadable_acceptance", status) if id_ is None else Accepted(id_)
