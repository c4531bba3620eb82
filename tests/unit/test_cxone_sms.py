"""What CXone's acceptance of a message must look like to be one; `test_send_outcomes.py` has its other answers."""

import json
from typing import override

import pytest

from cxone_messaging import segments
from cxone_messaging.adapters.cxone.http import Answer
from cxone_messaging.adapters.cxone.sms_v2.sms import CxoneSms
from cxone_messaging.adapters.cxone.token_cache import Token
from cxone_messaging.domain.errors import StorageError
from cxone_messaging.domain.outcomes import Accepted, OutcomeUnknown
from cxone_messaging.domain.phone_numbers import PhoneNumber
from cxone_messaging.domain.sms import Sms
from functions.receive_webhook.handler import DeliveryBody
from tests.fakes import FakeClock, UnsignedUrls, cxone_sms

SMS = Sms(PhoneNumber.parse("+15551234567"), "Hello", "campaign", "12345", segments.count("Hello"))


class Tokens:
    def current(self):
        return Token("token", 1, float("inf"), float("inf"))

    def mark_accepted(self, token):
        pass


class Session:
    """Answers whatever it is asked with one body."""

    def __init__(self, body):
        self.body = body

    def exchange(self, *args, **options):
        return Answer(202, {}, self.body)


def outcome(body):
    return cxone_sms("https://cxone.test", Tokens(), Session(body), FakeClock()).send(SMS, "msg_1", 28)


@pytest.mark.parametrize("id_", ["ca68d973-e54c-4bbc-93ed-a2346bc81c9e", "1", "id with spaces", "~" * 128])
def test_an_id_that_an_event_may_bear_is_an_acceptance(id_):
    assert outcome(json.dumps({"id": id_}).encode()) == Accepted(id_)
    DeliveryBody.model_validate({"messageId": id_, "status": "sent", "timestamp": "2026-11-22T13:12:00Z"})


@pytest.mark.parametrize(
    ("body", "id_"),
    [
        (b'{"id": 7}', "7"),
        (b'{"id": 0}', "0"),
        (b'{"id": 12345678901234567890}', "12345678901234567890"),
        (b'\xef\xbb\xbf{"id": "a"}', "a"),
        ('{"id": "a"}'.encode("utf-16"), "a"),
    ],
)
def test_an_answer_is_read_generously_where_nothing_hangs_on_it(body, id_):
    assert outcome(body) == Accepted(id_)


@pytest.mark.parametrize("id_", ["", "x" * 251, "a\nb", "\ud800", True, None, ["1"], {}])
def test_an_id_that_could_not_be_stored_or_found_again_leaves_the_outcome_unknown(id_):
    assert outcome(json.dumps({"id": id_}).encode()) == OutcomeUnknown("unreadable_acceptance", 202)


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b'"1"', b"<html>", b"[" * 100_000])
def test_a_body_without_an_id_leaves_the_outcome_unknown(body):
    assert outcome(body) == OutcomeUnknown("unreadable_acceptance", 202)


@pytest.mark.parametrize("code", ["invalid_155-512-345-67", "E-1_555_123_456_7"])
def test_a_code_that_might_hold_a_number_is_not_kept(code):
    class Refusing(Session):
        def exchange(self, *args, **options):
            return Answer(400, {}, self.body)

    session = Refusing(json.dumps({"code": code}).encode())
    refused = cxone_sms("https://cxone.test", Tokens(), session, FakeClock()).send(SMS, "msg_1", 28)
    assert refused.reason == "CXone answered 400"


class UnreadableUrls(UnsignedUrls):
    """The URLs of a process that cannot read the secret that signs them."""

    @override
    def prepare(self):
        raise StorageError("the callback secret")

    @override
    def of(self, message_id):
        raise StorageError("the callback secret")


def test_without_the_callback_secret_nothing_is_made_ready_and_nothing_leaves():
    session = Session(b'{"id": "1"}')
    sender = CxoneSms(
        "https://cxone.test", Tokens(), session, FakeClock(), timeout_seconds=20, callback_urls=UnreadableUrls()
    )
    with pytest.raises(StorageError):
        sender.prepare(5)
    outcome = sender.send(SMS, "msg_1", 28)
    assert (outcome.code, outcome.reason, outcome.tried) == (
        "cxone_unavailable",
        "callback_secret_unreadable",
        False,
    )
