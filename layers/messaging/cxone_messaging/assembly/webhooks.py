"""What takes CXone's events."""

from functools import cache

from cxone_messaging.adapters.dynamodb.consents import DynamoConsentStore
from cxone_messaging.adapters.dynamodb.ledger import DynamoLedger
from cxone_messaging.adapters.secrets import SecretsManagerStore, WebhookSecrets
from cxone_messaging.assembly.pseudonyms import pseudonyms
from cxone_messaging.domain.pseudonyms import Pseudonyms
from cxone_messaging.platform import aws
from cxone_messaging.platform.clock import SystemClock
from cxone_messaging.platform.settings import ReceiveWebhookSettings
from cxone_messaging.platform.telemetry import Telemetry
from cxone_messaging.use_cases.consents import ManageConsents
from cxone_messaging.use_cases.events.delivery import RecordDelivery
from cxone_messaging.use_cases.events.old_urls import OldUrls
from cxone_messaging.use_cases.events.receive_event import ReceiveEvent
from cxone_messaging.use_cases.events.subscription import RecordEvent


def receive_event(settings: ReceiveWebhookSettings, telemetry: Telemetry) -> ReceiveEvent:
    """Put together what takes CXone's events; most need no pepper, so it is read for the first that does."""
    ledger, clock = DynamoLedger(aws.dynamodb(), settings.ledger_table, telemetry=telemetry), SystemClock()

    @cache
    def names() -> Pseudonyms:
        return pseudonyms(settings.pepper_secret_arn)

    @cache
    def consents() -> ManageConsents:
        store = DynamoConsentStore(aws.dynamodb(), settings.consents_table)
        return ManageConsents(ledger=ledger, consents=store, pseudonyms=names(), clock=clock)

    store = SecretsManagerStore(aws.secrets_manager())
    secrets = WebhookSecrets(store, settings.webhook_secret_arn, clock)
    return ReceiveEvent(
        record_delivery=RecordDelivery(ledger, clock, telemetry),
        record_event=cache(lambda: RecordEvent(ledger, consents(), names(), clock)),
        consents=consents,
        secrets=secrets,
        callback_secrets=WebhookSecrets(store, settings.callback_secret_arn, clock),
        clock=clock,
        telemetry=telemetry,
        old_urls=OldUrls(secrets, ledger, clock),
    )
