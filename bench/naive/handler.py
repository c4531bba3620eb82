"""One message sent in the naive way: all imports at the top, a resource, a post, the token in a variable."""

import json
import os
import time
from typing import Any

import boto3
import requests
from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.event_handler import APIGatewayRestResolver
from aws_lambda_powertools.event_handler.exceptions import ServiceError
from aws_lambda_powertools.logging import correlation_paths
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel, Field

logger = Logger(service="naive")
metrics = Metrics(namespace="Naive", service="naive")
tracer = Tracer(service="naive")
app = APIGatewayRestResolver(enable_validation=True)
table = boto3.resource("dynamodb").Table(os.environ["LEDGER_TABLE"])
secrets = boto3.client("secretsmanager")
idempotency = IdempotencyConfig()
persistence = DynamoDBPersistenceLayer(table_name=os.environ["IDEMPOTENCY_TABLE"])

token: dict[str, Any] = {}


class Message(BaseModel):
    """What to send."""

    to: str = Field(pattern=r"^\+?[1-9]\d{1,14}$")
    text: str = Field(min_length=1)


class Receipt(BaseModel):
    """The result of a send."""

    id: str
    status: str


class Event(BaseModel):
    """A delivery event of CXone's."""

    messageId: str  # noqa: N815  CXone's name
    status: str
    to: str
    timestamp: str
    error: str | None = None


@tracer.capture_method
def bearer() -> str:
    """Return the token, fetched anew if it is old."""
    if token.get("until", 0) < time.time():
        secret = secrets.get_secret_value(SecretId=os.environ["CREDENTIALS_SECRET_ARN"])
        credentials = json.loads(secret["SecretString"])
        answer = requests.post(
            os.environ["CXONE_SMS_BASE_URL"] + "/api/v2/oauth/token",
            data={
                "grant_type": "client_credentials",
                "client_id": credentials["clientId"],
                "client_secret": credentials["clientSecret"],
            },
            timeout=10,
        ).json()
        token.update(value=answer["access_token"], until=time.time() + answer["expires_in"] - 120)
    return str(token["value"])


@idempotent_function(data_keyword_argument="message", config=idempotency, persistence_store=persistence)  # type: ignore[untyped-decorator]
def dispatch(message: dict[str, str]) -> dict[str, str]:
    """Send it, and note it in the table."""
    answer = requests.post(
        os.environ["CXONE_SMS_BASE_URL"] + "/api/v2/message/sms/send",
        json={
            "to": [message["to"]],
            "from": os.environ["CXONE_FROM_NUMBER"],
            "text": message["text"],
            "campaignId": os.environ["CXONE_CAMPAIGN_ID"],
            "webhookUrl": os.environ["WEBHOOK_BASE_URL"] + "/webhooks/cxone/sms",
            "segmentation": {"enabled": True},
        },
        headers={"Authorization": f"Bearer {bearer()}"},
        timeout=20,
    )
    if not answer.ok:
        raise ServiceError(502, f"CXone answered {answer.status_code}")
    sent: dict[str, str] = {"id": answer.json()["id"], "status": "dispatched"}
    table.put_item(Item={"subject": sent["id"], "sequence": 1, "sentAt": int(time.time()), **message})
    return sent


@app.post("/messages")
@tracer.capture_method
def send(message: Message) -> Receipt:
    """Take a message."""
    sent = dispatch(message=message.model_dump())
    metrics.add_metric(name="MessagesSent", unit=MetricUnit.Count, value=1)
    logger.info("sent", extra=sent)
    return Receipt(**sent)


@app.post("/webhooks/cxone/sms")
@tracer.capture_method
def receive(event: Event) -> dict[str, str]:
    """Take a delivery event."""
    table.update_item(
        Key={"subject": event.messageId, "sequence": 1},
        UpdateExpression="SET #status = :status, updatedAt = :timestamp",
        ExpressionAttributeNames={"#status": "status"},
        ExpressionAttributeValues={":status": event.status, ":timestamp": event.timestamp},
    )
    metrics.add_metric(name="EventsReceived", unit=MetricUnit.Count, value=1)
    logger.info("received", extra={"id": event.messageId, "status": event.status})
    return {"status": "accepted"}


@logger.inject_lambda_context(correlation_id_path=correlation_paths.API_GATEWAY_REST, log_event=True)
@tracer.capture_lambda_handler
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request."""
    idempotency.register_lambda_context(context)
    return app.resolve(event, context)
