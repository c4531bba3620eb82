"""What every send is put together from."""

import random
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from cxone_messaging.adapters.cxone.http import CxoneSession
from cxone_messaging.adapters.cxone.sms import CxoneSms
from cxone_messaging.adapters.cxone.token import TokenEndpoint
from cxone_messaging.adapters.cxone.token_cache import TokenCache
from cxone_messaging.adapters.dynamodb.governor import DynamoGovernor
from cxone_messaging.adapters.dynamodb.lease import DynamoRefreshLease
from cxone_messaging.adapters.secrets import SecretsManagerStore, WebhookSecrets, read_object
from cxone_messaging.domain.schedule import Pace
from cxone_messaging.domain.signatures import sign_reference
from cxone_messaging.platform import aws
from cxone_messaging.platform.clock import SystemClock
from cxone_messaging.platform.clock_skew import CheckedClock, ClockCheck
from cxone_messaging.platform.settings import SenderSettings
from cxone_messaging.platform.telemetry import Telemetry

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


def credentials(secret_arn: str) -> Callable[[], tuple[str, str]]:
    """Put together what reads CXone's client id and secret, as they are whenever a token is fetched."""

    def read() -> tuple[str, str]:
        document = read_object(SecretsManagerStore(aws.secrets_manager()), secret_arn)
        return str(document.get("clientId") or ""), str(document.get("clientSecret") or "")

    return read


def clock_check() -> ClockCheck:
    """Return what knows how far this machine's clock is off, from all answers of DynamoDB's: one for each process."""
    return _watching(aws.dynamodb())


@cache
def _watching(client: "DynamoDBClient") -> ClockCheck:
    check = ClockCheck(SystemClock())
    check.watch(client)
    return check


def sms_tokens(settings: SenderSettings, session: CxoneSession, telemetry: Telemetry) -> TokenCache:
    """Put together what gives the SMS family's token."""
    secrets = SecretsManagerStore(aws.secrets_manager())
    url = settings.cxone_sms_base_url + "/api/v2/oauth/token"
    return TokenCache(
        fetch=TokenEndpoint(session, url, credentials(settings.credentials_secret_arn), clock=SystemClock()),
        secrets=secrets,
        secret_arn=settings.sms_token_secret_arn,
        lease=DynamoRefreshLease(aws.dynamodb(), settings.coordination_table, "sms", clock_check()),
        clock=CheckedClock(SystemClock(), clock_check()),
        telemetry=telemetry,
        rng=random.Random(),  # noqa: S311  jitter is no secret
    )


def sms_gateway(settings: SenderSettings, telemetry: Telemetry) -> CxoneSms:
    """Put together what speaks CXone's SMS API."""
    session = CxoneSession(SystemClock())
    tokens = sms_tokens(settings, session, telemetry)
    return CxoneSms(settings.cxone_sms_base_url, tokens, session, SystemClock(), settings.send_timeout_seconds)


def pace(settings: SenderSettings) -> Pace:
    """Say how fast the account may send."""
    return Pace(settings.cxone_requests_per_second, settings.rate_utilisation_percent / 100)


def governor(settings: SenderSettings, telemetry: Telemetry) -> DynamoGovernor:
    """Put together what says who may send when; it learns the time from all answers of DynamoDB's."""
    return DynamoGovernor(
        client=aws.dynamodb(),
        table=settings.coordination_table,
        pace=pace(settings),
        clock=SystemClock(),
        telemetry=telemetry,
        rng=random.Random(),  # noqa: S311  jitter is no secret
        check=clock_check(),
    )


def callback_urls(settings: SenderSettings) -> Callable[[str], str]:
    """Put together what makes the URLs that messages' delivery events are posted to."""
    secrets = WebhookSecrets(SecretsManagerStore(aws.secrets_manager()), settings.callback_secret_arn, SystemClock())

    def callback_url(message_id: str) -> str:
        signature = sign_reference(secrets.current, message_id)
        return f"{settings.webhook_base_url}/webhooks/cxone/sms?ref={message_id}&sig={signature}"

    return callback_url
