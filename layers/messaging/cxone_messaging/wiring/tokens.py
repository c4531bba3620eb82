"""The token of the API that a stack speaks: its settings, its cache, and where the cache is shared."""

import random
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from cxone_messaging.adapters.cxone.token_cache import FetchToken, TokenCache
from cxone_messaging.adapters.dynamodb.token_lease import DynamoRefreshLease
from cxone_messaging.adapters.secrets import ParameterStore, SecretsManagerStore, SecretStore, read_object
from cxone_messaging.platform import aws
from cxone_messaging.platform.clock import SystemClock
from cxone_messaging.platform.clock_skew import CheckedClock, ClockCheck
from cxone_messaging.platform.settings import Settings
from cxone_messaging.platform.telemetry import Telemetry

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class TokenSettings(Settings):
    """The settings of every function that calls CXone, and so needs a token."""

    coordination_table: str
    credentials_secret_arn: str
    token_store: Literal["secretsmanager", "ssm"] = "secretsmanager"  # noqa: S105  no password


class SmsTokenSettings(TokenSettings):
    """The settings of every function that sends, or reads what was sent."""

    sms_token_name: str


def read_credentials(secret_arn: str) -> Mapping[str, Any]:
    """Return the document of the credentials secret. Raises `StorageError`."""
    return read_object(SecretsManagerStore(aws.secrets_manager()), secret_arn)


def clock_check() -> ClockCheck:
    """Return this process's check of its clock, which learns from all answers of DynamoDB's."""
    return _watching(aws.dynamodb())


@cache
def _watching(client: "DynamoDBClient") -> ClockCheck:
    check = ClockCheck(SystemClock())
    check.watch(client)
    return check


def token_cache(
    settings: TokenSettings, fetch: FetchToken, name: str, family: str, telemetry: Telemetry, *, located: bool = False
) -> TokenCache:
    """Return the cache of the token of one family (`sms`, `admin`).

    `name` is the shared token's in its store. The lease lets one process fetch at a time. `located` is `TokenCache`'s.
    """
    return TokenCache(
        fetch=fetch,
        store=token_store(settings),
        name=name,
        lease=DynamoRefreshLease(aws.dynamodb(), settings.coordination_table, family, clock_check()),
        clock=CheckedClock(SystemClock(), clock_check()),
        telemetry=telemetry,
        rng=random.Random(),  # noqa: S311  jitter is no secret
        located=located,
    )


def token_store(settings: TokenSettings) -> SecretStore:
    """Return the store of the shared tokens; a client for Parameter Store is made only if that is chosen."""
    if settings.token_store == "ssm":  # noqa: S105  no password
        return ParameterStore(aws.ssm())
    return SecretsManagerStore(aws.secrets_manager())
