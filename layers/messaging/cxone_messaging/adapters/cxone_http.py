"""HTTP towards CXone: one session, bounded answers, and no retry that nobody asked for."""

import io
import json
import re
from collections.abc import Container, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

import requests
import requests.adapters

from cxone_messaging.platform.clock import Clock

CONNECT_TIMEOUT_SECONDS = 3.05
_ANSWER_LIMIT = 64 * 1024
# Load balancers close idle connections after a minute; a request written into one that is just being closed has an
# outcome that nobody knows, so a connection that was idle for long is not used again.
_IDLE_LIMIT_SECONDS = 20
_CONNECTIONS = 64
# Lets requests tell of its own timeouts first.
_GRACE_SECONDS = 0.25
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
        self._clock = clock
        self._used_at = float("-inf")
        # The timeouts of requests bound each wait for the next bytes, not an answer that drips in. Whoever asks waits
        # for a thread instead, and leaves it behind where the whole takes too long.
        self._threads = ThreadPoolExecutor(_CONNECTIONS, "cxone")
        for scheme in ("https://", "http://"):
            self.mount(scheme, requests.adapters.HTTPAdapter(max_retries=0, pool_maxsize=_CONNECTIONS))

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
        """Ask once and give the answer, with its body where its status is `wanted`, within that many seconds.

        Where its status is `welcome`, its body is read if that can be done; the status counts without it. Raises what
        requests raises; the answer's body may have at most 64 KiB.
        """
        heard: list[Answer] = []
        future = self._threads.submit(self._exchange, method, url, body, headers, seconds, wanted, welcome, heard)
        try:
            return future.result(timeout=seconds + _GRACE_SECONDS)
        except TimeoutError:
            if heard:
                return heard[0]
            raise requests.exceptions.ReadTimeout("no whole answer in time") from None

    def _exchange(  # noqa: PLR0917
        self,
        method: str,
        url: str,
        body: Any,
        headers: Mapping[str, str],
        seconds: float,
        wanted: Container[int],
        welcome: Container[int],
        heard: list[Answer],
    ) -> Answer:
        now = self._clock.monotonic()
        if now - self._used_at > _IDLE_LIMIT_SECONDS:
            self.close()
        self._used_at = now
        timeout = (min(CONNECT_TIMEOUT_SECONDS, seconds), seconds)
        with self.request(
            method, url, data=body, headers=dict(headers), timeout=timeout, stream=True, allow_redirects=False
        ) as response:
            wait = retry_after(response.headers, self._clock.now())
            answer = Answer(response.status_code, response.headers, b"", wait)
            if answer.status in wanted:
                return answer._replace(body=_read(response))
            if answer.status in welcome:
                heard.append(answer)
                with suppress(requests.RequestException):
                    return answer._replace(body=_read(response))
            return answer


class WatchedBody(io.BytesIO):
    """A request's body that knows whether any of it was handed to the connection.

    The head goes out first and promises a body, so CXone can't have taken a message whose body was never read: that
    tells a certain failure from a doubtful one by fact, whatever type the exception has.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        super().__init__(json.dumps(document).encode())
        self.written = False

    def read(self, size: int | None = -1, /) -> bytes:
        """Hand out some of the body, and remember it."""
        self.written = True
        return super().read(size)


def _read(response: requests.Response) -> bytes:
    answer = bytearray()
    for part in response.iter_content(4096):
        answer += part
        if len(answer) > _ANSWER_LIMIT:
            raise requests.exceptions.ContentDecodingError("the answer is too long")
    return bytes(answer)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds that an answer asks to wait, or None where it asks for nothing that makes sense.

    Reads whole and fractional seconds and dates in the three forms of RFC 9110, 5.6.7. A date counts from the answer's
    own `Date`, so that a wrong clock on either side changes nothing; from `now` (Unix seconds) where there is none.
    Of several values the longest counts. The result is between 0 and 15 minutes.
    """
    sent_at = _date(headers.get("Date", ""))
    reference = now if sent_at is None else sent_at
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
