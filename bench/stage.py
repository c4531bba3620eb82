"""The stage of the measurements: the emulator, the simulator, and a sending function's environment."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import requests

from cli.target import aws_client
from cxone_messaging.adapters.dynamodb.consents import DynamoConsentStore
from cxone_messaging.domain.consents import Consent, ConsentStatus
from cxone_messaging.domain.phone_numbers import PhoneNumber
from cxone_messaging.domain.pseudonyms import Pseudonyms
from local import stand_ins, template
from local.processes import Servers, free_port
from local.stand_ins import REGION

PEPPER = "99" * 32
WEBHOOK_SECRET, CALLBACK_SECRET = "ab" * 32, "cd" * 32
RECIPIENTS = [f"+1555123{number:04d}" for number in range(1000)]

# The naive handler's, as Powertools wants it.
_IDEMPOTENCY_TABLE: Any = {
    "TableName": "IdempotencyTable",
    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    "BillingMode": "PAY_PER_REQUEST",
}


@dataclass(frozen=True, slots=True)
class Stage:
    """The addresses of the servers; `environment` is the functions'."""

    endpoint: str
    simulator_url: str
    environment: dict[str, str]

    def client(self, service: str) -> Any:
        """Return an AWS client for the emulator."""
        return aws_client(service, self.endpoint, REGION)

    def simulate(self, **settings: object) -> None:
        """Change the simulator's settings."""
        requests.put(f"{self.simulator_url}/_simulator/settings", json=settings, timeout=10).raise_for_status()

    def log(self, operation: str) -> list[dict[str, Any]]:
        """Return CXone's requests and answers from the simulator's log."""
        answer = requests.get(f"{self.simulator_url}/_simulator/log", params={"operation": operation}, timeout=120)
        entries: list[dict[str, Any]] = answer.json()["entries"]
        return entries

    def accepted(self) -> list[dict[str, Any]]:
        """Return the messages that CXone accepted."""
        answer = requests.get(f"{self.simulator_url}/_simulator/messages", timeout=120)
        messages: list[dict[str, Any]] = answer.json()["messages"]
        return messages


@contextmanager
def stage() -> Iterator[Stage]:
    """Yield a fresh stage, with the template's tables, and stop it afterwards."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        servers = Servers(folder)
        try:
            emulator = stand_ins.start_emulator(servers, free_port(), folder)
            simulator = stand_ins.start_simulator(servers, free_port())
            yield Stage(emulator, simulator, _furnish(emulator, simulator))
        finally:
            servers.stop()


@contextmanager
def simulator() -> Iterator[Stage]:
    """Yield a stage with nothing but a fresh simulator, and stop it afterwards."""
    with TemporaryDirectory() as name:
        servers = Servers(Path(name))
        try:
            yield Stage("", stand_ins.start_simulator(servers, free_port()), {})
        finally:
            servers.stop()


def _furnish(emulator: str, simulator: str) -> dict[str, str]:
    dynamodb, secrets, sqs = (aws_client(name, emulator, REGION) for name in ("dynamodb", "secretsmanager", "sqs"))
    for table in ("LedgerTable", "ConsentsTable", "CoordinationTable"):
        dynamodb.create_table(**template.table(table, table))
    dynamodb.create_table(**_IDEMPOTENCY_TABLE)
    given = {
        "PEPPER_SECRET_ARN": PEPPER,
        "CREDENTIALS_SECRET_ARN": json.dumps({"clientId": "local-client", "clientSecret": "local-secret&=+%"}),
        "SMS_TOKEN_NAME": "{}",
        "WEBHOOK_SECRET_ARN": json.dumps({"current": WEBHOOK_SECRET, "previous": ""}),
        "CALLBACK_SECRET_ARN": json.dumps({"current": CALLBACK_SECRET, "previous": ""}),
    }
    arns = {name: secrets.create_secret(Name=name, SecretString=text)["ARN"] for name, text in given.items()}
    queue = sqs.create_queue(QueueName="bulk", Attributes={"VisibilityTimeout": "360"})["QueueUrl"]
    dead = sqs.create_queue(QueueName="bulk-dead")["QueueUrl"]
    _opt_in(DynamoConsentStore(dynamodb, "ConsentsTable"))
    return {
        **stand_ins.CREDENTIALS,
        **arns,
        "AWS_ENDPOINT_URL": emulator,
        "LEDGER_TABLE": "LedgerTable",
        "CONSENTS_TABLE": "ConsentsTable",
        "COORDINATION_TABLE": "CoordinationTable",
        "IDEMPOTENCY_TABLE": "IdempotencyTable",
        "CXONE_SMS_BASE_URL": simulator,
        "DEFAULT_SENDER": "12345",
        "CXONE_FROM_NUMBER": "12345",  # the naive handler's
        "CXONE_CAMPAIGN_ID": "campaign",
        "WEBHOOK_BASE_URL": "http://127.0.0.1:9",
        "BULK_QUEUE_URL": queue,
        "BULK_DEAD_LETTER_QUEUE_URL": dead,
    }


def _opt_in(consents: DynamoConsentStore) -> None:
    pseudonyms = Pseudonyms(PEPPER)
    for text in RECIPIENTS:
        number = PhoneNumber.parse(text)
        consents.store(
            Consent(
                recipient_hash=pseudonyms.recipient_hash(number),
                recipient=number.masked,
                status=ConsentStatus.OPTED_IN,
                source="bench",
                campaign_id=None,
                updated_at="2026-01-01T00:00:00.000Z",
                sequence=1,
            )
        )
