"""`cxone-messaging doctor` where the emulator can't show it: AWS's refusals, quotas, statuses, and what goes wrong."""

import json
import re
from types import SimpleNamespace

import boto3
import pytest
import requests
from botocore.exceptions import ClientError, EndpointConnectionError, UnauthorizedSSOTokenError
from rich.console import Console

from cli import versions
from cli.doctor import aws_checks, command, cxone_checks, ledger_checks, subscription_check
from cli.doctor import trial as trials
from cli.doctor.deployment import OUTPUTS, Deployment
from cli.doctor.trial import send_test_message
from cli.findings import Check, Light, Sheet, examine, green, make
from cli.target import Target
from cxone_messaging.adapters.cxone.dfo.token import DfoTokenEndpoint
from cxone_messaging.adapters.cxone.http import Answer, CxoneSession
from cxone_messaging.adapters.cxone.sms_v2.token import TokenEndpoint
from cxone_messaging.adapters.cxone.token_cache import FetchedToken
from cxone_messaging.domain import subjects
from cxone_messaging.domain.entries import EntryType
from cxone_messaging.domain.errors import Code, MessagingError, StorageError
from cxone_messaging.domain.subscriptions import version_of
from cxone_messaging.use_cases.approvals.subscription import fingerprint_of
from local import template
from local.options import ROOT
from tests.building import chain
from tests.functions import NAMES

WEBHOOK = "https://events.example.com"
SECRET = "ab" * 32
POLICY = template.resources("AWS::DynamoDB::Table")["LedgerTable"]["ResourcePolicy"]["PolicyDocument"]


def refusal(code, operation="Operation"):
    return ClientError({"Error": {"Code": code, "Message": "of +12025550100"}}, operation)


class Aws:
    """A session whose clients answer as they are told: `{"operation": answer, or an error}`."""

    region_name = "eu-west-1"

    def __init__(self, **answers):
        self.answers = answers
        self.configs = []

    def get_credentials(self):
        return self.answers.get("credentials", "some")

    def client(self, service, config=None):
        self.configs.append((service, config))
        return Client(self.answers)


class Client:
    exceptions = SimpleNamespace(
        **{name: type(name, (Exception,), {}) for name in ("ResourceNotFoundException", "PolicyNotFoundException")},
        TooManyRequestsException=type("TooManyRequestsException", (Exception,), {}),
    )

    def __init__(self, answers):
        self._answers = answers

    def __getattr__(self, operation):
        def call(**asked):
            answer = self._answers[operation]
            answer = answer(asked) if callable(answer) else answer
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call


def on_aws(**answers):
    """A deployment on AWS, with all outputs."""
    deployment = Deployment("prod")
    outputs = {name: WEBHOOK if name == "WebhookUrl" else name for name in OUTPUTS}
    described = {"StackStatus": "UPDATE_COMPLETE", "Parameters": [], "Outputs": []}
    described["Outputs"] = [{"OutputKey": name, "OutputValue": value} for name, value in outputs.items()]
    described |= answers.pop("stack", {})
    variables = answers.pop("variables", {"WEBHOOK_BASE_URL": WEBHOOK, "CXONE_SMS_BASE_URL": "https://cxone.test"})
    aws = Aws(describe_stacks={"Stacks": [described]}, **answers)
    deployment.__dict__["target"] = Target(name="prod", session=aws, outputs=outputs)
    deployment.__dict__["functions"] = {name: {"Environment": {"Variables": variables}} for name in NAMES}
    deployment.is_reached = True
    return deployment


# ---------------------------------------------------------------------------------------------------------------------
# What holds for all checks.
# ---------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the doctor with other checks; gives its exit code and the document."""

    def run(checks):
        monkeypatch.setattr(command, "CHECKS", checks)
        code = command.run("prod", as_json=True)
        printed = capsys.readouterr()
        return code, json.loads(printed.out), printed.out + printed.err

    return run


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("+12025550100 ab-secret"), "ValueError"),
        (KeyError("+12025550100 ab-secret"), "KeyError"),
        (StorageError("+12025550100 ab-secret"), "StorageError"),
        (requests.ConnectionError("https://u:ab-secret@host?to=+12025550100"), "no answer (ConnectionError)"),
        (EndpointConnectionError(endpoint_url="ab-secret"), "no answer (EndpointConnectionError)"),
        (refusal("ThrottlingException", "GetSecretValue"), "AWS answered GetSecretValue with ThrottlingException"),
    ],
)
def test_a_check_that_fails_by_surprise_turns_its_own_line_red_and_quotes_nothing(run, error, kind):
    def broken(_):
        raise error

    well = lambda _: green("well")  # noqa: E731
    code, document, printed = run([("a", well, ()), ("b", broken, ()), ("c", well, ("a",)), ("d", well, ("b",))])
    lights = {each["name"]: each["light"] for each in document["checks"]}
    assert (code, lights) == (1, {"a": "green", "b": "red", "c": "green", "d": "yellow"})
    assert kind in document["checks"][1]["found"]
    assert document["checks"][1]["remedy"]
    assert not [each for each in ("2025550100", "ab-secret", "Traceback") if each in printed]


