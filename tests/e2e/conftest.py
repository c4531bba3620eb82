"""What end-to-end tests stand on: the whole local stack, deployed on free ports beside any other."""

import json
import time
from urllib.parse import quote

import pytest

from cli.progress import Progress
from cli.target import LOCAL_NAME
from local.local_target import LocalTarget
from local.options import Options
from local.processes import ServerError
from local.stack import down, up
from tests.api_description import errors_in_answer

CAMPAIGN = "e2e-campaign"
OPTED_IN = "+12025550111"


@pytest.fixture(scope="session")
def stack_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("stack")


@pytest.fixture(scope="session")
def stack(stack_folder):
    """Deploy the stack without a default campaign, so that a request can lack one."""
    try:
        deployed = up(Options.apart(stack_folder, campaign_id=""), Progress())
    except ServerError as error:
        pytest.fail(str(error), pytrace=False)
    yield deployed
    down(stack_folder)


@pytest.fixture(scope="session")
def client(stack):
    return Client(stack)


@pytest.fixture(scope="session")
def opted_in(client):
    """Opt a number in, once."""
    client.opt_in(OPTED_IN)
    return OPTED_IN


class Client:
    """What a test asks of the deployed bundle, and what it looks up behind its back."""

    def __init__(self, stack: LocalTarget) -> None:
        self.stack = stack

    def call(self, method, path, body=None, headers=None):
        """Call the API; whatever it answers must be as docs/openapi.yaml tells."""
        answer = self.stack.call(method, path, body, headers)
        assert errors_in_answer(method, path, answer) == []
        return answer

    def opt_in(self, number, status="opted_in"):
        return self.call("PUT", f"/consents/{quote(number, safe='')}", {"status": status, "source": "e2e"})

    def send(self, body, key=None):
        return self.call("POST", "/messages", body, {"Idempotency-Key": key} if key else None)

    def message(self, message_id):
        answer = self.call("GET", f"/messages/{message_id}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def settled(self, message_id):
        """Read a message once it is final and all of its events are in."""
        give_up_at = time.monotonic() + 30
        while True:
            message = self.message(message_id)
            events = [entry for entry in message["audit"] if entry["type"] == "delivery"]
            if message["status"] in {"delivered", "failed"} and len(events) >= 3:
                return message
            assert time.monotonic() < give_up_at, message
            time.sleep(0.2)

    def taken(self):
        """Give what CXone really took."""
        return self.stack.simulator("messages")["messages"]

    def ledger(self):
        """Read the whole table, behind the API's back."""
        pages = (
            self.stack.client("dynamodb")
            .get_paginator("scan")
            .paginate(TableName=self.stack.outputs["LedgerTableName"], ConsistentRead=True)
        )
        return [item for page in pages for item in page["Items"]]

    def post_event(self, body, query="", headers=None, path="/webhooks/cxone/sms"):
        """Post an event as CXone does, without any Authorization."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.call("POST", path + query, content, {"Authorization": None, **(headers or {})})

    def post_subscription(self, told):
        """Post a subscription event, signed as CXone signs it."""
        body, timestamp = json.dumps(told).encode(), str(int(time.time()))
        signature = self.stack.signature(timestamp.encode() + b"." + body)
        headers = {"X-CXone-Timestamp": timestamp, "X-CXone-Signature": f"sha256={signature}"}
        return self.post_event(body, headers=headers, path="/webhooks/cxone/events")

    def sweep(self):
        """Run the sweep, as its schedule does every few minutes; give what it found."""
        answer = self.stack.client("lambda").invoke(FunctionName=f"{LOCAL_NAME}-sweep-ledger", Payload=b"{}")
        return json.loads(answer["Payload"].read())


def codes(answer):
    """Give the codes of what is wrong with a request's fields."""
    return [error["code"] for error in answer.json()["errors"]]
