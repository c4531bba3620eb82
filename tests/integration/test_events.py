"""Every event of `events/`, played: what its function answers, and what it leaves where that is the point."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from cxone_messaging.domain.messages import Message
from cxone_messaging.domain.phone_numbers import PhoneNumber
from cxone_messaging.domain.pseudonyms import Pseudonyms
from tests import events
from tests.events import FUNCTIONS, NAMES, PEPPER

PSEUDONYMS = Pseudonyms(PEPPER)


class World:
    """What events are played in, and what is looked up behind the functions' backs."""

    def __init__(self, functions, ledger, sqs, bulk_queue, dead_letter_queue, simulator):
        self._functions = functions
        self.ledger = ledger
        self._sqs = sqs
        self._queues = {"bulk": bulk_queue, "dead letters": dead_letter_queue}
        self._simulator = simulator
        self._played = set()

    def play(self, name, *, unless_played=False):
        """Play an event; gives its answer's status, None where it was no request, and its body, of errors the codes."""
        if unless_played and name in self._played:
            return None
        self._played.add(name)
        answer = self._functions.play(name)
        if "statusCode" not in answer:
            return None, answer
        body = json.loads(answer["body"])
        for listed in {"errors", "violations"} & body.keys():
            body[listed] = [each["code"] for each in body[listed]]
        return answer["statusCode"], body

    def taken(self, text):
        """Count the messages with this text that CXone really took."""
        told = requests.get(f"{self._simulator}/_simulator/messages", timeout=10).json()["messages"]
        return sum(each["text"] == text for each in told)

    def received(self, queue):
        """Take what is on a queue off it."""
        url = self._queues[queue]
        received = self._sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"])
        messages = received.get("Messages", [])
        for each in messages:
            self._sqs.delete_message(QueueUrl=url, ReceiptHandle=each["ReceiptHandle"])
        return messages


@pytest.fixture
def world(functions, ledger, sqs, bulk_queue, dead_letter_queue, simulator):
    return World(functions, ledger, sqs, bulk_queue, dead_letter_queue, simulator)


@dataclass(frozen=True)
class Expected:
    """An answer's status and at least these fields of its body, once the events `before` were played."""

    status: int | None
    body: dict[str, Any]
    before: tuple[str, ...] = ()
    leaves: Callable[[World], bool] = lambda _: True


def ok(body, *before, status=200, leaves=lambda _: True):
    return Expected(status, body, before, leaves)


def problem(status, code, *rules, before=(), leaves=lambda _: True):
    return Expected(status, {"code": code, "errors": list(rules)}, before, leaves)


def worked_off(*before, leaves):
    return Expected(None, {"batchItemFailures": []}, before, leaves)


def taken_once(*texts):
    return lambda world: [world.taken(text) for text in texts] == [1] * len(texts)


def send_to_dead_letters(reason):
    def is_there(world):
        letters = world.received("dead letters")
        return [each["MessageAttributes"]["reason"]["StringValue"] for each in letters] == [reason]

    return is_there


def message_is(status, key):
    message_id = PSEUDONYMS.message_id(key)
    return lambda world: Message.of(world.ledger.read(f"message#{message_id}")).status == status


def has_entry(subject, type_):
    return lambda world: type_ in [entry.type for entry in world.ledger.read(subject)]


def is_opted_out(number):
    subject = f"consent#{PSEUDONYMS.recipient_hash(PhoneNumber.parse(number))}"
    return lambda world: [entry.data["status"] for entry in world.ledger.read(subject)][-1:] == ["opted_out"]


def batch_is_queued(world):
    """Whether the queue holds just the records that `send_bulk/batch` hands over."""
    handed_over = [record["body"] for record in events.read("send_bulk/batch")["Records"]]
    return sorted(each["Body"] for each in world.received("bulk")) == sorted(handed_over)


OPT_IN, OPT_IN_TOO, OPT_OUT = (f"manage_consents/{each}" for each in ("opt_in", "opt_in_without_plus", "opt_out"))
SEND, REMIND = "send_message/one_time_password", "send_message/base64_body"
LOWER = "manage_pace/lower"
SUBMIT, SEND_BATCH, SEND_OTHER = "submit_bulk/batch_with_bad_rows", "send_bulk/batch", "send_bulk/other_system"
APPROVE, DELIVERED = "approve_template/approval", "receive_webhook/delivered"

