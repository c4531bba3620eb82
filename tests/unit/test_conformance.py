"""The conformance suite: what any API of CXone's must do for the use cases, run on each that there is.

Token, send, each line of its table of errors, delivery in any order, replies, pace, lost answers, and proof against
double sending with the network's faults. The random histories (`test_send_histories.py`, `test_dfo_histories.py`) are
a part of it.
"""

import itertools

import pytest

from cxone_messaging.domain.consents import ConsentStatus
from cxone_messaging.domain.entries import first_broken
from cxone_messaging.domain.errors import Code, MessagingError
from cxone_messaging.domain.messages import Status
from cxone_messaging.domain.sms import SmsRequest
from cxone_messaging.platform.telemetry import Metric
from local.options import ROOT
from local.simulator.faults import Fault
from tests.conformance.dialects import ACCEPTED, DIALECTS, REJECTED, RETRIED, TOKEN, UNKNOWN
from tests.worlds import RECIPIENT

REQUEST = SmsRequest(RECIPIENT.e164, "Your code is 849201")
CASES = [(dialect, status) for dialect in DIALECTS for status in dialect.statuses]


@pytest.fixture(params=DIALECTS, ids=lambda dialect: dialect.name)
def dialect(request):
    return request.param


@pytest.fixture
def world(dialect):
    return opted_in(dialect)


def opted_in(dialect):
    world = dialect.world()
    world.opt(ConsentStatus.OPTED_IN)
    return world


def fault(world, operation, **fault):
    world.simulator.add_fault(Fault(operation=operation, **fault))


def outcome(world, key="k", request=REQUEST):
    """Send, and give what the caller gets."""
    try:
        world.send(request, key)
    except MessagingError as error:
        return error.code
    return ACCEPTED


def status(world, key="k"):
    return world.read(world.pseudonyms.message_id(key)).message.status


def settle(world):
    """Let all receipts come."""
    for _ in range(6):
        world.clock.advance(30)
        world.deliver()


class TestToken:
    def test_one_is_fetched_for_many_sends_and_shared_with_other_processes(self, dialect, world):
        for number in range(5):
            assert outcome(world, f"k{number}") == ACCEPTED
        assert world.simulator.counts()[dialect.token] == {"accepted": 1}

    def test_one_that_expired_is_replaced_before_it_is_used(self, dialect, world):
        outcome(world, "first")
        world.clock.advance(3600)
        assert outcome(world, "second") == ACCEPTED
        assert world.simulator.counts()[dialect.send] == {"accepted": 2}

    def test_refused_credentials_are_told_as_such_and_nothing_is_sent(self, dialect, world):
        fault(world, dialect.token, action="status", status=401, times="forever")
        assert outcome(world) is Code.CXONE_AUTH_FAILED
        assert world.posts() == 0

    def test_without_a_token_nothing_is_lost(self, dialect, world):
        fault(world, dialect.token, action="status", status=503)
        assert outcome(world) is Code.CXONE_UNAVAILABLE
        world.clock.advance(60)
        assert outcome(world) == ACCEPTED


class TestSend:
    def test_what_is_accepted_is_dispatched_under_cxones_id(self, world):
        receipt = world.send(REQUEST, "k")
        ((message,),) = world.accepted().values()
        assert receipt.message.cxone_message_id == message.id
        assert (message.text, status(world)) == (REQUEST.text, Status.DISPATCHED)

    def test_a_repeated_request_is_answered_and_not_sent(self, world):
        assert outcome(world) == outcome(world) == ACCEPTED
        assert world.posts() == 1

    @pytest.mark.parametrize(("dialect", "http_status"), CASES, ids=lambda value: getattr(value, "name", value))
    def test_each_line_of_its_table_of_errors(self, dialect, http_status):
        world = opted_in(dialect)
        fault(world, dialect.send, action="status", status=http_status)
        got, meaning = outcome(world), dialect.statuses[http_status]
        expected = {
            REJECTED: (Code.CXONE_REJECTED, Status.REJECTED, 1),
            UNKNOWN: (Code.OUTCOME_UNKNOWN, Status.UNKNOWN, 1),
            RETRIED: (ACCEPTED, Status.DISPATCHED, 2),
            TOKEN: (ACCEPTED, Status.DISPATCHED, 2),
        }[meaning]
        assert (got, status(world), world.posts()) == expected
        assert len(world.accepted()) == (meaning in {RETRIED, TOKEN})

    def test_a_token_that_is_refused_again_and_again_is_no_endless_loop(self, dialect, world):
        fault(world, dialect.send, action="status", status=401, times="forever")
        assert outcome(world) in {Code.CXONE_AUTH_FAILED, Code.CXONE_UNAVAILABLE}
        assert world.posts() <= 8


