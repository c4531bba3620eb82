"""`cxone-messaging doctor` and `smoke`: on a stack of their own, whole and with one thing after the other broken."""

import contextlib
import io
import json
import time
import zipfile
from datetime import timedelta
from urllib.parse import quote

import pytest
from botocore.client import BaseClient

from cli import smoke, subscribe
from cli.doctor import aws_checks, command, deployment
from cli.progress import Progress
from cli.versions import FUNCTIONS
from cxone_messaging import __version__
from cxone_messaging.adapters.dynamodb.ledger import DynamoLedger
from cxone_messaging.domain import subjects
from cxone_messaging.domain.attention import Attention
from cxone_messaging.domain.entries import Draft, EntryType
from cxone_messaging.platform.clock import SystemClock, instant
from local import sam, template
from local.options import Options
from local.processes import ServerError, free_port
from local.stack import down, up
from tests.e2e.privacy import leaks, values_of_secrets

RECIPIENT = "+12025550137"
# Operations whose IAM action has another name (Service Authorization Reference).
ACTIONS = {
    "lambda:Invoke": "lambda:InvokeFunction",
    "lambda:GetLayerVersionByArn": "lambda:GetLayerVersion",
    "monitoring:DescribeAlarms": "cloudwatch:DescribeAlarms",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("doctor")


@pytest.fixture(scope="module")
def stack(folder):
    """Deploy a stack that no other test has touched."""
    try:
        deployed = up(Options.apart(folder), Progress())
    except ServerError as error:
        pytest.fail(str(error), pytrace=False)
    yield deployed
    down(folder)


@pytest.fixture
def doctor(stack, folder, capsys):
    """Run the doctor; gives its exit code, each check by its name, and all that it printed."""

    def doctor(file=None, **more):
        code = command.run(str(file or folder / "stack.json"), as_json=True, **more)
        printed = capsys.readouterr()
        document = json.loads(printed.out)
        assert document["healthy"] is (code == 0)
        return code, {each["name"]: each for each in document["checks"]}, printed.out + printed.err

    return doctor


def lights(checks):
    return {name: each["light"] for name, each in checks.items()}


def all_entries(stack):
    pages = stack.client("dynamodb").get_paginator("scan").paginate(TableName=stack.output("LedgerTableName"))
    return [item for page in pages for item in page["Items"]]


def shared_tokens(stack):
    client = stack.client("secretsmanager")
    listed = [each["ARN"] for each in client.list_secrets()["SecretList"] if "TokenSecret" in each["Name"]]
    assert len(listed) == 2
    return {arn: client.get_secret_value(SecretId=arn)["SecretString"] for arn in listed}


# ---------------------------------------------------------------------------------------------------------------------
# Each thing to break: a context manager that mends it again.
# ---------------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def changed_function(stack, folder, **changes):
    """Let `live` of a function be a version with another configuration."""
    client, name = stack.client("lambda"), stack.function(folder)
    before = client.get_function_configuration(FunctionName=name)
    live = client.get_alias(FunctionName=name, Name="live")["FunctionVersion"]
    client.update_function_configuration(FunctionName=name, **changes)
    version = client.publish_version(FunctionName=name)["Version"]
    client.update_alias(FunctionName=name, Name="live", FunctionVersion=version)
    yield
    client.update_alias(FunctionName=name, Name="live", FunctionVersion=live)
    layers = [each["Arn"] for each in before["Layers"]]
    client.update_function_configuration(FunctionName=name, Handler=before["Handler"], Layers=layers)


@contextlib.contextmanager
def layer_of_another_architecture(stack):
    other = {"x86_64": "aarch64", "arm64": "x86_64"}[sam.architecture()]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(f"python/pydantic_core/_pydantic_core.cpython-313-{other}-linux-gnu.so", b"")
    layer = stack.client("lambda").publish_layer_version(LayerName="other", Content={"ZipFile": archive.getvalue()})
    with changed_function(stack, "send_bulk", Layers=[layer["LayerVersionArn"]]):
        yield


@contextlib.contextmanager
def function_that_cannot_start(stack):
    with changed_function(stack, "sweep_ledger", Handler="gone.handler"):
        yield


@contextlib.contextmanager
def concurrency_used_up(stack):
    client, name = stack.client("lambda"), stack.function("sweep_ledger")
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=990)
    yield
    client.delete_function_concurrency(FunctionName=name)


