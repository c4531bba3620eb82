"""`template.yaml` as plain dictionaries, so that tests hold the template itself against the code."""

from functools import cache
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short tags, written out as their long forms."""


def _intrinsic(loader, tag, node):
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
        if tag == "GetAtt":
            value = value.split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    return {tag if tag in {"Ref", "Condition"} else f"Fn::{tag}": value}


_Loader.add_multi_constructor("!", _intrinsic)


@cache
def load():
    """Give the template; nobody may change it."""
    return yaml.load((ROOT / "template.yaml").read_text(), _Loader)  # noqa: S506  a SafeLoader


def resources(type_):
    """Give the properties of all resources of a type by their logical ids."""
    return {id_: each.get("Properties", {}) for id_, each in load()["Resources"].items() if each["Type"] == type_}


def table(logical_id, name):
    """Give what `CreateTable` takes for a table of the template; what an emulator has no use for is left out."""
    properties = resources("AWS::DynamoDB::Table")[logical_id]
    kept = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")
    return {"TableName": name, **{key: properties[key] for key in kept if key in properties}}
