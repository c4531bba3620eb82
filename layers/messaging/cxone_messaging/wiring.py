"""The compositions that several functions share: the parts of every send, and CXone's tokens.

Each handler composes its own use cases. Its composition gets the parts that do I/O as arguments, so that tests and
bench compose the same use cases from other parts.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from cxone_messaging.adapters.cxone.http import CxoneSession
from cxone_messaging.adapters.cxone.sms_gateway import SmsGateway
from cxone_messaging.adapters.cxone.sms_v2 import sms
from cxone_messaging.adapters.cxone.sms_v2.callback_urls import CallbackUrls
from cxone_messaging.adapters.cxone.sms_v2.sms import CxoneSms
from cxone_messaging.adapters.cxone.sms_v2.token import TokenEndpoint
from cxone_messaging.adapters.cxone.token_cache import TokenCache
from cxone_messaging.adapters.dynamodb.consents import ConsentStore, DynamoConsentStore
from cxone_messaging.adapters.dynamodb.governor import DynamoGovernor, Governor
from cxone_messaging.adapters.dynamodb.lease import DynamoRefreshLease
from cxone_messaging.adapters.dynamodb.ledger import DynamoLedger
from cxone_messaging.adapters.dynamodb.schedule_item import ACCOUNT
from cxone_messaging.adapters.secrets import (
    ParameterStore,
    SecretsManagerStore,
    SecretStore,
    WebhookSecrets,
    read_object,
    read_pepper,
)
from cxone_messaging.domain.ledger import Ledger
from cxone_messaging.domain.phone_numbers import DEFAULT_COUNTRY
from cxone_messaging.domain.pseudonyms import Pseudonyms
from cxone_messaging.domain.sms import SmsRules
from cxone_messaging.platform import aws
from cxone_messaging.platform.clock import Clock, SystemClock
from cxone_messaging.platform.clock_skew import CheckedClock, ClockCheck
from cxone_messaging.platform.rate_settings import RateSettings
from cxone_messaging.platform.settings import BaseUrl, Country, Identifier, Sender, Settings
from cxone_messaging.platform.telemetry import Telemetry, Unreported
from cxone_messaging.use_cases.journal import Journal
from cxone_messaging.use_cases.message_trail import MessageTrail
from cxone_messaging.use_cases.send.dispatcher import Dispatcher
from cxone_messaging.use_cases.send.sender_schedules import SenderSchedules

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class TokenSettings(Settings):
    """The settings of every function that calls CXone, and so needs a token."""

    coordination_table: str
    credentials_secret_arn: str
    token_store: Literal["secretsmanager", "ssm"] = "secretsmanager"  # noqa: S105  no password


class SenderSettings(TokenSettings, RateSettings):
    """The settings of every send. Timeouts are in seconds."""

    ledger_table: str
    consents_table: str
    pepper_secret_arn: str
    sms_token_name: str
    callback_secret_arn: str
    cxone_sms_base_url: BaseUrl
    cxone_from_number: Sender = ""
    cxone_campaign_id: Identifier = ""
    webhook_base_url: BaseUrl
    max_segments: int = Field(default=10, ge=1, le=255)
    default_country: Country = DEFAULT_COUNTRY
    send_timeout_seconds: float = Field(default=20.0, gt=0, le=20)

    @property
    def rules(self) -> SmsRules:
        """The rules that a message must keep."""
        return SmsRules(self.cxone_campaign_id, self.cxone_from_number, self.max_segments, self.default_country)


@dataclass(frozen=True, slots=True)
class SenderParts:
    """The parts of a send that do I/O, and the random numbers."""

    ledger: Ledger
    consents: ConsentStore
    gateway: SmsGateway
    governor: Governor
    schedules: SenderSchedules
    pseudonyms: Pseudonyms
    rules: SmsRules
    clock: Clock
    telemetry: Telemetry
    rng: random.Random

    @property
    def trail(self) -> MessageTrail:
        """The writer of messages' chains."""
        return MessageTrail(Journal(self.ledger, self.clock), self.clock, self.telemetry)

    @property
    def dispatcher(self) -> Dispatcher:
        """The sender of messages in slots."""
        return Dispatcher(self.gateway, self.governor, self.schedules, self.clock, self.telemetry)


