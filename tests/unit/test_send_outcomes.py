"""What each of CXone's answers leads to, line by line of the documents' table, through the real client."""

import itertools
import json

import pytest

from cxone_messaging.domain.consents import ConsentStatus
from cxone_messaging.domain.entries import Entry, EntryType
from cxone_messaging.domain.errors import Code, MessagingError, StorageError
from cxone_messaging.domain.messages import Status
from cxone_messaging.domain.schedule import FAILURES_TO_OPEN, Slots
from cxone_messaging.domain.sms import SmsRequest
from cxone_messaging.domain.times import parse_time
from cxone_messaging.platform.telemetry import Metric
from local.simulator import Fault
from local.simulator.wire import Response
from tests.worlds import Injector, Killed, Plan, World

REQUEST = SmsRequest("+15551234567", "Your code is 849201")


@pytest.fixture
def world():
    world = World()
    world.opt(ConsentStatus.OPTED_IN)
    return world


def send(world, key="k", request=REQUEST, seconds=28, injector=None):
    return world.send(request, key, seconds=seconds, injector=injector)


def refused(world, **options):
    return world.refusal(options.pop("request", REQUEST), options.pop("key", "k"), **options)


def trail(world, key="k"):
    """Give a message's entries as (type, HTTP status or None)."""
    return [(entry.type, entry.data.get("httpStatus")) for entry in world.entries_of(key)]


def test_an_accepted_message_is_dispatched(world):
    receipt = send(world)
    assert not receipt.replayed
    assert receipt.message.status is Status.DISPATCHED
    assert receipt.message.cxone_message_id == world.simulator.accepted_messages()[0].id
    assert trail(world) == [("sending", None), ("dispatched", None)]
    assert world.telemetry[Metric.MESSAGES_DISPATCHED] == [1]
    assert len(world.telemetry[Metric.DISPATCH_LATENCY]) == 1
    assert world.telemetry[Metric.BULK_DISPATCH_LATENCY] == []


@pytest.mark.parametrize("status", [400, 403, 404, 413])
def test_a_refusal_for_good_is_never_retried_and_replayed_to_who_asks_again(world, status):
    world.simulator.add_fault(Fault(action="status", operation="send", status=status, times="forever"))
    first = refused(world)
    again = refused(world)
    assert (first.code, first.replayed) == (Code.CXONE_REJECTED, False)
    assert (again.code, again.detail, again.replayed) == (Code.CXONE_REJECTED, first.detail, True)
    assert ("message:sms:send" in first.detail) == (status == 403)
    assert trail(world) == [("sending", None), ("rejected", status)]
    assert world.posts() == 1