def test_a_check_without_a_right_is_not_made_and_is_no_fault():
    def denied():
        try:
            raise refusal("AccessDeniedException", "GetSecretValue")
        except ClientError as error:
            raise StorageError("a secret could not be read") from error

    finding = examine(denied)
    assert finding.light == "yellow"
    assert "not checked: your credentials may not call GetSecretValue" in finding.text
    assert "#what-an-operator-may-do" in finding.remedy


def test_a_text_of_others_steers_no_terminal(capsys):
    console = Console(width=100, force_terminal=False)
    make([Check("a", lambda: green("[bold]\x1b[2J"))], Sheet(console, ["a"]))
    assert "[bold]\\x1b[2J" in capsys.readouterr().out


def test_all_of_a_run_is_bounded_in_time(monkeypatch):
    deployment = on_aws(get_caller_identity=refusal("X"), get_account_settings=refusal("X"))
    aws = deployment.target._aws
    monkeypatch.setattr(boto3, "Session", lambda: aws)
    monkeypatch.setattr(Target, "call_as_stranger", lambda *_: SimpleNamespace(status_code=401))
    for _, check, _ in command.CHECKS:
        if check is not cxone_checks.webhook:
            examine(lambda check=check: check(deployment))
    assert {service for service, _ in aws.configs} >= {"sts", "lambda", "secretsmanager", "dynamodb", "sqs"}
    assert all(config.connect_timeout <= 5 and config.read_timeout <= 60 for _, config in aws.configs)
    assert all(config.retries["total_max_attempts"] <= 2 for _, config in aws.configs)


def test_what_the_doctor_knows_of_the_template_is_in_it():
    assert set(OUTPUTS) == set(template.load()["Outputs"])
    assert sorted([*versions.FUNCTIONS, versions.COLLECTOR]) == NAMES
    (denial,) = [each for each in POLICY["Statement"] if "Condition" not in each]
    assert set(denial["Action"]) == ledger_checks.DENIED_ACTIONS


def test_each_page_that_a_line_names_has_that_heading():
    named = set()
    for path in (ROOT / "cli").rglob("*.py"):
        named |= set(re.findall(r"(docs/[\w-]+\.md)(?:#([\w-]+))?", path.read_text("utf-8")))
    assert len(named) > 8
    for page, anchor in named:
        headings = re.findall(r"^#+ (.+)$", (ROOT / page).read_text("utf-8"), re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", each).lower().replace(" ", "-") for each in headings}
        assert not anchor or anchor in anchors, (page, anchor)


# ---------------------------------------------------------------------------------------------------------------------
# Credentials, the stack and its functions.
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answers", "region", "found", "remedy"),
    [
        ({"credentials": None}, "eu-west-1", "there are none", "aws sso login"),
        ({}, None, "no region", "AWS_REGION"),
        ({"get_caller_identity": refusal("ExpiredToken")}, "eu-west-1", "refuses them (ExpiredToken)", "sign in again"),
        ({"get_caller_identity": UnauthorizedSSOTokenError()}, "eu-west-1", "UnauthorizedSSOTokenError", "sign in"),
    ],
)
def test_credentials_that_aws_does_not_take_are_red_and_the_stack_is_not_looked_up(
    monkeypatch, answers, region, found, remedy
):
    aws = Aws(**answers)
    aws.region_name = region
    monkeypatch.setattr(boto3, "Session", lambda: aws)
    deployment = Deployment("prod")
    finding = examine(lambda: aws_checks.credentials(deployment))
    assert (finding.light, found in finding.text, remedy in finding.remedy) == (Light.RED, True, True), finding
    assert not examine(lambda: aws_checks.stack(deployment)).was_checked


def test_a_stack_that_is_not_there_is_red(monkeypatch):
    monkeypatch.setattr(boto3, "Session", lambda: Aws(describe_stacks=refusal("ValidationError", "DescribeStacks")))
    deployment = Deployment("prod")
    deployment.is_reached = True
    finding = aws_checks.stack(deployment)
    assert (finding.light, "prod can't be looked up" in finding.text) == (Light.RED, True)


