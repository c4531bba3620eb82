"""docs/openapi.yaml as tests hold it against what is answered."""

import copy
from functools import cache
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from local.options import ROOT

METHODS = frozenset({"get", "put", "post", "delete", "patch"})


@cache
def document() -> dict[str, Any]:
    """Read the document; nobody may change it."""
    return yaml.load((ROOT / "docs" / "openapi.yaml").read_text(), yaml.CSafeLoader)


def resolve(node: Any) -> Any:
    """Follow a reference, where there is one."""
    while "$ref" in node:
        place: Any = document()
        for part in node["$ref"].removeprefix("#/").split("/"):
            place = place[part]
        node = place
    return node


def operations() -> dict[str, dict[str, Any]]:
    """Give each operation by its route, `METHOD /path`, with the parameters that its path has for all."""
    return {
        f"{method.upper()} {path}": {
            **operation,
            "parameters": [resolve(each) for each in item.get("parameters", []) + operation.get("parameters", [])],
        }
        for path, item in document()["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }


def errors_in(schema: dict[str, Any], value: Any) -> list[str]:
    """Say what is wrong with a value; fields that the document doesn't tell of are wrong, though it allows for more."""
    validator = Draft202012Validator(
        {**_closed(schema), "components": _components()}, format_checker=Draft202012Validator.FORMAT_CHECKER
    )
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


def errors_in_answer(method: str, path: str, answer: Any) -> list[str]:
    """Say how an answer (of `requests`) of one of our routes departs from the document; none where no route matches."""
    route = next((each for each in operations() if _matches(each, method, path.partition("?")[0])), None)
    if route is None:
        return []
    declared = operations()[route]["responses"].get(str(answer.status_code))
    if declared is None:
        return [f"{route} declares no {answer.status_code}"]
    declared = resolve(declared)
    media_type = answer.headers.get("Content-Type", "").partition(";")[0]
    if media_type not in declared["content"]:
        return [f"{route} declares no {media_type} with {answer.status_code}"]
    wrong = errors_in(declared["content"][media_type]["schema"], answer.json())
    for name in {"Retry-After", "Idempotency-Replayed"} & set(answer.headers):
        header = declared.get("headers", {}).get(name)
        wrong += errors_in(resolve(header)["schema"], answer.headers[name]) if header else [f"{name} is not declared"]
    return [f"{route}: {each}" for each in wrong]


def _matches(route: str, method: str, path: str) -> bool:
    told, given = route.split("/"), f"{method} {path}".split("/")
    return len(told) == len(given) and all(
        a == b or (a.startswith("{") and b) for a, b in zip(told, given, strict=True)
    )


@cache
def _components() -> dict[str, Any]:
    return _closed(document()["components"])


def _closed(node: Any) -> Any:
    node = copy.copy(node)
    if isinstance(node, dict):
        if node.get("type") == "object" and "properties" in node:
            node.setdefault("additionalProperties", False)
        return {key: _closed(value) for key, value in node.items()}
    return [_closed(each) for each in node] if isinstance(node, list) else node
