"""What alarms and widgets watch is there to be watched: each metric, each dimension, and no other stack's."""

import json
import re
from typing import NamedTuple

import pytest

from cxone_messaging.platform.telemetry import NAMESPACE, Metric
from local import template

RESOURCES = template.load()["Resources"]
ALARMS = template.resources("AWS::CloudWatch::Alarm")
FUNCTIONS = template.resources("AWS::Serverless::Function")
(API,) = template.resources("AWS::Serverless::Api").values()
(WEBHOOK_STAGE,) = template.resources("AWS::ApiGatewayV2::Stage").values()
(TOPIC,) = template.resources("AWS::SNS::Topic")
(DASHBOARD,) = template.resources("AWS::CloudWatch::Dashboard").values()
# With nothing but what CloudFormation puts into the text left out, it is JSON.
WIDGETS = {each["properties"]["title"]: each for each in json.loads(DASHBOARD["DashboardBody"]["Fn::Sub"])["widgets"]}

OF_THIS_STACK = (("service", "${AWS::StackName}"),)
CALL_FOR_A_PERSON = {
    Metric.CIRCUIT_OPENED,
    Metric.CLOCK_SKEW,
    Metric.TOKEN_FETCHES_FAILED,
    Metric.WEBHOOKS_REFUSED,
    Metric.REPLIES_NOT_SUBSCRIBED,
    Metric.MESSAGES_STILL_UNKNOWN,
    Metric.INTERNAL_ERRORS,
    Metric.BROKEN_CHAINS,
    Metric.BULK_RECORD_AGE,
    Metric.PACE_SHARE,
    Metric.RECEIPTS_BEHIND,
}

# What AWS's services report, of what is watched here: their own documentation's names, and whose they are told for.
OF_SERVICES = {
    ("AWS/Lambda", ("FunctionName",)): {"Duration", "Errors", "Throttles"},
    ("AWS/SQS", ("QueueName",)): {
        "ApproximateAgeOfOldestMessage",
        "ApproximateNumberOfMessagesDelayed",
        "ApproximateNumberOfMessagesNotVisible",
        "ApproximateNumberOfMessagesVisible",
        "NumberOfEmptyReceives",
        "NumberOfMessagesDeleted",
        "NumberOfMessagesSent",
    },
    ("AWS/ApiGateway", ("ApiName", "Stage")): {"4XXError", "5XXError", "Count", "Latency"},
    ("AWS/ApiGateway", ("ApiId", "Stage")): {"4xx", "5xx", "Count", "Latency"},
    ("AWS/DynamoDB", ("TableName",)): {"ConsumedReadCapacityUnits", "ConsumedWriteCapacityUnits"},
    ("AWS/DynamoDB", ("GlobalSecondaryIndexName", "TableName")): {
        "ConsumedReadCapacityUnits",
        "ConsumedWriteCapacityUnits",
    },
    ("AWS/Logs", ("LogGroupName",)): {"IncomingBytes"},
}
# How a resource's own name is got at, and of which type it then is.
NAMES = {
    "FunctionName": (r"\$\{(\w+)\}", "AWS::Serverless::Function"),
    "QueueName": (r"\$\{(\w+)\.QueueName\}", "AWS::SQS::Queue"),
    "TableName": (r"\$\{(\w+)\}", "AWS::DynamoDB::Table"),
    "LogGroupName": (r"\$\{(\w+)\}", "AWS::Logs::LogGroup"),
}


class Series(NamedTuple):
    """One time series of CloudWatch's: a metric with its dimensions, as sorted pairs of name and value."""

    namespace: str
    metric: str
    dimensions: tuple[tuple[str, str], ...]


def series(namespace, metric, dimensions):
    """Make one, whatever the order of its dimensions."""
    return Series(namespace, metric, tuple(sorted(dimensions.items())))


def as_text(value):
    """Write an intrinsic as Fn::Sub would have it."""
    match value:
        case {"Ref": name}:
            return f"${{{name}}}"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"${{{name}.{attribute}}}"
    return value


def queries(alarm):
    """Give the metrics of an alarm, by their ids where it computes something of them."""
    properties = ALARMS[alarm]
    if "Metrics" not in properties:
        return {"": properties}
    return {each["Id"]: each["MetricStat"]["Metric"] for each in properties["Metrics"] if "MetricStat" in each}


def watched_by_alarm(alarm):
    for each in queries(alarm).values():
        dimensions = {one["Name"]: as_text(one["Value"]) for one in each["Dimensions"]}
        yield series(each["Namespace"], each["MetricName"], dimensions)


