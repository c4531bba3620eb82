"""How the floors are put together for each function. Each use case is built once, at a function's first request."""

import random
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from cxone_messaging.adapters.bulk_queue import SqsBulkQueue
from cxone_messaging.adapters.consent_store import DynamoConsentStore
from cxone_messaging.adapters.cxone_http import CxoneSession
from cxone_messaging.adapters.cxone_sms import CxoneSms
from cxone_messaging.adapters.cxone_token import TokenEndpoint
from cxone_messaging.adapters.governor import DynamoGovernor, Pace
from cxone_messaging.adapters.lease import DynamoRefreshLease
from cxone_messaging.adapters.ledger import DynamoLedger
from cxone_messaging.adapters.secret_store import SecretsManagerStore, WebhookSecrets, read_object
from cxone_messaging.adapters.token_cache import TokenCache
from cxone_messaging.domain.messages import SmsRules
from cxone_messaging.domain.pseudonyms import Pseudonyms
from cxone_messaging.domain.signatures import sign_reference
from cxone_messaging.platform import aws
from cxone_messaging.platform.clock import SystemClock
from cxone_messaging.platform.settings import (
    ApproveTemplateSettings,
    CheckpointLedgerSettings,
    ManageConsentsSettings,
    ReadLedgerSettings,
    ReceiveWebhookSettings,
    SendBulkSettings,
    SenderSettings,
    SendMessageSettings,
    SubmitBulkSettings,
    SweepLedgerSettings,
)
from cxone_messaging.platform.telemetry import Telemetry
from cxone_messaging.use_cases.checkpoint_ledger import CheckpointLedger
from cxone_messaging.use_cases.manage_consents import ManageConsents
from cxone_messaging.use_cases.read_message import ReadMessage
from cxone_messaging.use_cases.receive_event import ReceiveEvent
from cxone_messaging.use_cases.record_delivery import RecordDelivery
from cxone_messaging.use_cases.record_event import RecordEvent
from cxone_messaging.use_cases.send_batch import SendBatch
from cxone_messaging.use_cases.send_message import SendMessage
from cxone_messaging.use_cases.submit_batch import ReadBatch, SubmitBatch
from cxone_messaging.use_cases.sweep import Sweep
from cxone_messaging.use_cases.work_queue import WorkQueue

if TYPE_CHECKING:
    from cxone_messaging.adapters.cxone_admin import CxoneAdmin
    from cxone_messaging.use_cases.approve_template import ApproveTemplate
    from cxone_messaging.use_cases.read_approval import ReadApproval
    from cxone_messaging.use_cases.validate_template import ValidateTemplate


def credentials(secret_arn: str) -> Callable[[], tuple[str, str]]:
    """Put together what reads CXone's client id and secret, as they are whenever a token is fetched."""

    def read() -> tuple[str, str]:
        document = read_object(SecretsManagerStore(aws.secrets_manager()), secret_arn)
        return str(document.get("clientId", "")), str(document.get("clientSecret", ""))

    return read


