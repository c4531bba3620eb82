"""`cxone-messaging subscribe`: what it asks of the stack, what it prints, and its exit codes."""

import io
import json

import pytest
from botocore.exceptions import EndpointConnectionError

from cli import subscribe
from cli.target import Target
from cxone_messaging.platform.subscribe_event import SUBSCRIBE_NOW_EVENT, is_subscribe_event

KEPT = {
    "replies": "subscribed",
    "event": "message.inbound",
    "arrive": True,
    "since": "2026-11-22T12:00:00.000Z",
    "reason": None,
    "httpStatus": None,
}
REFUSED = KEPT | {
    "replies": "refused",
    "arrive": False,
    "since": None,
    "reason": "CXone answered 422",
    "httpStatus": 422,
}
FAILED = REFUSED | {"replies": "failed", "reason": "CXone answered 503", "httpStatus": 503}


class Lambda:
    """A session and its client, which keeps what was asked and gives one answer."""

    exceptions = None

    def __init__(self, answer, **more):
        self._answer, self._more = answer, more
        self.asked = []

    def client(self, service, config):
        return self

    def invoke(self, **asked):
        self.asked.append(asked)
        if isinstance(self._answer, Exception):
            raise self._answer
        return {"Payload": io.BytesIO(json.dumps(self._answer).encode()), **self._more}


@pytest.fixture
def run(monkeypatch, capsys):
    def run(aws, *, as_json=False):
        monkeypatch.setattr(Target, "find", lambda name: Target(name=name, session=aws, outputs={}))
        code = subscribe.run("prod", as_json=as_json)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


@pytest.mark.parametrize(
    ("answer", "code", "found"),
    [
        (KEPT, 0, "CXone posts replies (message.inbound), since 2026-11-22"),
        (KEPT | {"replies": "by_hand", "event": "", "since": None}, 0, "InboundEvent is empty"),
        (KEPT | {"replies": "collected", "event": "", "since": None}, 0, "nothing to subscribe to: they are collected"),
        (REFUSED, 1, "CXone refuses the event message.inbound (CXone answered 422): STOP replies do not arrive"),
        (FAILED, 1, "STOP replies do not arrive (CXone answered 503)"),
        (FAILED | {"arrive": True}, 1, "signs replies with the previous secret"),
        (FAILED | {"reason": "CxoneOrg is not set", "httpStatus": None}, 1, "CxoneOrg is not set"),
    ],
)
def test_it_says_whether_replies_arrive(run, answer, code, found):
    aws = Lambda(answer)
    ended, printed, _ = run(aws)
    assert (ended, found in " ".join(printed.split())) == (code, True), printed
    ((asked),) = aws.asked
    assert (asked["FunctionName"], asked["Qualifier"]) == ("prod-approve-template", "live")
    assert json.loads(asked["Payload"]) == SUBSCRIBE_NOW_EVENT
    assert is_subscribe_event(json.loads(asked["Payload"]))


def test_json_is_one_document(run):
    code, printed, _ = run(Lambda(REFUSED), as_json=True)
    assert (code, json.loads(printed)) == (1, REFUSED)


@pytest.mark.parametrize(
    ("aws", "found"),
    [
        (Lambda({"statusCode": 404, "headers": {}, "body": "{}"}), "does not know this command"),
        (Lambda({"errorType": "StorageError"}, FunctionError="Unhandled"), "prod-approve-template failed"),
        (Lambda(EndpointConnectionError(endpoint_url="https://aws")), "Could not connect"),
    ],
)
def test_without_an_answer_there_is_no_result(run, aws, found):
    code, printed, errors = run(aws)
    assert (code, printed, found in " ".join(errors.split())) == (3, "", True), errors


@pytest.mark.parametrize("event", [None, [], {}, "subscribe", {"cxone-messaging": "version"}, {"Records": []}])
def test_no_other_event_is_taken_for_it(event):
    assert not is_subscribe_event(event)
