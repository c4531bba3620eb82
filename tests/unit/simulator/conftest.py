import json
import random
from urllib.parse import urlencode

import pytest

from local.simulator import Request, Settings, Simulator

ADMIN_SCOPES = "messaging:read messaging:write a2p:write webhooks:write"
START = 1_767_225_600.0  # 2026-01-01T00:00:00Z


class Clock:
    def __init__(self):
        self.now = START

    def __call__(self):
        return self.now


class Caller:
    """A simulator on a virtual clock, and the requests that its tests need."""

    def __init__(self, **settings):
        self.clock = Clock()
        self.simulator = Simulator(Settings(**settings), self.clock, random.Random(1))

    def call(self, method, path, json_body=None, **headers):
        body = b"" if json_body is None else json.dumps(json_body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        path, _, query = path.partition("?")
        return self.simulator.handle(
            Request(method, path, named, body, dict(p.split("=") for p in query.split("&") if p))
        )

    def ask_token(self, family="sms", content_type="application/x-www-form-urlencoded", **changes):
        form = {"grant_type": "client_credentials", "client_id": "local-client", "client_secret": "local-secret&=+%"}
        if family == "admin":
            form["scope"] = ADMIN_SCOPES
        form = {name: value for name, value in (form | changes).items() if value is not None}
        path = "/api/v2/oauth/token" if family == "sms" else "/oauth/token"
        return self.simulator.handle(Request("POST", path, {"content-type": content_type}, urlencode(form).encode()))

    def bearer(self, family="sms", **changes):
        answer = self.ask_token(family, **changes)
        assert answer.status == 200, answer
        return f"Bearer {answer.json['access_token']}"

    def send(self, token=None, **changes):
        body = {
            "to": ["+15551234567"],
            "from": "+15550000000",
            "text": "hello",
            "campaignId": "summer",
            "webhookUrl": "http://listener/hook",
            "segmentation": {"enabled": True},
        }
        body = {name: value for name, value in (body | changes).items() if value is not None}
        return self.call("POST", "/api/v2/message/sms/send", body, Authorization=token or self.bearer())

    def run_events(self, answer=lambda _: 200):
        """Let time run until no event is left; returns what was posted as (time, event)."""
        posted = []
        while (due := self.simulator.next_due()) is not None:
            self.clock.now = max(self.clock.now, due)
            for event in self.simulator.due_events():
                posted.append((self.clock.now, event))
                self.simulator.event_answered(event, answer(event))
        return posted


@pytest.fixture
def make():
    return Caller


@pytest.fixture
def cxone():
    return Caller()
