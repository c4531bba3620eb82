"""CXone's SMS API: its URLs, payloads and answers, all of them and only here.

No independent public source confirms this API (README). Another implementation, one that speaks Digital Engagement,
may stand beside this one behind the same `SmsGateway`.
"""

import json
from http import HTTPStatus
from typing import Protocol

import requests

from cxone_messaging.adapters.cxone_http import CONNECT_TIMEOUT_SECONDS, WatchedBody, read_answer, retry_after
from cxone_messaging.adapters.token_cache import Token, TokenCache
from cxone_messaging.domain.errors import Code, MessagingError, StorageError
from cxone_messaging.domain.messages import Sms
from cxone_messaging.domain.outcomes import Accepted, NotAccepted, OutcomeUnknown, Rejected, SendOutcome
from cxone_messaging.platform.clock import Clock

SCOPE = "message:sms:send"
# Documents: retry after 502 and 503, which are answered before the message is taken. Any other 5xx may come later.
_ID_LIMIT = 256
_NOT_TAKEN = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE})


class SmsGateway(Protocol):
    """What sends an SMS."""

    def prepare(self, seconds: float) -> None:
        """Have a token at hand, waiting for one no longer than told. Raises `MessagingError`."""
        ...

    def send(self, sms: Sms, callback_url: str, seconds: float) -> SendOutcome:
        """Send once and tell what came of it, within about that many seconds. Never sends again by itself."""
        ...


class CxoneSms:
    """The SMS family at one base URL."""

    def __init__(
        self, base_url: str, tokens: TokenCache, session: requests.Session, clock: Clock, timeout_seconds: float
    ) -> None:
        self._url = base_url.rstrip("/") + "/api/v2/message/sms/send"
        self._tokens = tokens
        self._session = session
        self._clock = clock
        self._timeout_seconds = timeout_seconds

    def prepare(self, seconds: float) -> None:
        """Have a token at hand, waiting for one no longer than told. Raises `MessagingError`."""
        self._tokens.get(seconds)

    def send(self, sms: Sms, callback_url: str, seconds: float) -> SendOutcome:
        """Send once and tell what came of it, within about that many seconds.

        A refused token is replaced and the request made once more, since a 401 took nothing.
        """
        give_up_at = self._clock.monotonic() + seconds
        outcome: SendOutcome = _NO_TOKEN
        for _ in range(2):
            try:
                token = self._tokens.get(give_up_at - self._clock.monotonic())
            except MessagingError as error:
                return _NO_CREDENTIALS if error.code is Code.CXONE_AUTH_FAILED else _NO_TOKEN
            except StorageError:
                return _NO_TOKEN
            outcome = self._post(sms, callback_url, token, give_up_at)
            if outcome is not _TOKEN_REFUSED:
                break
            self._tokens.invalidate(token)
        return outcome

    def _post(self, sms: Sms, callback_url: str, token: Token, give_up_at: float) -> SendOutcome:
        left = give_up_at - self._clock.monotonic()
        if left <= CONNECT_TIMEOUT_SECONDS:
            return NotAccepted("cxone_unavailable", "no_time_left", tried=False)
        body = WatchedBody(
            {
                "to": [sms.to.e164],
                "from": sms.sender,
                "text": sms.text,
                "campaignId": sms.campaign_id,
                "webhookUrl": callback_url,
                "segmentation": {"enabled": True},
            }
        )
        try:
            with self._session.post(
                self._url,
                data=body,
                headers={"Authorization": f"Bearer {token.value}", "Content-Type": "application/json"},
                timeout=(CONNECT_TIMEOUT_SECONDS, min(self._timeout_seconds, left - CONNECT_TIMEOUT_SECONDS)),
                stream=True,
            ) as response:
                answer = read_answer(response, self._clock, give_up_at)
        except (requests.RequestException, OSError, ValueError) as error:
            if body.written:
                return OutcomeUnknown(f"no_answer_{type(error).__name__}")
            return NotAccepted("cxone_unavailable", f"not_reached_{type(error).__name__}")
        return _outcome(response, answer, self._clock)


_NO_TOKEN = NotAccepted("cxone_unavailable", "no_token", tried=False)
_NO_CREDENTIALS = NotAccepted("cxone_auth_failed", "credentials_refused", tried=False)
_TOKEN_REFUSED = Rejected("cxone_auth_failed", "the token was refused", HTTPStatus.UNAUTHORIZED)


def _outcome(  # noqa: PLR0911  a line of the table each
    response: requests.Response, answer: bytes, clock: Clock
) -> SendOutcome:
    """Tell what an answer means, line by line as the documents' table of errors has it."""
    status = response.status_code
    match status:
        case HTTPStatus.OK | HTTPStatus.ACCEPTED:
            return _accepted(status, answer)
        case HTTPStatus.UNAUTHORIZED:
            return _TOKEN_REFUSED
        case HTTPStatus.FORBIDDEN:
            return Rejected("cxone_rejected", f"the credentials lack the scope {SCOPE}", status)
        case HTTPStatus.TOO_MANY_REQUESTS:
            return NotAccepted("rate_limited", "throttled", status, retry_after(response, clock))
        case _ if status in _NOT_TAKEN:
            return NotAccepted("cxone_unavailable", "unavailable", status, retry_after(response, clock))
        case _ if 300 <= status < 500 and status != HTTPStatus.REQUEST_TIMEOUT:  # noqa: PLR2004
            return Rejected("cxone_rejected", f"CXone answered {status}", status)
        case _:
            return OutcomeUnknown("unclear_answer", status)


def _accepted(status: int, answer: bytes) -> SendOutcome:
    try:
        document = json.loads(answer)
    except (ValueError, RecursionError):
        document = None
    id_ = document.get("id") if isinstance(document, dict) else None
    # Whatever else stands there could not be an index key in the ledger, nor in an event be told from another.
    if isinstance(id_, str) and 0 < len(id_) <= _ID_LIMIT and id_.isprintable():
        return Accepted(id_)
    return OutcomeUnknown("unreadable_acceptance", status)
