"""What operators are told: the deployments that there are, and what to do about each alarm."""

import re
import tomllib

import pytest

from cxone_messaging.platform.telemetry import Metric
from local import template

PARAMETERS = template.load()["Parameters"]
SAMCONFIG = template.ROOT / "samconfig.toml"
DEPLOYMENTS = tomllib.loads(SAMCONFIG.read_text())
RUNBOOK = (template.ROOT / "docs" / "runbook.md").read_text()


def test_there_are_two_deployments_and_neither_is_taken_by_saying_nothing():
    assert set(DEPLOYMENTS) == {"version", "dev", "prod"}
    names = {DEPLOYMENTS[each]["deploy"]["parameters"]["stack_name"] for each in ("dev", "prod")}
    assert len(names) == 2


@pytest.mark.parametrize("deployment", ["dev", "prod"])
def test_a_deployment_sets_only_parameters_that_there_are_to_values_that_they_take(deployment):
    for told in DEPLOYMENTS[deployment]["deploy"]["parameters"]["parameter_overrides"]:
        name, _, value = told.partition("=")
        allowed = PARAMETERS[name].get("AllowedValues")
        assert value
        assert allowed is None or value in map(str, allowed)


def test_no_account_is_named():
    assert not re.search(r"\d{12}", SAMCONFIG.read_text())


@pytest.mark.parametrize("alarm", template.resources("AWS::CloudWatch::Alarm"))
def test_the_runbook_says_what_to_do_about_each_alarm(alarm):
    assert f"| `{alarm}` |" in RUNBOOK


def test_its_links_lead_somewhere():
    headings = re.findall(r"^#+ (.+)$", RUNBOOK, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    links = set(re.findall(r"\]\(#([^)]+)\)", RUNBOOK))
    assert links <= anchors


def test_outputs_and_functions_that_it_names_exist():
    outputs = set(re.findall(r"\$\(output (\w+)\)", RUNBOOK))
    assert outputs <= set(template.load()["Outputs"])
    functions = set(re.findall(r"\$STACK-([a-z]+-[a-z]+)", RUNBOOK))
    names = {each["FunctionName"]["Fn::Sub"] for each in template.resources("AWS::Serverless::Function").values()}
    assert {f"${{AWS::StackName}}-{name}" for name in functions} <= names


def test_every_parameter_output_and_metric_is_explained():
    page = (template.ROOT / "docs" / "configuration.md").read_text()
    parameters, outputs, metrics = (part.partition("\n")[2] for part in page.split("\n## ")[1:])
    in_rows = re.compile(r"^\| (`.+?) \|", re.MULTILINE)
    named = {"parameters": parameters, "outputs": outputs}
    told = {
        kind: {name for row in in_rows.findall(text) for name in re.findall(r"`(\w+)`", row)}
        for kind, text in named.items()
    }
    assert told == {"parameters": set(PARAMETERS), "outputs": set(template.load()["Outputs"])}
    assert {each.value for each in Metric} <= set(re.findall(r"`(\w+)`", metrics))


@pytest.mark.parametrize("page", ["README.md", "docs/api.md"])
def test_no_example_takes_the_key_of_an_event(page):
    """Who follows the page and then plays the events would get `idempotency_key_reused`."""
    in_page = set(re.findall(r"Idempotency-Key: ([^']+)'", (template.ROOT / page).read_text()))
    in_events = {
        key
        for event in (template.ROOT / "events").rglob("*.json")
        for key in re.findall(r'"Idempotency-Key": "([^"]+)"', event.read_text())
    }
    assert in_page
    assert in_events
    assert not in_page & in_events


def test_a_shell_block_of_the_runbook_builds_for_the_architecture_that_it_was_told():
    """`make build` by itself builds for arm64: elsewhere no function would start after that deployment."""
    assert "export ARCHITECTURE=" in RUNBOOK[: RUNBOOK.index("make build")].split("## Deploy")[0]


@pytest.mark.parametrize("page", ["runbook.md", "message-states.md"])
def test_every_output_that_a_command_reads_is_one(page):
    outputs = template.load()["Outputs"]
    named = re.findall(r"\$\(output (\w+)\)", (template.ROOT / "docs" / page).read_text())
    assert named
    assert set(named) <= set(outputs)
