"""What CloudWatch gets of a function: its metrics, their one dimension, and its log lines."""

import ast
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from cxone_messaging import __version__
from cxone_messaging.adapters.dynamodb.ledger import DynamoLedger
from cxone_messaging.domain.entries import Draft, EntryType
from cxone_messaging.platform import aws, telemetry
from cxone_messaging.platform.clock import instant
from cxone_messaging.platform.telemetry import NAMESPACE, EmbeddedMetrics, Metric, make_logger
from cxone_messaging.wiring import sending
from cxone_messaging.wiring.dfo import DfoSettings
from cxone_messaging.wiring.sms_v2 import SmsV2Settings
from tests import functions
from tests.building import SUBJECT
from tests.dynamo import FakeDynamo
from tests.events import Functions
from tests.fakes import FakeClock

PRODUCT = [path for folder in ("layers/messaging/cxone_messaging", "functions") for path in Path(folder).rglob("*.py")]


def printed(capsys):
    """Return the documents that were printed in the embedded metric format."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"_aws"' in line]


def metrics_named(source):
    """Return the names of the members of `Metric` that a module's code uses."""
    return {
        node.attr
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Metric"
    }


def test_every_metric_is_reported_by_some_code():
    reporting = [path for path in PRODUCT if path.name != Path(telemetry.__file__).name]
    assert set.union(*(metrics_named(path.read_text()) for path in reporting)) == set(Metric.__members__)


def test_the_one_dimension_is_the_service_and_its_value_the_stacks_name(monkeypatch, capsys):
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "a-stack")
    metrics = EmbeddedMetrics()
    for metric in Metric:
        metrics.add(metric, 7)
    metrics.flush()
    (document,) = printed(capsys)
    (directive,) = document["_aws"]["CloudWatchMetrics"]
    assert (directive["Namespace"], directive["Dimensions"]) == (NAMESPACE, [["service"]])
    assert document["service"] == "a-stack"
    assert {each["Name"] for each in directive["Metrics"]} == set(Metric)
    assert set(document) == {"_aws", "service", *Metric}


def test_threads_that_report_at_once_lose_no_value(capsys):
    """A metric's hundredth value is flushed by the thread that adds it, while others add."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        metrics = EmbeddedMetrics()
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda _: metrics.add(Metric.MESSAGES_DELIVERED), range(8_000)))
        metrics.flush()
    finally:
        sys.setswitchinterval(interval)
    assert sum(len(each["MessagesDelivered"]) for each in printed(capsys)) == 8_000


@pytest.mark.parametrize("environment", [{}, {"POWERTOOLS_SERVICE_NAME": ""}])
def test_without_a_stacks_name_the_service_has_a_default(monkeypatch, capsys, environment):
    monkeypatch.delenv("POWERTOOLS_SERVICE_NAME", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    metrics = EmbeddedMetrics()
    metrics.add(Metric.THROTTLED)
    metrics.flush()
    assert [document["service"] for document in printed(capsys)] == ["cxone-messaging"]


def test_a_log_line_has_the_stacks_name_the_version_and_no_place_in_the_code(monkeypatch, capsys):
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "a-stack")
    make_logger().info("answered", requestId="request-1")
    line = json.loads(capsys.readouterr().out)
    assert set(line) == {"level", "message", "timestamp", "service", "version", "requestId"}
    assert (line["service"], line["version"]) == ("a-stack", __version__)


@pytest.mark.parametrize("name", functions.NAMES)
def test_a_gap_that_a_function_reads_is_counted_whichever_ledger_of_its_own_reads_it(monkeypatch, capsys, name):
    function = functions.module(name)
    ledgers = []

    class Ledger(DynamoLedger):
        def __init__(self, *_, **options):
            super().__init__(FakeDynamo(), "ledger", **options)
            ledgers.append(self)

    secret = {"get_secret_value.return_value": {"SecretString": "p" * 64}}
    for client in ("dynamodb", "sqs", "secrets_manager"):
        monkeypatch.setattr(aws, client, lambda: MagicMock(**secret))
    for place in (sending, function):
        if hasattr(place, "DynamoLedger"):
            monkeypatch.setattr(place, "DynamoLedger", Ledger)
    model = functions.settings_of(function)[-1]
    of_apis = functions.filled(SmsV2Settings) | functions.filled(DfoSettings)
    built = Functions(monkeypatch, of_apis | functions.filled(model))
    for build in [each for each in vars(function).values() if hasattr(each, "cache_clear")]:
        build()
    built.forget()
    assert ledgers
    for ledger in ledgers:
        first = Draft(EntryType.SENDING, {}).following([], SUBJECT, instant(FakeClock().now()))
        ledger.insert(first)
        ledger.insert(replace(first, sequence=3))
        ledger.read(SUBJECT)
        function.metrics.flush()
        assert [document.get("BrokenChains") for document in printed(capsys)] == [[1]]
