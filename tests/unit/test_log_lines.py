"""What log lines name: whatever is done to a message, a batch or a template is found by its id, failures included."""

import json
from types import SimpleNamespace

import pytest

from cxone_messaging.domain.consents import ConsentStatus
from cxone_messaging.domain.names import loggable
from functions.approve_template import handler as approve_template
from functions.read_ledger import handler as read_ledger
from functions.send_bulk import handler as send_bulk
from functions.send_message import handler as send_message
from functions.submit_bulk import handler as submit_bulk
from local.simulator import Fault, Settings
from tests.approvals import ApprovalWorld
from tests.fakes import InlineExecutor
from tests.functions import call
from tests.webhooks import Webhook, callback, hex_of
from tests.worlds import RECIPIENT, Injector, Plan, World

STRANGER = "+12025550166"
KEY = "a-customers-key"
TEXT = "Your table is ready."
EVENT = {"messageId": "cx-1", "status": "sent", "to": RECIPIENT.e164, "timestamp": "2026-11-22T14:14:00Z"}


class Functions:
    """The functions' real handlers over one world."""

    def __init__(self, monkeypatch, log):
        self.world = World(Settings(requests_per_second=1000))
        self.world.opt(ConsentStatus.OPTED_IN)
        self.webhook = Webhook(
            monkeypatch, ledger=self.world.ledger, consents=self.world.consents, clock=self.world.clock
        )
        self._monkeypatch = monkeypatch
        self._log = log
        monkeypatch.setattr(read_ledger, "use_case", lambda: self.world.read)
        monkeypatch.setattr(submit_bulk, "use_case", self.world.submitter)

    def line(self):
        """Give the last line that was logged."""
        return json.loads(self._log.getvalue().splitlines()[-1])

    def send(self, injector=None, key=KEY, **body):
        sender = self.world.sender(injector)
        self._monkeypatch.setattr(send_message, "use_case", lambda: sender)
        asked = {"to": RECIPIENT.e164, "text": TEXT, **body}
        return call(send_message, "POST /messages", asked, headers={"Idempotency-Key": key} if key else {})

    def submit(self, messages, key=KEY):
        return call(submit_bulk, "POST /messages/bulk", {"messages": messages}, headers={"Idempotency-Key": key})

    def work_off(self):
        """Hand all that is on the queue to the function; gives its line's messages."""
        work = send_bulk.work_queue(self.world.parts(), self.world.queue, InlineExecutor())
        self._monkeypatch.setattr(send_bulk, "use_case", lambda: work)
        bodies = self.world.queue.receive(100)
        context = SimpleNamespace(get_remaining_time_in_millis=lambda: 60_000, aws_request_id="request-1")
        sent = {"attributes": {"SentTimestamp": "1795353121000"}}
        records = [{"messageId": id_, "body": body, **sent} for id_, body in bodies.items()]
        send_bulk.handler({"Records": records}, context)
        self.world.queue.delete(bodies)
        return self.line()["messages"]

    def id_of(self, key):
        return self.world.pseudonyms.message_id(key)


@pytest.fixture
def functions(monkeypatch, log):
    return Functions(monkeypatch, log)


def test_a_messages_whole_way_is_found_by_its_id(functions, log):
    message_id = functions.id_of("r1")
    functions.submit([{"to": RECIPIENT.e164, "text": TEXT, "reference": "r1"}])
    assert functions.work_off() == {"dispatched": [message_id]}
    told = {"messageId": "cx", "status": "delivered", "to": RECIPIENT.e164, "timestamp": "2026-11-22T14:14:00Z"}
    assert functions.webhook.delivery(told, message_id)[0] == 200
    call(read_ledger, "GET /messages/{messageId}", path={"messageId": message_id})
    lines = [json.loads(line) for line in log.getvalue().splitlines() if message_id in line]
    assert [line.get("route", "queue") for line in lines] == [
        "queue",
        "POST /webhooks/cxone/sms",
        "GET /messages/{messageId}",
    ]
    assert {line["service"] for line in lines} == {"cxone-messaging"}