@contextlib.contextmanager
def secret_text(stack, output, text):
    client, arn = stack.client("secretsmanager"), stack.output(output)
    before = client.get_secret_value(SecretId=arn)["SecretString"]
    client.put_secret_value(SecretId=arn, SecretString=text)
    yield
    client.put_secret_value(SecretId=arn, SecretString=before)


def placeholder(stack):
    text = template.resources("AWS::SecretsManager::Secret")["CredentialsSecret"]["SecretString"]
    return secret_text(stack, "CredentialsSecretArn", text)


@contextlib.contextmanager
def simulator_settings(stack, **settings):
    before = stack.simulator("settings")
    stack.simulator("settings", settings, method="PUT")
    yield
    stack.simulator("settings", {name: before[name] for name in settings}, method="PUT")


def no_scope_to_send(stack):
    return simulator_settings(stack, sms_scopes=["message:sms:read"])


def no_scope_to_register(stack):
    return simulator_settings(stack, admin_scopes=["messaging:read", "messaging:write", "webhooks:write"])


@contextlib.contextmanager
def webhook_without_a_route(stack):
    client = stack.client("apigatewayv2")
    api = stack.output("WebhookUrl").rpartition("/")[2]
    (route,) = [each for each in client.get_routes(ApiId=api)["Items"] if each["RouteKey"].endswith("/sms")]
    client.delete_route(ApiId=api, RouteId=route["RouteId"])
    yield
    client.create_route(ApiId=api, RouteKey=route["RouteKey"], Target=route["Target"])


def webhook_secret_that_cxone_does_not_have(stack):
    return secret_text(stack, "WebhookSecretArn", json.dumps({"current": "ab" * 32, "previous": ""}))


@contextlib.contextmanager
def ledger_without_its_policy(stack):
    client = stack.client("dynamodb")
    arn = client.describe_table(TableName=stack.output("LedgerTableName"))["Table"]["TableArn"]
    policy = client.get_resource_policy(ResourceArn=arn)["Policy"]
    client.delete_resource_policy(ResourceArn=arn)
    yield
    client.put_resource_policy(ResourceArn=arn, Policy=policy)


@contextlib.contextmanager
def bulk_sending_stopped(stack):
    client = stack.client("lambda")
    (mapping,) = client.list_event_source_mappings()["EventSourceMappings"]
    client.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    yield
    client.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)


@contextlib.contextmanager
def ceiling_of_0(stack):
    stack.call("PUT", "/pace", {"ceiling": 0})
    yield
    stack.call("PUT", "/pace", {"ceiling": 100})


@contextlib.contextmanager
def dead_letter(stack):
    client, url = stack.client("sqs"), stack.output("BulkDeadLetterQueueUrl")
    client.send_message(QueueUrl=url, MessageBody=json.dumps({"to": RECIPIENT}))
    yield
    client.purge_queue(QueueUrl=url)


@contextlib.contextmanager
def message_unknown_for_two_hours(stack):
    """Insert its entries; a delivery event settles it."""
    ledger = DynamoLedger(stack.client("dynamodb"), stack.output("LedgerTableName"))
    subject, then = subjects.message("msg_" + "7" * 32), instant(SystemClock().now()) - timedelta(hours=2)
    sending = Draft(EntryType.SENDING, {"recipient": "***0137"}).following([], subject, then)
    unknown = Draft(EntryType.UNKNOWN, {}, Attention.UNKNOWN.as_index()).following([sending], subject, then)
    for entry in (sending, unknown):
        ledger.insert(entry)
    yield
    event = {"status": "delivered", "instant": unknown.timestamp}
    ledger.insert(Draft(EntryType.DELIVERY, event).following([sending, unknown], subject, then))