def sender_parts(settings: SenderSettings, telemetry: Telemetry) -> SenderParts:
    """Return the parts of a send on AWS."""
    clock = SystemClock()
    return SenderParts(
        ledger=DynamoLedger(aws.dynamodb(), settings.ledger_table, telemetry=telemetry),
        consents=DynamoConsentStore(aws.dynamodb(), settings.consents_table),
        gateway=sms_gateway(settings, telemetry),
        governor=governor(settings, telemetry),
        schedules=sender_schedules(settings),
        pseudonyms=Pseudonyms(read_pepper(SecretsManagerStore(aws.secrets_manager()), settings.pepper_secret_arn)),
        rules=settings.rules,
        clock=clock,
        telemetry=telemetry,
        rng=random.Random(),  # noqa: S311  jitter is no secret
    )


def credentials(secret_arn: str) -> Callable[[], tuple[str, str]]:
    """Return a function that reads CXone's client id and secret; a token fetch calls it."""

    def read() -> tuple[str, str]:
        document = read_object(SecretsManagerStore(aws.secrets_manager()), secret_arn)
        return str(document.get("clientId") or ""), str(document.get("clientSecret") or "")

    return read


def clock_check() -> ClockCheck:
    """Return this process's check of its clock, which learns from all answers of DynamoDB's."""
    return _watching(aws.dynamodb())


@cache
def _watching(client: "DynamoDBClient") -> ClockCheck:
    check = ClockCheck(SystemClock())
    check.watch(client)
    return check


def token_cache(
    settings: TokenSettings, fetch: TokenEndpoint, name: str, family: str, telemetry: Telemetry
) -> TokenCache:
    """Return the cache of the token of one family (`sms`, `admin`).

    `name` is the shared token's in its store. The lease lets one process fetch at a time.
    """
    return TokenCache(
        fetch=fetch,
        store=token_store(settings),
        name=name,
        lease=DynamoRefreshLease(aws.dynamodb(), settings.coordination_table, family, clock_check()),
        clock=CheckedClock(SystemClock(), clock_check()),
        telemetry=telemetry,
        rng=random.Random(),  # noqa: S311  jitter is no secret
    )


def token_store(settings: TokenSettings) -> SecretStore:
    """Return the store of the shared tokens; a client for Parameter Store is made only if that is chosen."""
    if settings.token_store == "ssm":  # noqa: S105  no password
        return ParameterStore(aws.ssm())
    return SecretsManagerStore(aws.secrets_manager())


def sms_tokens(settings: SenderSettings, session: CxoneSession, telemetry: Telemetry) -> TokenCache:
    """Return the cache of the SMS API's token."""
    url = settings.cxone_sms_base_url + sms.TOKEN_PATH
    fetch = TokenEndpoint(session, url, credentials(settings.credentials_secret_arn), clock=SystemClock())
    return token_cache(settings, fetch, settings.sms_token_name, "sms", telemetry)


def sms_gateway(settings: SenderSettings, telemetry: Telemetry) -> CxoneSms:
    """Return the client of CXone's SMS API."""
    session = CxoneSession(SystemClock())
    tokens = sms_tokens(settings, session, telemetry)
    secrets = WebhookSecrets(SecretsManagerStore(aws.secrets_manager()), settings.callback_secret_arn, SystemClock())
    urls = CallbackUrls(settings.webhook_base_url, secrets)
    return CxoneSms(
        settings.cxone_sms_base_url,
        tokens,
        session,
        SystemClock(),
        timeout_seconds=settings.send_timeout_seconds,
        callback_urls=urls,
    )


def governor(
    settings: SenderSettings, telemetry: Telemetry, name: str = ACCOUNT, requests_per_second: float | None = None
) -> DynamoGovernor:
    """Return the account's schedule, or one sender's by `name` and its rate."""
    own = replace(settings.rate, requests_per_second=requests_per_second) if requests_per_second else None
    return DynamoGovernor(
        client=aws.dynamodb(),
        table=settings.coordination_table,
        rate=own or settings.rate,
        clock=SystemClock(),
        telemetry=telemetry,
        rng=random.Random(),  # noqa: S311  jitter is no secret
        check=clock_check(),
        name=name,
    )


def sender_schedules(settings: SenderSettings) -> SenderSchedules:
    """Return the schedules of the senders with a rate of their own."""
    rng = random.Random()  # noqa: S311  jitter is no secret
    return SenderSchedules(settings.sender_rates, partial(governor, settings, Unreported()), SystemClock(), rng)