class TestSend:
    def test_it_names_our_id_and_cxones(self, functions):
        answer = json.loads(functions.send()["body"])
        line = functions.line()
        assert (line["messageId"], line["cxoneMessageId"]) == (functions.id_of(KEY), answer["cxoneMessageId"])

    @pytest.mark.parametrize(("fault", "status"), [({"status": 400}, 502), ({"status": 500}, 504)])
    def test_so_does_one_that_failed(self, functions, fault, status):
        functions.world.simulator.add_fault(Fault(operation="send", action="status", **fault))
        assert functions.send()["statusCode"] == status
        assert functions.line()["messageId"] == functions.id_of(KEY)

    def test_so_does_one_that_was_not_taken_and_says_so_to_nobody(self, functions):
        answer = functions.send(to=STRANGER)
        assert "messageId" not in json.loads(answer["body"])
        assert (functions.line()["status"], functions.line()["messageId"]) == (422, functions.id_of(KEY))

    def test_so_does_one_that_a_store_failed_on(self, functions, log):
        injector = Injector()
        injector.begin(Plan(at=1, lose_answer=True))
        assert functions.send(injector)["statusCode"] == 500
        error, answered = (json.loads(line) for line in log.getvalue().splitlines())
        assert error["messageId"] == answered["messageId"] == functions.id_of(KEY)


class TestBulk:
    def test_each_message_is_named_with_what_came_of_it(self, functions):
        for key, number in {"a": RECIPIENT.e164, "b": STRANGER}.items():
            functions.world.queue.send(json.dumps({"reference": key, "to": number, "text": TEXT}))
        assert functions.work_off() == {"dispatched": [functions.id_of("a")], "rejected": [functions.id_of("b")]}

    def test_one_that_was_sent_already_is_not_told_as_sent_again(self, functions):
        for _ in range(2):
            functions.world.queue.send(json.dumps({"reference": "a", "to": RECIPIENT.e164, "text": TEXT}))
            told = functions.work_off()
        assert told == {"already dispatched": [functions.id_of("a")]}

    @pytest.mark.parametrize(("status", "became"), [(500, "unknown"), (503, "waiting"), (400, "rejected")])
    def test_one_that_did_not_go_out(self, functions, status, became):
        functions.world.simulator.add_fault(Fault(operation="send", action="status", status=status))
        functions.world.queue.send(json.dumps({"reference": "a", "to": RECIPIENT.e164, "text": TEXT}))
        assert functions.work_off() == {became: [functions.id_of("a")]}

    def test_one_whose_key_was_used_for_another(self, functions):
        for text in (TEXT, "Another"):
            functions.world.queue.send(json.dumps({"reference": "a", "to": RECIPIENT.e164, "text": text}))
            told = functions.work_off()
        assert told == {"idempotency_key_reused": [functions.id_of("a")]}

    def test_a_batch_is_named_even_where_it_is_refused(self, functions):
        for text, status in ((TEXT, 202), ("Another", 422)):
            assert functions.submit([{"to": RECIPIENT.e164, "text": text}])["statusCode"] == status
            assert functions.line()["batchId"] == functions.world.pseudonyms.batch_id(KEY)


class TestWebhook:
    def test_an_event_without_our_id_is_found_by_cxones(self, functions):
        assert functions.webhook.delivery(EVENT)[0] == 200
        assert functions.line()["cxoneMessageId"] == "cx-1"
        assert "messageId" not in functions.line()

    def test_nothing_that_is_not_signed_is_named(self, functions, log):
        body = json.dumps(EVENT).encode()
        forged = "msg_" + "f" * 32
        query = callback(forged) | {"sig": hex_of("00" * 32, forged.encode())}
        assert functions.webhook.post("/webhooks/cxone/sms", body, query=query)[0] == 401
        assert forged not in log.getvalue()
        assert "cx-1" not in log.getvalue()

    def test_a_templates_event_names_it(self, functions):
        told = {"event": "template.approved", "template_id": "welcome", "timestamp": "2026-11-22T14:14:00Z"}
        assert functions.webhook.event(told)[0] == 200
        assert functions.line()["templateId"] == "welcome"


class TestTemplates:
    @pytest.fixture
    def approve(self, monkeypatch, log):
        world = ApprovalWorld()
        monkeypatch.setattr(approve_template, "approving", world.approver)
        body = {"campaignName": "Welcome", "messageClass": "TRANSACTIONAL", "optInLanguage": "en"}

        def ask(template_id):
            path = {"templateId": template_id}
            answer = call(approve_template, "POST /templates/{templateId}/approval", body, path=path)
            return answer["statusCode"], json.loads(log.getvalue().splitlines()[-1]).get("templateId")

        return world, ask

    def test_an_approval_names_its_template(self, approve):
        _, ask = approve
        assert ask("welcome") == (200, "welcome")

    def test_so_does_one_that_failed(self, approve):
        world, ask = approve
        world.fault("register", status=500)
        assert ask("welcome") == (502, "welcome")

    @pytest.mark.parametrize(
        ("asked", "named"), [(STRANGER, None), ("1-202-555-0166", loggable("1-202-555-0166")), ("Dear Jane Doe", None)]
    )
    def test_what_does_not_look_like_a_templates_id_is_not_named(self, approve, asked, named):
        _, ask = approve
        assert ask(asked) == (404, named)
