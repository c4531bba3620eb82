"""The bulk queue processed in the naive way: one record after another, no schedule, retry on 429."""

import json
import os
import time
from typing import Any

import boto3
import requests

_token: dict[str, Any] = {}


def _bearer() -> str:
    if _token.get("until", 0) < time.time():
        secret = boto3.client("secretsmanager").get_secret_value(SecretId=os.environ["CREDENTIALS_SECRET_ARN"])
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
        _token.update(value=answer["access_token"], until=time.time() + answer["expires_in"] - 120)
    return str(_token["value"])


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:  # noqa: ARG001
    """Send each record, three times at most, and note it in a table."""
    table = boto3.resource("dynamodb").Table(os.environ["LEDGER_TABLE"])
    failed = []
    for record in event["Records"]:
        message = json.loads(record["body"])
        for attempt in range(4):
            answer = requests.post(
                os.environ["CXONE_SMS_BASE_URL"] + "/api/v2/message/sms/send",
                json={
                    "to": [message["to"]],
                    "from": os.environ["CXONE_FROM_NUMBER"],
                    "text": message["text"],
                    "campaignId": os.environ["CXONE_CAMPAIGN_ID"],
                    "webhookUrl": f"http://127.0.0.1:9/?ref={message['reference']}",
                    "segmentation": {"enabled": True},
                },
                headers={"Authorization": f"Bearer {_bearer()}"},
                timeout=30,
            )
            if answer.status_code != requests.codes.too_many_requests:
                break
            time.sleep(2**attempt)
        if answer.ok:
            item = {"subject": f"naive#{message['reference']}", "sequence": 1, "id": answer.json()["id"]}
            table.put_item(Item=item)
        else:
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}
