"""What a deployment does, by the transform that CloudFormation runs: new versions, and how they get their calls."""

import re

import pytest

from local import template
from tests.transformed import transformed

FUNCTIONS = template.resources("AWS::Serverless::Function")
ALIAS = "live"


def of_type(resources, type_):
    return {id_: each for id_, each in resources.items() if each["Type"] == type_}


def versions(resources):
    return set(of_type(resources, "AWS::Lambda::Version"))


@pytest.fixture(scope="module")
def gradual():
    return transformed(GradualDeployments="true")


def test_every_caller_calls_a_function_by_its_alias(gradual):
    aliases = {f"{function}Alias{ALIAS}" for function in FUNCTIONS}
    assert set(of_type(gradual, "AWS::Lambda::Alias")) == aliases
    (mapping,) = of_type(gradual, "AWS::Lambda::EventSourceMapping").values()
    called = [mapping["Properties"]["FunctionName"]]
    called += [
        target["Arn"]
        for rule in of_type(gradual, "AWS::Events::Rule").values()
        for target in rule["Properties"]["Targets"]
    ]
    called += [each["Properties"]["FunctionName"] for each in of_type(gradual, "AWS::Lambda::Permission").values()]
    assert {each["Ref"] for each in called} == aliases


def test_each_build_publishes_new_versions_of_every_function():
    """A build's time is in the layer, so its content is another with each (layers/messaging/Makefile)."""
    before, after = transformed("built at noon"), transformed("built at one")
    assert len(versions(before)) == len(versions(after)) == len(FUNCTIONS)
    assert versions(before).isdisjoint(versions(after))


def test_a_changed_parameter_alone_publishes_none_which_is_why_the_layer_has_its_builds_time_in_it():
    """Issue 3820 of aws/serverless-application-model. Once this fails, the time can go."""
    assert versions(transformed(CxoneRequestsPerSecond="100")) == versions(transformed(CxoneRequestsPerSecond="200"))


def test_the_layers_recipe_puts_the_time_in():
    recipe = (template.ROOT / "layers" / "messaging" / "Makefile").read_text()
    assert '\tdate -u +%Y-%m-%dT%H:%M:%SZ > "$(TARGET)/cxone_messaging/BUILT"\n' in recipe


def test_a_gradual_deployment_goes_back_on_the_alarms_that_tell_of_a_bad_version(gradual):
    groups = of_type(gradual, "AWS::CodeDeploy::DeploymentGroup")
    assert set(groups) == {f"{function}DeploymentGroup" for function in FUNCTIONS}
    for group in groups.values():
        properties = group["Properties"]
        watched = {each["Name"]["Ref"] for each in properties["AlarmConfiguration"]["Alarms"]}
        assert watched == {"FunctionErrorsAlarm", "InternalErrorsAlarm"}
        assert properties["AutoRollbackConfiguration"]["Enabled"] is True
        assert "DEPLOYMENT_STOP_ON_ALARM" in properties["AutoRollbackConfiguration"]["Events"]
        assert "Canary10Percent10Minutes" in str(properties["DeploymentConfigName"])
    for alias in of_type(gradual, "AWS::Lambda::Alias").values():
        assert "CodeDeployLambdaAliasUpdate" in alias["UpdatePolicy"]


def test_an_alarm_that_stops_a_deployment_looks_every_minute():
    alarms = template.resources("AWS::CloudWatch::Alarm")
    for alarm in ("FunctionErrorsAlarm", "InternalErrorsAlarm"):
        computed_of = [each["MetricStat"] for each in alarms[alarm].get("Metrics", []) if "MetricStat" in each]
        periods = {each["Period"] for each in computed_of or [alarms[alarm]]}
        assert periods == {60}


def test_otherwise_all_calls_go_to_the_new_versions_at_once():
    at_once = transformed()
    assert not [each for each in at_once.values() if each["Type"].startswith("AWS::CodeDeploy::")]
    assert not [each for each in of_type(at_once, "AWS::Lambda::Alias").values() if "UpdatePolicy" in each]


def named_in(value, conditions=frozenset()):
    """Yield what a value names, each with the conditions under which CloudFormation resolves it."""
    if isinstance(value, list):
        for each in value:
            yield from named_in(each, conditions)
    if not isinstance(value, dict):
        return
    for key, part in value.items():
        if key == "Fn::If":
            yield from named_in(part[1], conditions | {part[0]})
            yield from named_in(part[2], conditions)
        elif key == "Ref":
            yield part, conditions
        elif key == "Fn::GetAtt":
            yield (part if isinstance(part, str) else part[0]).split(".")[0], conditions
        elif key == "Fn::Sub":
            text = part if isinstance(part, str) else part[0]
            yield from ((name.split(".")[0], conditions) for name in re.findall(r"\$\{([^!}]+)\}", text))
        else:
            yield from named_in(part, conditions)


@pytest.mark.parametrize("gradually", ["true", "false"])
def test_nothing_names_what_a_stack_of_the_other_api_leaves_out(gradually):
    """SAM passes a function's condition on to CodeDeploy's group only where `PassthroughCondition` says so."""
    resources = transformed(GradualDeployments=gradually)
    left_out = {id_ for id_, each in resources.items() if each.get("Condition") == "SpeaksDfo"}
    assert {id_ for id_ in resources if id_.startswith("CollectReceiptsFunction")} <= left_out
    for id_ in resources.keys() - left_out:
        named = {name for name, under in named_in(resources[id_].get("Properties", {})) if "SpeaksDfo" not in under}
        assert not named & left_out, id_