@pytest.mark.parametrize(
    ("status", "light"),
    [
        ("CREATE_COMPLETE", "green"),
        ("UPDATE_COMPLETE", "green"),
        ("UPDATE_ROLLBACK_COMPLETE", "yellow"),
        ("UPDATE_IN_PROGRESS", "yellow"),
        ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "yellow"),
        ("ROLLBACK_COMPLETE", "red"),
        ("UPDATE_ROLLBACK_FAILED", "red"),
        ("CREATE_FAILED", "red"),
        ("DELETE_FAILED", "red"),
    ],
)
def test_a_stacks_status_is_its_light(status, light):
    assert aws_checks.stack(on_aws(stack={"StackStatus": status})).light == light


def test_a_stack_of_another_version_lacks_an_output():
    finding = aws_checks.stack(on_aws(stack={"Outputs": [{"OutputKey": "ApiUrl"}]}))
    assert (finding.light, "PepperSecretArn" in finding.text) == (Light.RED, True)


@pytest.mark.parametrize(("free", "light"), [(200, "green"), (199, "yellow"), (40, "yellow"), (39, "red"), (0, "red")])
def test_the_concurrency_is_judged_by_the_rate(free, light):
    limits = {"UnreservedConcurrentExecutions": free, "ConcurrentExecutions": 1000}
    parameters = [{"ParameterKey": "CxoneRequestsPerSecond", "ParameterValue": "100"}]
    deployment = on_aws(get_account_settings={"AccountLimit": limits}, stack={"Parameters": parameters})
    assert aws_checks.concurrency(deployment).light == light


def payload(document, **more):
    return {"Payload": SimpleNamespace(read=lambda: json.dumps(document).encode()), **more}


def test_a_version_that_does_not_know_the_event_is_asked_once():
    """Of a version before this one, `sweep-ledger` and `checkpoint-ledger` would do a run."""
    asked = []
    deployment = on_aws(invoke=lambda call: asked.append(call["FunctionName"]) or payload({"statusCode": 404}))
    finding = aws_checks.functions(deployment)
    assert (finding.light, asked) == (Light.RED, ["prod-read-ledger"])
    assert "does not say which it is" in finding.text


def test_functions_of_different_versions_are_red():
    answer = lambda call: payload({"version": "1" if "sweep" in call["FunctionName"] else "2"})  # noqa: E731
    finding = aws_checks.functions(on_aws(invoke=answer))
    assert (finding.light, "different versions: 1, 2" in finding.text) == (Light.RED, True)


@pytest.fixture
def pace(monkeypatch):
    """Let `GET /pace` answer."""

    def pace(status, document):
        monkeypatch.setattr(Target, "call", lambda *_, **__: Stack((status, document)).call("GET", "/pace"))

    pace(200, {"ceiling": 100})
    return pace


ENABLED = {"EventSourceMappings": [{"State": "Enabled"}]}


def test_single_sends_that_are_stopped_are_red(pace):
    stopped = {"ReservedConcurrentExecutions": 0}
    deployment = on_aws(get_function_concurrency=stopped, list_event_source_mappings=ENABLED)
    assert "stopped: single messages" in aws_checks.sending(deployment).text
    deployment = on_aws(get_function_concurrency={}, list_event_source_mappings={"EventSourceMappings": []})
    assert "mapping is gone" in aws_checks.sending(deployment).text


@pytest.mark.parametrize(
    ("status", "document", "light", "found"),
    [
        (200, {"ceiling": 100}, "green", "neither"),
        (200, {"ceiling": 0}, "red", "the ceiling of the pace is 0"),
        (403, {"message": "Forbidden"}, "yellow", "GET /pace answers 403"),
    ],
)
def test_a_ceiling_of_0_stops_all_sending_and_is_red(pace, status, document, light, found):
    pace(status, document)
    finding = aws_checks.sending(on_aws(get_function_concurrency={}, list_event_source_mappings=ENABLED))
    assert (finding.light, found in finding.text) == (light, True), finding
    assert light != "red" or "#stop-all-sending" in finding.remedy


def test_the_stack_says_which_api_it_speaks():
    parameters = [{"ParameterKey": "CxoneApi", "ParameterValue": "dfo-3.0"}]
    assert "speaks dfo-3.0" in aws_checks.stack(on_aws(stack={"Parameters": parameters})).text


# ---------------------------------------------------------------------------------------------------------------------
# The ledger.
# ---------------------------------------------------------------------------------------------------------------------