class TestWhyItWasRefused:
    """What CXone's answer to a refusal says, as far as it can be kept: codes and our fields' names, no sentences."""

    SECRETS = ("849201", "5551234567", "Your code is")

    @pytest.fixture
    def answered(self, world, monkeypatch):
        """Refuse a message with a body; gives what the caller is told."""

        def answered(body, status=400, request=REQUEST):
            text = body if isinstance(body, str) else json.dumps(body)
            response = Response(status, content=text.encode())
            monkeypatch.setattr(world.simulator, "handle", lambda _: response)
            return refused(world, request=request)

        assert send(world, key="another").message.status is Status.DISPATCHED  # there is a token
        return answered

    def test_an_inactive_campaign_is_told_at_once_and_again_and_stands_in_the_ledger(self, world):
        world.simulator.settings = world.simulator.settings.changed({"active_campaigns": ["summer"]})
        told = "CXone answered 400 (campaignId: campaign_not_active)"
        assert [refused(world).detail for _ in range(2)] == [told] * 2
        entry = world.ledger.read(f"message#{world.pseudonyms.message_id('k')}")[-1]
        assert entry.data["reason"] == told

    @pytest.mark.parametrize(
        ("body", "told"),
        [
            ({"errorCode": "INVALID_CAMPAIGN"}, "INVALID_CAMPAIGN"),
            ({"code": 1021}, "1021"),
            ({"code": "21211"}, "21211"),
            ({"error": "invalid_request"}, "invalid_request"),
            ({"error": {"code": "sms.from-unknown"}}, "sms.from-unknown"),
            ({"errors": [{"field": "from", "errorCode": "NOT_REGISTERED"}]}, "from: NOT_REGISTERED"),
            ({"code": "BAD", "errors": [{"field": "to[0]"}, {"field": "to.1"}, {"field": "text"}]}, "BAD, to, text"),
            ({"errors": [{"code": f"E{number}"} for number in range(9)]}, "E0, E1, E2, E3, E4"),
        ],
        ids=lambda value: str(value)[:40],
    )
    @pytest.mark.parametrize("status", [400, 422])
    def test_codes_and_fields_are_told(self, answered, body, told, status):
        assert answered(body, status).detail == f"CXone answered {status} ({told})"

    @pytest.mark.parametrize(
        "body",
        [
            "", "null", "[]", "<html>", "[" * 50_000, '"code"', {"code": None}, {"code": ["E1"]}, {"code": True},
            {"errors": "E1"}, {"errors": ["E1"]}, {"code": "x" * 65}, {"code": "an error"}, {"code": ""},
            {"detail": "+15551234567 is not a mobile"}, {"message": "Your code is 849201"},
            {"code": "+15551234567"}, {"code": "15551234567"}, {"code": "to-15551234567"}, {"code": "4567"},
            {"code": "849201"}, {"code": 84920}, {"code": "E849201"}, {"code": "Code"}, {"code": "your"},
            {"code": "Your code is 849201"}, {"code": "E1\n"}, {"code": "É1"}, {"code": "eyJhbGciOi.eyJzdWIiOiIx" * 4},
            {"errors": [{"field": "+15551234567"}, {"field": "849201"}, {"field": "Your code is"}]},
            {"errors": [{"field": "to15551234567"}, {"field": "text 849201"}, {"field": 1}, {"field": ["to"]}]},
            '{"field": ' + "[" * 900 + "]" * 900 + "}",
        ],
        ids=lambda body: str(body)[:40],
    )  # fmt: skip
    def test_nothing_else_is(self, world, answered, body):
        assert answered(body).detail == "CXone answered 400"
        entries = world.ledger.read(f"message#{world.pseudonyms.message_id('k')}")
        assert entries[-1].type == "rejected"
        written = json.dumps([entry.attributes() for entry in entries])
        assert not any(secret in written for secret in self.SECRETS)

    @pytest.mark.parametrize("status", [404, 413])
    def test_other_refusals_are_not_asked_why(self, answered, status):
        assert answered({"code": "E1"}, status).detail == f"CXone answered {status}"


def test_an_expired_token_is_replaced_and_the_message_sent(world):
    world.simulator.add_fault(Fault(action="status", operation="send", status=401))
    assert send(world).message.status is Status.DISPATCHED
    assert trail(world) == [("sending", None), ("dispatched", None)]
    assert (world.posts(), len(world.simulator.log("token_sms"))) == (2, 2)


def test_tokens_that_expire_in_quick_succession_stop_nothing(world):
    sender = world.sender()
    for key in "abc":
        world.simulator.add_fault(Fault(action="status", operation="send", status=401))
        assert sender.send(REQUEST, key, world.within(28)).message.status is Status.DISPATCHED
    assert len(world.simulator.log("token_sms")) == 4


def test_a_token_that_is_refused_twice_is_an_auth_failure(world):
    world.simulator.add_fault(Fault(action="status", operation="send", status=401, times="forever"))
    assert refused(world).code is Code.CXONE_AUTH_FAILED
    assert trail(world) == [("sending", None), ("retrying", 401)], "it was certainly not taken"
    assert world.posts() == 2


def test_a_message_that_was_refused_for_its_token_does_not_stop_the_next(world):
    sender = world.sender()
    world.simulator.add_fault(Fault(action="status", operation="send", status=401, times=2))
    with pytest.raises(MessagingError, match="cxone_auth_failed"):
        sender.send(REQUEST, "refused", world.within(28))
    assert sender.send(REQUEST, "next", world.within(28)).message.status is Status.DISPATCHED


