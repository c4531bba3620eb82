"""HTTP towards CXone: one session, bounded answers, and no retry that nobody asked for."""

import io
import json
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import requests
import requests.adapters

from cxone_messaging.platform.clock import Clock

CONNECT_TIMEOUT_SECONDS = 3.05
_ANSWER_LIMIT = 64 * 1024
# Load balancers close idle connections after a minute; a request written into one that is just being closed has an
# outcome that nobody knows, so a connection that was idle for long is not used again.
_IDLE_LIMIT_SECONDS = 20


class CxoneSession(requests.Session):
    """A session that keeps connections alive but never repeats, redirects or looks at its surroundings."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self.trust_env = False  # a .netrc would replace the bearer token
        self._used_at = float("-inf")
        for scheme in ("https://", "http://"):
            self.mount(scheme, requests.adapters.HTTPAdapter(max_retries=0, pool_maxsize=64))

    def request(self, *args: Any, **options: Any) -> requests.Response:
        """Send a request as told, over a connection that is fresh enough."""
        now = self._clock.monotonic()
        if now - self._used_at > _IDLE_LIMIT_SECONDS:
            self.close()
        self._used_at = now
        options["allow_redirects"] = False
        return super().request(*args, **options)


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


def read_answer(response: requests.Response, clock: Clock, give_up_at: float) -> bytes:
    """Read an answer's body, no more than 64 KiB of it and not beyond an instant of the clock's stopwatch.

    Raises what requests raises; the timeout of requests alone would let a body drip in for ever.
    """
    answer = bytearray()
    for part in response.iter_content(4096):
        answer += part
        if len(answer) > _ANSWER_LIMIT or clock.monotonic() > give_up_at:
            raise requests.exceptions.ReadTimeout("the answer is too long, or too long in coming")
    return bytes(answer)


def retry_after(response: requests.Response, clock: Clock) -> float | None:
    """Read `Retry-After` in either form, as seconds from now; None where it is absent or makes no sense."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - clock.now())
    except (ValueError, TypeError, OverflowError):
        return None