def ledger_with(policy, protected=True, restorable="ENABLED"):
    recovery = {"PointInTimeRecoveryDescription": {"PointInTimeRecoveryStatus": restorable}}
    return ledger_checks.ledger(
        on_aws(
            describe_table={"Table": {"TableArn": "arn", "DeletionProtectionEnabled": protected}},
            get_resource_policy={"Policy": json.dumps(policy)},
            describe_continuous_backups={"ContinuousBackupsDescription": recovery},
        )
    )


def denying(**changes):
    denial = {"Effect": "Deny", "Principal": "*", "Resource": "*", "Action": sorted(ledger_checks.DENIED_ACTIONS)}
    return {"Statement": [{**denial, **changes}]}


@pytest.mark.parametrize(
    ("policy", "light"),
    [
        (POLICY, "green"),
        (denying(Principal={"AWS": "*"}), "green"),
        (denying(Action="dynamodb:*"), "green"),
        (denying(Action=["dynamodb:DeleteItem"]), "red"),
        (denying(Effect="Allow"), "red"),
        (denying(Principal={"AWS": "arn:aws:iam::1:role/x"}), "red"),
        (denying(Condition={"Bool": {"aws:SecureTransport": "false"}}), "red"),
        ({"Statement": []}, "red"),
    ],
)
def test_the_ledgers_policy_must_deny_all_six_actions_to_everybody(policy, light):
    assert ledger_with(policy).light == light


def test_a_ledger_that_can_not_be_restored_is_red():
    assert "deletion protection" in ledger_with(POLICY, protected=False).text
    assert "point-in-time recovery" in ledger_with(POLICY, restorable="DISABLED").text


# ---------------------------------------------------------------------------------------------------------------------
# CXone.
# ---------------------------------------------------------------------------------------------------------------------


def with_secrets(**more):
    texts = {
        "CredentialsSecretArn": json.dumps({"clientId": "id", "clientSecret": "a-secret"}),
        "WebhookSecretArn": json.dumps({"current": SECRET, "previous": "cd" * 32}),
        "CallbackSecretArn": json.dumps({"current": SECRET, "previous": ""}),
        "PepperSecretArn": SECRET,
    }
    answer = lambda call: {"SecretString": {**texts, **more}[call["SecretId"]]}  # noqa: E731
    return on_aws(get_secret_value=answer)


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ("CredentialsSecretArn", '{"clientId": "", "clientSecret": ""}'),
        ("CredentialsSecretArn", '{"clientId": "a-secret"}'),
        ("CredentialsSecretArn", "a-secret, as text"),
        ("WebhookSecretArn", '{"current": "a-secret", "previous": ""}'),
        ("CallbackSecretArn", "{}"),
        ("PepperSecretArn", "a-secret"),
    ],
)
def test_a_secret_that_is_not_filled_in_is_named_and_not_quoted(output, text):
    assert cxone_checks.secrets(with_secrets()).light == "green"
    finding = cxone_checks.secrets(with_secrets(**{output: text}))
    assert (finding.light, output in finding.text) == (Light.RED, True)
    assert "a-secret" not in finding.text + finding.remedy


@pytest.fixture
def tokens(monkeypatch):
    """Let the token endpoint answer; gives the list of its answers to come."""
    answers = []

    def fetch(*_):
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(TokenEndpoint, "__call__", fetch)
    return answers


@pytest.mark.parametrize(
    ("answer", "light", "found"),
    [
        (FetchedToken("a-token", 60, frozenset({"message:sms:send"})), "green", "message:sms:send"),
        (FetchedToken("a-token", 60, frozenset({"other"})), "red", "lacks the scope message:sms:send"),
        (FetchedToken("a-token", 60), "yellow", "does not name its scopes"),
        (MessagingError(Code.CXONE_AUTH_FAILED, "the token endpoint answered 401"), "red", "401"),
        (MessagingError(Code.CXONE_UNAVAILABLE, "the token endpoint answered 503"), "red", "503"),
    ],
)
def test_the_token_to_send_is_judged_by_its_scopes(tokens, answer, light, found):
    tokens.append(answer)
    finding = cxone_checks.sms_token(with_secrets())
    assert (finding.light, found in finding.text, tokens) == (light, True, []), finding
    assert light == "green" or finding.remedy
    assert "a-token" not in repr(finding)


def test_without_credentials_no_token_is_fetched(tokens):
    finding = examine(lambda: cxone_checks.sms_token(with_secrets(CredentialsSecretArn="{}")))
    assert (finding.light, finding.was_checked) == (Light.YELLOW, False)