@pytest.mark.parametrize(("form", "seconds"), [("seconds", 3), ("date", 3), ("seconds", None)])
def test_throttling_is_waited_out_and_seen_in_the_audit(world, form, seconds):
    fault = Fault(action="status", operation="send", status=429, retry_after=form, retry_after_seconds=seconds, times=2)
    world.simulator.add_fault(fault)
    began = world.clock.now()
    assert send(world).message.attempts == 3
    assert trail(world) == [("sending", None), ("retrying", 429)] * 2 + [("sending", None), ("dispatched", None)]
    if seconds:
        times = [entry.time for entry in world.simulator.log("send")]
        # An HTTP date has whole seconds, so it may name an instant up to one second earlier.
        assert all(later - earlier >= seconds - 1 for earlier, later in itertools.pairwise(times))
        assert times[-1] - began >= 2 * seconds - 2
    assert world.telemetry[Metric.THROTTLED] == [1, 1]


def test_throttling_beyond_the_time_left_is_told_to_the_caller_who_may_simply_ask_again(world):
    world.simulator.add_fault(Fault(action="status", operation="send", status=429, retry_after_seconds=40))
    error = refused(world)
    assert (error.code, error.retry_after) == (Code.RATE_LIMITED, 40)
    world.clock.advance(41)
    assert send(world).message.status is Status.DISPATCHED


@pytest.mark.parametrize("status", [502, 503])
def test_an_unavailable_engine_is_tried_again_and_each_time_audited(world, status):
    world.simulator.add_fault(Fault(action="status", operation="send", status=status, times=2))
    assert send(world).message.status is Status.DISPATCHED
    assert trail(world)[:4] == [("sending", None), ("retrying", status)] * 2


def test_an_outage_opens_the_circuit_and_the_caller_is_told_when_to_come_back(world):
    world.simulator.add_fault(Fault(action="status", operation="send", status=503, times="forever"))
    for number in range(4):
        error = refused(world, key=str(number), seconds=11)
    assert error.code is Code.CXONE_UNAVAILABLE
    assert error.retry_after >= 1
    before = world.posts()
    refused(world, key="later", seconds=9)
    assert world.posts() == before
    assert trail(world, "later") == []
    world.simulator.faults.clear()
    world.clock.advance(61)
    assert send(world, key="later").message.status is Status.DISPATCHED
    assert send(world, key="last").message.status is Status.DISPATCHED


@pytest.mark.parametrize("key", ["tried", None])
def test_what_was_tried_before_the_circuit_opened_is_told_by_its_id(world, key):
    world.simulator.add_fault(Fault(action="status", operation="send", status=503, times="forever"))
    for number in range(FAILURES_TO_OPEN - 1):
        world.governor.failed(Slots(0, 1, 0, number))
    error = refused(world, key=key)
    assert (error.code, "circuit_open" in error.detail) == (Code.CXONE_UNAVAILABLE, True)
    entries = world.ledger.read(f"message#{error.message_id}")
    assert {entry.type for entry in entries} == {"sending", "retrying"}


@pytest.mark.parametrize(
    "fault",
    [
        Fault(action="status", operation="send", status=500, times="forever"),
        Fault(action="status", operation="send", status=504, times="forever"),
        Fault(action="accept_then_500", operation="send", times="forever"),
        Fault(action="accept_then_timeout", operation="send", times="forever"),
        Fault(action="accept_then_reset", operation="send", times="forever"),
        Fault(action="reset", operation="send", times="forever"),
        Fault(action="garbage_body", operation="send", times="forever"),
    ],
    ids=lambda fault: f"{fault.action}-{fault.status}",
)
def test_an_unclear_answer_is_unknown_and_never_sent_again(world, fault):
    world.simulator.add_fault(fault)
    first, again = refused(world), refused(world)
    assert (first.code, first.replayed) == (Code.OUTCOME_UNKNOWN, False)
    assert (again.code, again.replayed) == (Code.OUTCOME_UNKNOWN, True)
    assert first.message_id == again.message_id == world.pseudonyms.message_id("k")
    assert [type_ for type_, _ in trail(world)] == ["sending", "unknown"]
    assert world.posts() == 1
    assert world.telemetry[Metric.MESSAGES_UNKNOWN] == [1]


