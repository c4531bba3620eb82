"""Secrets in Secrets Manager: read; the shared tokens are also written, there or in Parameter Store."""

import json
from typing import TYPE_CHECKING, Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnectionError

from cxone_messaging.domain.errors import StorageError
from cxone_messaging.domain.keys import key_fault

# Editors and shells may put it before a text, where JSON does not allow it.
_BYTE_ORDER_MARK = "\ufeff"

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_ssm import SSMClient

    from cxone_messaging.platform.clock import Clock


class UnreadableSecretError(StorageError):
    """The secret has no value or an invalid one. Another read does not help; only a write does."""


class BusyStoreError(StorageError):
    """The service refuses requests for now, or did not answer. A later request helps."""


class SecretStore(Protocol):
    """Secrets by their names: an ARN in Secrets Manager, a path in Parameter Store."""

    @property
    def write_seconds(self) -> float:
        """How long the AWS client tries to write, at most."""
        ...

    @property
    def spacing_seconds(self) -> float:
        """How far apart the writes of one secret must be on average; 0 if that does not matter."""
        ...

    def read(self, name: str) -> str:
        """Return a secret's current text; for a moment after a write, it may be the text before.

        Raises `UnreadableSecretError` if there is none, `BusyStoreError`, and `StorageError`.
        """
        ...

    def write(self, name: str, text: str) -> None:
        """Replace a secret's text. Raises `BusyStoreError` and `StorageError`."""
        ...


class SecretsManagerStore:
    """Secrets in Secrets Manager."""

    write_seconds = 9.0
    # A secret takes 100 writes in 24 hours, and after that none (API reference, PutSecretValue).
    spacing_seconds = 1000.0

    def __init__(self, client: "SecretsManagerClient") -> None:
        self._client = client

    def read(self, name: str) -> str:
        """Return a secret's current text.

        Raises `UnreadableSecretError` if there is none, `BusyStoreError`, and `StorageError`.
        """
        try:
            return self._client.get_secret_value(SecretId=name)["SecretString"]
        except (self._client.exceptions.ResourceNotFoundException, KeyError) as error:
            raise UnreadableSecretError("a secret has no text") from error
        except (ClientError, BotoCoreError) as error:
            raise _error(error, "read") from error

    def write(self, name: str, text: str) -> None:
        """Replace a secret's text. Raises `BusyStoreError` and `StorageError`."""
        try:
            self._client.put_secret_value(SecretId=name, SecretString=text)
        except (ClientError, BotoCoreError) as error:
            raise _error(error, "written") from error


class ParameterStore:
    """Secrets in Systems Manager's Parameter Store, as SecureStrings under AWS's own key (`aws/ssm`).

    The first write creates a parameter, because CloudFormation cannot. A text has at most 8 KB. The client tries once,
    so a lost answer is the caller's to try again.
    """

    write_seconds = 3.0
    # It drops the oldest of 100 versions, whatever its age.
    spacing_seconds = 0.0

    def __init__(self, client: "SSMClient") -> None:
        self._client = client

    def read(self, name: str) -> str:
        """Return a parameter's text; for a moment after a write, it may be the text before.

        Raises `UnreadableSecretError` if there is no parameter, `BusyStoreError`, and `StorageError`.
        """
        try:
            return self._client.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]
        except self._client.exceptions.ParameterNotFound as error:
            raise UnreadableSecretError("a parameter has no text") from error
        except (HTTPClientError, NoConnectionError) as error:
            raise BusyStoreError("a parameter could not be read") from error
        except (ClientError, BotoCoreError) as error:
            raise _error(error, "read") from error

    def write(self, name: str, text: str) -> None:
        """Create a parameter, or replace its text.

        Raises `BusyStoreError`, and `StorageError`, also if the text is too long.
        """
        try:
            # By this tier, only a text of more than 4 KB makes the parameter an advanced one, which costs money.
            self._client.put_parameter(
                Name=name, Value=text, Type="SecureString", Tier="Intelligent-Tiering", Overwrite=True
            )
        except (HTTPClientError, NoConnectionError) as error:
            raise BusyStoreError("a parameter could not be written") from error
        except (ClientError, BotoCoreError) as error:
            raise _error(error, "written") from error


