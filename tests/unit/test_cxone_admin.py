"""What the administration client keeps of CXone's answers, and what it makes of odd ones."""

import json

import pytest

from cxone_messaging.domain.approval_steps import is_refusal
from cxone_messaging.domain.approvals import AuditRecord, Registration
from cxone_messaging.domain.errors import Code, CxoneCallError
from cxone_messaging.platform.deadline import Deadline
from local.simulator.wire import Response
from tests.approvals import WEBHOOK_SECRET, ApprovalWorld
from tests.fakes import FakeClock

DEADLINE = Deadline.after(FakeClock(), 20)
CALLS = {
    "register": lambda gateway: gateway.register("welcome", Registration("a", "b", "c"), "key", DEADLINE),
    "subscribe": lambda gateway: gateway.subscribe(
        "http://us.test/events", WEBHOOK_SECRET, ["a2p.registered"], "key", DEADLINE
    ),
    "publish": lambda gateway: gateway.publish(
        AuditRecord("welcome", "2026-01-01T00:00:00.000Z", 1, "op", carrier_ready=True), "key", DEADLINE
    ),
}


@pytest.fixture
def world():
    return ApprovalWorld()


@pytest.fixture
def answering(world, monkeypatch):
    """Let CXone answer all but token requests as told."""
    take = world.simulator.handle

    def answer(response):
        monkeypatch.setattr(
            world.simulator, "handle", lambda request: take(request) if "oauth" in request.path else response
        )
        return world.gateway()

    return answer


def test_numbers_in_any_field_are_masked(answering):
    told = {"id": "1234567", "detail": "for +1_202_555_0123", "errors": [{"message": "1 202 555 0124"}]}
    answer = CALLS["register"](answering(Response(200, told))).answer
    assert json.loads(answer) == {"id": "***", "detail": "for +***", "errors": [{"message": "***"}]}


@pytest.mark.parametrize("call", CALLS)
def test_what_might_be_a_secret_is_not_kept(answering, call):
    told = {"id": "r-1", "webhookSecret": WEBHOOK_SECRET, "nested": [{"accessToken": WEBHOOK_SECRET}], "status": "OK"}
    receipt = CALLS[call](answering(Response(201, told)))
    assert receipt.id == "r-1"
    assert WEBHOOK_SECRET not in (receipt.answer or "")
    assert call == "subscribe" or json.loads(receipt.answer) == {"id": "r-1", "nested": [{}], "status": "OK"}


def test_a_subscriptions_answer_may_name_the_secret_as_it_likes(answering):
    assert CALLS["subscribe"](answering(Response(201, {"id": "s-1", "k": WEBHOOK_SECRET}))).answer is None


def test_numbers_in_what_people_wrote_are_blotted_out_and_the_rest_is_bounded(answering):
    told = {"content": "Call 1-202-555-0123", "meta": {"updated_at": "2026-01-01T00:00:00.000Z"}, "more": "x" * 10_000}
    answer = CALLS["register"](answering(Response(200, told))).answer
    assert answer.startswith('{"content": "Call ***", "meta": {"updated_at": "2026-01-01T00:00:00.000Z"}')
    assert len(answer) == 4096


@pytest.mark.parametrize("content", [b"", b"<html>", b"[]", b'{"id": 7}', b'{"id": ""}', b'{"id": "a\\u0000b"}'])
def test_the_status_says_that_it_was_done_whatever_the_body(answering, content):
    assert CALLS["register"](answering(Response(200, content=content))).id is None


def test_an_answer_that_nests_without_end_does_not_hide_that_it_was_done(answering):
    deep = b'{"id": "r-1", "a": ' + b"[" * 900 + b"]" * 900 + b"}"
    assert CALLS["register"](answering(Response(201, content=deep))).http_status == 201


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"id": "other", "status": "DRAFT", "content": "", "from_address": ""},
        {"id": "welcome", "status": "DRAFT", "content": None, "from_address": "24680"},
        {"id": "welcome", "content": "Hi", "from_address": "24680"},
    ],
)
def test_what_is_no_template_is_not_taken_for_one(answering, document):
    with pytest.raises(CxoneCallError) as caught:
        answering(Response(200, document)).fetch("welcome", DEADLINE)
    assert caught.value.code is Code.CXONE_UNAVAILABLE


@pytest.mark.parametrize("status", [301, 400, 404, 409, 410, 422])
def test_a_refused_registration_is_no_doubtful_one(answering, status):
    with pytest.raises(CxoneCallError) as caught:
        CALLS["register"](answering(Response(status)))
    assert (caught.value.code, caught.value.in_doubt, caught.value.http_status) == (Code.CXONE_REJECTED, False, status)


@pytest.mark.parametrize(("status", "is_one"), [(400, True), (404, True), (422, True), (301, False), (409, False)])
def test_which_answers_refuse_what_was_asked_itself(answering, status, is_one):
    with pytest.raises(CxoneCallError) as caught:
        CALLS["register"](answering(Response(status)))
    assert is_refusal(caught.value.code, caught.value.http_status) is is_one


@pytest.mark.parametrize("status", [202, 408, 500, 502, 503, 504])
def test_an_unclear_answer_to_a_registration_is_doubtful(answering, status):
    with pytest.raises(CxoneCallError) as caught:
        CALLS["register"](answering(Response(status)))
    assert (caught.value.code, caught.value.in_doubt) == (Code.CXONE_UNAVAILABLE, True)


def test_a_new_token_that_is_refused_too_ends_it(answering):
    with pytest.raises(CxoneCallError, match="a new token too") as caught:
        CALLS["register"](answering(Response(401)))
    assert (caught.value.code, caught.value.in_doubt) == (Code.CXONE_AUTH_FAILED, False)


def test_tokens_that_expire_in_quick_succession_stop_nothing(world):
    gateway = world.gateway()
    for _ in range(3):
        world.fault("template_get", "status", status=401)
        assert gateway.fetch("welcome", DEADLINE).id == "welcome"


def test_what_was_never_written_is_not_doubtful(world):
    world.fault("register", "refuse")
    with pytest.raises(CxoneCallError) as caught:
        CALLS["register"](world.gateway())
    assert (caught.value.code, caught.value.in_doubt) == (Code.CXONE_UNAVAILABLE, False)


def test_its_token_is_asked_for_with_all_scopes(world):
    sent = []
    take = world.simulator.handle
    world.simulator.handle = lambda request: (sent.append(request), take(request))[1]
    world.gateway().fetch("welcome", DEADLINE)
    assert sent[0].path == "/oauth/token"
    assert b"scope=messaging%3Aread+messaging%3Awrite+a2p%3Awrite+webhooks%3Awrite" in sent[0].body


def test_an_id_is_quoted_in_the_path(world):
    sent = []
    take = world.simulator.handle
    world.simulator.handle = lambda request: (sent.append(request.path), take(request))[1]
    with pytest.raises(CxoneCallError):
        world.gateway().fetch("a/../b?c#d", DEADLINE)
    assert sent[-1] == "/api/v1/messaging/templates/a/../b?c#d", "one segment, percent-decoded by the simulator"
