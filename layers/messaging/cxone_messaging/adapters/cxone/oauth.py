"""The exchange with a token endpoint, as RFC 6749 has it, whatever the grant."""

import json
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import requests

from cxone_messaging.adapters.cxone.http import Answer, CxoneSession
from cxone_messaging.adapters.cxone.shared_token import BEARER, MAX_LIFETIME_SECONDS
from cxone_messaging.adapters.cxone.token_cache import FetchedToken
from cxone_messaging.domain.errors import Code, MessagingError

_REFUSALS = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
# The lifetime that is assumed if it is missing (RFC 6749, 5.1, allows that) or invalid. A token that expires sooner is
# refused at its next use, and then replaced.
_UNSTATED_LIFETIME_SECONDS = 300.0


def request_token(
    session: CxoneSession, url: str, form: Mapping[str, str], headers: Mapping[str, str], seconds: float
) -> tuple[FetchedToken, Mapping[str, Any]]:
    """Post a grant to a token endpoint, and return the token and the whole answer; it takes at most `seconds`.

    Raises `MessagingError` with `cxone_auth_failed` or `cxone_unavailable`; its `retry_after` is set only if CXone
    requests a wait.
    """
    try:
        answer = session.exchange(url, dict(form), headers, seconds, must_read={HTTPStatus.OK})
    except (requests.RequestException, OSError, ValueError) as error:
        raise unavailable(f"the token endpoint sent no answer ({type(error).__name__})") from None
    if answer.status in _REFUSALS:
        raise MessagingError(
            Code.CXONE_AUTH_FAILED,
            f"the token endpoint answered {answer.status}: check the credentials and their scopes",
            retry_after=_whole(answer.retry_after),
        )
    if answer.status != HTTPStatus.OK:
        raise unavailable(f"the token endpoint answered {answer.status}", answer.retry_after)
    return _token(answer)


def _token(answer: Answer) -> tuple[FetchedToken, Mapping[str, Any]]:
    """Return the token of an answer with status 200.

    No error quotes the answer, because it may hold a token.
    """
    try:
        # A whole number may have more digits than Python converts to an int. `json.loads` skips a byte order mark.
        document = json.loads(answer.body, parse_int=float)
    except (ValueError, RecursionError):
        kind = "HTML" if answer.body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<") else "a text that is not JSON"
        raise unavailable(
            f"the token endpoint answered 200 with {kind} instead of a token: check the URL", answer.retry_after
        ) from None
    value = document.get("access_token") if isinstance(document, dict) else None
    # CXone would reject a message permanently if it were sent with another kind of token.
    if not (isinstance(value, str) and BEARER.fullmatch(value)) or not _is_bearer(document.get("token_type")):
        raise unavailable("the token endpoint answered 200 without a bearer token", answer.retry_after)
    return FetchedToken(value, _lifetime(document.get("expires_in")), _scopes(document.get("scope"))), document


def _is_bearer(type_: object) -> bool:
    """Whether a token may be used as a bearer token: its type says so, in any letter case, or is missing."""
    return not (isinstance(type_, str) and type_.strip()) or "bearer" in type_.lower()


def _lifetime(expires_in: Any) -> float:
    """Return a token's lifetime in seconds, from a number or its text; at most a day."""
    try:
        seconds = float(expires_in)
    except (ValueError, TypeError):
        seconds = math.nan
    return min(seconds, MAX_LIFETIME_SECONDS) if seconds > 0 else _UNSTATED_LIFETIME_SECONDS


def _scopes(scope: object) -> frozenset[str] | None:
    """Return the scopes of a token, from their names with blanks between them (RFC 6749, 3.3)."""
    return frozenset(scope.split()) if isinstance(scope, str) else None


def _whole(seconds: float | None) -> int | None:
    return None if seconds is None else math.ceil(seconds)


def unavailable(fault: str, retry_after: float | None = None) -> MessagingError:
    """Return the error of a CXone that does not answer as it should; `retry_after` is in seconds."""
    return MessagingError(Code.CXONE_UNAVAILABLE, fault, retry_after=_whole(retry_after))
