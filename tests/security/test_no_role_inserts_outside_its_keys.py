"""Claim: a function whose code is taken over can append to the ledger only under its own kinds of subject.

The template's own policies are evaluated by `@cloud-copilot/iam-simulate`, which others maintain: for each function,
its role together with the ledger's own policy. `make test` installs it from `iam/package-lock.json`.

AWS's Service Authorization Reference (*Actions, resources, and condition keys for Amazon DynamoDB*) says that
`PartiQLInsert` takes `dynamodb:LeadingKeys`, and that `BatchExecuteStatement` is authorized as `PartiQLInsert` too:
https://docs.aws.amazon.com/service-authorization/latest/reference/list_dynamodb.html. The evaluator has the same data;
`iam/evaluate.mjs` fails for a key that an action does not take. `ForAllValues` is also true of a request without the
key, which `Null` excludes: IAM User Guide, *Single-valued vs. multivalued context keys*. What only AWS can show is that
DynamoDB fills the key in for an insert, as the reference says: docs/runbook.md, *What could not be tried locally*.
"""

import itertools
import json
import shutil
import subprocess
from typing import Any

import pytest

from local import template
from tests import roles

NODE, NPM = shutil.which("node"), shutil.which("npm")
FOLDER = template.ROOT / "tests" / "security" / "iam"
ACCOUNT = "123456789012"
LEDGER = f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/LedgerTable"
ADMINISTRATOR = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
# Who may append under what. The template must say the same, no more and no less.
WRITES = {
    "SendMessageFunction": {"message"},
    "SendBulkFunction": {"message"},
    "SubmitBulkFunction": {"batch"},
    "ReadLedgerFunction": {"message"},
    "ManageConsentsFunction": {"consent"},
    "ManagePaceFunction": {"pace"},
    "ApproveTemplateFunction": {"template", "subscription"},
    "ReceiveWebhookFunction": {"message", "delivery", "inbound", "event", "template", "consent"},
    "CollectReceiptsFunction": {"message", "consent", "inbound"},
    "SweepLedgerFunction": {"message"},
    "CheckpointLedgerFunction": {"checkpoint", "message"},
}
KINDS = sorted(roles.subject_kinds())
CHANGES = ["PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "PartiQLUpdate", "PartiQLDelete"]

needs_npm = pytest.mark.skipif(not (NODE and NPM), reason="there is no npm on PATH to install the IAM evaluator with")


def subject(kind: str) -> str:
    return f"{kind}#0017c2da"


def arn(resource: dict[str, Any]) -> str:
    name = roles.resource_name(resource)
    if name.startswith(roles.PARAMETER):
        return f"arn:aws:ssm:us-east-1:{ACCOUNT}:parameter/cxone-messaging/stack/{name.removeprefix(roles.PARAMETER)}"
    type_ = template.load()["Resources"][name.partition("/")[0]]["Type"]
    match type_:
        case "AWS::DynamoDB::Table":
            return f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/{name}"
        case "AWS::SecretsManager::Secret":
            return f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:{name}-AbCdEf"
        case "AWS::SQS::Queue":
            return f"arn:aws:sqs:us-east-1:{ACCOUNT}:{name}"
        case "AWS::Logs::LogGroup":  # as GetAtt gives it
            return f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:/aws/lambda/{name}:*"
    raise ValueError(type_)


def role(function: str, token_store: str | None = None) -> dict[str, Any]:
    """Return a function's policies as CloudFormation would write them, AWS's own among them, as one."""
    statements = [
        {
            **each,
            **{
                key: [arn(resource) for resource in roles.as_list(each[key])]
                for key in ("Resource", "NotResource")
                if key in each
            },
        }
        for each in roles.written(function, token_store)
    ]
    return {"Version": "2012-10-17", "Statement": statements + roles.managed_statements(function)}


def request(
    policy: dict[str, Any], action: str, leading_keys: list[str] | None, *, ledgers_own: bool = True
) -> dict[str, Any]:
    """Make a simulation of a call on the ledger, over TLS; without the key in its context where that is None."""
    everything = [{"name": "everything", "policy": ADMINISTRATOR}]
    simulation: dict[str, Any] = {
        "request": {
            "principal": f"arn:aws:iam::{ACCOUNT}:role/function",
            "action": f"dynamodb:{action}",
            "resource": {"resource": LEDGER, "accountId": ACCOUNT},
            "contextVariables": {"aws:SecureTransport": "true"},
        },
        "identityPolicies": [{"name": "role", "policy": policy}],
        "serviceControlPolicies": [{"orgIdentifier": "r-root", "policies": everything}],
        "resourceControlPolicies": [],
    }
    if leading_keys is not None:
        simulation["request"]["contextVariables"][roles.LEADING_KEYS] = leading_keys
    if ledgers_own:
        table = template.resources("AWS::DynamoDB::Table")["LedgerTable"]
        simulation["resourcePolicy"] = table["ResourcePolicy"]["PolicyDocument"]
    return simulation


def is_allowed(simulations: list[dict[str, Any]]) -> list[bool]:
    """Have the evaluator judge all simulations, in their order."""
    ready = FOLDER / "node_modules" / "@cloud-copilot" / "iam-simulate"
    assert ready.exists(), "npm is here and the evaluator is not: `make test` installs it"
    done = subprocess.run(  # noqa: S603
        [NODE, "evaluate.mjs"], cwd=FOLDER, input=json.dumps(simulations), text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert len(results) == len(simulations)
    assert set(results) <= {"Allowed", "ImplicitlyDenied", "ExplicitlyDenied"}
    return [result == "Allowed" for result in results]


def test_each_function_and_each_kind_of_subject_is_in_the_matrix():
    assert set(roles.FUNCTIONS) == set(WRITES)
    assert set().union(*WRITES.values()) == set(KINDS)


@needs_npm
def test_no_role_inserts_outside_its_keys():
    """Each function with each kind of subject: allowed exactly where the function appends such entries."""
    cases = list(itertools.product(WRITES, KINDS))
    allowed = is_allowed([request(role(function), "PartiQLInsert", [subject(kind)]) for function, kind in cases])
    assert dict(zip(cases, allowed, strict=True)) == {(each, kind): kind in WRITES[each] for each, kind in cases}


@needs_npm
def test_what_only_looks_like_a_kind_is_no_key_of_any_role():
    strange = ["", "#", *KINDS, *(f"{kind}s#1" for kind in KINDS), *(f"{kind.title()}#1" for kind in KINDS)]
    strange += [f" {kind}#1" for kind in KINDS] + [f"x#{kind}#1" for kind in KINDS]
    cases = list(itertools.product(WRITES, strange))
    allowed = is_allowed([request(role(function), "PartiQLInsert", [key]) for function, key in cases])
    assert [case for case, is_in in zip(cases, allowed, strict=True) if is_in] == []


@needs_npm
def test_one_foreign_key_among_several_refuses_them_all():
    cases = [(function, own, other) for function, owns in WRITES.items() for own in owns for other in set(KINDS) - owns]
    allowed = is_allowed(
        [request(role(function), "PartiQLInsert", [subject(own), subject(other)]) for function, own, other in cases]
    )
    assert [case for case, is_in in zip(cases, allowed, strict=True) if is_in] == []


@needs_npm
def test_an_insert_without_the_key_in_its_context_is_refused():
    simulations = [request(role(function), "PartiQLInsert", None) for function in WRITES]
    # The guard itself: without `Null`, the same roles would let it through.
    unguarded = []
    for function in WRITES:
        policy = role(function)
        for statement in policy["Statement"]:
            if roles.INSERT in roles.as_list(statement["Action"]):
                statement["Condition"] = {key: each for key, each in statement["Condition"].items() if key != "Null"}
        unguarded.append(request(policy, "PartiQLInsert", None))
    allowed = is_allowed(simulations + unguarded)
    assert allowed == [False] * len(WRITES) + [True] * len(WRITES)


@needs_npm
def test_no_role_changes_or_removes_an_entry_nor_does_an_administrator():
    own = [(function, action, kind) for function, kinds in WRITES.items() for action in CHANGES for kind in kinds]
    by_roles = [
        request(role(function), action, [subject(kind)], ledgers_own=ledgers_own)
        for ledgers_own in (False, True)
        for function, action, kind in own
    ]
    by_administrators = [request(ADMINISTRATOR, action, [subject("message")]) for action in CHANGES]
    assert not any(is_allowed(by_roles + by_administrators))


def test_the_threat_models_table_is_the_templates():
    assert roles.table_in_document() == roles.table(), "write it anew: python -m tests.roles"


@pytest.mark.parametrize("function", WRITES)
def test_every_statement_that_inserts_is_bound_to_keys(function):
    """Holds without the evaluator, too: nothing but these two conditions, and no other action beside."""
    (insert,) = (each for each in roles.statements(function) if roles.INSERT in roles.as_list(each["Action"]))
    assert insert["Action"] == roles.INSERT
    assert insert["Condition"] == {
        "Null": {roles.LEADING_KEYS: "false"},
        "ForAllValues:StringLike": {roles.LEADING_KEYS: roles.keys(insert)},
    }
    assert set(roles.keys(insert)) == {f"{kind}#*" for kind in WRITES[function]}