def test_without_an_organisation_no_template_can_be_approved():
    deployment = on_aws(variables={"CXONE_API_BASE_URL": "https://.nicecxone.com"})
    assert cxone_checks.admin_token(deployment).light == "yellow"


@pytest.fixture
def answers(monkeypatch):
    """Let the webhook's address have given addresses, and answer with a given status."""

    def answers(status, *addresses):
        found = [SimpleNamespace(address=(each, 443)) for each in addresses]
        monkeypatch.setattr(cxone_checks.Resolver, "addresses", lambda *_: found)
        monkeypatch.setattr(Target, "call_as_stranger", lambda *_: SimpleNamespace(status_code=status))

    return answers


@pytest.mark.parametrize(
    ("status", "address", "light", "found"),
    [
        (401, "52.94.76.1", "green", "refuses a forged event"),
        (401, "10.0.0.7", "red", "10.0.0.7, which CXone can't reach"),
        (401, "fd00::1", "red", "fd00::1"),
        (200, "52.94.76.1", "red", "200 to a forged event"),
        (503, "52.94.76.1", "red", "503 to a forged event"),
    ],
)
def test_the_webhooks_address_must_be_public_and_refuse_what_is_forged(answers, status, address, light, found):
    answers(status, address)
    finding = cxone_checks.webhook(on_aws())
    assert (finding.light, found in finding.text) == (light, True), finding


def test_functions_that_give_cxone_another_address_are_red(answers):
    answers(401, "52.94.76.1")
    finding = cxone_checks.webhook(on_aws(variables={"WEBHOOK_BASE_URL": "https://old.example.com"}))
    assert (finding.light, "another address" in finding.text) == (Light.RED, True)


OLD, DROPPED = "cd" * 32, "ef" * 32
EVENT = "message.inbound"
ALL = ["template.approved", "a2p.registered", EVENT]
REJECTED = {"error": "cxone_rejected", "httpStatus": 422, "reason": "CXone answered 422"}
UNAVAILABLE = {"error": "cxone_unavailable", "httpStatus": 503, "reason": "CXone answered 503"}


def subscribed(secret, *, others_only=False, **data):
    return EntryType.SUBSCRIBED, step(secret, others_only=others_only) | data


def failed(secret, answer, *, others_only=False):
    return EntryType.STEP_FAILED, step(secret, others_only=others_only) | answer


def step(secret, *, others_only):
    events = ALL[:2] if others_only else ALL
    version = version_of(fingerprint_of(secret, f"{WEBHOOK}/webhooks/cxone/events"), events)
    return {"version": version, "step": "subscribe", "events": events}


@pytest.mark.parametrize(
    ("made", "light", "found"),
    [
        ([], "red", "STOP replies do not arrive: nobody has subscribed"),
        ([subscribed(SECRET)], "green", "replies among them"),
        ([subscribed(SECRET, others_only=True)], "red", "nobody has subscribed to them yet"),
        ([subscribed(SECRET, others_only=True, events=None)], "red", "nobody has subscribed to them yet"),
        ([subscribed(OLD)], "yellow", "previous value"),
        ([subscribed(DROPPED)], "red", "in force no more"),
        ([subscribed(DROPPED, others_only=True, events=None)], "red", "in force no more"),
        ([subscribed(OLD), failed(SECRET, UNAVAILABLE)], "yellow", "previous value"),
        (
            [failed(SECRET, REJECTED), subscribed(SECRET, others_only=True)],
            "red",
            f"CXone refuses the event {EVENT} (CXone answered 422): STOP replies do not arrive",
        ),
        ([failed(SECRET, UNAVAILABLE)], "red", "do not arrive: the last try to subscribe failed (CXone answered 503)"),
        ([failed(SECRET, REJECTED), failed(SECRET, REJECTED, others_only=True)], "red", "the last try to subscribe"),
        ([failed(SECRET, REJECTED), failed(SECRET, UNAVAILABLE, others_only=True)], "red", "CXone answered 503"),
        ([failed(SECRET, UNAVAILABLE), subscribed(SECRET)], "green", "replies among them"),
        ([failed(DROPPED, REJECTED)], "red", "nobody has subscribed"),
    ],
)
def test_the_subscription_is_judged_by_its_events_and_by_the_secret_that_cxone_was_given(made, light, found):
    finding = subscription_check.subscription(with_subscription(made))
    assert (finding.light, found in finding.text) == (light, True), finding
    assert finding.remedy or light == "green"


@pytest.mark.parametrize(
    ("made", "light"),
    [
        ([], "yellow"),
        ([subscribed(SECRET, others_only=True)], "yellow"),
        ([subscribed(SECRET)], "yellow"),
        ([subscribed(DROPPED)], "red"),
    ],
)
def test_replies_that_are_posted_by_hand_are_yellow_because_nothing_here_shows_them(made, light):
    assert subscription_check.subscription(with_subscription(made, INBOUND_EVENT="")).light == light


