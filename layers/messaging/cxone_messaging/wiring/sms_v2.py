"""The clients of the API of the two source documents, and their settings."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from cxone_messaging.adapters.cxone.http import CxoneSession
from cxone_messaging.adapters.cxone.sms_v2 import sms
from cxone_messaging.adapters.cxone.sms_v2.callback_urls import CallbackUrls
from cxone_messaging.adapters.cxone.sms_v2.sms import CxoneSms
from cxone_messaging.adapters.cxone.sms_v2.token import TokenEndpoint
from cxone_messaging.adapters.cxone.token_cache import TokenCache
from cxone_messaging.adapters.secrets import SecretsManagerStore, WebhookSecrets
from cxone_messaging.platform import aws
from cxone_messaging.platform.clock import SystemClock
from cxone_messaging.platform.settings import BaseUrl, Settings
from cxone_messaging.platform.telemetry import Telemetry
from cxone_messaging.wiring.tokens import SmsTokenSettings, read_credentials, token_cache

if TYPE_CHECKING:
    from cxone_messaging.wiring.sending import SenderSettings


class SmsV2Settings(Settings):
    """The settings of a sender that only this API has."""

    callback_secret_arn: str
    cxone_sms_base_url: BaseUrl
    webhook_base_url: BaseUrl


def credentials(secret_arn: str) -> Callable[[], tuple[str, str]]:
    """Return a function that reads CXone's client id and secret; a token fetch calls it."""

    def read() -> tuple[str, str]:
        document = read_credentials(secret_arn)
        return str(document.get("clientId") or ""), str(document.get("clientSecret") or "")

    return read


def sms_tokens(settings: SmsTokenSettings, session: CxoneSession, telemetry: Telemetry) -> TokenCache:
    """Return the cache of the SMS API's token."""
    url = SmsV2Settings.from_environment().cxone_sms_base_url + sms.TOKEN_PATH
    fetch = TokenEndpoint(session, url, credentials(settings.credentials_secret_arn), clock=SystemClock())
    return token_cache(settings, fetch, settings.sms_token_name, "sms", telemetry)


def sms_gateway(settings: "SenderSettings", telemetry: Telemetry) -> CxoneSms:
    """Return the client of CXone's SMS API."""
    own, clock = SmsV2Settings.from_environment(), SystemClock()
    session = CxoneSession(clock)
    secrets = WebhookSecrets(SecretsManagerStore(aws.secrets_manager()), own.callback_secret_arn, clock)
    return CxoneSms(
        own.cxone_sms_base_url,
        sms_tokens(settings, session, telemetry),
        session,
        clock,
        timeout_seconds=settings.send_timeout_seconds,
        callback_urls=CallbackUrls(own.webhook_base_url, secrets),
    )