class TestReceipts:
    def test_a_message_is_delivered(self, world):
        outcome(world)
        settle(world)
        assert status(world) is Status.DELIVERED
        assert len(world.telemetry[Metric.MESSAGES_DELIVERED]) == 1

    def test_in_any_order_and_again_they_end_alike(self, dialect):
        ends = set()
        for order in itertools.permutations(range(3)):
            world = opted_in(dialect)
            for number in order:
                outcome(world, f"k{number}", SmsRequest(RECIPIENT.e164, f"Text {number}"))
                if number == 1:
                    world.deliver()
            settle(world)
            entries = [len(world.ledger.read(each)) for each in world.ledger.subjects() if each.startswith("message#")]
            ends.add((tuple(status(world, f"k{number}") for number in range(3)), tuple(entries)))
        assert len(ends) == 1


class TestReplies:
    def test_stop_opts_out_and_start_opts_in_again(self, dialect, world):
        dialect.reply(world, "STOP")
        assert outcome(world, "a") is Code.VALIDATION_FAILED
        world.clock.advance(60)
        dialect.reply(world, "START")
        world.clock.advance(60)
        assert outcome(world, "b") == ACCEPTED

    @pytest.mark.parametrize("text", ["HELP", "Thank you, see you then"])
    def test_other_words_opt_nobody_out(self, dialect, world, text):
        dialect.reply(world, text)
        assert outcome(world) == ACCEPTED


class TestPace:
    def test_a_429_holds_all_senders_and_each_message_goes_out_once(self, dialect, world):
        fault(world, dialect.send, action="status", status=429, retry_after_seconds=3)
        began = world.clock.now()
        assert outcome(world) == ACCEPTED
        assert world.clock.now() - began >= 3
        assert world.governor.holds == 1
        assert len(world.simulator.accepted_messages()) == 1

    def test_twenty_texts_to_one_person_do_not_fail(self, world):
        for number in range(20):
            assert outcome(world, f"k{number}", SmsRequest(RECIPIENT.e164, f"Text {number}")) == ACCEPTED


class TestLostAnswers:
    @pytest.mark.parametrize("action", ["accept_then_reset", "accept_then_timeout", "accept_then_500"])
    def test_a_message_whose_answer_was_lost_is_never_sent_again_and_found_in_the_end(self, dialect, world, action):
        fault(world, dialect.send, action=action)
        assert outcome(world) is Code.OUTCOME_UNKNOWN
        for _ in range(3):
            world.clock.advance(90)
            outcome(world)
            world.deliver()
        settle(world)
        assert status(world) is Status.DELIVERED
        assert len(world.simulator.accepted_messages()) == 1

    @pytest.mark.parametrize("action", ["reset", "garbage_body"])
    def test_without_a_record_it_stays_unknown(self, dialect, world, action):
        if action == "reset":
            fault(world, dialect.send, action="reset")
        else:
            fault(world, dialect.send, action="status", status=500)
        assert outcome(world) is Code.OUTCOME_UNKNOWN
        settle(world)
        assert status(world) is Status.UNKNOWN
        assert world.simulator.accepted_messages() == []

    @pytest.mark.parametrize("action", ["refuse", "connect_timeout"])
    def test_what_never_reached_cxone_is_sent_later(self, dialect, world, action):
        fault(world, dialect.send, action=action, times=2)
        outcome(world)
        world.clock.advance(60)
        assert outcome(world) == ACCEPTED
        assert len(world.simulator.accepted_messages()) == 1


def test_each_brings_a_page_that_maps_its_api_to_ours(dialect):
    text = (ROOT / dialect.page).read_text()
    assert all(str(http_status) in text for http_status in dialect.statuses if http_status in {401, 408, 429})


@pytest.mark.parametrize(
    ("dialect", "there"), list(itertools.permutations(DIALECTS, 2)), ids=lambda dialect: dialect.name
)
def test_a_stack_moves_to_another_api_and_back_and_keeps_each_messages_trail(dialect, there):
    """The ledger, the consents, the token's secret and the lease stay; a message sent before is answered after."""
    worlds = [opted_in(dialect)]
    outcome(worlds[0], "before")
    worlds[0].clock.advance(5)
    worlds[0].deliver()
    for number, other in enumerate((there, dialect), 1):
        world = other.world(clock=worlds[0].clock)
        for name in ("ledger", "consents", "secrets", "lease", "pseudonyms", "telemetry"):
            setattr(world, name, getattr(worlds[0], name))
        world.read = worlds[0].read
        world.record = worlds[0].record
        assert outcome(world, "before") == ACCEPTED
        assert world.posts() == 0
        assert outcome(world, f"after {number}") == ACCEPTED
        assert world.posts() == 1
        worlds.append(world)
    assert status(worlds[-1], "before") is Status.DELIVERED
    for subject in worlds[0].ledger.subjects():
        assert first_broken(subject, worlds[0].ledger.read(subject)) is None