LOGIN, REMINDER = "login-8f14e45f", "reminder-4711"
CODE = "Your code is 849201. It is good for 5 minutes."
TABLE, LATER_TABLE = (f"Your table is booked for tonight, {at}. Reply STOP to opt out." for at in ("19:30", "20:15"))

BROKEN = ("template_too_long", "template_not_gsm7", "template_shortcode_invalid", "template_opt_out_missing")
NO_JSON = problem(400, "malformed_request")
FORGED = problem(401, "invalid_signature")
DISPATCHED, ACCEPTED = {"status": "dispatched"}, {"status": "accepted"}
APPROVED = {"status": "APPROVED", "carrierReady": True}

EXPECTED = {
    "approve_template/approval": ok(APPROVED, leaves=has_entry("template#welcome", "approved")),
    "approve_template/approval_of_a_broken_one": problem(422, "validation_failed", *BROKEN),
    "approve_template/missing_fields": problem(400, "malformed_request", "malformed_request", "malformed_request"),
    "approve_template/no_such_template": problem(404, "template_not_found"),
    "approve_template/schedule": ok({"replies": "subscribed", "arrive": True, "reason": None}, status=None),
    "approve_template/state": ok(APPROVED | {"auditVerified": True}, APPROVE),
    "approve_template/state_of_none": problem(404, "template_not_found"),
    "approve_template/validation": ok({"valid": True, "violations": []}),
    "approve_template/validation_of_a_broken_one": ok({"valid": False, "violations": [*BROKEN]}),
    "checkpoint_ledger/schedule": ok({"made": 0}, status=None),
    "manage_consents/never_asked": problem(404, "consent_not_found"),
    "manage_consents/no_number": problem(422, "validation_failed", "invalid_recipient"),
    "manage_consents/no_such_status": problem(400, "malformed_request", "malformed_request"),
    "manage_consents/opt_in": ok({"phoneNumber": "+12025550100", "status": "opted_in"}),
    "manage_consents/opt_in_without_plus": ok({"phoneNumber": "+12025550101", "status": "opted_in"}),
    "manage_consents/opt_out": ok({"status": "opted_out"}, leaves=is_opted_out("+12025550143")),
    "manage_consents/read": ok({"status": "opted_in", "source": "signup form"}, OPT_IN),
    "manage_pace/above_the_deployed": problem(422, "validation_failed", "invalid_ceiling"),
    "manage_pace/lower": ok(
        {"ceiling": 20, "pace": 19.2, "perMinute": 1200}, leaves=has_entry("pace#account", "pace.set")
    ),
    "manage_pace/no_number": problem(400, "malformed_request", "malformed_request"),
    "manage_pace/read": ok({"ceiling": 20, "circuit": "closed", "queued": 0, "queueSeconds": 0}, LOWER),
    "manage_pace/stop": ok({"ceiling": 0, "pace": 0, "deployedCeiling": 100}),
    "read_ledger/batch": ok({"total": 2, "counts": {"dispatched": 2}}, OPT_IN, OPT_IN_TOO, SUBMIT, SEND_BATCH),
    "read_ledger/message": ok(DISPATCHED | {"to": "+*******0100", "auditVerified": True}, OPT_IN, SEND),
    "read_ledger/no_such_batch": problem(404, "batch_not_found"),
    "read_ledger/no_such_message": problem(404, "message_not_found"),
    "receive_webhook/base64_body": ok(ACCEPTED, OPT_IN, SEND),
    "receive_webhook/delivered": ok(ACCEPTED, OPT_IN, SEND, leaves=message_is("delivered", LOGIN)),
    "receive_webhook/delivered_again": ok({"status": "duplicate"}, OPT_IN, SEND, DELIVERED),
    "receive_webhook/failed": ok(ACCEPTED, OPT_IN, REMIND, leaves=message_is("failed", REMINDER)),
    "receive_webhook/failed_as_opted_out": ok(ACCEPTED, OPT_IN, REMIND, leaves=is_opted_out("+12025550100")),
    "receive_webhook/forged_body": FORGED,
    "receive_webhook/forged_signature": FORGED,
    "receive_webhook/inbound_stop": ok(ACCEPTED, leaves=is_opted_out("+12025550142")),
    "receive_webhook/inbound_stop_unsigned": FORGED,
    "receive_webhook/no_json": NO_JSON,
    "receive_webhook/sent_after_delivered": ok(
        ACCEPTED, OPT_IN, SEND, DELIVERED, leaves=message_is("delivered", LOGIN)
    ),
    "receive_webhook/signed_body": ok(ACCEPTED, leaves=has_entry("delivery#8f0c2f3e-early", "delivery")),
    "receive_webhook/signed_long_ago": FORGED,
    "receive_webhook/template_approved": ok(ACCEPTED, leaves=has_entry("template#welcome", "template_event")),
    "receive_webhook/template_registered": ok(ACCEPTED, leaves=has_entry("template#welcome", "template_event")),
    "receive_webhook/unsigned": FORGED,
    "send_bulk/batch": worked_off(OPT_IN, OPT_IN_TOO, leaves=taken_once(TABLE, LATER_TABLE)),
    "send_bulk/malformed_record": worked_off(leaves=send_to_dead_letters("malformed_record")),
    "send_bulk/not_opted_in": worked_off(leaves=message_is("rejected", "invoice-4713")),
    "send_bulk/other_system": worked_off(OPT_IN, leaves=taken_once("Your invoice is due.")),
    "send_bulk/reference_reused": worked_off(OPT_IN, SEND_OTHER, leaves=send_to_dead_letters("idempotency_key_reused")),
    "send_bulk/same_record_twice": worked_off(OPT_IN, leaves=taken_once("Your second invoice is due.")),
    "send_message/base64_body": ok(
        DISPATCHED, OPT_IN, status=202, leaves=taken_once("Señora López, su mesa está lista.")
    ),
    "send_message/key_reused": problem(422, "idempotency_key_reused", before=(OPT_IN, SEND), leaves=taken_once(CODE)),
    "send_message/no_json": NO_JSON,
    "send_message/no_number": problem(422, "validation_failed", "invalid_recipient"),
    "send_message/not_opted_in": problem(422, "validation_failed", "not_opted_in"),
    "send_message/one_time_password": ok(DISPATCHED | {"segments": 1}, OPT_IN, status=202, leaves=taken_once(CODE)),
    "send_message/opted_out": problem(422, "validation_failed", "opted_out", before=(OPT_OUT,)),
    "send_message/preview": ok({"valid": True, "errors": [], "encoding": "GSM-7", "segments": 1, "units": len(CODE)}),
    "send_message/refused_by_cxone": problem(
        502, "cxone_rejected", before=(OPT_IN,), leaves=message_is("rejected", "login-c51ce410")
    ),
    "send_message/too_long": problem(422, "validation_failed", "too_many_segments", before=(OPT_IN,)),
    "send_message/without_key": ok(DISPATCHED, OPT_IN, status=202, leaves=taken_once("Your table is ready.")),
    "submit_bulk/batch_with_bad_rows": ok({"accepted": 2}, OPT_IN, OPT_IN_TOO, status=202, leaves=batch_is_queued),
    "submit_bulk/key_reused": problem(422, "idempotency_key_reused", before=(OPT_IN, OPT_IN_TOO, SUBMIT)),
    "submit_bulk/no_messages": problem(400, "malformed_request", "malformed_request"),
    "submit_bulk/without_key": problem(400, "idempotency_key_required"),
    "collect_receipts/schedule": ok({"reads": 2, "receipts": 0, "replies": 0, "adopted": 0}, status=None),
    "sweep_ledger/schedule": ok({"joined": 0, "unknown": 0}, status=None),
}


def test_every_event_has_an_expectation_and_every_function_an_event():
    assert set(EXPECTED) == set(NAMES)
    assert {name.partition("/")[0] for name in NAMES} == set(FUNCTIONS)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_event_is_answered_as_expected(function, world, dynamodb, ledger_table, subtests):
    def entries():
        return dynamodb.scan(TableName=ledger_table, Select="COUNT")["Count"]

    for name in [each for each in NAMES if each.startswith(f"{function}/")]:
        with subtests.test(name):
            expected = EXPECTED[name]
            for earlier in expected.before:
                world.play(earlier, unless_played=True)
            known = entries()
            status, body = world.play(name)
            assert (status, {field: body.get(field) for field in expected.body}) == (expected.status, expected.body)
            assert expected.leaves(world)
            assert expected is not FORGED or entries() == known, "what is refused leaves nothing"