def test_another_name_that_is_not_subscribed_yet_is_no_matter_of_the_secret():
    finding = subscription_check.subscription(with_subscription([subscribed(SECRET)], INBOUND_EVENT="sms.received"))
    assert (finding.light, "nobody has subscribed to them yet" in finding.text) == ("red", True)


def test_without_an_organisation_nobody_subscribes_to_replies():
    finding = subscription_check.subscription(with_subscription([], CXONE_API_BASE_URL="https://.nicecxone.com"))
    assert (finding.light, "CxoneOrg" in finding.text, "CxoneOrg" in finding.remedy) == ("red", True, True)


def with_subscription(made, **variables):
    usual = {"WEBHOOK_BASE_URL": WEBHOOK, "INBOUND_EVENT": EVENT, "CXONE_API_BASE_URL": "https://acme.nicecxone.com"}
    deployment = with_secrets()
    deployment.__dict__["functions"] = {"approve_template": {"Environment": {"Variables": usual | variables}}}
    entries = chain(*made, subject=subjects.subscription(f"{WEBHOOK}/webhooks/cxone/events"))
    deployment.__dict__["ledger"] = SimpleNamespace(read=lambda _: entries)
    return deployment


# ---------------------------------------------------------------------------------------------------------------------
# The test message.
# ---------------------------------------------------------------------------------------------------------------------

NUMBER = "+12025550100"
TRAIL = [{"type": "sending", "timestamp": "t", "data": {"recipient": "***0100"}}]


class Stack:
    """A stack whose API gives its answers one after the other, the last again and again."""

    def __init__(self, *answers):
        self._answers = list(answers)
        self.asked = []

    def call(self, method, path, body=None, headers=None):
        self.asked.append((method, path))
        status, document = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        answer = requests.Response()
        answer.status_code, answer._content = status, json.dumps(document).encode()
        return answer


def problem(status, code, *errors):
    return status, {"code": code, "detail": f"of {NUMBER}", "errors": [{"code": each} for each in errors]}


@pytest.mark.parametrize(
    ("answer", "found", "remedy"),
    [
        (problem(422, "validation_failed", "not_opted_in"), "422 not_opted_in", "record the recipient's consent"),
        (problem(422, "validation_failed", "invalid_recipient"), "422 invalid_recipient", "international form"),
        (problem(429, "rate_limited"), "429 rate_limited", "docs/message-states.md"),
        (problem(502, "cxone_auth_failed"), "502 cxone_auth_failed (of +***)", "docs/message-states.md"),
        (problem(504, "outcome_unknown"), "outcome_unknown", "wait"),
        ((403, {"message": "Forbidden"}), "403 no code", "docs/message-states.md"),
        ((502, []), "502 no code", "docs/message-states.md"),
    ],
)
def test_a_test_message_that_is_refused_is_posted_once_and_explained(answer, found, remedy):
    stack = Stack(answer)
    trial = send_test_message(stack, NUMBER, sleep=lambda _: None)
    assert (trial.finding.light, found in trial.finding.text, remedy in trial.finding.remedy) == ("red", True, True)
    assert stack.asked == [("POST", "/messages")]
    assert "2025550100" not in repr(trial)


@pytest.mark.parametrize(
    ("message", "light", "found"),
    [
        ({"status": "delivered", "deliveryLatencyMs": 812, "audit": TRAIL}, "green", "msg_1: delivered after 0.8 s"),
        ({"status": "delivered", "deliveryLatencyMs": None}, "green", "msg_1: delivered"),
        ({"status": "failed", "error": "undelivered", "audit": TRAIL}, "red", "failed (undelivered)"),
        ({"status": "dispatched", "audit": TRAIL}, "red", "dispatched, and no receipt within"),
    ],
)
def test_a_test_message_is_followed_to_its_delivery_event(monkeypatch, message, light, found):
    monkeypatch.setattr(trials, "_PATIENCE_SECONDS", -1 if message["status"] == "dispatched" else 60)
    stack = Stack((202, {"messageId": "msg_1"}), (200, {"status": "dispatched"}), (200, message))
    trial = send_test_message(stack, NUMBER, sleep=lambda _: None)
    assert (trial.finding.light, found in trial.finding.text) == (light, True), trial
    assert "***0100" not in repr(trial.trail)


