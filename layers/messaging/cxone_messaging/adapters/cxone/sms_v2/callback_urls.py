"""The URLs to which CXone posts each message's delivery events."""

from cxone_messaging.adapters.secrets import WebhookSecrets
from cxone_messaging.domain.signatures import sign_reference


class CallbackUrls:
    """Makes a message's callback URL: it names the message, and its signature proves that we made it."""

    def __init__(self, base_url: str, secrets: WebhookSecrets) -> None:
        self._url = base_url + "/webhooks/cxone/sms"
        self._secrets = secrets

    def prepare(self) -> None:
        """Read the secret if it was not read lately. Raises `StorageError`."""
        self._secrets.accepted()

    def of(self, message_id: str) -> str:
        """Return a message's URL. Raises `StorageError` if the secret was not read lately and cannot be."""
        return f"{self._url}?ref={message_id}&sig={sign_reference(self._secrets.current, message_id)}"