@contextlib.contextmanager
def ringing_alarm(stack):
    client = stack.client("cloudwatch")
    names = [each["AlarmName"] for each in client.describe_alarms()["MetricAlarms"]]
    (name,) = [each for each in names if "CircuitOpenAlarm" in each]
    client.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="a test")
    yield
    client.set_alarm_state(AlarmName=name, StateValue="OK", StateReason="a test")


BROKEN = {
    "architecture": (layer_of_another_architecture, "send-bulk is", "make build ARCHITECTURE="),
    "functions": (function_that_cannot_start, "sweep-ledger: it can't start", "the log group"),
    "concurrency": (concurrency_used_up, "leaves 10 calls at once of 1000", "quota"),
    "secrets": (placeholder, "CredentialsSecretArn holds no clientId", "#rotate-cxones-credentials"),
    "token to send": (no_scope_to_send, "lacks the scope message:sms:send", "have NICE grant it"),
    "token to approve": (no_scope_to_register, "lacks the scope a2p:write", "have NICE grant it"),
    "webhook": (webhook_without_a_route, "404 to a forged event", "lead to the stack"),
    "subscription": (webhook_secret_that_cxone_does_not_have, "in force no more", "cxone-messaging subscribe"),
    "ledger": (ledger_without_its_policy, "it has no policy", "put it back"),
    "sending": (bulk_sending_stopped, "stopped: bulk messages", "#stop-all-sending"),
    "dead letters": (dead_letter, "1 bulk record waits", "#the-dead-letter-queue"),
    "unknown messages": (message_unknown_for_two_hours, "1 of the last week", "#unknown-messages"),
    "alarms": (ringing_alarm, "ringing: CircuitOpenAlarm", "#alarms-and-other-signs"),
}