def test_the_detail_of_a_refusal_is_shown_masked_and_cut():
    detail = f"CXone answered 400 (recipients: invalid_recipient) {NUMBER} (202) 555-0100 " + "x" * 300
    stack = Stack((502, {"code": "cxone_rejected", "detail": detail}))
    refused = send_test_message(stack, NUMBER, sleep=lambda _: None, is_collected=True).finding
    assert "(CXone answered 400 (recipients: invalid_recipient) +*** xxx" in refused.text
    assert len(refused.text) < 250
    assert "CxoneRecipientFormat" in refused.remedy
    assert "CxoneRecipientFormat" not in send_test_message(stack, NUMBER, sleep=lambda _: None).finding.remedy


def test_without_a_clear_answer_it_names_what_settles_a_message():
    stack = Stack((504, {"code": "outcome_unknown", "messageId": "msg_1"}))
    assert "delivery event" in send_test_message(stack, NUMBER, sleep=lambda _: None).finding.remedy
    collected = send_test_message(stack, NUMBER, sleep=lambda _: None, is_collected=True).finding.remedy
    assert ("collector" in collected, "msg_1" in collected) == (True, True)


def test_where_receipts_are_collected_it_waits_longer_and_names_another_remedy(monkeypatch):
    monkeypatch.setattr(trials, "_COLLECTED_PATIENCE_SECONDS", -1)
    runs = []
    stack = Stack((202, {"messageId": "msg_1"}), (200, {"status": "dispatched"}))
    trial = send_test_message(stack, NUMBER, sleep=lambda _: None, is_collected=True, collect=lambda: runs.append(1))
    assert (trial.finding.light, "docs/dfo.md" in trial.finding.remedy, runs) == ("red", True, [1])


# ---------------------------------------------------------------------------------------------------------------------
# Where the stack speaks Digital Engagement.
# ---------------------------------------------------------------------------------------------------------------------

DFO = {
    "CXONE_API": "dfo-3.0",
    "CXONE_ISSUER": "https://cxone.test",
    "CXONE_DIGITAL_BASE_URL": "",
    "DEFAULT_SENDER": "sms_1",
}
CHANNEL = {"id": "sms_1", "hasOutboundFlow": True}
FOUR = {"clientId": "a", "clientSecret": "b", "accessKeyId": "c", "accessKeySecret": "d"}


def secret(**values):
    return {"SecretString": json.dumps(values)}


@pytest.fixture
def dfo_token(monkeypatch):
    """Let a token be had; gives a list with an item for each that was fetched."""
    fetched = []

    def fetch(*_):
        fetched.append(FetchedToken("a-token", 3600, base_url="https://api-de-na1.test"))
        return fetched[-1]

    monkeypatch.setattr(DfoTokenEndpoint, "__call__", fetch)
    return fetched


@pytest.fixture
def reads(monkeypatch):
    """Let a read have an answer; gives the URLs that were read."""

    def reads(status, document):
        asked = []

        def exchange(_, url, body, headers, seconds, **more):
            assert (body, headers["Authorization"], more["method"]) == (None, "Bearer a-token", "GET")
            asked.append(url)
            return Answer(status, {}, json.dumps(document).encode())

        monkeypatch.setattr(CxoneSession, "exchange", exchange)
        return asked

    return reads


