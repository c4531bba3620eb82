"""Two hours of outage with Lambda's recursive-loop detection, which no emulator has for SQS.

Lambda counts the passes of a chain of calls in the field `Lineage` of the trace header. Its runtime puts the header of
an invocation into `_X_AMZN_TRACE_ID`, botocore stamps it on every call, SQS keeps it with the message, and Lambda reads
it again: "Use Lambda recursive loop detection to prevent infinite loops" in its developer guide. A chain that has been
through the function 16 times is refused, unless the function says `RecursiveLoop: Allow`. AWS does not document the
count of a batch of mixed messages; here it is the highest.
"""

import json
import re
import uuid
from urllib.parse import unquote

import pytest
from botocore import UNSIGNED
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.session import Session

from cxone_messaging.adapters.queue import QUEUED_AT, SqsBulkQueue
from cxone_messaging.domain.batches import BulkRecord
from cxone_messaging.domain.consents import ConsentStatus
from cxone_messaging.domain.sms import SmsRequest
from cxone_messaging.platform.deadline import Deadline
from cxone_messaging.platform.telemetry import Metric
from functions.send_bulk.handler import queued_at, read, work_queue
from local import template
from local.simulator import Fault
from tests.fakes import FakeClock, InlineExecutor
from tests.worlds import BATCH_SIZE, RECIPIENT, TIMEOUT_SECONDS, World

PASSES = 16
TWO_HOURS = 2 * 3600
RECORDS = 11  # more than one call puts on the queue
# To make a user agent, or a signature, anew for each request takes as long as all else.
CONFIG = Config(user_agent="test", signature_version=UNSIGNED)
LINEAGE = re.compile(r"Lineage=send-bulk:(\d+)")


class RecursionDetectingSqs:
    """The bulk queue as SQS and Lambda have it: visibility, receives, a dead-letter queue, and passes by lineage.

    The function's own client is botocore's; its requests end here, before a socket is opened.
    """

    VISIBILITY_SECONDS, MAX_RECEIVES = 360, 5

    def __init__(self, clock: FakeClock, monkeypatch, *, allows: bool) -> None:
        self._clock, self._monkeypatch, self._allows = clock, monkeypatch, allows
        self.messages: dict[str, dict] = {}
        self.dead: list[str] = []
        self.passes = 0
        self.client = Session().create_client(
            "sqs", region_name="us-east-1", endpoint_url="https://sqs.test", config=CONFIG
        )
        self.client.meta.events.register("before-send.sqs", self._answer)
        monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "send-bulk")

    def _answer(self, request, **_):
        header = request.headers.get("X-Amzn-Trace-Id", b"")
        lineage = LINEAGE.search(unquote(header.decode() if isinstance(header, bytes) else header))
        put = []
        for entry in json.loads(request.body)["Entries"]:
            id_ = uuid.uuid4().hex
            self.messages[id_] = {
                "body": entry["MessageBody"],
                "visible_at": self._clock.now() + entry["DelaySeconds"],
                "passes": int(lineage[1]) if lineage else 0,
                "receives": 0,
                "attributes": {"SentTimestamp": str(round(self._clock.now() * 1000))},
                "messageAttributes": {
                    name: {"stringValue": each["StringValue"], "dataType": each["DataType"]}
                    for name, each in entry.get("MessageAttributes", {}).items()
                },
            }
            put.append({"Id": entry["Id"], "MessageId": id_, "MD5OfMessageBody": ""})
        content = json.dumps({"Successful": put, "Failed": []}).encode()
        response = AWSResponse(request.url, 200, {"Content-Type": "application/x-amz-json-1.0"}, None)
        response._content = content
        return response

    def poll(self, world: World) -> None:
        """Receive a batch and invoke the function with it, unless its lineage is too long."""
        batch = {}
        for id_, message in list(self.messages.items()):
            if message["visible_at"] > self._clock.now() or len(batch) == BATCH_SIZE:
                continue
            if message["receives"] == self.MAX_RECEIVES:
                self.dead.append(self.messages.pop(id_)["body"])
                continue
            message["receives"] += 1
            message["visible_at"] = self._clock.now() + self.VISIBILITY_SECONDS
            batch[id_] = message
        passes = max((message["passes"] for message in batch.values()), default=0)
        if not batch or (passes >= PASSES and not self._allows):
            return
        self.passes = max(self.passes, passes + 1)
        self._monkeypatch.setenv("_X_AMZN_TRACE_ID", f"Root=1-0-0;Sampled=0;Lineage=send-bulk:{passes + 1}")
        work = work_queue(world.parts(), SqsBulkQueue(self.client, "https://sqs.test/bulk"), InlineExecutor())
        bodies = {id_: message["body"] for id_, message in batch.items()}
        first_seen = {id_: queued_at(message) for id_, message in batch.items()}
        failed = work(bodies, first_seen, read, Deadline.after(self._clock, TIMEOUT_SECONDS))
        for id_ in set(bodies) - set(failed):
            del self.messages[id_]

    def work_off(self, world: World, until: float = float("inf")) -> None:
        """Let time pass, and poll whenever a record can be seen, until there is none or the time has come."""
        while self.messages:
            visible_at = min(message["visible_at"] for message in self.messages.values())
            if max(visible_at, self._clock.now()) >= until:
                return
            self._clock.advance(max(0.0, visible_at - self._clock.now()))
            self.poll(world)


