"""How CXone can answer a send. Only `NotAccepted` may ever be tried again: the others may have gone out."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Accepted:
    """CXone queued the message under this id."""

    cxone_message_id: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """CXone refused the message for good, or we did at the last moment.

    `reason` is ours, and quotes of an answer nothing but its codes; `http_status` is None where CXone was not asked.
    """

    code: Literal["cxone_rejected", "cxone_auth_failed", "opted_out", "not_opted_in"]
    reason: str
    http_status: int | None


@dataclass(frozen=True, slots=True)
class NotAccepted:
    """CXone certainly did not take the message: throttled, unavailable, never reached, or never `tried`.

    `retry_after` is in seconds, where it is known; `http_status` is None when there was no answer. `posts` counts the
    requests that it took: a second one with a new token, where the first token was refused.
    """

    code: Literal["rate_limited", "cxone_unavailable", "cxone_auth_failed"]
    reason: str
    http_status: int | None = None
    retry_after: float | None = None
    tried: bool = True
    posts: int = 1


@dataclass(frozen=True, slots=True)
class OutcomeUnknown:
    """The request was written but no clear answer came: the message may or may not have gone out."""

    reason: str
    http_status: int | None = None


@dataclass(frozen=True, slots=True)
class TokenRefused:
    """CXone took nothing, since it no longer knows our token: the message may be sent once more with a new one."""


type SendOutcome = Accepted | Rejected | NotAccepted | OutcomeUnknown | TokenRefused
