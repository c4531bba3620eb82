"""Claim: where `WebhookBaseUrl` names another address, say of a WAF, CXone's two routes have no other address.

The routes are those that CloudFormation would make, after SAM's transform.
"""

import re

import pytest

from local import template
from tests import transformed

WEBHOOKS = {"POST /webhooks/cxone/sms", "POST /webhooks/cxone/events"}


def test_the_webhook_routes_are_on_the_http_api_and_on_no_other():
    assert set(transformed.webhook_routes()) == WEBHOOKS
    assert {route for route in transformed.rest_operations() if "webhook" in route} == set()


def test_no_other_route_leads_to_the_function_that_takes_events():
    """A proxy route, or a function URL, would be another way to the same handler."""
    leading_there = re.compile("receive.?webhook", re.IGNORECASE)
    assert {route for route, each in transformed.rest_operations().items() if leading_there.search(str(each))} == set()
    assert not [route for route in transformed.rest_operations() if "proxy" in route or "any-method" in route]
    assert not transformed.resources("AWS::Lambda::Url")


def test_just_the_http_api_may_call_it():
    permissions = [
        each
        for each in transformed.resources("AWS::Lambda::Permission").values()
        if "ReceiveWebhook" in str(each["FunctionName"])
    ]
    (source,) = (each["SourceArn"]["Fn::Sub"] for each in permissions)
    assert source.endswith(":${WebhookApi}/$default/POST/webhooks/cxone/*")
    assert {each["Principal"] for each in permissions} == {"apigateway.amazonaws.com"}


def test_its_own_address_is_off_beside_another():
    (api,) = transformed.resources("AWS::ApiGatewayV2::Api").values()
    assert api["DisableExecuteApiEndpoint"] == {"Fn::If": ["WebhookBaseUrlGiven", True, False]}
    given = template.load()["Conditions"]["WebhookBaseUrlGiven"]
    assert given == {"Fn::Not": [{"Fn::Equals": [{"Ref": "WebhookBaseUrl"}, ""]}]}


@pytest.mark.parametrize("route", sorted(WEBHOOKS))
def test_the_threat_model_names_each_route_that_is_open(route):
    assert f"`{route}`" in (template.ROOT / "docs" / "threat-model.md").read_text()


def test_every_route_of_the_rest_api_needs_iam():
    (api,) = transformed.resources("AWS::ApiGateway::RestApi").values()
    schemes = api["Body"]["components"]["securitySchemes"]
    (by_iam,) = (name for name, each in schemes.items() if each.get("x-amazon-apigateway-authtype") == "awsSigv4")
    for route, operation in transformed.rest_operations().items():
        assert operation["security"] == [{by_iam: []}], route
