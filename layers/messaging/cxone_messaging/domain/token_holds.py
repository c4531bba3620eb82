"""How long no worker fetches a token, after fetches that failed or tokens that CXone refused."""

import math
from dataclasses import dataclass
from enum import StrEnum

from cxone_messaging.domain.errors import Code, MessagingError
from cxone_messaging.domain.schedule import MAX_HOLD_SECONDS, backoff

# One of our stores failed, and CXone works: the first pause only keeps a fleet of workers from fetching all at once.
STORAGE_HOLD_SECONDS = 3.0
_FIRST_HOLD_SECONDS, _LONGEST_HOLD_SECONDS = 5.0, 60.0
# Wrong credentials stay wrong until a person changes them; login attempts until then may lock the account.
_CREDENTIALS_HOLD_SECONDS = 60.0
# Tokens that CXone accepted and then refused are replaced at once, up to this many in a row; then one a minute.
_MOST_UNSTEADY, _UNSTEADY_HOLD_SECONDS = 4, 60.0


class Cause(StrEnum):
    """Why no worker may fetch a token for a while."""

    UNAVAILABLE = "unavailable"  # the token endpoint failed
    CREDENTIALS = "credentials"  # the token endpoint refused the credentials
    REFUSED = "refused"  # CXone refused tokens that it had just issued
    UNSTEADY = "unsteady"  # CXone refused several tokens that it had accepted: one of its nodes may be faulty
    STORAGE = "storage"  # one of our stores failed


_REASONS = {
    Cause.UNAVAILABLE: (Code.CXONE_UNAVAILABLE, "the token endpoint failed"),
    Cause.CREDENTIALS: (Code.CXONE_AUTH_FAILED, "the token endpoint refused the credentials: check the credentials"),
    Cause.REFUSED: (Code.CXONE_AUTH_FAILED, "CXone refuses new tokens: check the credentials"),
    Cause.UNSTEADY: (Code.CXONE_UNAVAILABLE, "CXone accepts tokens and then refuses them"),
    Cause.STORAGE: (Code.CXONE_UNAVAILABLE, "the credentials could not be read"),
}


@dataclass(frozen=True, slots=True)
class Hold:
    """How many seconds no worker may fetch, and why.

    `detail` explains it to people, without any secret.
    """

    cause: Cause
    seconds: float
    detail: str = ""

    def error(self, passed: float = 0.0) -> MessagingError:
        """Return the error for a caller that needs a token after `passed` seconds of the hold."""
        code, reason = _REASONS[self.cause]
        return MessagingError(code, self.detail or reason, retry_after=max(1, math.ceil(self.seconds - passed)))


class HeldBackError(Exception):
    """No worker may fetch now; the hold's `seconds` are the remaining ones."""

    def __init__(self, hold: Hold) -> None:
        super().__init__(f"{hold.cause} for {hold.seconds:.1f} s")
        self.hold = hold


def hold_seconds(cause: Cause, failures: int, retry_after: float = 0.0) -> float:
    """Return how long no worker may fetch after `failures` in a row, the latest for this cause.

    The result is in seconds. `retry_after` is the wait that CXone requires. The result is at most 15 minutes.
    """
    match cause:
        case Cause.REFUSED:
            # The first refused token is replaced at once, and so is the second: one message uses no more than two.
            own = backoff(_FIRST_HOLD_SECONDS, failures - 2, _LONGEST_HOLD_SECONDS) if failures > 1 else 0.0
        case Cause.UNSTEADY:
            own = _UNSTEADY_HOLD_SECONDS if failures > _MOST_UNSTEADY else 0.0
        case Cause.CREDENTIALS:
            own = _CREDENTIALS_HOLD_SECONDS
        case Cause.STORAGE if failures <= 1:
            own = STORAGE_HOLD_SECONDS
        case Cause.UNAVAILABLE | Cause.STORAGE:
            own = backoff(_FIRST_HOLD_SECONDS, failures - 1, _LONGEST_HOLD_SECONDS)
    return min(max(own, retry_after), MAX_HOLD_SECONDS)
