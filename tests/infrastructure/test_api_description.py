"""docs/openapi.yaml against the template, the handlers and the codes: it can't say what they don't do."""

import importlib
import re

import pytest
from openapi_spec_validator import validate

from cxone_messaging.domain.approvals import ApprovalStatus
from cxone_messaging.domain.consents import ConsentStatus
from cxone_messaging.domain.errors import Code
from cxone_messaging.domain.messages import Status
from cxone_messaging.platform.http_api import KEY_LIMIT
from cxone_messaging.platform.problems import _PROBLEMS
from cxone_messaging.use_cases.events.delivery import Recorded
from local import template
from tests import transformed
from tests.api_description import document, errors_in, operations, resolve

DEPLOYED = transformed.rest_operations() | transformed.webhook_routes()
HANDLERS = {
    route: module
    for file in (template.ROOT / "functions").glob("*/handler.py")
    if hasattr((module := importlib.import_module(f"functions.{file.parent.name}.handler")).handler, "routes")
    for route in module.handler.routes
}
PROBLEM = "application/problem+json"
WITH_A_BODY = [route for route, operation in operations().items() if "requestBody" in operation]

each_route = pytest.mark.parametrize("route", operations())


def responses(route):
    return {int(status): resolve(each) for status, each in operations()[route]["responses"].items()}


def codes(response):
    return response["content"][PROBLEM]["schema"]["properties"]["code"]["enum"]


def test_it_is_openapi_3_1():
    validate(document())
    assert document()["openapi"].startswith("3.1.")


def test_a_route_is_described_where_it_is():
    """CXone's at the output `WebhookUrl`, all others at `ApiUrl`."""
    elsewhere = {path for path, item in document()["paths"].items() if "servers" in item}
    assert {f"POST {path}" for path in elsewhere} == set(transformed.webhook_routes())
    assert "`WebhookUrl`" in document()["paths"]["/webhooks/cxone/sms"]["servers"][0]["description"]


def test_its_routes_are_the_deployed_ones_and_those_that_are_answered():
    assert set(operations()) == set(DEPLOYED) == set(HANDLERS)


@each_route
def test_a_route_is_open_just_where_the_template_leaves_it_open(route):
    is_open = operations()[route].get("security", document()["security"]) == []
    assert is_open == (route in transformed.webhook_routes())
    assert (403 in responses(route)) != is_open


@each_route
def test_parameters_in_a_path_are_described(route):
    described = {each["name"] for each in operations()[route]["parameters"] if each["in"] == "path"}
    assert described == set(re.findall(r"{(\w+)}", route))


@pytest.mark.parametrize("route", WITH_A_BODY)
def test_a_body_is_described_as_its_handlers_model_takes_it(route):
    schema = operations()[route]["requestBody"]["content"]["application/json"]["schema"]
    model = getattr(HANDLERS[route], schema["$ref"].rpartition("/")[2])
    taken = model.model_json_schema(by_alias=True)
    assert rules(resolve(schema), resolve) == rules(taken, lambda node: definition(taken, node))


def test_just_what_has_a_body_is_a_post_or_put():
    assert {route for route in operations() if route.startswith(("POST", "PUT"))} == set(WITH_A_BODY)


def definition(model, node):
    """Follow a reference within a pydantic model's schema."""
    return model["$defs"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node


def rules(schema, follow):
    """Reduce a schema to what it demands: no texts, no defaults, no references, and null as one of the types."""
    schema = follow(schema)
    if "anyOf" in schema:  # as pydantic writes alternatives, null among them
        types = [each["type"] for each in schema["anyOf"]]
        schema = {key: value for each in schema["anyOf"] for key, value in each.items()} | {"type": types}
    told = {key: value for key, value in schema.items() if key not in {"title", "description", "default", "$defs"}}
    if "properties" in told:
        told["properties"] = {name: rules(each, follow) for name, each in told["properties"].items()}
        told["required"] = sorted(told.get("required", []))
    if "items" in told:
        told["items"] = rules(told["items"], follow)
    return told


@each_route
def test_every_error_is_one_of_ours_with_its_status(route):
    for status, response in responses(route).items():
        if PROBLEM in response["content"]:
            assert {_PROBLEMS[Code(code)][0] for code in codes(response)} == {status}
        else:
            assert status in {200, 202, 403, 429}


def test_every_error_that_a_caller_can_meet_is_told():
    told = {
        code
        for route in operations()
        for each in responses(route).values()
        if PROBLEM in each["content"]
        for code in codes(each)
    }
    assert told == {code.value for code in _PROBLEMS} - {Code.ROUTE_NOT_FOUND}  # API Gateway routes nothing else here


@each_route
def test_our_own_failures_are_told_for_every_route(route):
    assert {429, 500} <= set(responses(route))


def test_an_unused_component_is_a_leftover():
    used = set(re.findall(r"#/components/(\w+/\w+)", str(document())))
    there = {f"{kind}/{name}" for kind, each in document()["components"].items() for name in each}
    assert there - used == {"securitySchemes/sigv4"}


def test_closed_sets_are_those_of_the_code():
    schemas = document()["components"]["schemas"]
    assert schemas["Status"]["enum"] == [each.value for each in Status]
    assert schemas["Consent"]["properties"]["status"]["enum"] == [each.value for each in ConsentStatus]
    assert schemas["Received"]["properties"]["status"]["enum"] == [each.value for each in Recorded]
    assert schemas["ApprovalStatus"]["enum"] == [each.value for each in ApprovalStatus]
    broken = set(schemas["RuleBroken"]["properties"]["code"]["enum"]) | set(schemas["TemplateViolation"]["enum"])
    assert broken == {code.value for code in Code if code not in _PROBLEMS} | {Code.IDEMPOTENCY_KEY_REUSED}
    for name in ("IdempotencyKey", "RequiredIdempotencyKey"):
        assert document()["components"]["parameters"][name]["schema"]["maxLength"] == KEY_LIMIT


def contents(route):
    operation = operations()[route]
    if "requestBody" in operation:
        yield from operation["requestBody"]["content"].values()
    for response in responses(route).values():
        yield from response["content"].values()


@each_route
def test_its_examples_are_valid(route):
    told = [
        (each["schema"], example["value"]) for each in contents(route) for example in each.get("examples", {}).values()
    ]
    told += [(each["schema"], each["example"]) for each in operations()[route]["parameters"] if "example" in each]
    assert told
    for schema, example in told:
        assert errors_in(schema, example) == []


def test_a_field_that_is_not_told_of_shows():
    receipt = document()["paths"]["/messages"]["post"]["responses"]["202"]["content"]["application/json"]
    example = receipt["examples"]["dispatched"]["value"]
    assert errors_in(receipt["schema"], {**example, "price": 1})
    assert errors_in(receipt["schema"], {**example, "status": "sent"})
