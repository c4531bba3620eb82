"""A simulator and the environment of a sending function, for tests that run senders against the emulator."""

import json
import multiprocessing
import time
import uuid

import pytest

from cxone_messaging.adapters.dynamodb.consents import DynamoConsentStore
from cxone_messaging.adapters.dynamodb.ledger import DynamoLedger
from cxone_messaging.domain.consents import ConsentStatus
from cxone_messaging.domain.phone_numbers import PhoneNumber
from cxone_messaging.domain.pseudonyms import Pseudonyms
from cxone_messaging.platform.clock import SystemClock
from cxone_messaging.use_cases.consents import ConsentFromApi
from functions.manage_consents.handler import manage_consents
from local import stand_ins, template
from local.processes import answers, free_port
from local.simulator import MAIN_CHANNEL
from tests import simulators
from tests.events import CALLBACK_SECRET, PEPPER, WEBHOOK_SECRET, Functions

RECIPIENT = "+12025550100"  # whom events are about

# The simulator's, of either API.
CREDENTIALS = {
    "clientId": "local-client",
    "clientSecret": "local-secret&=+%",
    "accessKeyId": "local-access-key",
    "accessKeySecret": "local-key-secret&+==",
}


@pytest.fixture
def simulator():
    """Run a simulator of this test's own, and give its URL."""
    port = free_port()
    process = multiprocessing.get_context("forkserver").Process(target=simulators.serve, args=(port,), daemon=True)
    process.start()
    try:
        give_up_at = time.monotonic() + 60
        while not answers(port):
            assert process.is_alive(), "the simulator ended"
            assert time.monotonic() < give_up_at, "the simulator does not answer"
            time.sleep(0.01)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.join(10)
        process.kill()


@pytest.fixture(scope="session")
def sqs(make_client):
    return make_client("sqs")


@pytest.fixture
def dead_letter_queue(sqs):
    return sqs.create_queue(QueueName=uuid.uuid4().hex)["QueueUrl"]


@pytest.fixture
def bulk_queue(sqs, dead_letter_queue):
    """Create a queue as the template defines it, and give its URL."""
    asked = sqs.get_queue_attributes(QueueUrl=dead_letter_queue, AttributeNames=["QueueArn"])
    properties = template.resources("AWS::SQS::Queue")["BulkQueue"]
    redrive = {**properties["RedrivePolicy"], "deadLetterTargetArn": asked["Attributes"]["QueueArn"]}
    attributes = {
        "VisibilityTimeout": str(properties["VisibilityTimeout"]),
        "RedrivePolicy": json.dumps(redrive),
    }
    return sqs.create_queue(QueueName=uuid.uuid4().hex, Attributes=attributes)["QueueUrl"]


@pytest.fixture
def token_store():
    """Give the store of the shared tokens; a test that is about it parametrizes this."""
    return "secretsmanager"


@pytest.fixture
def environment(
    emulator,
    simulator,
    secrets_manager,
    ledger_table,
    consents_table,
    coordination_table,
    bulk_queue,
    dead_letter_queue,
    token_store,
):
    """Give what a sending function finds in its environment."""

    def secret(text):
        return secrets_manager.create_secret(Name=uuid.uuid4().hex, SecretString=text)["ARN"]

    def token(name):
        return f"/cxone-messaging/{uuid.uuid4().hex}/{name}" if token_store == "ssm" else secret("{}")

    return {
        "AWS_ENDPOINT_URL": emulator,
        **stand_ins.CREDENTIALS,
        "LEDGER_TABLE": ledger_table,
        "CONSENTS_TABLE": consents_table,
        "COORDINATION_TABLE": coordination_table,
        "PEPPER_SECRET_ARN": secret(PEPPER),
        "CREDENTIALS_SECRET_ARN": secret(json.dumps(CREDENTIALS)),
        "TOKEN_STORE": token_store,
        "SMS_TOKEN_NAME": token("sms-token"),
        "ADMIN_TOKEN_NAME": token("admin-token"),
        "WEBHOOK_SECRET_ARN": secret(json.dumps({"current": WEBHOOK_SECRET, "previous": ""})),
        "CALLBACK_SECRET_ARN": secret(json.dumps({"current": CALLBACK_SECRET, "previous": ""})),
        "CXONE_SMS_BASE_URL": simulator,
        "CXONE_API_BASE_URL": simulator,
        "CXONE_ISSUER": simulator,
        "CXONE_DIGITAL_BASE_URL": simulator,
        "CXONE_CHANNEL_ID": MAIN_CHANNEL,
        "DEFAULT_SENDER": "12345",
        "CXONE_CAMPAIGN_ID": "campaign",
        "WEBHOOK_BASE_URL": "http://127.0.0.1:9",
        "INBOUND_EVENT": "message.inbound",
        "BULK_QUEUE_URL": bulk_queue,
        "BULK_DEAD_LETTER_QUEUE_URL": dead_letter_queue,
    }


@pytest.fixture
def dfo_environment(environment):
    """Give the same where the stack speaks Digital Engagement."""
    return environment | {"CXONE_API": "dfo-3.0", "DEFAULT_SENDER": MAIN_CHANNEL}


@pytest.fixture
def functions(environment, monkeypatch):
    """Give all functions, ready for the events of `events/`."""
    yield Functions(monkeypatch, environment)
    Functions.forget()


@pytest.fixture
def ledger(dynamodb, ledger_table):
    return DynamoLedger(dynamodb, ledger_table)


@pytest.fixture
def opted_in(dynamodb, consents_table, ledger):
    consents = DynamoConsentStore(dynamodb, consents_table)
    manage = manage_consents(ledger, consents, Pseudonyms(PEPPER), SystemClock())
    manage.record(PhoneNumber.parse(RECIPIENT), ConsentFromApi(ConsentStatus.OPTED_IN, "test", None))