def sms_tokens(settings: SenderSettings, session: CxoneSession, telemetry: Telemetry) -> TokenCache:
    """Put together what gives the SMS family's token."""
    secrets = SecretsManagerStore(aws.secrets_manager())
    url = settings.cxone_sms_base_url + "/api/v2/oauth/token"
    return TokenCache(
        fetch=TokenEndpoint(session, url, credentials(settings.credentials_secret_arn)),
        secrets=secrets,
        secret_arn=settings.sms_token_secret_arn,
        lease=DynamoRefreshLease(aws.dynamodb(), settings.coordination_table, "sms"),
        clock=SystemClock(),
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
    """Put together what says who may send when."""
    return DynamoGovernor(
        client=aws.dynamodb(),
        table=settings.coordination_table,
        pace=pace(settings),
        clock=SystemClock(),
        telemetry=telemetry,
        rng=random.Random(),  # noqa: S311  jitter is no secret
    )


def callback_urls(settings: SenderSettings) -> Callable[[str], str]:
    """Put together what makes the URLs that messages' delivery events are posted to."""
    secrets = WebhookSecrets(SecretsManagerStore(aws.secrets_manager()), settings.webhook_secret_arn, SystemClock())

    def callback_url(message_id: str) -> str:
        signature = sign_reference(secrets.current, message_id)
        return f"{settings.webhook_base_url}/webhooks/cxone/sms?ref={message_id}&sig={signature}"

    return callback_url


def pseudonyms(pepper_secret_arn: str) -> Pseudonyms:
    """Put together what names what must not be stored in the clear."""
    return Pseudonyms(SecretsManagerStore(aws.secrets_manager()).read(pepper_secret_arn))


def send_message(settings: SendMessageSettings, telemetry: Telemetry) -> SendMessage:
    """Put together what sends one message."""
    return SendMessage(
        ledger=DynamoLedger(aws.dynamodb(), settings.ledger_table),
        consents=DynamoConsentStore(aws.dynamodb(), settings.consents_table),
        gateway=sms_gateway(settings, telemetry),
        governor=governor(settings, telemetry),
        horizon_seconds=settings.slot_horizon_seconds,
        pseudonyms=pseudonyms(settings.pepper_secret_arn),
        rules=SmsRules(settings.cxone_campaign_id, settings.cxone_from_number, settings.max_segments),
        callback_url=callback_urls(settings),
        clock=SystemClock(),
        telemetry=telemetry,
        rng=random.Random(),  # noqa: S311  jitter is no secret
    )


def work_queue(settings: SendBulkSettings, telemetry: Telemetry) -> WorkQueue:
    """Put together what works off the bulk queue."""
    send = SendBatch(
        ledger=DynamoLedger(aws.dynamodb(), settings.ledger_table),
        consents=DynamoConsentStore(aws.dynamodb(), settings.consents_table),
        gateway=sms_gateway(settings, telemetry),
        governor=governor(settings, telemetry),
        slot_seconds=pace(settings).slot_seconds,
        pseudonyms=pseudonyms(settings.pepper_secret_arn),
        rules=SmsRules(settings.cxone_campaign_id, settings.cxone_from_number, settings.max_segments),
        callback_url=callback_urls(settings),
        clock=SystemClock(),
        telemetry=telemetry,
        rng=random.Random(),  # noqa: S311  jitter is no secret
    )
    return WorkQueue(send, SqsBulkQueue(aws.sqs(), settings.bulk_queue_url, settings.bulk_dead_letter_queue_url))


def submit_batch(settings: SubmitBulkSettings) -> SubmitBatch:
    """Put together what takes a batch."""
    return SubmitBatch(
        ledger=DynamoLedger(aws.dynamodb(), settings.ledger_table),
        consents=DynamoConsentStore(aws.dynamodb(), settings.consents_table),
        queue=SqsBulkQueue(aws.sqs(), settings.bulk_queue_url),
        pseudonyms=pseudonyms(settings.pepper_secret_arn),
        rules=SmsRules(settings.cxone_campaign_id, settings.cxone_from_number, settings.max_segments),
        clock=SystemClock(),
    )


def read_batch(settings: ReadLedgerSettings) -> ReadBatch:
    """Put together what counts a batch."""
    return ReadBatch(DynamoLedger(aws.dynamodb(), settings.ledger_table))


def manage_consents(settings: ManageConsentsSettings) -> ManageConsents:
    """Put together what records consent."""
    return ManageConsents(
        ledger=DynamoLedger(aws.dynamodb(), settings.ledger_table),
        consents=DynamoConsentStore(aws.dynamodb(), settings.consents_table),
        pseudonyms=pseudonyms(settings.pepper_secret_arn),
        clock=SystemClock(),
    )


def read_message(settings: ReadLedgerSettings, telemetry: Telemetry) -> ReadMessage:
    """Put together what shows a message."""
    return ReadMessage(DynamoLedger(aws.dynamodb(), settings.ledger_table), SystemClock(), telemetry)


def receive_event(settings: ReceiveWebhookSettings, telemetry: Telemetry) -> ReceiveEvent:
    """Put together what takes CXone's events; most need no pepper, so it is read for the first that does."""
    ledger, clock = DynamoLedger(aws.dynamodb(), settings.ledger_table), SystemClock()

    @cache
    def names() -> Pseudonyms:
        return pseudonyms(settings.pepper_secret_arn)

    @cache
    def consents() -> ManageConsents:
        store = DynamoConsentStore(aws.dynamodb(), settings.consents_table)
        return ManageConsents(ledger=ledger, consents=store, pseudonyms=names(), clock=clock)

    return ReceiveEvent(
        record_delivery=RecordDelivery(ledger, clock, telemetry),
        record_event=cache(lambda: RecordEvent(ledger, consents(), names(), clock)),
        consents=consents,
        secrets=WebhookSecrets(SecretsManagerStore(aws.secrets_manager()), settings.webhook_secret_arn, clock),
        clock=clock,
        telemetry=telemetry,
    )


# Templates: what only their function needs is imported only there, since each module costs a cold start.


def template_gateway(settings: ApproveTemplateSettings, telemetry: Telemetry) -> "CxoneAdmin":
    """Put together what speaks CXone's messaging administration API."""
    from cxone_messaging.adapters import cxone_admin  # noqa: PLC0415

    clock, session = SystemClock(), CxoneSession(SystemClock())
    url = settings.cxone_api_base_url + cxone_admin.TOKEN_PATH
    tokens = TokenCache(
        fetch=TokenEndpoint(session, url, credentials(settings.credentials_secret_arn), cxone_admin.SCOPES),
        secrets=SecretsManagerStore(aws.secrets_manager()),
        secret_arn=settings.admin_token_secret_arn,
        lease=DynamoRefreshLease(aws.dynamodb(), settings.coordination_table, "admin"),
        clock=clock,
        telemetry=telemetry,
        rng=random.Random(),  # noqa: S311  jitter is no secret
    )
    rng = random.Random()  # noqa: S311
    return cxone_admin.CxoneAdmin(settings.cxone_api_base_url, tokens, session, clock, rng)


def approve_template(
    settings: ApproveTemplateSettings, gateway: "CxoneAdmin", telemetry: Telemetry
) -> "ApproveTemplate":
    """Put together what approves templates."""
    from cxone_messaging.use_cases.approve_template import ApproveTemplate  # noqa: PLC0415
    from cxone_messaging.use_cases.exclusive_step import ExclusiveStep  # noqa: PLC0415
    from cxone_messaging.use_cases.subscribe import Subscribe  # noqa: PLC0415

    clock, ledger = SystemClock(), DynamoLedger(aws.dynamodb(), settings.ledger_table)
    secrets = WebhookSecrets(SecretsManagerStore(aws.secrets_manager()), settings.webhook_secret_arn, clock)
    url = settings.webhook_base_url + "/webhooks/cxone/events"
    subscribe = Subscribe(ExclusiveStep(ledger, clock), gateway, url, lambda: secrets.reread()[0], clock)
    return ApproveTemplate(
        ledger=ledger,
        gateway=gateway,
        subscribe=subscribe,
        default_operator=settings.cxone_operator_id,
        clock=clock,
        telemetry=telemetry,
        rng=random.Random(),  # noqa: S311  jitter is no secret
    )


def validate_template(gateway: "CxoneAdmin") -> "ValidateTemplate":
    """Put together what checks templates."""
    from cxone_messaging.use_cases.validate_template import ValidateTemplate  # noqa: PLC0415

    return ValidateTemplate(gateway)


def read_approval(settings: ApproveTemplateSettings) -> "ReadApproval":
    """Put together what shows approvals."""
    from cxone_messaging.use_cases.read_approval import ReadApproval  # noqa: PLC0415

    return ReadApproval(DynamoLedger(aws.dynamodb(), settings.ledger_table))


def checkpoint_ledger(settings: CheckpointLedgerSettings) -> CheckpointLedger:
    """Put together what makes the ledger's checkpoints."""
    return CheckpointLedger(DynamoLedger(aws.dynamodb(), settings.ledger_table), SystemClock())


def sweep(settings: SweepLedgerSettings, telemetry: Telemetry) -> Sweep:
    """Put together what joins late events and counts what stays unknown."""
    ledger = DynamoLedger(aws.dynamodb(), settings.ledger_table)
    return Sweep(ledger, SystemClock(), telemetry, settings.unknown_patience_minutes * 60)
