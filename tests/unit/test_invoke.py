"""`cxone-messaging invoke` where there is nothing to invoke, and against a stack on AWS."""

import io
import json
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from cli import invoke
from cli.target import Target
from local.options import ROOT

PREVIEW = ROOT / "events" / "send_message" / "preview.json"


@pytest.fixture
def run(capsys):
    def run(event, stack, *, as_json=False):
        code = invoke.run(Path(event), str(stack), as_json=as_json)
        printed = capsys.readouterr()
        # An answer is on standard output, an error on standard error, and never both.
        assert bool(printed.out) is (code == 0)
        assert bool(printed.err) is (code != 0)
        return code, printed.out or printed.err

    return run


def prod(aws):
    return lambda name: Target(name=name, session=aws, outputs={})


class Lambda:
    """A session and its client, which keeps what was asked and gives one answer."""

    def __init__(self, answer, **more):
        self._answer = answer
        self._more = more

    def client(self, service, config):
        assert (service, config.retries["total_max_attempts"]) == ("lambda", 1)
        return self

    def invoke(self, **asked):
        self.asked = asked
        if isinstance(self._answer, Exception):
            raise self._answer
        return {"Payload": io.BytesIO(json.dumps(self._answer).encode()), **self._more}


@pytest.mark.parametrize(
    ("folder", "content", "told"),
    [
        ("send_message", None, "can't be read: No such file"),
        ("send_message", b'{"body":', "is no JSON"),
        ("send_message", b"\xff", "is no JSON"),
        ("..x", b"{}", "..x is no function; put an event into a folder that has its function's name"),
    ],
)
def test_what_is_no_event_is_explained(run, tmp_path, folder, content, told):
    (tmp_path / folder).mkdir()
    event = tmp_path / folder / "event.json"
    if content is not None:
        event.write_bytes(content)
    code, output = run(event, tmp_path / "stack.json")
    assert code == 1
    assert told in output


def test_without_a_stack_it_says_how_to_make_one(run, tmp_path):
    code, output = run(PREVIEW, tmp_path / "stack.json")
    assert code == 1
    assert "run `make up` to make one" in output


def test_on_aws_it_invokes_the_live_version_of_that_stacks_function_once(run, monkeypatch):
    aws = Lambda({"statusCode": 429, "headers": {"Retry-After": "2"}, "body": '{"code": "rate_limited"}'})
    monkeypatch.setattr(Target, "find", prod(aws))
    assert run(PREVIEW, "prod") == (0, '429 Too Many Requests\nRetry-After: 2\n\n{\n  "code": "rate_limited"\n}\n')
    assert (aws.asked["FunctionName"], aws.asked["Qualifier"]) == ("prod-send-message", "live")
    assert json.loads(aws.asked["Payload"])["resource"] == "/messages/preview"


def test_a_function_that_fails_is_told_of(run, monkeypatch):
    aws = Lambda({"errorType": "KeyError", "errorMessage": "'Records'"}, FunctionError="Unhandled")
    monkeypatch.setattr(Target, "find", prod(aws))
    code, output = run(PREVIEW, "prod")
    assert code == 1
    assert "prod-send-message failed" in output
    assert '"errorType": "KeyError"' in output


def test_a_function_that_the_stack_does_not_have_is_told_of(run, monkeypatch):
    missing = ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": "m"}}, "Invoke")
    monkeypatch.setattr(Target, "find", prod(Lambda(missing)))
    code, output = run(PREVIEW, "prod")
    assert (code, "there is no function prod-send-message" in output) == (1, True)


def test_a_script_reads_the_answer_whole(run, monkeypatch):
    answer = {"statusCode": 200, "headers": {}, "body": '"\u2028\x1b[31m"'}
    monkeypatch.setattr(Target, "find", prod(Lambda(answer)))
    code, output = run(PREVIEW, "prod", as_json=True)
    assert (code, json.loads(output)) == (0, answer)
