"""The parts of every send.

Each handler composes its own use cases. Its composition gets the parts that do I/O as arguments, so that tests and
bench compose the same use cases from other parts.
"""

import os
import random
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module

from pydantic import Field

from cxone_messaging.adapters.cxone.http import CxoneSession
from cxone_messaging.adapters.cxone.sms_gateway import SmsGateway
from cxone_messaging.adapters.cxone.token_cache import TokenCache
from cxone_messaging.adapters.dynamodb.consents import ConsentStore, DynamoConsentStore
from cxone_messaging.adapters.dynamodb.governor import DynamoGovernor, Governor
from cxone_messaging.adapters.dynamodb.ledger import DynamoLedger
from cxone_messaging.adapters.dynamodb.schedule_item import ACCOUNT
from cxone_messaging.adapters.secrets import SecretsManagerStore, read_pepper
from cxone_messaging.domain.cxone_apis import DFO, SMS_V2
from cxone_messaging.domain.ledger import Ledger
from cxone_messaging.domain.pseudonyms import Pseudonyms
from cxone_messaging.domain.sms import SmsRules
from cxone_messaging.platform import aws
from cxone_messaging.platform.clock import Clock, SystemClock
from cxone_messaging.platform.message_settings import MessageSettings
from cxone_messaging.platform.rate_settings import RateSettings
from cxone_messaging.platform.telemetry import Telemetry, Unreported
from cxone_messaging.use_cases.journal import Journal
from cxone_messaging.use_cases.message_trail import MessageTrail
from cxone_messaging.use_cases.send.dispatcher import Dispatcher
from cxone_messaging.use_cases.send.sender_schedules import SenderSchedules
from cxone_messaging.wiring.tokens import SmsTokenSettings, clock_check

_MODULES = {SMS_V2: "cxone_messaging.wiring.sms_v2", DFO: "cxone_messaging.wiring.dfo"}


class SenderSettings(SmsTokenSettings, RateSettings, MessageSettings):
    """The settings of every send. The timeout is in seconds."""

    ledger_table: str
    consents_table: str
    pepper_secret_arn: str
    send_timeout_seconds: float = Field(default=20.0, gt=0, le=20)


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


def sms_gateway(settings: SenderSettings, telemetry: Telemetry) -> SmsGateway:
    """Return the client of the API that the stack speaks."""
    gateway: SmsGateway = import_module(_MODULES[settings.cxone_api]).sms_gateway(settings, telemetry)
    return gateway


def sms_tokens(settings: SenderSettings, session: CxoneSession, telemetry: Telemetry) -> TokenCache:
    """Return the cache of that API's token."""
    tokens: TokenCache = import_module(_MODULES[settings.cxone_api]).sms_tokens(settings, session, telemetry)
    return tokens


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


# The stack's API is imported while the function starts, and the other one never.
import_module(_MODULES.get(os.environ.get("CXONE_API", ""), _MODULES[SMS_V2]))
