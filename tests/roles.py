"""What the template's roles allow, and the table of it in docs/threat-model.md.

`python -m tests.roles` writes the table anew.
"""

import ast
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

from local import template

DOCUMENT = template.ROOT / "docs" / "threat-model.md"
BEGIN, END = "<!-- roles: begin -->", "<!-- roles: end -->"
INSERT = "dynamodb:PartiQLInsert"
LEADING_KEYS = "dynamodb:LeadingKeys"
FUNCTIONS = template.resources("AWS::Serverless::Function")
# Adapters that keep items of other tables under keys of the same form.
_OTHER_TABLES = {"lease.py"}


def as_list(value: Any) -> list[Any]:
    """Return a value of a policy's as a list, which a single one need not be."""
    return value if isinstance(value, list) else [value]


def statements(function: str) -> list[dict[str, Any]]:
    """Return the statements of a function's role, by the function's logical id."""
    return [each for policy in FUNCTIONS[function]["Policies"] for each in policy["Statement"]]


def resource_name(resource: dict[str, Any]) -> str:
    """Return a statement's resource by its logical id, an index with its path behind that."""
    match resource:
        case {"Ref": id_}:
            return str(id_)
        case {"Fn::GetAtt": [id_, "Arn"]}:
            return str(id_)
        case {"Fn::Sub": text}:
            return re.sub(r"\$\{(\w+)\.Arn\}", r"\1", text)
        case _:
            raise ValueError(f"{resource} is no resource of the template's")


def keys(statement: dict[str, Any]) -> list[str]:
    """Return the patterns of the keys that a statement's inserts are bound to; none where it binds none."""
    condition = statement.get("Condition", {})
    patterns: list[str] = as_list(condition.get("ForAllValues:StringLike", {}).get(LEADING_KEYS, []))
    return patterns


def insert_keys(function: str) -> list[str]:
    """Return the patterns of all keys that a function may insert under, by the function's logical id."""
    return [key for each in statements(function) if INSERT in as_list(each["Action"]) for key in keys(each)]


def may_insert(function: str, subject: str) -> bool:
    """Whether a function's role lets it insert under a subject."""
    return any(fnmatchcase(subject, pattern) for pattern in insert_keys(function))


@cache
def subject_kinds() -> frozenset[str]:
    """Return every kind of subject that the code has, say `message`: the texts in it that are a name and a `#`."""
    code = (template.ROOT / "layers" / "messaging" / "cxone_messaging").rglob("*.py")
    return frozenset(
        node.value.removesuffix("#")
        for path in code
        if path.name not in _OTHER_TABLES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"[a-z_]+#", node.value)
    )


def table() -> str:
    """Return the table of functions, actions and keys as Markdown."""
    rows = ["| function | on | actions | appends only under |", "|---|---|---|---|", *_rows()]
    return "\n".join(rows)


def table_in_document() -> str:
    """Return the table as it stands in the document."""
    return DOCUMENT.read_text().partition(BEGIN)[2].partition(END)[0].strip()


def write() -> None:
    """Write the table into the document."""
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    DOCUMENT.write_text(f"{before}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}")


def _rows() -> Iterator[str]:
    for function in FUNCTIONS:
        allowed: dict[str, tuple[list[str], list[str]]] = {}
        for statement in statements(function):
            for resource in as_list(statement["Resource"]):
                actions, under = allowed.setdefault(resource_name(resource), ([], []))
                actions += [action.partition(":")[2] for action in as_list(statement["Action"])]
                under += keys(statement)
        for resource, (actions, under) in allowed.items():
            yield f"| `{function}` | `{resource}` | {_code(sorted(actions))} | {_code(under)} |"


def _code(words: list[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


if __name__ == "__main__":
    write()
