"""DynamoDB's types of the values in entries, without decimals, so that hashes stay the same."""

import re
from collections.abc import Mapping
from typing import Any

from cxone_messaging.domain.entries import Value

_NO_VALUE_OF_OURS: Any = 0.5
_INTEGER = re.compile(r"-?[0-9]+")


def attributes_of(item: Mapping[str, Any]) -> dict[str, Value]:
    """Return an item of DynamoDB's as plain values.

    A value that no entry of ours holds breaks the entry's hash.
    """
    return {name: read(attribute) for name, attribute in item.items()}


def written(value: Value) -> dict[str, Any]:
    """Return a value as DynamoDB's type of it."""
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case int():
            return {"N": str(value)}
        case str():
            return {"S": value}
        case list():
            return {"L": [written(each) for each in value]}
        case dict():
            return {"M": {name: written(each) for name, each in value.items()}}


def read(attribute: Mapping[str, Any]) -> Value:
    """Return the plain value of one of DynamoDB's types.

    No entry of ours holds a set, a binary or a number with decimals. Each becomes a map of its type and Python text,
    with a fraction beside it: no other value contains one, so the map has no hash in common with any of them.
    """
    ((kind, value),) = attribute.items()
    match kind:
        case "S" | "BOOL":
            return value  # type: ignore[no-any-return]
        case "NULL":
            return None
        case "N" if _INTEGER.fullmatch(value):
            return int(value)
        case "L":
            return [read(each) for each in value]
        case "M":
            return {name: read(each) for name, each in value.items()}
        case _:
            return {kind: repr(value), "foreign": _NO_VALUE_OF_OURS}