def says_allow():
    """Whether the template says so of the function, where AWS has the detection."""
    loop = template.resources("AWS::Serverless::Function")["SendBulkFunction"].get("RecursiveLoop")
    return "Allow" in (loop["Fn::If"] if isinstance(loop, dict) else [loop])


def through_an_outage(monkeypatch, fault, *, allows):
    """Put records on the queue, let CXone fail for two hours, then let all come to rest."""
    world = World()
    world.opt(ConsentStatus.OPTED_IN)
    queue = RecursionDetectingSqs(world.clock, monkeypatch, allows=allows)
    records = [BulkRecord(f"r{number}", SmsRequest(RECIPIENT.e164, "hi")) for number in range(RECORDS)]
    assert all(SqsBulkQueue(queue.client, "https://sqs.test/bulk").put(records))
    number = world.simulator.add_fault(fault)
    began = world.clock.now()
    queue.work_off(world, until=began + TWO_HOURS)
    assert world.simulator.accepted_messages() == []
    world.clock.advance(max(0.0, began + TWO_HOURS - world.clock.now()))
    world.simulator.faults.remove(number)
    queue.work_off(world)
    return world, queue


OUTAGES = {
    "no answers": Fault(operation="send", times="forever", action="status", status=503),
    "no tokens": Fault(operation="token_sms", times="forever", action="status", status=503),
}


@pytest.mark.parametrize("fault", OUTAGES.values(), ids=OUTAGES)
def test_two_hours_of_outage_end_with_every_record_sent_no_dead_letter_and_an_alarm(monkeypatch, fault):
    world, queue = through_an_outage(monkeypatch, fault, allows=says_allow())
    assert queue.dead == []
    assert world.taken() == [1] * RECORDS
    assert queue.passes > PASSES
    # SQS counted their age anew with each pass.
    ages = world.telemetry[Metric.BULK_RECORD_AGE]
    assert TWO_HOURS - 120 < max(ages) < TWO_HOURS + 120
    (alarm,) = (
        each
        for each in template.resources("AWS::CloudWatch::Alarm").values()
        if each.get("MetricName") == Metric.BULK_RECORD_AGE
    )
    assert alarm["Statistic"] == "Maximum"
    assert alarm["Threshold"] < max(ages)


@pytest.mark.parametrize("fault", OUTAGES.values(), ids=OUTAGES)
def test_without_the_property_the_records_would_be_dead_letters(monkeypatch, fault):
    """This shows that the double counts: AWS's default is to refuse."""
    world, queue = through_an_outage(monkeypatch, fault, allows=False)
    assert queue.passes == PASSES
    assert len(queue.dead) > RECORDS / 2
    assert len(world.taken()) + len(queue.dead) == RECORDS


def test_of_several_that_wait_the_oldest_is_reported():
    world = World()
    world.opt(ConsentStatus.OPTED_IN)
    world.simulator.add_fault(OUTAGES["no tokens"])
    now = world.clock.now()
    for number, age in enumerate((10, 5000, 300)):
        body = json.dumps(BulkRecord(f"r{number}", SmsRequest(RECIPIENT.e164, "hi")).body())
        world.queue.send(body, queued_at=now - age)
    world.poll()
    (age,) = world.telemetry[Metric.BULK_RECORD_AGE]
    assert 5000 <= age < 5060


def test_what_is_sent_has_no_age():
    world = World()
    world.opt(ConsentStatus.OPTED_IN)
    world.queue.put([BulkRecord("r", SmsRequest(RECIPIENT.e164, "hi"))])
    world.work_off()
    assert world.taken() == [1]
    assert world.telemetry[Metric.BULK_RECORD_AGE] == []


@pytest.mark.parametrize("first", ["nan", "inf", "-1", "1e400", "9999999999", "yesterday", ""])
def test_an_instant_that_is_none_counts_as_none(first):
    """Another producer may set the attribute; SQS would refuse the record with such a number when it is put back."""
    record = {
        "attributes": {"SentTimestamp": "1795353121000"},
        "messageAttributes": {QUEUED_AT: {"stringValue": first}},
    }
    assert queued_at(record) == 1795353121.0


def test_the_first_instant_is_kept():
    record = {
        "attributes": {"SentTimestamp": "1795353121000"},
        "messageAttributes": {QUEUED_AT: {"stringValue": "1795350000.500"}},
    }
    assert queued_at(record) == 1795350000.5