def test_a_whole_stack_is_green_and_left_as_it_was(stack, doctor, monkeypatch):
    entries, tokens, fetches = all_entries(stack), shared_tokens(stack), stack.simulator("log")["counts"]
    called = set()
    call = BaseClient._make_api_call

    def record(self, operation, parameters):
        name = f"{self.meta.service_model.signing_name}:{operation}"
        called.add(ACTIONS.get(name, name))
        return call(self, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", record)
    code, checks, _ = doctor()
    monkeypatch.undo()
    assert (code, set(lights(checks).values())) == (0, {"green"}), checks
    assert checks["stack"]["found"].endswith("it speaks sms-v2")
    assert all_entries(stack) == entries
    assert shared_tokens(stack) == tokens
    after = stack.simulator("log")["counts"]
    for operation in ("token_sms", "token_admin"):
        assert after[operation]["accepted"] - fetches.get(operation, {}).get("accepted", 0) == 1
    assert set(after) - set(fetches) <= {"token_sms", "token_admin"}
    assert called - {"sts:GetCallerIdentity"} == operators_actions()


def operators_actions():
    """Give what the runbook says that an operator must be allowed, but for calls of the API."""
    section = (template.ROOT / "docs" / "runbook.md").read_text().partition("### What an operator may do")[2]
    policy = json.loads(section.partition("```json")[2].partition("```")[0])
    actions = {action for each in policy["Statement"] for action in each["Action"]}
    assert "execute-api:Invoke" in actions
    return actions - {"execute-api:Invoke"}


def test_where_cxone_refuses_the_name_of_replies_the_stack_says_so(stack, folder, doctor, capsys):
    """With a secret of its own, so that nothing is subscribed yet; the alarm watches the metric."""
    with contextlib.ExitStack() as mending:
        secret = json.dumps({"current": "cd" * 32, "previous": ""})
        mending.enter_context(secret_text(stack, "WebhookSecretArn", secret))
        mending.enter_context(simulator_settings(stack, known_events=["template.approved", "a2p.registered"]))
        assert subscribe.run(str(folder / "stack.json")) == 1
        assert "STOP replies do not arrive" in " ".join(capsys.readouterr().out.split())
        code, checks, _ = doctor()
        assert (code, checks["subscription"]["light"]) == (1, "red")
        assert "CXone refuses the event message.inbound (CXone answered 422)" in checks["subscription"]["found"]
        assert "InboundEvent" in checks["subscription"]["remedy"]
        assert stack.metrics()["RepliesNotSubscribed"][-1] == 1
    assert subscribe.run(str(folder / "stack.json")) == 0
    assert stack.metrics()["RepliesNotSubscribed"][-1] == 0
    assert "CXone posts replies" in capsys.readouterr().out
    assert doctor()[1]["subscription"]["light"] == "green"


def test_each_line_has_something_that_breaks_it(doctor):
    # Nothing breaks the channel of a stack that sends from a number: tests/unit/test_doctor.py has what does.
    assert {*BROKEN, "credentials", "stack", "clock", "channel"} == {name for name, *_ in command.CHECKS}


@pytest.mark.parametrize("name", BROKEN)
def test_one_thing_broken_turns_its_own_line_red_and_no_other(stack, doctor, name):
    breaking, found, remedy = BROKEN[name]
    with contextlib.ExitStack() as mending:
        mending.enter_context(breaking(stack))
        code, checks, printed = doctor()
    assert code == 1
    assert [each for each, light in lights(checks).items() if light == "red"] == [name], checks
    assert found in checks[name]["found"]
    assert remedy in checks[name]["remedy"]
    assert leaks([printed], [*values_of_secrets(stack).values(), RECIPIENT, RECIPIENT[1:]]) == []


def test_all_of_it_was_mended(doctor):
    """One that was not would have turned its own line red in the next test too."""
    assert set(lights(doctor()[1]).values()) == {"green"}


def test_an_emulator_that_is_down_is_no_fault_of_the_other_lines(doctor, folder, tmp_path):
    description = json.loads((folder / "stack.json").read_text())
    description["awsEndpointUrl"] = f"http://127.0.0.1:{free_port()}"
    (tmp_path / "stack.json").write_text(json.dumps(description))
    code, checks, _ = doctor(tmp_path / "stack.json")
    assert (code, checks["credentials"]["found"]) == (1, "AWS can't be asked (EndpointConnectionError)")
    assert "make up" in checks["credentials"]["remedy"]
    others = [each for name, each in checks.items() if name != "credentials"]
    assert all(each["light"] == "yellow" and each["found"].startswith("not checked") for each in others)


def test_without_a_stack_only_the_stack_is_red(doctor, tmp_path):
    code, checks, _ = doctor(tmp_path / "stack.json")
    assert code == 1
    assert [name for name, light in lights(checks).items() if light != "yellow"] == ["stack"]
    assert "make up" in checks["stack"]["remedy"]


def test_a_ceiling_of_0_turns_its_line_red(stack, doctor):
    with contextlib.ExitStack() as mending:
        mending.enter_context(ceiling_of_0(stack))
        _, checks, _ = doctor()
    assert [name for name, light in lights(checks).items() if light == "red"] == ["sending"]
    assert "the ceiling of the pace is 0" in checks["sending"]["found"]
    assert lights(doctor()[1])["sending"] == "green"


@pytest.mark.parametrize(("seconds", "told"), [(-7, "s behind AWS's"), (90, "s ahead of AWS's")])
def test_a_wrong_clock_turns_its_own_line_red(doctor, monkeypatch, seconds, told):
    class Skewed(SystemClock):
        def now(self):
            return super().now() + seconds

    monkeypatch.setattr(deployment, "SystemClock", Skewed)
    code, checks, _ = doctor()
    assert [name for name, light in lights(checks).items() if light == "red"] == ["clock"]
    assert (code, told in checks["clock"]["found"]) == (1, True)


def test_a_test_message_goes_to_who_has_consented_only(stack, doctor):
    before = len(stack.simulator("messages")["messages"])
    code, checks, printed = doctor(send_to=RECIPIENT)
    assert (code, checks["test message"]["light"]) == (1, "red")
    assert "not_opted_in" in checks["test message"]["found"]
    assert leaks([printed], [RECIPIENT, RECIPIENT[1:]]) == []
    assert len(stack.simulator("messages")["messages"]) == before
    stack.call("PUT", f"/consents/{quote(RECIPIENT, safe='')}", {"status": "opted_in", "source": "e2e"})
    code, checks, printed = doctor(send_to=RECIPIENT)
    assert (code, checks["test message"]["light"]) == (0, "green"), checks
    assert "delivered after" in checks["test message"]["found"]
    words = [(each["type"], each.get("status")) for each in json.loads(printed.splitlines()[0])["trail"]]
    assert words[:2] == [("sending", None), ("dispatched", None)]
    assert ("delivery", "delivered") in words
    assert leaks([printed], [*values_of_secrets(stack).values(), RECIPIENT, RECIPIENT[1:]]) == []
    assert len(stack.simulator("messages")["messages"]) == before + 1


@pytest.fixture
def smoked(stack, folder, capsys):
    """Run the smoke test; gives its exit code, and each check by its name."""

    def smoked():
        code = smoke.run(str(folder / "stack.json"), as_json=True)
        document = json.loads(capsys.readouterr().out)
        return code, {each["name"]: each for each in document["checks"]}

    return smoked


def test_a_smoke_test_sends_and_records_nothing(stack, smoked):
    entries, log = all_entries(stack), stack.simulator("log")["counts"]
    consents = stack.client("dynamodb").scan(TableName=stack.output("ConsentsTableName"))["Items"]
    code, checks = smoked()
    assert (code, set(lights(checks).values())) == (0, {"green"}), checks
    assert all_entries(stack) == entries
    assert stack.client("dynamodb").scan(TableName=stack.output("ConsentsTableName"))["Items"] == consents
    assert stack.simulator("log")["counts"] == log


@pytest.mark.parametrize(
    ("breaking", "name", "found"),
    [
        (function_that_cannot_start, "functions", "sweep-ledger: it can't start"),
        (webhook_without_a_route, "forged events", "answers 404"),
    ],
)
def test_a_smoke_test_fails_on_what_does_not_answer(stack, smoked, breaking, name, found):
    with contextlib.ExitStack() as mending:
        mending.enter_context(breaking(stack))
        code, checks = smoked()
    assert code == 1
    assert [each for each, light in lights(checks).items() if light == "red"] == [name]
    assert found in checks[name]["found"]


def test_a_smoke_test_fails_on_another_version_and_the_doctor_says_so(smoked, doctor, monkeypatch):
    monkeypatch.setattr(smoke, "__version__", "9.9.9")
    monkeypatch.setattr(aws_checks, "__version__", "9.9.9")
    code, checks = smoked()
    assert (code, checks["functions"]["light"]) == (1, "red")
    assert checks["functions"]["found"].count(f"version {__version__}") == len(FUNCTIONS)
    code, checks, _ = doctor()
    assert (code, checks["functions"]["light"]) == (0, "yellow")
    assert "this command line is 9.9.9" in checks["functions"]["found"]


def test_the_log_names_the_version(stack):
    give_up_at = time.monotonic() + 10
    while True:
        lines = [line for lines in stack.log_lines().values() for line in lines if '"message":"answered"' in line]
        if lines or time.monotonic() > give_up_at:
            break
        time.sleep(0.2)
    assert {json.loads(line)["version"] for line in lines} == {__version__}
