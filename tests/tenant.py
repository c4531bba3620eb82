"""A tenant of the Digital Engagement API on a virtual clock, and the requests that its tests need."""

import base64
import json
import random
from urllib.parse import parse_qsl, urlencode

from local.simulator import MAIN_CHANNEL, Request, Settings, Simulator

START = 1_767_225_600.0  # 2026-01-01T00:00:00Z
ISSUER = "https://cxone.niceincontact.com"
HOST = "https://api-de-na1.niceincontact.com"
NUMBER = "14155550100"
BASIC = base64.b64encode(b"local-client:local-secret&=+%").decode()
KEY = {"grant_type": "password", "username": "local-access-key", "password": "local-key-secret&+=="}


class Tenant:
    def __init__(self, **settings):
        self.now = START
        self.simulator = Simulator(Settings(**settings), lambda: self.now, random.Random(1))
        self._token = None

    def set(self, **settings):
        self.simulator.settings = self.simulator.settings.changed(settings)

    def call(self, method, path, body=None, base_url=HOST, **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        path, _, query = path.partition("?")
        pairs = parse_qsl(query)
        return self.simulator.handle(Request(method, path, named, content, dict(pairs), pairs=pairs, base_url=base_url))

    def ask_token(self, authorization=f"Basic {BASIC}", **changes):
        form = {name: value for name, value in (KEY | changes).items() if value is not None}
        headers = {"content-type": "application/x-www-form-urlencoded"}
        if authorization:
            headers["Authorization"] = authorization
        request = Request("POST", "/auth/token", headers, urlencode(form).encode(), base_url=ISSUER)
        return self.simulator.handle(request)

    @property
    def bearer(self):
        if self._token is None:
            self._token = self.ask_token().json["access_token"]
        return f"Bearer {self._token}"

    def forget_token(self):
        self._token = None

    def get(self, path, query=None, **headers):
        path = f"{path}?{urlencode(query, doseq=True)}" if query else path
        return self.call("GET", f"/dfo/3.0/{path}", Authorization=self.bearer, **headers)

    def send(self, text="hello", number=NUMBER, channel=MAIN_CHANNEL, prefix="", base_url=HOST, trace=None, **changes):
        recipient = {"idOnExternalPlatform": number, "name": "", "isPrimary": True, "isPrivate": True}
        body = {"messageContent": {"type": "TEXT", "payload": {"text": text}}, "recipients": [recipient]} | changes
        body = {name: value for name, value in body.items() if value is not None}
        headers = {"x-trace-id": trace} if trace else {}
        path = f"{prefix}/dfo/3.0/channels/{channel}/outbound"
        return self.call("POST", path, body, base_url, Authorization=self.bearer, **headers)

    def found(self, **query):
        """The texts of one page of a search."""
        return [each["messageContent"]["payload"]["text"] for each in self.get("messages", query).json["data"]]

    def message(self, message_id):
        return self.get(f"messages/{message_id}").json

    @property
    def texts(self):
        return [message.text for message in self.simulator.accepted_messages()]
