"""What acts as a stack's client, without the layer at hand."""

import subprocess
import sys

import pytest

from cxone_messaging.domain.signatures import reference_is_signed
from local import template
from local.local_target import LocalTarget
from tests.building import MESSAGE_ID


@pytest.mark.parametrize("module", ["local.stack", "cli.invoke"])
def test_it_is_there_without_the_layer(module):
    """`make up` and `make invoke` run before anything is built, with no layer on Python's path."""
    command = [sys.executable, "-c", f"import {module}, sys; assert 'cxone_messaging' not in sys.modules"]
    environment = {"PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, cwd=template.ROOT, env=environment, check=False)  # noqa: S603
    assert done.returncode == 0


def described(**outputs):
    return {"apiUrl": "http://api", "simulatorUrl": None, "outputs": outputs, "awsEndpointUrl": "", "region": ""}


@pytest.mark.parametrize(
    ("path", "address"),
    [("/messages", "http://api/messages"), ("/webhooks/cxone/sms?ref=1", "http://webhooks/webhooks/cxone/sms?ref=1")],
)
def test_it_calls_the_webhook_routes_where_cxone_does(monkeypatch, path, address):
    called = []
    stack = LocalTarget.described(described(WebhookUrl="http://webhooks"))
    monkeypatch.setattr(stack._http, "request", lambda _, url, **__: called.append(url))
    stack.call("POST", path)
    assert called == [address]


def test_its_callback_urls_are_signed_as_the_senders_sign_them(monkeypatch):
    monkeypatch.setattr(LocalTarget, "secret", lambda _, output: {"CallbackSecretArn": "aa11"}[output])
    path, _, query = LocalTarget.described(described()).callback(MESSAGE_ID).partition("?")
    told = dict(each.split("=") for each in query.split("&"))
    assert path == "/webhooks/cxone/sms"
    assert reference_is_signed(["aa11"], told["ref"], told["sig"])
