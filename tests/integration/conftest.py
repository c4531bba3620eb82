"""A simulator and the environment of a sending function, for tests that run senders against the emulator."""

import json
import os
import sys
import uuid

import pytest

from cxone_messaging.adapters.consent_store import DynamoConsentStore
from cxone_messaging.adapters.ledger import DynamoLedger
from cxone_messaging.domain.consents import ConsentStatus
from cxone_messaging.domain.phone_numbers import PhoneNumber
from cxone_messaging.domain.pseudonyms import Pseudonyms
from cxone_messaging.platform.clock import SystemClock
from cxone_messaging.use_cases.manage_consents import GivenConsent, ManageConsents
from local.processes import Servers

RECIPIENT = "+15551234567"
PEPPER = "pepper"


@pytest.fixture
def simulator(tmp_path, free_port):
    """Run a simulator of this test's own, and give its URL."""
    servers = Servers(tmp_path)
    port = free_port()
    try:
        command = [sys.executable, "-m", "local.simulator", "--port", str(port)]
        servers.start("simulator", command, dict(os.environ), port)
        yield f"http://127.0.0.1:{port}"
    finally:
        servers.stop()


@pytest.fixture
def environment(emulator, simulator, secrets_manager, ledger_table, consents_table, coordination_table):
    """Give what a sending function finds in its environment."""

    def secret(text):
        return secrets_manager.create_secret(Name=uuid.uuid4().hex, SecretString=text)["ARN"]

    return {
        "AWS_ENDPOINT_URL": emulator,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": "us-east-1",
        "LEDGER_TABLE": ledger_table,
        "CONSENTS_TABLE": consents_table,
        "COORDINATION_TABLE": coordination_table,
        "PEPPER_SECRET_ARN": secret(PEPPER),
        "CREDENTIALS_SECRET_ARN": secret(json.dumps({"clientId": "local-client", "clientSecret": "local-secret&=+%"})),
        "SMS_TOKEN_SECRET_ARN": secret("{}"),
        "WEBHOOK_SECRET_ARN": secret(json.dumps({"current": "ab" * 32, "previous": ""})),
        "CXONE_SMS_BASE_URL": simulator,
        "CXONE_FROM_NUMBER": "12345",
        "CXONE_CAMPAIGN_ID": "campaign",
        "WEBHOOK_BASE_URL": "http://127.0.0.1:9",
    }


@pytest.fixture
def ledger(dynamodb, ledger_table):
    return DynamoLedger(dynamodb, ledger_table)


@pytest.fixture
def opted_in(dynamodb, consents_table, ledger):
    ManageConsents(
        ledger=ledger,
        consents=DynamoConsentStore(dynamodb, consents_table),
        pseudonyms=Pseudonyms(PEPPER),
        clock=SystemClock(),
    ).record(PhoneNumber.parse(RECIPIENT), GivenConsent(ConsentStatus.OPTED_IN, "test", None))