class TestDigitalEngagement:
    def test_its_token_says_where_the_tenant_is(self, monkeypatch):
        monkeypatch.setattr(
            DfoTokenEndpoint, "__call__", lambda *_: FetchedToken("t", 3600, base_url="https://api-de-na1.test")
        )
        found = cxone_checks.sms_token(on_aws(variables=DFO, get_secret_value=secret(**FOUR)))
        assert (found.light, "https://api-de-na1.test" in found.text) == (Light.GREEN, True)

    def test_a_refused_key_is_red(self, monkeypatch):
        def refuse(*_):
            raise MessagingError(Code.CXONE_AUTH_FAILED, "the token endpoint answered 401")

        monkeypatch.setattr(DfoTokenEndpoint, "__call__", refuse)
        found = cxone_checks.sms_token(on_aws(variables=DFO, get_secret_value=secret(**FOUR)))
        assert found.light is Light.RED

    def test_an_access_key_that_is_not_filled_in_is_named(self):
        found = cxone_checks.secrets(on_aws(variables=DFO, get_secret_value=secret(clientId="a", clientSecret="b")))
        assert "accessKeyId and accessKeySecret" in found.text

    def test_what_it_cannot_do_is_said(self):
        found = cxone_checks.admin_token(on_aws(variables=DFO))
        assert (found.light, "not supported" in found.text) == (Light.GREEN, True)
        assert cxone_checks.webhook(on_aws(variables=DFO)).light is Light.GREEN

    @pytest.mark.parametrize(
        ("answer", "light"),
        [
            ({"reads": 2, "behindSeconds": 3}, Light.GREEN),
            ({"reads": 950, "behindSeconds": 700}, Light.YELLOW),
            ({}, Light.YELLOW),
            ({"errorType": "MessagingError", "errorMessage": "+12025550100"}, Light.RED),
            ({"errorMessage": "Task timed out after 300.00 seconds"}, Light.RED),
        ],
    )
    def test_a_run_of_the_collector_is_tried(self, answer, light):
        found = subscription_check.subscription(on_aws(variables=DFO, invoke=payload(answer)))
        assert found.light is light
        assert "+12025550100" not in found.text

    def test_the_collectors_error_is_shown_masked_and_cut(self):
        message = "cxone_auth_failed: a read was answered 403, of +1 (202) 555-0100 " + "x" * 300
        answer = payload({"errorType": "MessagingError", "errorMessage": message})
        found = subscription_check.subscription(on_aws(variables=DFO, invoke=answer))
        assert "MessagingError: cxone_auth_failed: a read was answered 403, of +*** xxx" in found.text
        assert len(found.text) < 300
        assert "permissions of the access key's user" in found.remedy

    @pytest.mark.parametrize(
        ("status", "channels", "light", "found"),
        [
            (200, [CHANNEL | {"isTrackingMessageDeliveryStatus": True}], "green", "sends; it tracks delivery"),
            (200, [CHANNEL | {"isTrackingMessageDeliveryStatus": False}], "green", "final after a day"),
            (200, [CHANNEL], "green", "does not say whether it tracks"),
            (200, [{"id": "sms_1"}], "green", "does not say whether it sends"),
            (200, [CHANNEL | {"hasOutboundFlow": False}], "red", "no outbound flow"),
            (200, [], "red", "no channel with the id in CxoneChannelId"),
            (200, [CHANNEL | {"id": "sms_2"}], "red", "no channel with the id in CxoneChannelId"),
            (200, {"error": "?"}, "red", "no channel"),
            (403, [], "red", "may not read the channel"),
            (500, [], "red", "CXone answers 500"),
        ],
    )
    def test_the_channel_must_exist_and_send(self, dfo_token, reads, status, channels, light, found):
        asked = reads(status, channels)
        finding = cxone_checks.channel(on_aws(variables=DFO, get_secret_value=secret(**FOUR)))
        assert (finding.light, found in finding.text) == (light, True), finding
        assert asked == ["https://api-de-na1.test/dfo/3.0/channels?id%5B%5D=sms_1"]
        assert light != "red" or finding.remedy
        assert "a-token" not in repr(finding)

    def test_one_token_serves_both_checks(self, dfo_token, reads):
        reads(200, [CHANNEL])
        deployment = on_aws(variables=DFO, get_secret_value=secret(**FOUR))
        lights = [check(deployment).light for check in (cxone_checks.sms_token, cxone_checks.channel)]
        assert (lights, len(dfo_token)) == (["green", "green"], 1)

    def test_without_a_token_the_channel_is_not_checked(self, monkeypatch):
        def refuse(*_):
            raise MessagingError(Code.CXONE_AUTH_FAILED, "the token endpoint answered 401")

        monkeypatch.setattr(DfoTokenEndpoint, "__call__", refuse)
        deployment = on_aws(variables=DFO, get_secret_value=secret(**FOUR))
        assert examine(lambda: cxone_checks.channel(deployment)).was_checked is False

    def test_a_number_needs_no_channel(self):
        assert cxone_checks.channel(on_aws()).light is Light.GREEN

    @pytest.mark.parametrize(
        ("variables", "waits", "looks"), [(DFO, "collector", "looked_up"), ({}, "events", "reporting")]
    )
    def test_unknown_messages_are_settled_by_what_the_api_has(self, monkeypatch, variables, waits, looks):
        monkeypatch.setattr(ledger_checks, "_unknown", lambda _, since, __: ["msg_1"] * (since < 3700))
        parameters = [{"ParameterKey": "UnknownPatienceMinutes", "ParameterValue": "60"}]
        deployment = on_aws(variables=variables, stack={"Parameters": parameters})
        young = ledger_checks.unknown_messages(deployment)
        monkeypatch.setattr(ledger_checks, "_unknown", lambda *_: ["msg_1"])
        old = ledger_checks.unknown_messages(deployment)
        assert (young.light, waits in young.remedy, old.light, looks in old.remedy) == ("yellow", True, "red", True)
