"""The outcomes of a send.

Only `NotAccepted` may be retried: after any other outcome the message may have been sent.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Accepted:
    """CXone queued the message under this id."""

    cxone_message_id: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """CXone rejected the message permanently, or we did at the last moment.

    `reason` is our text, and quotes only the codes of an answer. `http_status` is None if no request was sent.
    """

    code: Literal["cxone_rejected", "cxone_auth_failed", "opted_out", "not_opted_in"]
    reason: str
    http_status: int | None


@dataclass(frozen=True, slots=True)
class NotAccepted:
    """CXone certainly did not accept the message: throttled, unavailable, never reached, or never `tried`.

    `retry_after` is in seconds, if known; `http_status` is None without an answer. `posts` counts the requests of the
    try: two if the first token was refused.
    """

    code: Literal["rate_limited", "cxone_unavailable", "cxone_auth_failed"]
    reason: str
    http_status: int | None = None
    retry_after: float | None = None
    tried: bool = True
    posts: int = 1


@dataclass(frozen=True, slots=True)
class OutcomeUnknown:
    """The request was written but no clear answer arrived: the message may or may not have been sent."""

    reason: str
    http_status: int | None = None


@dataclass(frozen=True, slots=True)
class TokenRefused:
    """CXone refused our token, and did not accept the message: it may be sent again with a new token."""


type SendOutcome = Accepted | Rejected | NotAccepted | OutcomeUnknown | TokenRefused
