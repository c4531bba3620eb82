"""HTTP towards CXone: one session, bounded answers, and no hidden retries."""

import io
import json
import re
from collections.abc import Callable, Container, Mapping
from contextlib import suppress
from datetime import UTC
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from typing import Any, NamedTuple, override

import requests
from urllib3.util import Timeout

from cxone_messaging import __version__
from cxone_messaging.adapters.cxone.connections import BoundedAdapter
from cxone_messaging.domain.schedule import MAX_HOLD_SECONDS
from cxone_messaging.platform.clock import Clock
from cxone_messaging.platform.deadline import Deadline

# A request needs at least this much time to connect and to receive the answer.
LEAST_SECONDS = 3.05
# The most that the steps before a request may take together: the name's lookup, its addresses, TLS.
_BEFORE_REQUEST_SECONDS = 8.0
_ANSWER_LIMIT = 64 * 1024
_CONNECTIONS = 64
_SECONDS = re.compile(r"[0-9]+(?:\.[0-9]*)?", re.ASCII)
# A comma separates two values unless it follows a weekday: "Sun, 06 Nov 1994", "Sunday, 06-Nov-94".
_BETWEEN_VALUES = re.compile(r"(?<!(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun|day)),")


class Answer(NamedTuple):
    """An answer of CXone's; `body` is empty unless the caller requested it.

    `retry_after` is the wait in seconds that CXone requests; None if it requests none.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    retry_after: float | None = None


class CxoneSession(requests.Session):
    """A session that keeps connections alive, never retries or redirects, and ignores its environment."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.trust_env = False  # no proxy and no .netrc
        self.headers["User-Agent"] = f"cxone-messaging/{__version__}"
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))  # they would pile up
        self._clock = clock
        adapter = BoundedAdapter(clock, _CONNECTIONS)
        for scheme in ("https://", "http://"):
            self.mount(scheme, adapter)

    @override
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Follow no redirect: requests would parse its target, and read its whole body for that."""

    def exchange(
        self,
        url: str,
        body: Any,
        headers: Mapping[str, str],
        seconds: float,
        *,
        must_read: Container[int],
        may_read: Container[int] = (),
        method: str = "POST",
        limit: int = _ANSWER_LIMIT,
    ) -> Answer:
        """Send one request within `seconds`, and return the answer.

        The answer has its body if its status is in `must_read`. If the status is in `may_read`, a body that cannot be
        read is left out. `body` is a `WatchedBody`, the fields of a form, or None. The calling thread does all of it,
        so no byte of the request leaves after this method has returned or raised. Raises the errors of requests; an
        answer's body of more than `limit` bytes is one.
        """
        deadline = Deadline.after(self._clock, seconds)
        if isinstance(body, WatchedBody):
            body.deadline = deadline
        timeout: Any = Timeout(total=seconds, connect=min(_BEFORE_REQUEST_SECONDS, seconds))
        # `Session.request` would merge in cookies, proxies and parameters: there are none, and it takes a third longer.
        request = requests.PreparedRequest()
        request.prepare(method, url, headers={**self.headers, **headers}, data=body)
        try:
            with self.send(request, timeout=timeout, stream=True, allow_redirects=False, proxies={}) as response:
                wait = retry_after(response.headers, self._clock)
                answer = Answer(response.status_code, response.headers, b"", wait)
                if answer.status in must_read:
                    return answer._replace(body=_read(response, limit))
                if answer.status in may_read:
                    with suppress(requests.RequestException):
                        return answer._replace(body=_read(response, limit))
                return answer
        except requests.exceptions.ConnectionError as error:
            if deadline.has_passed and not isinstance(error, requests.exceptions.Timeout):
                raise requests.exceptions.ReadTimeout("no complete answer in time") from error
            raise


class HeldBackError(OSError):
    """A request was abandoned before any of its body was written, so CXone cannot have accepted it."""


class WatchedBody(io.BytesIO):
    """A request's body that records whether any of it was written, and cannot be written once abandoned.

    The head is sent first and announces a body. So CXone cannot have accepted a request whose body was never read.
    That fact separates a certain failure from a doubtful one, whatever the type of the exception. After `deadline`, or
    if `hold_back` returns True, a read raises `HeldBackError` and sets `held`. `hold_back` is called once, at the last
    moment.
    """

    deadline: Deadline | None = None

    def __init__(self, document: Mapping[str, Any], hold_back: Callable[[], bool] = lambda: False) -> None:
        super().__init__(json.dumps(document).encode())
        self.written = self.held = False
        self._hold_back = hold_back

    def read(self, size: int | None = -1, /) -> bytes:
        """Return some of the body, and record that it was written. Raises `HeldBackError`."""
        if not self.written and self._hold_back():
            self.held = True
            raise HeldBackError("the request was held back")
        if self.deadline and self.deadline.has_passed:
            self.held = True
            raise HeldBackError("the request's deadline passed")
        self.written = True
        return super().read(size)


def _read(response: requests.Response, limit: int) -> bytes:
    answer = bytearray()
    for part in response.iter_content(4096):
        answer += part
        if len(answer) > limit:
            raise requests.exceptions.ContentDecodingError("the answer is too long")
    return bytes(answer)


def retry_after(headers: Mapping[str, str], clock: Clock) -> float | None:
    """Return the wait in seconds of an answer's `Retry-After`; None if it is missing or invalid.

    The value may be whole or fractional seconds, or a date in one of the three forms of RFC 9110, 5.6.7. A date counts
    from the answer's own `Date`, so that a wrong clock on either side changes nothing; without a `Date`, from now.
    The longest of several values counts. The result is between 0 and 15 minutes.
    """
    given = headers.get("Retry-After")
    if not given:
        return None
    sent_at = _date(headers.get("Date", ""))
    reference = clock.now() if sent_at is None else sent_at
    waits = [wait for each in _values(given) if (wait := _wait(each, reference)) is not None]
    return min(max(waits), MAX_HOLD_SECONDS) if waits else None


def _values(text: str) -> list[str]:
    """Return the values of a repeated header, which HTTP joins by commas.

    A date contains a comma itself.
    """
    return [each.strip() for each in _BETWEEN_VALUES.split(text)]


def _wait(text: str, reference: float) -> float | None:
    if _SECONDS.fullmatch(text):
        return float(text[:12])
    date = _date(text)
    return None if date is None else max(0.0, date - reference)


def _date(text: str) -> float | None:
    """Return an HTTP date in Unix seconds, None if it is invalid.

    A date without a zone is in UTC.
    """
    try:
        date = parsedate_to_datetime(text)
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