def _error(error: ClientError | BotoCoreError, verb: str) -> StorageError:
    code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
    return (BusyStoreError if code == "ThrottlingException" else StorageError)(f"a secret could not be {verb}")


def read_pepper(store: SecretStore, name: str) -> str:
    """Return the secret that keys hashes of personal data.

    Raises `UnreadableSecretError` if it can be guessed.
    """
    pepper = store.read(name)
    if fault := key_fault(pepper):
        raise UnreadableSecretError(f"the pepper {fault}")
    return pepper


def read_object(store: SecretStore, name: str) -> dict[str, Any]:
    """Return a secret that is a JSON object.

    Raises `UnreadableSecretError` if it is none, and `StorageError`.
    """
    text = store.read(name)
    try:
        document = json.loads(text.lstrip(_BYTE_ORDER_MARK))
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise UnreadableSecretError("a secret is not a JSON object")
    return document


class WebhookSecrets:
    """The current and previous value of a signing secret, cached in memory for a minute.

    A signature that matches neither may be made with a newer value. So the values can be read again before the minute
    is over, the first time at once. While such a read finds no new value, the next one waits for 30 seconds, then twice
    as long, and so on. So a flood of forged events costs little more than the one read a minute. Forged events never
    delay the discovery of a new value by more than a minute.
    """

    MAX_AGE_SECONDS = 60
    REREAD_SECONDS = 1
    REREAD_IN_VAIN_SECONDS = 30
    MAX_PAUSE_SECONDS = 600

    def __init__(self, store: SecretStore, arn: str, clock: "Clock") -> None:
        self._store = store
        self._arn = arn
        self._clock = clock
        self._values: tuple[str, ...] = ()
        self._read_at = self._reread_at = float("-inf")
        self._pause = float(self.REREAD_SECONDS)
        self._failed_at = float("-inf")

    @property
    def current(self) -> str:
        """The value that new signatures are made with."""
        return self.accepted()[0]

    def accepted(self) -> tuple[str, ...]:
        """Return all values that a signature may be made with, the current value first."""
        if self._clock.monotonic() - self._read_at >= self.MAX_AGE_SECONDS:
            self._read()
        return self._values

    def reread(self) -> tuple[str, ...]:
        """Return the values after another read.

        If another read is not due yet, these are the values of the last read.
        """
        now = self._clock.monotonic()
        if now - self._reread_at >= self.MAX_PAUSE_SECONDS:
            self._pause = self.REREAD_SECONDS
        if now - self._read_at >= self._pause:
            before = self._values
            self._read()
            in_vain = min(max(self.REREAD_IN_VAIN_SECONDS, 2 * self._pause), self.MAX_PAUSE_SECONDS)
            self._pause = in_vain if self._values == before else self.REREAD_SECONDS
        self._reread_at = now
        return self._values

    def _read(self) -> None:
        if self._clock.monotonic() - self._failed_at < self.REREAD_SECONDS:
            raise StorageError("a signing secret could not be read a moment ago")
        try:
            self._values = self._read_values()
        except StorageError:
            self._failed_at = self._clock.monotonic()
            raise
        self._read_at = self._clock.monotonic()

    def _read_values(self) -> tuple[str, ...]:
        document = read_object(self._store, self._arn)
        # The previous value is empty except during a rotation.
        values = {name: document[name] for name in ("current", "previous") if document.get(name) not in (None, "")}
        if not values:
            raise UnreadableSecretError("a signing secret is empty")
        for name, value in values.items():
            if fault := key_fault(value):
                raise UnreadableSecretError(f"the {name} value of a signing secret {fault}")
        return tuple(values.values())
