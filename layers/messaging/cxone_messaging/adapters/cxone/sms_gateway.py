"""How the use cases send through CXone, whatever API is behind it."""

from collections.abc import Callable
from typing import Protocol

from cxone_messaging.domain.outcomes import SendOutcome
from cxone_messaging.domain.sms import Sms


class SmsGateway(Protocol):
    """Sends an SMS through CXone."""

    def prepare(self, seconds: float) -> None:
        """Make ready for sends within `seconds`: fetch a token if none is current.

        Raises `MessagingError`, and `StorageError`.
        """
        ...

    def send(self, sms: Sms, message_id: str, seconds: float, hold_back: Callable[[], bool] = ...) -> SendOutcome:
        """Send the message with our id once, with the current token, within `seconds`, and return the outcome.

        `hold_back` is called at the last moment before any part of the message leaves. If it returns True, no part
        leaves, now or later.
        """
        ...
