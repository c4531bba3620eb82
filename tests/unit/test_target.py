"""The one notion of a stack that is pointed at: by its file, by its name on AWS, or the local one."""

import json

import boto3
import pytest
import requests
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from cli.target import _DEFAULT_COUNTRY, _PARAMETERS, Target, TargetError
from local import template

DESCRIPTION = {
    "apiUrl": "http://127.0.0.1:1/x",
    "awsEndpointUrl": "http://127.0.0.1:2",
    "region": "us-east-1",
    "simulatorUrl": None,
    "outputs": {"LedgerTableName": "ledger"},
}
DESCRIBED = {
    "Outputs": [{"OutputKey": "ApiUrl", "OutputValue": "https://abc.execute-api.eu-west-1.amazonaws.com/live/"}],
    "Parameters": [
        {"ParameterKey": "CxoneRequestsPerSecond", "ParameterValue": "50"},
        {"ParameterKey": "RateUtilisationPercent", "ParameterValue": "90"},
    ],
}


class Session:
    """What boto3 gives where there are credentials, and one stack."""

    region_name = "eu-west-1"

    def get_credentials(self):
        return Credentials("id", "secret", "token")

    def client(self, service, config=None):
        return self

    @staticmethod
    def describe_stacks(StackName):  # noqa: N803
        if StackName != "prod":
            raise ClientError({"Error": {"Code": "ValidationError", "Message": "does not exist"}}, "DescribeStacks")
        return {"Stacks": [DESCRIBED]}


@pytest.fixture
def aws(monkeypatch):
    monkeypatch.setattr(boto3, "Session", Session)


def write(folder):
    (folder / ".local").mkdir()
    file = folder / ".local" / "stack.json"
    file.write_text(json.dumps(DESCRIPTION))
    return file


@pytest.mark.usefixtures("aws")
def test_a_call_on_aws_is_signed_and_follows_no_redirect(monkeypatch):
    target = Target.find("prod")
    sent = []
    answer = requests.Response()
    answer.status_code = 202
    monkeypatch.setattr(target._http, "send", lambda request, **how: sent.append((request, how)) or answer)
    target.call("POST", "/messages/bulk", b"{}", {"Idempotency-Key": "key"})
    ((request, how),) = sent
    assert request.url == "https://abc.execute-api.eu-west-1.amazonaws.com/live/messages/bulk"
    assert (request.body, how["allow_redirects"]) == (b"{}", False)
    assert request.headers["X-Amz-Security-Token"] == "token"
    assert request.headers["Idempotency-Key"] == "key"
    authorization = request.headers["Authorization"]
    assert authorization.startswith("AWS4-HMAC-SHA256 Credential=id/")
    assert "/eu-west-1/execute-api/aws4_request" in authorization
    assert "idempotency-key" in authorization


@pytest.mark.usefixtures("aws")
def test_a_deployed_stack_is_found_by_its_name():
    target = Target.find("prod")
    assert (target.name, target.rate, target.max_segments) == ("prod", 45, 10)
    assert target.function("send_message") == "prod-send-message"
    with pytest.raises(TargetError, match="prod has no output LedgerTableName"):
        target.output("LedgerTableName")


@pytest.mark.usefixtures("aws")
def test_a_stack_that_is_not_there():
    with pytest.raises(TargetError, match="the stack other can't be looked up"):
        Target.find("other")


def test_without_credentials_it_says_so(monkeypatch):
    monkeypatch.setattr(Session, "get_credentials", lambda _: None)
    monkeypatch.setattr(boto3, "Session", Session)
    with pytest.raises(TargetError, match="no AWS credentials"):
        Target.find("prod")


def test_a_stack_is_found_by_its_file(tmp_path):
    target = Target.find(str(write(tmp_path)))
    assert (target.api_url, target.name, target.rate) == (DESCRIPTION["apiUrl"], "cxone-messaging", 96)
    assert target.output("LedgerTableName") == "ledger"


def test_without_a_name_it_is_the_local_one_of_this_folder_or_of_one_above(tmp_path, monkeypatch):
    write(tmp_path)
    (tmp_path / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep" / "er")
    assert Target.find().output("LedgerTableName") == "ledger"


@pytest.mark.parametrize("content", [None, b"{}", b"[]", b"hello", b"\xff"])
def test_a_file_that_describes_no_stack_is_explained(tmp_path, content):
    file = tmp_path / "stack.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(TargetError, match="run `make up` to make one"):
        Target.find(str(file))


def test_a_stack_that_does_not_say_a_parameter_has_the_templates_default():
    defaults = template.load()["Parameters"]
    assert {name: float(defaults[name]["Default"]) for name in _PARAMETERS} == _PARAMETERS
    assert defaults["DefaultCountry"]["Default"] == _DEFAULT_COUNTRY
