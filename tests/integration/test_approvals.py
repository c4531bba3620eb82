"""Approvals at once, against the emulator and the simulator: real conditions, real sockets, real threads."""

import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from cxone_messaging.domain import subjects
from cxone_messaging.domain.approvals import Approval, Registration
from cxone_messaging.domain.entries import first_broken
from cxone_messaging.domain.errors import MessagingError
from cxone_messaging.platform import aws
from cxone_messaging.platform.clock import SystemClock
from cxone_messaging.platform.deadline import Deadline
from cxone_messaging.use_cases.approvals.approve import ApprovalRequest
from cxone_messaging.use_cases.approvals.read import ReadApproval
from functions.approve_template.handler import ApproveTemplateSettings, approvals_on_aws, template_gateway
from tests.fakes import FakeTelemetry

REQUEST = ApprovalRequest(Registration("Welcome", "TRANSACTIONAL", "en"), "op-1")
TEMPLATES = ("welcome", "late", "approved")


@pytest.fixture
def approval_settings(environment, simulator, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CXONE_API_BASE_URL", simulator)
    monkeypatch.setenv("ADMIN_TOKEN_NAME", environment["SMS_TOKEN_NAME"])
    factories = (aws.dynamodb, aws.secrets_manager)
    for factory in factories:
        factory.cache_clear()
    yield ApproveTemplateSettings.from_environment()
    for factory in factories:
        factory.cache_clear()


def log(simulator, operation):
    answer = requests.get(f"{simulator}/_simulator/log", params={"operation": operation}, timeout=10)
    return answer.json()["entries"]


def test_approvals_at_once_end_in_one_of_each(approval_settings, simulator, ledger):
    content = {"content": "Hello from Example. Reply STOP to opt out.", "from_address": "24680"}
    requests.post(f"{simulator}/_simulator/templates/late", json=content, timeout=10)
    requests.put(f"{simulator}/_simulator/settings", json={"latency_median_seconds": 0.05}, timeout=10)
    callers = [*TEMPLATES * 3, "welcome"]
    start = threading.Barrier(len(callers))

    def approve(template_id):
        # Each with a token cache, connections and a memory of its own, as execution environments have.
        gateway = template_gateway(approval_settings, FakeTelemetry())
        use_case = approvals_on_aws(approval_settings, gateway, FakeTelemetry())
        start.wait()
        try:
            return use_case(template_id, REQUEST, Deadline.after(SystemClock(), 28.0)).approval
        except MessagingError as error:
            return error.code.value

    with ThreadPoolExecutor(len(callers)) as pool:
        answers = list(pool.map(approve, random.Random(1).sample(callers, len(callers))))
    assert all(answer == Approval.of(ledger.read(subjects.template(answer.template_id))) for answer in answers)
    puts = Counter(entry["details"].get("id") for entry in log(simulator, "template_put") if entry["status"] == 200)
    assert puts == {"welcome": 1, "late": 1}
    for operation in ("register", "audit"):
        entries = log(simulator, operation)
        assert sorted(entry["details"]["template_id"] for entry in entries) == sorted(TEMPLATES)
        assert {entry["outcome"] for entry in entries} == {"accepted"}, "nobody even asked twice"
    assert [entry["outcome"] for entry in log(simulator, "subscribe")] == ["accepted"]
    assert [entry["outcome"] for entry in log(simulator, "token_admin")] == ["accepted"]
    for template_id in TEMPLATES:
        entries = ledger.read(subjects.template(template_id))
        assert first_broken(subjects.template(template_id), entries) is None
        assert [entry.type for entry in entries].count("registered") == 1


def test_what_an_approval_asks_of_aws_is_what_its_role_allows(approval_settings, ledger):
    gateway = template_gateway(approval_settings, FakeTelemetry())
    use_case = approvals_on_aws(approval_settings, gateway, FakeTelemetry())
    calls = Counter()
    for client in (aws.dynamodb(), aws.secrets_manager()):
        client.meta.events.register("before-call.*.*", lambda model, **_: calls.update([model.name]))
    use_case("welcome", REQUEST, Deadline.after(SystemClock(), 28.0))
    ReadApproval(ledger)("welcome")
    assert set(calls) == {"Query", "ExecuteStatement", "UpdateItem", "GetSecretValue", "PutSecretValue"}
    assert calls["ExecuteStatement"] == 10, "an entry each, and no more"
