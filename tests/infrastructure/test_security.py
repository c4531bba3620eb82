"""What stands in the template in the place of checks that .checkov.yaml and .cfnlintrc leave out, and beyond them."""

import re

import pytest
import yaml

from local import template
from tests import roles, transformed

TEMPLATE = template.load()
TABLES = template.resources("AWS::DynamoDB::Table")
QUEUES = template.resources("AWS::SQS::Queue")
FUNCTIONS = template.resources("AWS::Serverless::Function")
(API,) = template.resources("AWS::Serverless::Api").values()
OVERWRITING = {
    "UpdateTimeToLive",
    "PutItem",
    "UpdateItem",
    "DeleteItem",
    "BatchWriteItem",
    "PartiQLUpdate",
    "PartiQLDelete",
}


def denials(policy):
    """Give what a resource's own policy denies to everybody, as (actions, condition)."""
    assert policy["Version"] == "2012-10-17"
    for statement in policy["Statement"]:
        assert (statement["Effect"], statement["Principal"], statement["Resource"]) == ("Deny", "*", "*")
        actions = statement["Action"]
        yield set(actions) if isinstance(actions, list) else {actions}, statement.get("Condition")


def over_tls_only(service):
    return {f"{service}:*"}, {"Bool": {"aws:SecureTransport": "false"}}


@pytest.mark.parametrize("table", TABLES)
def test_a_table_is_reached_over_tls_only(table):
    assert over_tls_only("dynamodb") in denials(TABLES[table]["ResourcePolicy"]["PolicyDocument"])


def test_queues_are_reached_over_tls_only():
    ((queues, policy),) = [
        (each["Queues"], each["PolicyDocument"]) for each in template.resources("AWS::SQS::QueuePolicy").values()
    ]
    assert {each["Ref"] for each in queues} == set(QUEUES)
    assert over_tls_only("sqs") in denials(policy)


def test_nobody_changes_or_removes_an_entry():
    policy = TABLES["LedgerTable"]["ResourcePolicy"]["PolicyDocument"]
    assert ({f"dynamodb:{action}" for action in OVERWRITING}, None) in denials(policy)


def test_a_function_that_nobody_waits_for_keeps_what_it_failed_on():
    """CKV_AWS_116 is left out for those that answer somebody, take records off a queue, or run again by schedule."""
    for name, function in FUNCTIONS.items():
        asynchronous = {each["Type"] for each in function.get("Events", {}).values()} - {"Api", "Schedule"}
        assert not asynchronous or "DeadLetterQueue" in function or "EventInvokeConfig" in function, name


def test_access_logs_tell_no_number_and_no_signature():
    logged = API["AccessLogSetting"]["Fn::If"][1]["Format"]
    told = set(re.findall(r"\$context\.([\w.]+)", logged))
    # Not path, requestOverride and the like: /consents/{phoneNumber}; nor the query: ?sig=.
    assert told == {
        *("requestId", "requestTime", "httpMethod", "resourcePath", "status", "responseLatency"),
        *("identity.userArn", "identity.sourceIp"),
    }
    (stage,) = template.resources("AWS::ApiGatewayV2::Stage").values()
    logged = stage["AccessLogSettings"]["Fn::If"][1]["Format"]
    told = set(re.findall(r"\$context\.([\w.]+)", logged))
    assert told == {"requestId", "requestTime", "routeKey", "status", "responseLatency", "identity.sourceIp"}


def test_functions_are_traced_and_the_api_is_not():
    assert TEMPLATE["Globals"]["Function"]["Tracing"] == "Active"
    assert not any("Tracing" in each for each in FUNCTIONS.values())
    assert "TracingEnabled" not in API


@pytest.mark.parametrize(("file", "key"), [(".checkov.yaml", "skip-check"), (".cfnlintrc", "ignore_checks")])
def test_each_exception_has_its_reason(file, key):
    text = (template.ROOT / file).read_text()
    skipped = yaml.safe_load(text)[key]
    assert skipped == re.findall(r"^  - (\w+) +# \w.+$", text, re.MULTILINE)


CHECKLIST = (template.ROOT / "docs" / "security.md").read_text()


def test_the_checklist_says_who_reads_and_writes_each_store():
    assert roles.table_in_document(roles.STORES_DOCUMENT) == roles.stores_table(), "python -m tests.roles writes it"


def test_every_action_of_a_role_is_a_read_or_a_write():
    """Otherwise the checklist's table would leave it out."""
    used = {action for each in FUNCTIONS for one in roles.statements(each) for action in roles.as_list(one["Action"])}
    assert used <= roles.KNOWN_ACTIONS


@pytest.mark.parametrize(
    "type_",
    [
        *("AWS::DynamoDB::Table", "AWS::SQS::Queue", "AWS::SecretsManager::Secret"),
        *("AWS::Logs::LogGroup", "AWS::SNS::Topic"),
    ],
)
def test_the_checklist_says_how_long_each_store_keeps_what(type_):
    data = CHECKLIST.partition("## Data")[2].partition("\n## ")[0]
    assert {id_ for id_ in template.resources(type_) if f"`{id_}`" not in data} == set()


# The properties by which CloudFormation gives a resource a name that is not generated.
NAMED_BY = {
    *("FunctionName", "LayerName", "LogGroupName", "DashboardName", "TableName", "QueueName", "TopicName", "RoleName"),
    *("AlarmName", "BucketName", "Name", "AliasName", "StageName"),
}


def test_the_checklist_names_every_fixed_name():
    names = CHECKLIST.partition("## Names")[2].partition("\n## ")[0]
    fixed = {}
    for id_, each in TEMPLATE["Resources"].items():
        for name in NAMED_BY & set(each.get("Properties", {})):
            value = each["Properties"][name]
            if name not in {"StageName", "FunctionName"} or "StackName" in str(value):
                fixed[id_] = value.get("Fn::Sub", value.get("Ref")) if isinstance(value, dict) else value
    written = {
        id_: re.sub(r"\$\{AWS::StackName\}|^AWS::StackName$", "<stack>", str(name)) for id_, name in fixed.items()
    }
    assert len(written) > len(FUNCTIONS)
    assert all("<stack>" in name for name in written.values()), "two stacks would clash"
    functions = {
        f"<stack>-{FUNCTIONS[each]['CodeUri'].removeprefix('functions/').replace('_', '-')}" for each in FUNCTIONS
    }
    assert functions <= set(written.values())
    assert {name for name in written.values() if f"`{name}`" not in names} - functions == set()
    assert "`<stack>-send-message` and so on" in names


def test_the_checklist_names_everything_that_outlives_the_stack():
    names = CHECKLIST.partition("These stay behind on purpose")[2].partition("\n## ")[0]
    kept = {
        each["Type"] if each["Type"] == "AWS::Lambda::Version" else id_
        for id_, each in transformed.transformed().items()
        if each.get("DeletionPolicy") == "Retain"
    }
    assert {"LedgerTable", "ConsentsTable", "PepperSecret"} <= kept
    assert {each for each in kept if f"`{each}`" not in names} == set()


@pytest.mark.parametrize(
    "type_",
    ["AWS::Serverless::Function", "AWS::DynamoDB::Table", "AWS::SQS::Queue", "AWS::SecretsManager::Secret"],
)
def test_the_threat_model_speaks_of_everything_that_can_be_reached(type_):
    text = (template.ROOT / "docs" / "threat-model.md").read_text()
    assert {id_ for id_ in template.resources(type_) if f"`{id_}`" not in text} == set()
