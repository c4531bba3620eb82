"""The events of API Gateway and SQS, as large as on AWS: the naive handler logs all of them."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

_BROWSER = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"


def post(path: str, body: object, headers: Mapping[str, str] | None = None, query: Any = None) -> dict[str, Any]:
    """Return the proxy event of a POST."""
    all_headers = {
        "Accept": "application/json",
        "Content-Type": "application/json",
        "Host": "abcdefghij.execute-api.us-east-1.amazonaws.com",
        "User-Agent": _BROWSER,
        "X-Amzn-Trace-Id": "Root=1-66aa1b2c-0123456789abcdef01234567",
        "X-Forwarded-For": "203.0.113.17",
        "X-Forwarded-Port": "443",
        "X-Forwarded-Proto": "https",
        **(headers or {}),
    }
    return {
        "resource": path,
        "path": path,
        "httpMethod": "POST",
        "headers": all_headers,
        "multiValueHeaders": {name: [value] for name, value in all_headers.items()},
        "queryStringParameters": query,
        "multiValueQueryStringParameters": {name: [value] for name, value in query.items()} if query else None,
        "pathParameters": None,
        "stageVariables": None,
        "requestContext": {
            "resourceId": "abc123",
            "resourcePath": path,
            "httpMethod": "POST",
            "extendedRequestId": "Abcdefghijklmno=",
            "requestTime": "22/Nov/2026:13:12:00 +0000",
            "path": f"/live{path}",
            "accountId": "123456789012",
            "protocol": "HTTP/1.1",
            "stage": "live",
            "domainPrefix": "abcdefghij",
            "requestTimeEpoch": 1795353120000,
            "requestId": str(uuid4()),
            "identity": {
                "cognitoIdentityPoolId": None,
                "accountId": None,
                "cognitoIdentityId": None,
                "caller": None,
                "sourceIp": "203.0.113.17",
                "principalOrgId": None,
                "accessKey": None,
                "cognitoAuthenticationType": None,
                "cognitoAuthenticationProvider": None,
                "userArn": None,
                "userAgent": _BROWSER,
                "user": None,
            },
            "domainName": "abcdefghij.execute-api.us-east-1.amazonaws.com",
            "deploymentId": "abc123",
            "apiId": "abcdefghij",
        },
        "body": json.dumps(body),
        "isBase64Encoded": False,
    }


def message(to: str) -> dict[str, Any]:
    """Return the request for one message, with its own key; the naive handler identifies it by its text."""
    key = uuid4().hex
    return post("/messages", {"to": to, "text": f"Your code is {key[:8]}"}, {"Idempotency-Key": key})


def delivery(
    cxone_message_id: str, status: str, timestamp: str, to: str, query: Mapping[str, str] | None
) -> dict[str, Any]:
    """Return a delivery event of CXone's, at the callback URL with that query."""
    body = {"messageId": cxone_message_id, "status": status, "to": to, "timestamp": timestamp}
    return post("/webhooks/cxone/sms", body, query=query or None)


def records(bodies: list[str]) -> dict[str, Any]:
    """Return the event of a batch of the bulk queue's records."""
    return {
        "Records": [
            {
                "messageId": str(uuid4()),
                "receiptHandle": "handle",
                "body": body,
                "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1795353120000"},
                "messageAttributes": {},
                "eventSource": "aws:sqs",
                "awsRegion": "us-east-1",
            }
            for body in bodies
        ]
    }