def rows(title):
    """Write a widget's rows out: "..." stands for the row before up to what follows it, "." for one word of it."""
    before = []
    for row in WIDGETS[title]["properties"]["metrics"]:
        words = [each for each in row if isinstance(each, str)]
        options = next((each for each in row if isinstance(each, dict)), {})
        if words[:1] == ["..."]:
            words = before[: len(before) - len(words) + 1] + words[1:]
        words = [before[place] if word == "." else word for place, word in enumerate(words)]
        before = words or before
        yield words, options


def watched_by_widget(title):
    for (namespace, metric, *dimensions), _ in ((words, options) for words, options in rows(title) if words):
        yield series(namespace, metric, dict(zip(dimensions[::2], dimensions[1::2], strict=True)))


WATCHED = {each for alarm in ALARMS for each in watched_by_alarm(alarm)}
ON_THE_DASHBOARD = {each for title in WIDGETS for each in watched_by_widget(title)}


def assert_is_reported(watched):
    if watched.namespace == NAMESPACE:
        assert watched.metric in set(Metric)
        assert watched.dimensions == OF_THIS_STACK
        return
    dimensions = dict(watched.dimensions)
    assert watched.metric in OF_SERVICES[watched.namespace, tuple(dimensions)]
    for name, value in dimensions.items():
        match name:
            case "ApiName":
                assert value == as_text(API["Name"])
            case "ApiId":
                assert value == "${WebhookApi}"
            case "Stage":
                assert value == (WEBHOOK_STAGE if "ApiId" in dimensions else API)["StageName"]
            case "GlobalSecondaryIndexName":
                table = RESOURCES[dimensions["TableName"].strip("${}")]["Properties"]
                assert value in {index["IndexName"] for index in table["GlobalSecondaryIndexes"]}
            case "FunctionName" if value.startswith("${AWS::StackName}-"):
                assert value in [each["FunctionName"]["Fn::Sub"] for each in FUNCTIONS.values()]
            case _:
                pattern, type_ = NAMES[name]
                assert RESOURCES[re.fullmatch(pattern, value)[1]]["Type"] == type_


def test_every_function_reports_with_the_dimension_that_is_watched():
    of_all = template.load()["Globals"]["Function"]["Environment"]["Variables"]
    assert (("service", as_text(of_all["POWERTOOLS_SERVICE_NAME"])),) == OF_THIS_STACK
    own = [each.get("Environment", {}).get("Variables", {}) for each in FUNCTIONS.values()]
    assert not any("POWERTOOLS_SERVICE_NAME" in each for each in own)


class TestAlarms:
    @pytest.mark.parametrize("alarm", ALARMS)
    def test_what_it_watches_is_reported(self, alarm):
        watched = list(watched_by_alarm(alarm))
        assert watched
        for each in watched:
            assert_is_reported(each)

    @pytest.mark.parametrize("alarm", ALARMS)
    def test_it_tells_somebody(self, alarm):
        assert ALARMS[alarm]["AlarmActions"] == [{"Ref": TOPIC}]
        assert ALARMS[alarm]["AlarmDescription"]

    @pytest.mark.parametrize("alarm", [alarm for alarm, each in ALARMS.items() if "Metrics" in each])
    def test_what_it_computes_takes_in_each_metric_once(self, alarm):
        (total,) = (each for each in ALARMS[alarm]["Metrics"] if "Expression" in each)
        assert total["Expression"] == " + ".join(f"FILL({id_}, 0)" for id_ in queries(alarm))
        assert len(set(watched_by_alarm(alarm))) == len(queries(alarm)) <= 10  # CloudWatch has no more in an alarm
        rest = [each for each in ALARMS[alarm]["Metrics"] if each is not total]
        assert all(each["ReturnData"] is False for each in rest)
        assert len({(each["MetricStat"]["Period"], each["MetricStat"]["Stat"]) for each in rest}) == 1

    def test_a_metric_that_calls_for_a_person_is_watched_and_no_other_is(self):
        assert {each.metric for each in WATCHED if each.namespace == NAMESPACE} == CALL_FOR_A_PERSON

    @pytest.mark.parametrize("alarm", ALARMS)
    def test_one_on_a_metric_of_ours_is_on_the_local_stack_too(self, alarm):
        if any(each.namespace == NAMESPACE for each in watched_by_alarm(alarm)):
            assert RESOURCES[alarm].get("Condition") in {None, "SpeaksDfo"}

    @pytest.mark.parametrize("metric", ["Errors", "Throttles"])
    def test_every_functions_are_watched(self, metric):
        """The collector is watched by how far it is behind, which says more, and there is none with the other API."""
        always = [name for name in FUNCTIONS if "Condition" not in RESOURCES[name]]
        assert {series("AWS/Lambda", metric, {"FunctionName": f"${{{each}}}"}) for each in always} <= WATCHED

    @pytest.mark.parametrize(
        "watched",
        [
            series("AWS/SQS", "ApproximateAgeOfOldestMessage", {"QueueName": "${BulkQueue.QueueName}"}),
            series("AWS/SQS", "ApproximateNumberOfMessagesVisible", {"QueueName": "${BulkDeadLetterQueue.QueueName}"}),
            series("AWS/ApiGateway", "5XXError", {"ApiName": "${AWS::StackName}", "Stage": "live"}),
            series("AWS/ApiGateway", "5xx", {"ApiId": "${WebhookApi}", "Stage": "$default"}),
        ],
        ids=lambda watched: watched.metric,
    )
    def test_what_else_calls_for_a_person_is_watched(self, watched):
        assert watched in WATCHED

    def test_one_dead_letter_is_enough(self):
        alarm = ALARMS["BulkDeadLetterQueueAlarm"]
        assert (alarm["ComparisonOperator"], alarm["Threshold"]) in {
            ("GreaterThanThreshold", 0),
            ("GreaterThanOrEqualToThreshold", 1),
        }


