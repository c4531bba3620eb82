"""A deployment that only sends gets a STOP: real handlers, the emulator, the simulator, and events over HTTP."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from cxone_messaging.platform.subscribe_event import SUBSCRIBE_NOW_EVENT
from local.processes import free_port
from tests import events
from tests.integration.conftest import RECIPIENT

STOP = {"from": RECIPIENT, "to": "12345", "text": "STOP"}


@pytest.fixture
def address():
    return ("127.0.0.1", free_port())


@pytest.fixture
def environment(environment, address):
    """Give CXone an address that somebody listens at."""
    return {**environment, "WEBHOOK_BASE_URL": f"http://{address[0]}:{address[1]}"}


@pytest.fixture
def listening(functions, address):
    """Hand each event that is posted to that address to the function, as the HTTP API does."""

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self):
            path, _, query = self.path.partition("?")
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            pairs = dict(each.split("=", 1) for each in query.split("&") if each)
            event = {"routeKey": f"POST {path}", "queryStringParameters": pairs, "headers": dict(self.headers)}
            answer = functions.hand("receive_webhook", {**event, "body": body, "isBase64Encoded": False})
            self.send_response(answer["statusCode"])
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(address, Listener)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield
    server.shutdown()
    server.server_close()


def steer(simulator, path, body, method="POST"):
    return requests.request(method, f"{simulator}/_simulator/{path}", json=body, timeout=10)


def log(simulator, operation):
    answer = requests.get(f"{simulator}/_simulator/log", params={"operation": operation}, timeout=10)
    return answer.json()["entries"]


def wait_for(condition):
    give_up_at = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.05)


@pytest.mark.usefixtures("opted_in", "listening")
def test_a_stack_that_only_sends_gets_a_stop_once_the_schedule_has_run(functions, simulator):
    assert functions.play("send_message/one_time_password")["statusCode"] == 202
    assert steer(simulator, "inbound", STOP).status_code == 409, "nobody is subscribed to replies"
    assert functions.play("approve_template/schedule")["replies"] == "subscribed"
    assert steer(simulator, "inbound", STOP).status_code == 202
    wait_for(lambda: '"opted_out"' in functions.play("manage_consents/read")["body"].replace(" ", ""))
    refused = functions.play("send_message/without_key")
    assert (refused["statusCode"], '"opted_out"' in refused["body"]) == (422, True)
    assert [each["operation"] for each in log(simulator, "template_put")] == []


@pytest.mark.usefixtures("opted_in", "listening")
def test_where_cxone_refuses_the_name_it_says_so_in_answer_metric_and_log(functions, simulator, capsys, caplog):
    steer(simulator, "settings", {"known_events": ["template.approved", "a2p.registered"]}, "PUT")
    answer = functions.play("approve_template/schedule")
    assert (answer["replies"], answer["arrive"], answer["httpStatus"]) == ("refused", False, 422)
    assert [each["status"] for each in log(simulator, "subscribe")] == [422, 201]
    lines = capsys.readouterr().out.splitlines()
    assert any('"RepliesNotSubscribed":[1.0]' in each.replace(" ", "") for each in lines)
    levels = [each.levelname for each in caplog.records if each.getMessage() == "subscription"]
    assert levels == ["WARNING"]
    steer(simulator, "settings", {"known_events": None}, "PUT")
    assert functions.play("approve_template/schedule")["replies"] == "refused", "it is tried again a day later"
    assert functions.hand("approve_template", {"cxone-messaging": "subscribe", "now": True})["replies"] == "subscribed"


@pytest.mark.parametrize(("event", "replies", "arrive"), [("message.inbound", "failed", False), ("", "by_hand", True)])
def test_without_an_organisation_the_schedule_says_so_and_does_not_fail(
    functions, simulator, monkeypatch, event, replies, arrive
):
    monkeypatch.setenv("CXONE_API_BASE_URL", "https://.nicecxone.com")
    monkeypatch.setenv("INBOUND_EVENT", event)
    answer = functions.play("approve_template/schedule")
    assert (answer["replies"], answer["arrive"], answer["reason"]) == (replies, arrive, "CxoneOrg is not set")
    assert log(simulator, "subscribe") == []


@pytest.mark.parametrize("event", ["schedule", "subscribe_now"])
def test_where_replies_are_collected_nobody_subscribes_and_the_alarm_of_the_other_api_ends(
    functions, simulator, monkeypatch, capsys, event
):
    monkeypatch.setenv("CXONE_API", "dfo-3.0")
    asked = SUBSCRIBE_NOW_EVENT if event == "subscribe_now" else events.read("approve_template/schedule")
    answer = functions.hand("approve_template", asked)
    assert (answer["replies"], answer["arrive"], answer["reason"]) == ("collected", True, None)
    assert log(simulator, "subscribe") == log(simulator, "token") == []
    assert '"RepliesNotSubscribed":[0.0]' in capsys.readouterr().out.replace(" ", "")


def test_a_cxone_outside_is_not_given_an_address_on_this_machine(functions, simulator, monkeypatch):
    monkeypatch.setenv("CXONE_API_BASE_URL", "https://acme.nicecxone.com")
    answer = functions.play("approve_template/schedule")
    assert (answer["replies"], answer["reason"]) == ("failed", "CXone can't reach this machine")


def test_credentials_that_are_not_filled_in_are_no_crash(functions, environment, secrets_manager, simulator):
    arn = environment["CREDENTIALS_SECRET_ARN"]
    secrets_manager.put_secret_value(SecretId=arn, SecretString='{"clientId": "", "clientSecret": ""}')
    answer = functions.play("approve_template/schedule")
    assert (answer["replies"], answer["arrive"]) == ("failed", False)
    assert log(simulator, "subscribe") == []
