"""JSON that CXone answers with: fields that are there, of the type that they should have, or nothing."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

type Document = Mapping[str, Any]


def document(body: bytes) -> Document:
    """Return the object that a body is; empty if it is none."""
    found = _parsed(body)
    return found if isinstance(found, dict) else {}


def objects(body: bytes) -> Sequence[Document]:
    """Return the objects of the list that a body is."""
    return children({"list": _parsed(body)}, "list")


def child(parent: object, name: str) -> Document:
    """Return an object in a field; empty if there is none."""
    found = parent.get(name) if isinstance(parent, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def children(parent: object, name: str) -> Sequence[Document]:
    """Return the objects of a list in a field."""
    found = parent.get(name) if isinstance(parent, Mapping) else None
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def text(parent: object, name: str) -> str:
    """Return a text in a field; empty if there is none."""
    found = parent.get(name) if isinstance(parent, Mapping) else None
    return found if isinstance(found, str) else ""


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