class TestTopic:
    def test_it_is_encrypted_with_a_key_that_cloudwatch_may_use(self):
        (key,) = template.resources("AWS::KMS::Key")
        assert template.resources("AWS::SNS::Topic")[TOPIC]["KmsMasterKeyId"]["Fn::If"][2] == {"Ref": key}
        policy = template.resources("AWS::KMS::Key")[key]["KeyPolicy"]
        (granted,) = (each for each in policy["Statement"] if "Service" in each["Principal"])
        assert granted["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
        assert set(granted["Action"]) == {"kms:Decrypt", "kms:GenerateDataKey"}
        assert granted["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}

    def test_only_this_stacks_alarms_may_publish_and_nothing_without_tls(self):
        (policy,) = template.resources("AWS::SNS::TopicPolicy").values()
        allowed, denied = policy["PolicyDocument"]["Statement"]
        assert (allowed["Effect"], allowed["Action"]) == ("Allow", "sns:Publish")
        assert allowed["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
        assert set(allowed["Condition"]) == {"StringEquals", "ArnLike"}
        assert ":alarm:${AWS::StackName}-*" in str(allowed["Condition"]["ArnLike"])
        assert (denied["Effect"], denied["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})

    def test_nobody_is_written_to_unless_somebody_is_named(self):
        (subscription,) = (each for each in RESOURCES.values() if each["Type"] == "AWS::SNS::Subscription")
        assert subscription["Condition"] == "AlarmEmailGiven"
        assert template.load()["Parameters"]["AlarmEmail"]["Default"] == ""


class TestDashboard:
    @pytest.mark.parametrize("title", WIDGETS)
    def test_what_a_widget_shows_is_reported(self, title):
        watched = list(watched_by_widget(title))
        assert watched
        for each in watched:
            assert_is_reported(each)

    @pytest.mark.parametrize("title", WIDGETS)
    def test_what_a_widget_computes_is_computed_of_its_own_metrics(self, title):
        ids = {options["id"] for words, options in rows(title) if words and "id" in options}
        used = [options["expression"] for words, options in rows(title) if not words]
        named = {
            each for expression in used for each in re.findall(r"\b[a-z]\w*", re.sub(r"\$\{\w+\}", "1", expression))
        }
        assert named == ids
        assert WIDGETS[title]["properties"]["region"] == "${AWS::Region}"

    def test_every_metric_of_ours_is_shown(self):
        assert {each.metric for each in ON_THE_DASHBOARD if each.namespace == NAMESPACE} == set(Metric)

    def test_it_names_only_what_there_is(self):
        body = DASHBOARD["DashboardBody"]["Fn::Sub"]
        names = {name.partition(".")[0] for name in re.findall(r"\$\{([^}]+)\}", body)}
        known = set(RESOURCES) | set(template.load()["Parameters"]) | {"AWS::Region", "AWS::StackName"}
        assert names <= known

    @pytest.mark.parametrize(
        ("metric", "dimension"),
        [
            ("Errors", "FunctionName"),
            ("Throttles", "FunctionName"),
            ("Duration", "FunctionName"),
        ],
    )
    def test_no_function_is_left_out(self, metric, dimension):
        shown = {dict(each.dimensions)[dimension] for each in ON_THE_DASHBOARD if each.metric == metric}
        # A function that there may not be is shown by its name.
        assert shown == {
            each["FunctionName"]["Fn::Sub"] if "Condition" in RESOURCES[name] else f"${{{name}}}"
            for name, each in FUNCTIONS.items()
        }
