"""What AWS enforces and the emulator does not: each rule with its source."""

import re

import pytest

from local import template
from tests import roles, transformed

FUNCTIONS = template.resources("AWS::Serverless::Function")
ALARMS = template.resources("AWS::CloudWatch::Alarm")
GLOBALS = template.load()["Globals"]["Function"]


def invoking_queue(function):
    """Return the queue whose records a function works off; None where it has none."""
    for mapping in template.resources("AWS::Lambda::EventSourceMapping").values():
        if function in str(mapping["FunctionName"]):
            return mapping["EventSourceArn"]["Fn::GetAtt"][0]
    return None


def writes_to(function):
    """Return the queues that a function's role lets it send to."""
    allowed = [each for each in roles.statements(function) if "sqs:SendMessage" in str(each["Action"])]
    return {name for name in template.resources("AWS::SQS::Queue") if any(name in str(each) for each in allowed)}


def test_a_function_that_writes_to_the_queue_that_invokes_it_allows_the_loop():
    """Lambda refuses a record after some 16 passes of such a loop (Lambda developer guide, "Use Lambda recursive loop
    detection to prevent infinite loops"; boto/boto3 issue 3899). The property is of commercial regions only."""
    loops = {function for function in FUNCTIONS if invoking_queue(function) in writes_to(function)}
    assert loops == {"SendBulkFunction"}
    for function in loops:
        assert FUNCTIONS[function]["RecursiveLoop"]["Fn::If"] == [
            "RecursionIsDetected",
            "Allow",
            {"Ref": "AWS::NoValue"},
        ]
    assert {"Fn::Equals": [{"Ref": "AWS::Partition"}, "aws"]} in template.load()["Conditions"]["RecursionIsDetected"][
        "Fn::And"
    ]


def test_sam_passes_the_loop_on():
    functions = transformed.resources("AWS::Lambda::Function")
    assert [name for name, each in functions.items() if "RecursiveLoop" in each] == ["SendBulkFunction"]


@pytest.mark.parametrize("alarm", [name for name, each in ALARMS.items() if "FILL(" in str(each.get("Metrics", ""))])
def test_an_alarm_with_fill_looks_at_some_of_several_periods(alarm):
    """Where points come late, FILL makes the newest one always 0, and the alarm can stay stuck (CloudWatch user guide,
    "Using metric math", FILL: "use a M out of N alarm"); a longer period covers the delay as well."""
    period = max(each["MetricStat"]["Period"] for each in ALARMS[alarm]["Metrics"] if "MetricStat" in each)
    is_some_of_several = ALARMS[alarm].get("DatapointsToAlarm", 0) < ALARMS[alarm]["EvaluationPeriods"] >= 5
    assert is_some_of_several or period >= 300


def seconds_watched(alarm):
    """Return how far back an alarm looks, which is how late a point may come."""
    periods = [each["MetricStat"]["Period"] for each in alarm.get("Metrics", []) if "MetricStat" in each]
    return max(periods or [alarm["Period"]]) * alarm["EvaluationPeriods"]


@pytest.mark.parametrize("function", [name for name in FUNCTIONS if name != "CollectReceiptsFunction"])
def test_the_errors_of_a_function_that_times_out_are_still_looked_at(function):
    """Lambda dates an invocation's metrics at its begin (Lambda developer guide, "View metrics for Lambda functions"),
    so that a function that times out reports its error that much later."""
    watching = [
        each
        for each in ALARMS.values()
        if "Errors" in str(each) and re.search(rf"'Ref': '{function}'", str(each)) and "AWS/Lambda" in str(each)
    ]
    assert watching
    for alarm in watching:
        if "Throttles" not in str(alarm):
            assert seconds_watched(alarm) >= FUNCTIONS[function].get("Timeout", GLOBALS.get("Timeout", 3)) + 120


def test_a_canary_lasts_longer_than_its_alarms_look_back():
    preference = GLOBALS["DeploymentPreference"]
    minutes = int(re.fullmatch(r"Canary10Percent(\d+)Minutes", preference["Type"])[1])
    assert all(minutes * 60 > seconds_watched(ALARMS[each["Ref"]]) for each in preference["Alarms"])


SIGNING = {
    "SecretStringTemplate": '{"previous": ""}',
    "GenerateStringKey": "current",
    "PasswordLength": 64,
    "ExcludeUppercase": True,
    "ExcludePunctuation": True,
    "RequireEachIncludedType": False,
    "ExcludeCharacters": "ghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~",
}
# What each secret is first made of. **Do not change a line of it, nor this test.**
FIRST_VALUES = {
    "CredentialsSecret": {"SecretString": '{"clientId": "", "clientSecret": ""}'},
    "SmsTokenSecret": {"SecretString": "{}"},
    "AdminTokenSecret": {"SecretString": "{}"},
    "WebhookSecret": {"GenerateSecretString": SIGNING},
    "CallbackSecret": {"GenerateSecretString": SIGNING},
    "PepperSecret": {"GenerateSecretString": {"PasswordLength": 64, "ExcludePunctuation": True}},
}


def test_no_deployment_replaces_the_value_of_a_secret():
    """CloudFormation makes a new value when, and only when, one of these properties changes (its reference of
    AWS::SecretsManager::Secret; aws-cloudformation/cloudformation-coverage-roadmap issues 1161 and 2210).
    `UpdateReplacePolicy` does not stand against that. A new pepper loses every consent."""
    secrets = template.resources("AWS::SecretsManager::Secret")
    values = ("SecretString", "GenerateSecretString")
    assert {id_: {key: each[key] for key in values if key in each} for id_, each in secrets.items()} == FIRST_VALUES


RUNBOOK = (template.ROOT / "docs" / "runbook.md").read_text()


def test_a_redrive_names_its_destination():
    """Without it the task of a record that the function put aside fails, after it was accepted (SQS developer guide,
    "Dead-letter queue redrive": CouldNotDetermineMessageSource)."""
    commands = [line for line in RUNBOOK.splitlines() if "start-message-move-task" in line]
    assert commands
    assert all("--destination-arn" in each for each in commands)


def test_no_query_that_counts_from_the_end_is_put_to_pages():
    """As text, the AWS CLI puts `--query` to each page, and ListVersionsByFunction has 50 versions a page (AWS CLI user
    guide, "Filter AWS CLI output")."""
    joined = RUNBOOK.replace("\\\n", " ")
    counting = [line for line in joined.splitlines() if "aws " in line and "list-versions-by-function" in line]
    assert counting
    assert all("--output json" in each and "--query" not in each for each in counting)