@pytest.mark.parametrize("action", ["refuse", "connect_timeout"])
def test_a_request_that_was_never_written_is_sent_again(world, action):
    world.simulator.add_fault(Fault(action=action, operation="send", times=2))
    assert send(world).message.status is Status.DISPATCHED
    assert [type_ for type_, _ in trail(world)] == ["sending", "retrying"] * 2 + ["sending", "dispatched"]


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault(action="status", operation="token_sms", status=401, times="forever"), Code.CXONE_AUTH_FAILED),
        (Fault(action="status", operation="token_sms", status=500, times="forever"), Code.CXONE_UNAVAILABLE),
        (Fault(action="refuse", operation="token_sms", times="forever"), Code.CXONE_UNAVAILABLE),
        (Fault(action="accept_then_timeout", operation="token_sms", times="forever"), Code.CXONE_UNAVAILABLE),
        (Fault(action="garbage_body", operation="token_sms", times="forever"), Code.CXONE_UNAVAILABLE),
    ],
    ids=lambda each: getattr(each, "action", None),
)
def test_no_token_no_send_and_nothing_recorded(world, fault, code):
    world.simulator.add_fault(fault)
    began = world.clock.monotonic()
    assert refused(world).code is code
    assert world.clock.monotonic() - began <= 16, "a caller without a token must not hang"
    assert trail(world) == []
    world.simulator.faults.clear()
    world.clock.advance(61)
    assert send(world).message.status is Status.DISPATCHED


@pytest.mark.parametrize("value", [None, "", 12, True, ["t"], "a b", "a\r\nX: y", "\u20ac"])
def test_what_is_no_token_sends_nothing_and_burns_no_key(world, monkeypatch, value):
    take = world.simulator.handle
    answer = Response(200, {"access_token": value, "token_type": "Bearer", "expires_in": 3600})
    monkeypatch.setattr(world.simulator, "handle", lambda each: answer if "oauth" in each.path else take(each))
    assert refused(world).code is Code.CXONE_UNAVAILABLE
    assert (trail(world), world.posts()) == ([], 0)
    monkeypatch.undo()
    world.clock.advance(20)
    assert send(world).message.status is Status.DISPATCHED


def test_the_same_key_is_answered_from_the_ledger(world):
    first = send(world)
    world.opt(ConsentStatus.OPTED_OUT)
    world.simulator.add_fault(Fault(action="status", operation="token_sms", status=500, times="forever"))
    again = send(world)
    assert again.replayed
    assert again.message == first.message
    assert world.posts() == 1


def test_a_key_is_not_good_for_another_request(world):
    send(world)
    for other in (
        SmsRequest("+15551234568", REQUEST.text),
        SmsRequest(REQUEST.to, "another"),
        SmsRequest(REQUEST.to, REQUEST.text, campaign_id="other"),
        SmsRequest(REQUEST.to, REQUEST.text, sender="54321"),
    ):
        assert refused(world, request=other).code is Code.IDEMPOTENCY_KEY_REUSED
    assert world.posts() == 1


def test_who_asks_while_the_first_is_in_flight_is_told_so(world):
    injector, told = Injector(), []
    # The POST is a cold sender's tenth I/O.
    injector.begin(Plan(10, act=lambda: told.append(refused(world))))
    assert send(world, injector=injector).message.status is Status.DISPATCHED
    assert [error.code for error in told] == [Code.IN_PROGRESS]
    assert world.posts() == 1


def test_a_dead_senders_message_is_unknown_after_its_deadline(world):
    injector = Injector()
    injector.begin(Plan(10, kill=True, after=True))
    with pytest.raises(Killed):
        send(world, injector=injector)
    assert refused(world).code is Code.IN_PROGRESS
    world.clock.advance(40)
    assert refused(world).code is Code.OUTCOME_UNKNOWN
    assert trail(world) == [("sending", None), ("unknown", None)]
    world.deliver()
    assert send(world).message.status is Status.DELIVERED
    assert world.posts() == 1


def test_an_outcome_that_could_not_be_recorded_leaves_the_chain_whole(world):
    world.simulator.add_fault(Fault(action="status", operation="send", status=503))
    injector = Injector()
    injector.begin(Plan(11, lose_answer=True))
    with pytest.raises(StorageError):
        send(world, injector=injector)
    assert trail(world) == [("sending", None)]


