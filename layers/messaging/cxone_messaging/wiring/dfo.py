"""The clients of Digital Engagement, "DFO 3.0", and their settings."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from pydantic import Field

from cxone_messaging.adapters.cxone.dfo.messages import DfoMessages
from cxone_messaging.adapters.cxone.dfo.sms import DfoSms, NumberFormat
from cxone_messaging.adapters.cxone.dfo.token import AccessKey, DfoTokenEndpoint
from cxone_messaging.adapters.cxone.http import CxoneSession
from cxone_messaging.adapters.cxone.token_cache import TokenCache
from cxone_messaging.adapters.dynamodb.used_channels import UsedChannels
from cxone_messaging.platform import aws
from cxone_messaging.platform.clock import SystemClock
from cxone_messaging.platform.settings import BaseUrl, Settings
from cxone_messaging.platform.telemetry import Telemetry
from cxone_messaging.wiring.tokens import SmsTokenSettings, read_credentials, token_cache

if TYPE_CHECKING:
    from cxone_messaging.wiring.sending import SenderSettings


class DfoSettings(Settings):
    """The settings that only this API has.

    `cxone_digital_base_url` replaces what discovery finds. `cxone_reference_field` is the custom field of a contact
    that gets a reference to each message.
    """

    cxone_issuer: BaseUrl
    cxone_digital_base_url: BaseUrl = ""
    cxone_recipient_format: NumberFormat = "digits"
    cxone_reference_field: str = Field(default="", max_length=128)


def credentials(secret_arn: str) -> Callable[[], AccessKey]:
    """Return a function that reads the four credentials; a token fetch calls it."""

    def read() -> AccessKey:
        document = read_credentials(secret_arn)
        names = ("clientId", "clientSecret", "accessKeyId", "accessKeySecret")
        return AccessKey(*(str(document.get(name) or "") for name in names))

    return read


def sms_tokens(settings: SmsTokenSettings, session: CxoneSession, telemetry: Telemetry) -> TokenCache:
    """Return the cache of the digital API's token, and of where that API is."""
    own, clock = DfoSettings.from_environment(), SystemClock()
    read = credentials(settings.credentials_secret_arn)
    fetch = DfoTokenEndpoint(session, own.cxone_issuer, read, clock, own.cxone_digital_base_url)
    return token_cache(settings, fetch, settings.sms_token_name, "dfo", telemetry, located=True)


def sms_gateway(settings: "SenderSettings", telemetry: Telemetry) -> DfoSms:
    """Return the client of the outbound messages."""
    own, clock = DfoSettings.from_environment(), SystemClock()
    session = CxoneSession(clock)
    channels = UsedChannels(aws.dynamodb(), settings.coordination_table)
    return DfoSms(
        sms_tokens(settings, session, telemetry),
        session,
        clock,
        timeout_seconds=settings.send_timeout_seconds,
        number_format=own.cxone_recipient_format,
        reference_field=own.cxone_reference_field,
        # The collector knows its own.
        on_channel=lambda channel: channels.add(channel) if channel != settings.default_sender else None,
    )


def message_records(settings: SmsTokenSettings, telemetry: Telemetry) -> DfoMessages:
    """Return the client of CXone's records of messages."""
    session = CxoneSession(SystemClock())
    reference_field = DfoSettings.from_environment().cxone_reference_field
    return DfoMessages(sms_tokens(settings, session, telemetry), session, reference_field)
