"""`template.yaml` as plain dictionaries, for tests that compare it with the code, and for builds."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent


class _Loader(yaml.CSafeLoader):
    """YAML with CloudFormation's short tags, written out as their long forms."""


def _intrinsic(loader: Any, tag: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
        if tag == "GetAtt":
            value = value.split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    return {tag if tag in {"Ref", "Condition"} else f"Fn::{tag}": value}


_Loader.add_multi_constructor("!", _intrinsic)


def read(path: Path) -> dict[str, Any]:
    """Return a template."""
    document: dict[str, Any] = yaml.load(path.read_text("utf-8"), _Loader)  # noqa: S506  a safe one
    return document


@cache
def load() -> dict[str, Any]:
    """Return the template; callers must not change it."""
    return read(ROOT / "template.yaml")


def resources(type_: str) -> dict[str, Any]:
    """Return the properties of all resources of a type by their logical ids."""
    return {id_: each.get("Properties", {}) for id_, each in load()["Resources"].items() if each["Type"] == type_}


def variables(function: str) -> dict[str, Any]:
    """Return a function's environment variables, those of all functions among them, by the function's logical id."""
    of_all: dict[str, Any] = load()["Globals"]["Function"]["Environment"]["Variables"]
    own = resources("AWS::Serverless::Function")[function].get("Environment", {}).get("Variables", {})
    return {**of_all, **own}


def table(logical_id: str, name: str) -> dict[str, Any]:
    """Return the arguments of `CreateTable` for a table of the template that an emulator can use."""
    properties = resources("AWS::DynamoDB::Table")[logical_id]
    kept = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")
    return {"TableName": name, **{key: properties[key] for key in kept if key in properties}}
