"""What the template's roles allow, and the tables of it in docs/threat-model.md and docs/security.md.

A role has the statements that the template writes out, and the policies of AWS's that SAM's transform attaches.
`docs/security.md` has the same by store. `python -m tests.roles` writes both tables anew.
"""

import ast
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

from local import template
from tests import transformed

DOCUMENT = template.ROOT / "docs" / "threat-model.md"
STORES_DOCUMENT = template.ROOT / "docs" / "security.md"
BEGIN, END = "<!-- roles: begin -->", "<!-- roles: end -->"
# What the name of a parameter in Parameter Store, which is no resource of the template's, begins with here.
PARAMETER = "parameter "
INSERT = "dynamodb:PartiQLInsert"
LEADING_KEYS = "dynamodb:LeadingKeys"
FUNCTIONS = template.resources("AWS::Serverless::Function")
EVERYTHING = "everything"
# The values of the parameter that decides which store of tokens a role reaches.
TOKEN_STORES: list[str] = template.load()["Parameters"]["TokenStore"]["AllowedValues"]
# What AWS's Managed Policy Reference says of the policies that SAM attaches; each allows its actions on everything.
MANAGED = {
    "service-role/AWSLambdaBasicExecutionRole": ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
    "AWSXrayWriteOnlyAccess": [
        "xray:GetSamplingRules",
        "xray:GetSamplingStatisticSummaries",
        "xray:GetSamplingTargets",
        "xray:PutTelemetryRecords",
        "xray:PutTraceSegments",
    ],
}
_READS = frozenset(
    {
        *("dynamodb:Query", "dynamodb:GetItem", "dynamodb:BatchGetItem"),
        *("secretsmanager:GetSecretValue", "ssm:GetParameter", "sqs:ReceiveMessage"),
    }
)
_WRITES = frozenset(
    {
        *(INSERT, "dynamodb:PutItem", "dynamodb:UpdateItem"),
        *("secretsmanager:PutSecretValue", "ssm:PutParameter", "sqs:SendMessage", "sqs:DeleteMessage"),
    }
)
# They tell nothing of what a store holds.
_OF_THE_STORE_ITSELF = frozenset({"sqs:GetQueueAttributes"})
KNOWN_ACTIONS = _READS | _WRITES | _OF_THE_STORE_ITSELF
# Adapters that keep items of other tables under keys of the same form.
_OTHER_TABLES = {"token_lease.py"}


def as_list(value: Any) -> list[Any]:
    """Return a value of a policy's as a list, which a single one need not be."""
    return value if isinstance(value, list) else [value]


def written(function: str, token_store: str | None = None) -> list[dict[str, Any]]:
    """Return all statements that the template writes out for a function's role, by the function's logical id.

    With a `TokenStore`, only those of that choice; without one, those of each choice.
    """
    all_ = [each for policy in FUNCTIONS[function]["Policies"] for each in policy["Statement"]]
    return [each for statement in all_ for each in _chosen(statement, token_store)]


def _chosen(statement: dict[str, Any], token_store: str | None) -> list[dict[str, Any]]:
    if "Fn::If" not in statement:
        return [statement]
    condition, in_ssm, in_secrets_manager = statement["Fn::If"]
    if condition != "TokensInSsm":
        raise ValueError(f"nobody here knows the condition {condition}")
    return {None: [in_secrets_manager, in_ssm], "ssm": [in_ssm], "secretsmanager": [in_secrets_manager]}[token_store]


def statements(function: str, token_store: str | None = None) -> list[dict[str, Any]]:
    """Return what the template lets a function's role do, by the function's logical id; as `written()` does."""
    return [each for each in written(function, token_store) if each["Effect"] == "Allow"]


def denials(function: str) -> list[dict[str, Any]]:
    """Return what the template denies a function's role, by the function's logical id."""
    return [each for each in written(function) if each["Effect"] == "Deny"]


def managed(function: str) -> list[str]:
    """Return the names of AWS's policies that SAM attaches to a function's role, by the function's logical id."""
    arns = transformed.resources("AWS::IAM::Role")[f"{function}Role"]["ManagedPolicyArns"]
    return [arn.partition(":policy/")[2] for arn in arns]


def managed_statements(function: str) -> list[dict[str, Any]]:
    """Return the statements of AWS's own policies on a function's role, by the function's logical id."""
    return [{"Effect": "Allow", "Action": MANAGED[name], "Resource": "*"} for name in managed(function)]


def resource_name(resource: dict[str, Any]) -> str:
    """Return a statement's resource by its logical id, an index with its path behind that; a parameter by its name."""
    match resource:
        case {"Ref": id_}:
            return str(id_)
        case {"Fn::GetAtt": [id_, "Arn"]}:
            return str(id_)
        case {"Fn::Sub": str(text)} if ":ssm:" in text:
            return f"{PARAMETER}{text.rpartition('/')[2]}"
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
    rows = ["| function | on | actions | only under the keys |", "|---|---|---|---|", *_rows()]
    return "\n".join(rows)


def stores_table() -> str:
    """Return the table of stores and the functions that read and write each as Markdown."""
    rows = ["| store | read by | written by |", "|---|---|---|"]
    for type_ in ("AWS::DynamoDB::Table", "AWS::SecretsManager::Secret", "AWS::SQS::Queue"):
        for store in template.resources(type_):
            reads, writes = (_code(_functions_that(actions, store)) or "no function" for actions in (_READS, _WRITES))
            rows.append(f"| `{store}` | {reads} | {writes} |")
    return "\n".join(rows)


def _functions_that(actions: frozenset[str], store: str) -> list[str]:
    """Return the functions that may do any of some actions on a store or its indexes."""
    return [
        template.load()["Resources"][function]["Properties"]["CodeUri"].rpartition("/")[2].replace("_", "-")
        for function in FUNCTIONS
        if any(
            actions & set(as_list(each["Action"]))
            and store in [resource_name(one).partition("/")[0] for one in as_list(each["Resource"])]
            for each in statements(function)
        )
    ]


def table_in_document(document: Path = DOCUMENT) -> str:
    """Return the table as it stands in a document."""
    return document.read_text().partition(BEGIN)[2].partition(END)[0].strip()


def write() -> None:
    """Write the tables into their documents."""
    for document, rows in ((DOCUMENT, table()), (STORES_DOCUMENT, stores_table())):
        before, _, rest = document.read_text().partition(BEGIN)
        document.write_text(f"{before}{BEGIN}\n{rows}\n{END}{rest.partition(END)[2]}")


def left_of_managed(function: str) -> dict[str, list[str]]:
    """Return what AWS's own policies let a function do once its denials are taken off, actions by resource's name."""
    left: dict[str, list[str]] = {}
    for action in [each for statement in managed_statements(function) for each in statement["Action"]]:
        but_for = [
            resource_name(each["NotResource"])
            for each in denials(function)
            if any(fnmatchcase(action, pattern) for pattern in as_list(each["Action"]))
        ]
        left.setdefault(but_for[0] if but_for else EVERYTHING, []).append(action.partition(":")[2])
    return left


def _rows() -> Iterator[str]:
    (of_all,) = {
        tuple((name, *sorted(actions)) for name, actions in left_of_managed(each).items()) for each in FUNCTIONS
    }
    for resource, *actions in of_all:
        yield f"| each | {resource if resource == EVERYTHING else f'`{resource}`'} | {_code(actions)} |  |"
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
