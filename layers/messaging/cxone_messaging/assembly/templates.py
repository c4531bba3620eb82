"""What checks, approves and shows templates."""

import random

from cxone_messaging.adapters.cxone import admin as cxone_admin
from cxone_messaging.adapters.cxone.admin import CxoneAdmin
from cxone_messaging.adapters.cxone.http import CxoneSession
from cxone_messaging.adapters.cxone.token import TokenEndpoint
from cxone_messaging.adapters.cxone.token_cache import TokenCache
from cxone_messaging.adapters.dynamodb.lease import DynamoRefreshLease
from cxone_messaging.adapters.dynamodb.ledger import DynamoLedger
from cxone_messaging.adapters.secrets import SecretsManagerStore, WebhookSecrets
from cxone_messaging.assembly.sending import clock_check, credentials
from cxone_messaging.platform import aws
from cxone_messaging.platform.clock import SystemClock
from cxone_messaging.platform.clock_skew import CheckedClock
from cxone_messaging.platform.settings import ApproveTemplateSettings
from cxone_messaging.platform.telemetry import Telemetry
from cxone_messaging.use_cases.approvals.approve import ApproveTemplate
from cxone_messaging.use_cases.approvals.once import ExclusiveStep
from cxone_messaging.use_cases.approvals.read import ReadApproval
from cxone_messaging.use_cases.approvals.registration import Register
from cxone_messaging.use_cases.approvals.subscription import Subscribe
from cxone_messaging.use_cases.approvals.validate import ValidateTemplate


def template_gateway(settings: ApproveTemplateSettings, telemetry: Telemetry) -> CxoneAdmin:
    """Put together what speaks CXone's messaging administration API."""
    clock, session = SystemClock(), CxoneSession(SystemClock())
    url = settings.cxone_api_base_url + cxone_admin.TOKEN_PATH
    tokens = TokenCache(
        fetch=TokenEndpoint(session, url, credentials(settings.credentials_secret_arn), cxone_admin.SCOPES, clock),
        secrets=SecretsManagerStore(aws.secrets_manager()),
        secret_arn=settings.admin_token_secret_arn,
        lease=DynamoRefreshLease(aws.dynamodb(), settings.coordination_table, "admin", clock_check()),
        clock=CheckedClock(clock, clock_check()),
        telemetry=telemetry,
        rng=random.Random(),  # noqa: S311  jitter is no secret
    )
    rng = random.Random()  # noqa: S311
    return cxone_admin.CxoneAdmin(settings.cxone_api_base_url, tokens, session, clock, rng)


def approve_template(settings: ApproveTemplateSettings, gateway: CxoneAdmin, telemetry: Telemetry) -> ApproveTemplate:
    """Put together what approves templates."""
    clock, ledger = SystemClock(), DynamoLedger(aws.dynamodb(), settings.ledger_table, telemetry=telemetry)
    secrets = WebhookSecrets(SecretsManagerStore(aws.secrets_manager()), settings.webhook_secret_arn, clock)
    url = settings.webhook_base_url + "/webhooks/cxone/events"
    steps = ExclusiveStep(ledger, clock)
    return ApproveTemplate(
        ledger=ledger,
        gateway=gateway,
        steps=steps,
        register=Register(steps, gateway, clock, telemetry),
        subscribe=Subscribe(steps, gateway, url, lambda: secrets.reread()[0]),
        default_operator=settings.cxone_operator_id,
        clock=clock,
        rng=random.Random(),  # noqa: S311  jitter is no secret
    )


def validate_template(gateway: CxoneAdmin) -> ValidateTemplate:
    """Put together what checks templates."""
    return ValidateTemplate(gateway, SystemClock())


def read_approval(settings: ApproveTemplateSettings) -> ReadApproval:
    """Put together what shows approvals."""
    return ReadApproval(DynamoLedger(aws.dynamodb(), settings.ledger_table))
