"""The events of `events/` are as complete as AWS sends them, of routes that there are, and about nobody."""

import importlib
import json
import re
from hashlib import md5

import pytest

from bench.events import post
from cxone_messaging.platform.subscribe_event import SUBSCRIBE_EVENT
from tests.events import NAMES, read

REST = post("/", {})
HTTP = {"version", "routeKey", "rawPath", "rawQueryString", "headers", "requestContext", "body", "isBase64Encoded"}
HTTP_CONTEXT = {
    *("accountId", "apiId", "domainName", "domainPrefix", "http"),
    *("requestId", "routeKey", "stage", "time", "timeEpoch"),
}
RECORD = {
    *("messageId", "receiptHandle", "body", "attributes", "messageAttributes"),
    *("md5OfBody", "eventSource", "eventSourceARN", "awsRegion"),
}
SCHEDULED = {"version", "id", "detail-type", "source", "account", "time", "region", "resources", "detail"}


def routes(name):
    return importlib.import_module(f"functions.{name.partition('/')[0]}.handler").handler.routes


@pytest.mark.parametrize("name", NAMES)
def test_an_event_is_complete(name):
    match read(name):
        case {"resource": resource, "requestContext": context} as event:
            assert event.keys() == REST.keys()
            assert context.keys() == REST["requestContext"].keys()
            assert context["identity"].keys() == REST["requestContext"]["identity"].keys()
            assert {key: [value] for key, value in event["headers"].items()} == event["multiValueHeaders"]
            assert event["path"] == resource.format(**event["pathParameters"] or {})
            assert f"{event['httpMethod']} {resource}" in routes(name)
        case {"routeKey": route, "requestContext": context} as event:
            assert event.keys() - {"queryStringParameters"} == HTTP
            assert context.keys() == HTTP_CONTEXT
            assert route in routes(name)
        case {"Records": records}:
            for record in records:
                assert record.keys() == RECORD
                assert record["md5OfBody"] == md5(record["body"].encode(), usedforsecurity=False).hexdigest()
        case {"cxone-messaging": _} as event:
            assert event == SUBSCRIBE_EVENT  # what the schedule hands over is written out in the template
        case event:
            assert event.keys() == SCHEDULED


@pytest.mark.parametrize("name", NAMES)
def test_an_event_is_about_nobody(name):
    event = read(name)
    bodies = [each["body"] for each in event.get("Records", [event]) if each.get("body")]
    text = json.dumps(event.get("pathParameters")) + " ".join(bodies)
    assert all(number.startswith("120255501") for number in re.findall(r"(?<!\d)\d{11}(?!\d)", text))
