"""The template as CloudFormation gets to see it, after the transform that SAM's own package runs."""

import copy
from functools import cache
from types import SimpleNamespace
from typing import Any

from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

from local import template

METHODS = frozenset({"get", "put", "post", "delete", "patch", "x-amazon-apigateway-any-method"})


def transformed(layer: str = "as it is", **parameters: str) -> dict[str, Any]:
    """Return the resources by their logical ids; `layer` stands for the layer's content."""
    document = copy.deepcopy(template.load())
    document["Resources"]["MessagingLayer"]["Properties"]["ContentUri"] = f"s3://bucket/{layer.replace(' ', '-')}"
    document["Resources"]["IdentityLayer"]["Properties"]["ContentUri"] = "s3://bucket/identity"
    for function in template.resources("AWS::Serverless::Function"):
        document["Resources"][function]["Properties"]["CodeUri"] = f"s3://bucket/{function}"
    session = SimpleNamespace(region_name="us-east-1")
    resources: dict[str, Any] = Translator({}, Parser(), boto_session=session).translate(document, parameters)[
        "Resources"
    ]
    return resources


@cache
def resources(type_: str) -> dict[str, Any]:
    """Return the properties of all resources of a type by their logical ids; nobody may change them."""
    return {id_: each.get("Properties", {}) for id_, each in _as_it_is().items() if each["Type"] == type_}


@cache
def rest_operations() -> dict[str, dict[str, Any]]:
    """Return the operations of the REST API by their routes, `METHOD /path`."""
    (api,) = resources("AWS::ApiGateway::RestApi").values()
    return {
        f"{method.upper()} {path}": operation
        for path, item in api["Body"]["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }


def webhook_routes() -> dict[str, dict[str, Any]]:
    """Return the routes of the HTTP API by their keys, `METHOD /path`."""
    return {each["RouteKey"]: each for each in resources("AWS::ApiGatewayV2::Route").values()}


@cache
def _as_it_is() -> dict[str, Any]:
    return transformed()