def test_a_message_that_was_tried_a_thousand_times_is_tried_again(world):
    world.simulator.add_fault(Fault(action="status", operation="send", status=503, times=2))
    assert refused(world, seconds=8.1).code is Code.CXONE_UNAVAILABLE
    *_, last = tries = world.ledger.read(f"message#{world.pseudonyms.message_id('k')}")
    for number in range(2 * 1100):
        told = tries[number % 2]
        last = Entry.following(
            last, subject=last.subject, type=EntryType(told.type), timestamp=told.timestamp, data=told.data
        )
        world.ledger.insert(last)
    world.clock.advance(10)
    assert send(world).message.status is Status.DISPATCHED


def test_a_send_without_a_key_is_a_message_of_its_own(world):
    first, second = send(world, key=None), send(world, key=None)
    assert first.message.message_id != second.message.message_id
    assert world.posts() == 2


def test_the_deadline_lies_behind_the_end_of_the_invocation(world):
    """A live sender must never be taken for a dead one, by a clock that is some seconds ahead either."""
    ends = world.clock.now() + 28
    send(world)
    (sending, *_) = world.ledger.read(f"message#{world.pseudonyms.message_id('k')}")
    deadline = parse_time(sending.data["deadline"]).timestamp()
    assert ends + 4 <= deadline <= ends + 10


@pytest.mark.parametrize("seconds", [1, 5, 7.5])
def test_without_time_for_an_answer_nothing_is_sent(world, seconds):
    assert refused(world, seconds=seconds).code is Code.CXONE_UNAVAILABLE
    assert world.posts() == 0
    assert trail(world) == []


@pytest.mark.parametrize(("seconds", "at_most"), [(28, 20), (20, 17), (12, 9)])
def test_a_send_ends_before_its_function_does(world, seconds, at_most):
    world.simulator.settings = world.simulator.settings.changed({"hold_seconds": 300})
    world.simulator.add_fault(Fault(action="accept_then_timeout", operation="send"))
    began = world.clock.monotonic()
    assert refused(world, seconds=seconds).code is Code.OUTCOME_UNKNOWN
    assert world.clock.monotonic() - began <= at_most


def test_who_opts_out_while_a_send_backs_off_gets_nothing(world):
    world.simulator.add_fault(Fault(action="status", operation="send", status=429, retry_after_seconds=15))
    sleep = world.clock.sleep

    def opt_out_meanwhile(seconds):
        if seconds > 10:
            world.opt(ConsentStatus.OPTED_OUT)
        sleep(seconds)

    world.clock.sleep = opt_out_meanwhile
    assert [error.code for error in refused(world).errors] == [Code.OPTED_OUT]
    assert world.accepted() == {}


def test_a_refused_token_costs_a_second_slot(world):
    """A 401 takes a request of the account's rate, and so does the one after it."""
    world.simulator.add_fault(Fault(action="status", operation="send", status=401))
    send(world)
    assert world.governor.next_slot - world.clock.now() >= 2 / 97 - 0.011
    first, second = (entry.time for entry in world.simulator.log("send"))
    assert second - first >= 1 / 97 - 0.001


@pytest.mark.parametrize(("status", "code"), [(429, Code.RATE_LIMITED), (503, Code.CXONE_UNAVAILABLE)])
def test_what_could_not_be_recorded_is_told_to_the_fleet_all_the_same(world, status, code):
    world.simulator.add_fault(Fault(action="status", operation="send", status=status, retry_after_seconds=30))
    injector = Injector()
    injector.begin(Plan(11, lose_answer=True))
    with pytest.raises(StorageError):
        send(world, injector=injector)
    assert (world.governor.held_until > world.clock.now()) == (code is Code.RATE_LIMITED)
    assert world.governor.failures == (code is Code.CXONE_UNAVAILABLE)


def test_a_lost_answer_to_the_sending_entry_does_not_burn_the_key(world):
    injector = Injector()
    injector.begin(Plan(8, lose_answer=True, after=True))
    assert send(world, injector=injector).message.status is Status.DISPATCHED
    assert trail(world) == [("sending", None), ("dispatched", None)]
