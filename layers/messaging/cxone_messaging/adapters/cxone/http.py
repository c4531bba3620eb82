"""HTTP towards CXone: one session, bounded answers, and no retry that nobody asked for."""

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

from cxone_messaging.adapters.cxone.connections import BoundedAdapter
from cxone_messaging.platform.clock import Clock
from cxone_messaging.platform.deadline import Deadline

# A request needs at least this much time to connect and be answered in.
LEAST_SECONDS = 3.05
# What comes before a request takes as long at most, all together: the name's lookup, its addresses, TLS.
_BEFORE_REQUEST_SECONDS = 8.0
_ANSWER_LIMIT = 64 * 1024
_CONNECTIONS = 64
# The longest wait that an answer may ask for: more is a mistake of the other side that must not stop us for good.
MAX_RETRY_AFTER_SECONDS = 900.0
_SECONDS = re.compile(r"[0-9]+(?:\.[0-9]*)?", re.ASCII)
# A comma stands between two values unless a weekday is before it: "Sun, 06 Nov 1994", "Sunday, 06-Nov-94".
_BETWEEN_VALUES = re.compile(r"(?<!(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun|day)),")


class Answer(NamedTuple):
    """What CXone answered; the body is read only where it is asked for.

    `retry_after` is how many seconds CXone asks to wait, where it asks for that.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    retry_after: float | None = None


class CxoneSession(requests.Session):
    """A session that keeps connections alive but never repeats, redirects or looks at its surroundings."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.trust_env = False  # a .netrc would replace the bearer token
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))  # they would grow all later requests
        self._clock = clock
        for scheme in ("https://", "http://"):
            self.mount(scheme, BoundedAdapter(clock, _CONNECTIONS))

    @override
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Follow none: requests would look at where a redirect leads, and read its whole body for that."""

    def exchange(
        self,
        url: str,
        body: Any,
        headers: Mapping[str, str],
        seconds: float,
        *,
        wanted: Container[int],
        welcome: Container[int] = (),
        method: str = "POST",
    ) -> Answer:
        """Send one request and return the answer, with its body where its status is `wanted`, within that many seconds.

        The calling thread does all of it. So once this has returned or raised, no byte of the request leaves any more.
        Where the status is `welcome`, the body is read if that can be done; the status counts without it. `body` is a
        `WatchedBody`, a form's fields, or None. Raises what requests raises; a body of the answer has at most 64 KiB.
        """
        deadline = Deadline.after(self._clock, seconds)
        if isinstance(body, WatchedBody):
            body.deadline = deadline
        timeout: Any = Timeout(total=seconds, connect=min(_BEFORE_REQUEST_SECONDS, seconds))
        try:
            with self.request(
                method, url, data=body, headers=dict(headers), timeout=timeout, stream=True, allow_redirects=False
            ) as response:
                wait = retry_after(response.headers, self._clock)
                answer = Answer(response.status_code, response.headers, b"", wait)
                if answer.status in wanted:
                    return answer._replace(body=_read(response))
                if answer.status in welcome:
                    with suppress(requests.RequestException):
                        return answer._replace(body=_read(response))
                return answer
        except requests.exceptions.ConnectionError as error:
            if deadline.has_passed and not isinstance(error, requests.exceptions.Timeout):
                raise requests.exceptions.ReadTimeout("no whole answer in time") from error
            raise


class HeldBackError(OSError):
    """A request was given up before any of its body was written, so nobody can have taken it."""


class WatchedBody(io.BytesIO):
    """A request's body that says whether any of it was written, and that cannot be written once it is given up.

    The head goes out first and promises a body. So CXone can't have taken a request whose body was never read: a
    certain failure differs from a doubtful one by fact, whatever type the exception has. After `deadline`, or where
    `hold_back` returns True, reading raises `HeldBackError` instead. `hold_back` is called once, at the last moment.
    """

    deadline: Deadline | None = None

    def __init__(self, document: Mapping[str, Any], hold_back: Callable[[], bool] = lambda: False) -> None:
        super().__init__(json.dumps(document).encode())
        self.written = False
        self._hold_back = hold_back

    def read(self, size: int | None = -1, /) -> bytes:
        """Hand out some of the body, and remember it. Raises `HeldBackError`."""
        if not self.written and self._hold_back():
            raise HeldBackError("the request was held back")
        if self.deadline and self.deadline.has_passed:
            raise HeldBackError("the request was given up")
        self.written = True
        return super().read(size)


def _read(response: requests.Response) -> bytes:
    answer = bytearray()
    for part in response.iter_content(4096):
        answer += part
        if len(answer) > _ANSWER_LIMIT:
            raise requests.exceptions.ContentDecodingError("the answer is too long")
    return bytes(answer)


def retry_after(headers: Mapping[str, str], clock: Clock) -> float | None:
    """Return the seconds that an answer asks to wait, or None where it asks for nothing that makes sense.

    Reads whole and fractional seconds and dates in the three forms of RFC 9110, 5.6.7. A date counts from the answer's
    own `Date`, so that a wrong clock on either side changes nothing; from now where there is none.
    Of several values the longest counts. The result is between 0 and 15 minutes.
    """
    sent_at = _date(headers.get("Date", ""))
    reference = clock.now() if sent_at is None else sent_at
    waits = [wait for each in _values(headers.get("Retry-After", "")) if (wait := _wait(each, reference)) is not None]
    return min(max(waits), MAX_RETRY_AFTER_SECONDS) if waits else None


def _values(text: str) -> list[str]:
    """Split a header that came more than once, which HTTP joins by commas; a date has a comma of its own."""
    return [each.strip() for each in _BETWEEN_VALUES.split(text)]


def _wait(text: str, reference: float) -> float | None:
    if _SECONDS.fullmatch(text):
        return float(text[:12])
    date = _date(text)
    return None if date is None else max(0.0, date - reference)


def _date(text: str) -> float | None:
    """Read a date of HTTP's in Unix seconds; one without a zone is in UTC."""
    try:
        date = parsedate_to_datetime(text)
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
