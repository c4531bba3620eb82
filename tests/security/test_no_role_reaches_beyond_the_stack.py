"""Claim: a function whose code is taken over can do what the threat model's table of roles says, and nothing else.

So no policy that SAM attaches gives it another stack's queues or log groups. For each `TokenStore`, each function is
tried with every action that any role names, on every resource of the stack and on some of somebody else's; the
evaluator is that of `test_no_role_inserts_outside_its_keys`, whose matrix of keys is not repeated here.
"""

import itertools
from typing import Any

import pytest

from local import template
from tests import roles
from tests.security.test_no_role_inserts_outside_its_keys import (
    ACCOUNT,
    ADMINISTRATOR,
    arn,
    is_allowed,
    needs_npm,
    role,
)

OWN_LOGS = f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:/aws/lambda/FunctionLogs"
KINDS = {
    "dynamodb": "AWS::DynamoDB::Table",
    "secretsmanager": "AWS::SecretsManager::Secret",
    "sqs": "AWS::SQS::Queue",
    "logs": "AWS::Logs::LogGroup",
}
TOKENS = [f"arn:aws:ssm:us-east-1:{ACCOUNT}:parameter/cxone-messaging/stack/{name}-token" for name in ("sms", "admin")]
FOREIGN = {
    "dynamodb": [f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/Another"],
    "secretsmanager": [f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:Another-AbCdEf"],
    "sqs": [f"arn:aws:sqs:us-east-1:{ACCOUNT}:Another"],
    "ssm": [f"{TOKENS[0].replace('stack', 'another')}", f"{TOKENS[0]}/more", f"{TOKENS[0]}2"],
    # One that begins as ours does, too.
    "logs": [f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:/aws/lambda/{name}:*" for name in ("other", "FunctionLogs2")],
}


def actions(function: str) -> set[str]:
    told = roles.statements(function) + roles.managed_statements(function)
    return {action for each in told for action in roles.as_list(each["Action"])} - {roles.INSERT}


ACTIONS = sorted(set().union(*map(actions, roles.FUNCTIONS)))
INDEXES = [
    {"Fn::Sub": f"${{LedgerTable.Arn}}/index/{each['IndexName']}"}
    for each in template.resources("AWS::DynamoDB::Table")["LedgerTable"]["GlobalSecondaryIndexes"]
]


def resources(action: str) -> list[str]:
    """Return the ARNs of all that an action could be tried on."""
    service = action.partition(":")[0]
    if service == "xray":
        return ["*"]
    if service == "ssm":
        return TOKENS + FOREIGN[service]
    ours = [{"Ref": id_} for id_ in template.resources(KINDS[service])]
    arns = [arn(each) for each in ours + (INDEXES if action == "dynamodb:Query" else [])] + FOREIGN[service]
    if service != "logs":
        return arns
    groups = [each.removesuffix(":*") for each in arns]
    if action != "logs:CreateLogGroup":
        return [f"{each}:log-stream:2026/11/26/[7]0f" for each in groups]
    return [each for each in groups if each != OWN_LOGS]  # which is there already


SCHEDULE = "schedule"  # the key of one item of the Coordination table; others are leases of tokens
# AWS tells the policy which item such a call is about.
OF_AN_ITEM = {"dynamodb:GetItem", "dynamodb:UpdateItem"}


def call(action: str, resource: str, policy: dict[str, Any], keys: list[str] | None = None) -> dict[str, Any]:
    if keys is None and action in OF_AN_ITEM:
        keys = [SCHEDULE]
    return {
        "request": {
            "principal": f"arn:aws:iam::{ACCOUNT}:role/function",
            "action": action,
            "resource": {"resource": resource, "accountId": ACCOUNT},
            "contextVariables": {roles.LEADING_KEYS: keys} if keys else {},
        },
        "identityPolicies": [{"name": "role", "policy": policy}],
        "serviceControlPolicies": [
            {"orgIdentifier": "r-root", "policies": [{"name": "everything", "policy": ADMINISTRATOR}]}
        ],
        "resourceControlPolicies": [],
    }


def told(function: str, action: str, resource: str, token_store: str) -> bool:
    """Whether the table says that a function may do this."""
    name = action.partition(":")[2]
    written = any(
        action in roles.as_list(each["Action"]) and resource in [arn(one) for one in roles.as_list(each["Resource"])]
        for each in roles.statements(function, token_store)
    )
    left = roles.left_of_managed(function)
    in_the_group = name in left.get("FunctionLogs", []) and resource.startswith(f"{OWN_LOGS}:")
    return written or in_the_group or name in left.get(roles.EVERYTHING, [])


@needs_npm
@pytest.mark.parametrize("token_store", roles.TOKEN_STORES)
def test_no_role_reaches_beyond_the_table_in_the_threat_model(token_store):
    cases = [
        (function, action, resource)
        for function, action in itertools.product(roles.FUNCTIONS, ACTIONS)
        for resource in resources(action)
    ]
    policies = {function: role(function, token_store) for function in roles.FUNCTIONS}
    allowed = is_allowed([call(action, resource, policies[function]) for function, action, resource in cases])
    assert [case for case, may in zip(cases, allowed, strict=True) if may != told(*case, token_store)] == []
    assert 0 < sum(allowed) < len(cases)


@needs_npm
@pytest.mark.parametrize("action", sorted(OF_AN_ITEM))
def test_who_limits_the_pace_reaches_no_lease_of_a_token(action):
    """A token's lease, taken by others, stops all sending; the function has no business with it."""
    table, policy = arn({"Ref": "CoordinationTable"}), role("ManagePaceFunction")
    tried = [[SCHEDULE], ["token#sms"], ["token#admin"], [SCHEDULE, "token#sms"], ["schedule2"], [""], []]
    assert is_allowed([call(action, table, policy, keys) for keys in tried]) == [True] + [False] * 6
    unbound = {**policy, "Statement": [{**each, "Condition": {}} for each in policy["Statement"]]}
    assert is_allowed([call(action, table, unbound, ["token#sms"])]) == [True], "the guard itself"


@needs_npm
def test_without_its_denial_a_role_could_write_to_any_log():
    """The guard itself: SAM's policy for logs names no group."""
    resource = resources("logs:PutLogEvents")[-1]
    bare = [
        {**role(each), "Statement": [one for one in role(each)["Statement"] if one["Effect"] == "Allow"]}
        for each in roles.FUNCTIONS
    ]
    assert all(is_allowed([call("logs:PutLogEvents", resource, policy) for policy in bare]))


@pytest.mark.parametrize("function", roles.FUNCTIONS)
def test_sam_attaches_no_policy_that_nobody_looked_at(function):
    assert set(roles.managed(function)) == set(roles.MANAGED)


@pytest.mark.parametrize("function", roles.FUNCTIONS)
def test_only_tracing_knows_no_resource(function):
    everything = roles.left_of_managed(function)[roles.EVERYTHING]
    assert {f"xray:{action}" for action in everything} == set(roles.MANAGED["AWSXrayWriteOnlyAccess"])
    assert roles.denials(function) == [
        {"Effect": "Deny", "Action": "logs:*", "NotResource": {"Fn::GetAtt": ["FunctionLogs", "Arn"]}}
    ]


def test_one_function_takes_records_off_the_queue_and_none_off_the_dead_letters():
    may_take = {
        (function, roles.resource_name(resource))
        for function in roles.FUNCTIONS
        for each in roles.statements(function)
        if "sqs:ReceiveMessage" in roles.as_list(each["Action"])
        for resource in roles.as_list(each["Resource"])
    }
    assert may_take == {("SendBulkFunction", "BulkQueue")}


@pytest.mark.parametrize("function", ["SendMessageFunction", "SendBulkFunction", "ApproveTemplateFunction"])
def test_a_role_reaches_its_token_in_the_chosen_store_only(function):
    family = "Admin" if function == "ApproveTemplateFunction" else "Sms"
    tokens = {
        token_store: {
            (action, roles.resource_name(resource))
            for each in roles.statements(function, token_store)
            for action in roles.as_list(each["Action"])
            for resource in roles.as_list(each["Resource"])
            if "token" in roles.resource_name(resource).lower()
        }
        for token_store in roles.TOKEN_STORES
    }
    secret, parameter = f"{family}TokenSecret", f"{roles.PARAMETER}{family.lower()}-token"
    assert tokens == {
        "secretsmanager": {(f"secretsmanager:{verb}SecretValue", secret) for verb in ("Get", "Put")},
        "ssm": {(f"ssm:{verb}Parameter", parameter) for verb in ("Get", "Put")},
    }
