import random
from dataclasses import replace
from datetime import UTC, datetime
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxone_messaging.domain import subjects
from cxone_messaging.domain.delivery import DeliveryEvent
from cxone_messaging.domain.entries import EntryType
from cxone_messaging.domain.errors import Code
from cxone_messaging.domain.event_times import event_time
from cxone_messaging.domain.messages import Message, Status
from cxone_messaging.domain.sms import SmsRequest, SmsRules, check
from cxone_messaging.use_cases.send.answers import rejected
from tests.building import at, chain, delivery, dispatched, outcome, sending

RULES = SmsRules(default_campaign_id="summer", default_sender="24680", max_segments=2)
NO_DEFAULTS = SmsRules(default_campaign_id="", default_sender="", max_segments=2)
GOOD = SmsRequest(to="+15551234567", text="hello")

REJECTED = outcome(EntryType.REJECTED, "cxone_rejected")
RETRYING = outcome(EntryType.RETRYING, "rate_limited")
UNKNOWN = outcome(EntryType.UNKNOWN, "outcome_unknown")
BEFORE_ANY_EVENT = {
    "sending": [sending()],
    "retrying": [sending(), RETRYING],
    "dispatched": [sending(), dispatched()],
    "rejected": [sending(), REJECTED],
    "unknown": [sending(), UNKNOWN],
}


def state(*told):
    return Message.of(chain(*told))


def test_a_good_request_becomes_an_sms_with_the_defaults_filled_in():
    checked = check(SmsRequest(to="15551234567", text="hello"), RULES)
    assert checked.errors == ()
    assert checked.sms is not None
    assert checked.sms.to.e164 == "+15551234567"
    assert (checked.sms.campaign_id, checked.sms.sender, checked.sms.text) == ("summer", "24680", "hello")
    assert checked.sms.size == checked.size


def test_what_a_request_names_itself_beats_the_defaults():
    sms = check(SmsRequest(to="+15551234567", text="hi", campaign_id="winter", sender="13579"), RULES).sms
    assert sms is not None
    assert (sms.campaign_id, sms.sender) == ("winter", "13579")


@pytest.mark.parametrize(
    ("request_", "rules", "code", "field"),
    [
        (SmsRequest(to="+1555", text="hello"), RULES, Code.INVALID_RECIPIENT, "to"),
        (SmsRequest(to="", text="hello"), RULES, Code.INVALID_RECIPIENT, "to"),
        (GOOD, SmsRules("", "24680", 2), Code.CAMPAIGN_REQUIRED, "campaignId"),
        (GOOD, SmsRules("summer", "", 2), Code.SENDER_REQUIRED, "from"),
        (replace(GOOD, campaign_id=""), RULES, Code.CAMPAIGN_REQUIRED, "campaignId"),
        (replace(GOOD, campaign_id=" "), RULES, Code.CAMPAIGN_REQUIRED, "campaignId"),
        (replace(GOOD, sender=""), RULES, Code.SENDER_REQUIRED, "from"),
        (replace(GOOD, sender="\t"), RULES, Code.SENDER_REQUIRED, "from"),
        (SmsRequest(to="+15551234567", text=""), RULES, Code.TEXT_REQUIRED, "text"),
        (SmsRequest(to="+15551234567", text=" \n\t\u2003"), RULES, Code.TEXT_REQUIRED, "text"),
        (SmsRequest(to="+15551234567", text="x" * 307), RULES, Code.TOO_MANY_SEGMENTS, "text"),
        (SmsRequest(to="+15551234567", text="ж" * 135), RULES, Code.TOO_MANY_SEGMENTS, "text"),
        (SmsRequest(to="+15551234567", text="a\x1bb"), RULES, Code.INVALID_CHARACTERS, "text"),
        (SmsRequest(to="+15551234567", text="a\ud800b"), RULES, Code.INVALID_CHARACTERS, "text"),
    ],
)
def test_each_rule_is_told_with_its_field(request_, rules, code, field):
    checked = check(request_, rules)
    assert [(error.code, error.field) for error in checked.errors] == [(code, field)]
    assert checked.sms is None
    # Where it was broken on the bulk queue, a request with the same key is told the same.
    told = rejected("msg_1", [code], "the message breaks a rule", replayed=True)
    assert [(error.code, error.field) for error in told.errors] == [(code, field)]


def test_a_text_of_just_the_allowed_segments_passes():
    assert check(SmsRequest(to="+15551234567", text="x" * 306), RULES).sms is not None
    assert check(SmsRequest(to="+15551234567", text="ж" * 134), RULES).sms is not None


@pytest.mark.parametrize(
    ("text", "code"),
    [("", Code.TEXT_REQUIRED), ("x" * 307, Code.TOO_MANY_SEGMENTS), ("\x1b", Code.INVALID_CHARACTERS)],
)
def test_all_violations_are_told_at_once(text, code):
    checked = check(SmsRequest(to="nobody", text=text), NO_DEFAULTS)
    assert {error.code for error in checked.errors} == {
        Code.INVALID_RECIPIENT,
        Code.CAMPAIGN_REQUIRED,
        Code.SENDER_REQUIRED,
        code,
    }
    assert (checked.to, checked.sms) == (None, None)


def test_no_violation_quotes_what_was_asked():
    told = check(SmsRequest(to="+1555987", text="secret\x1b word"), NO_DEFAULTS).errors
    assert not any(quoted in error.message for error in told for quoted in ("987", "secret"))


@pytest.mark.parametrize(("status", "told"), BEFORE_ANY_EVENT.items())
def test_without_an_event_the_last_entry_tells(status, told):
    assert state(*told).status == status


@pytest.mark.parametrize("told", [[*BEFORE_ANY_EVENT["retrying"], *later] for later in BEFORE_ANY_EVENT.values()])
def test_a_later_try_replaces_an_earlier_one(told):
    message = state(*told)
    assert message.status == told[-1][0].value
    assert message.attempts == 2


def test_what_is_shown_of_a_dispatched_message():
    message = state(sending(), dispatched())
    assert message.recipient == "+*******4567"
    assert (message.campaign_id, message.encoding, message.segments) == ("summer", "GSM-7", 1)
    assert (message.cxone_message_id, message.dispatch_latency_ms, message.error) == ("cx-1", 42, None)
    assert (message.created_at, message.updated_at, message.deadline) == (at(0), at(1), at(30))
    assert (message.fingerprint, message.attempts, message.delivery_latency_ms) == ("print", 1, None)


@pytest.mark.parametrize(
    ("told", "error"), [([sending(), REJECTED], "cxone_rejected"), ([sending(), UNKNOWN], "outcome_unknown")]
)
def test_the_error_is_the_outcomes(told, error):
    assert state(*told).error == error


@pytest.mark.parametrize("before", BEFORE_ANY_EVENT.values(), ids=list(BEFORE_ANY_EVENT))
@pytest.mark.parametrize(
    ("word", "status", "error"),
    [
        ("delivered", Status.DELIVERED, None),
        ("DeLiVeReD", Status.DELIVERED, None),
        ("failed", Status.FAILED, "failed"),
        ("UNDELIVERED", Status.FAILED, "undelivered"),
        ("expired", Status.FAILED, "expired"),
        ("rejected", Status.FAILED, "rejected"),
        ("queued", Status.DISPATCHED, None),
        ("sent", Status.DISPATCHED, None),
        ("a word of tomorrow", Status.DISPATCHED, None),
    ],
)
def test_an_event_settles_whatever_was_recorded(before, word, status, error):
    message = state(*before, delivery(word))
    assert (message.status, message.error) == (status, error)


@pytest.mark.parametrize("final", ["delivered", "failed"])
@pytest.mark.parametrize("late", ["queued", "sent", "a word of tomorrow"])
@pytest.mark.parametrize("seconds", [1, 3600])
def test_a_final_word_stays_whatever_is_said_afterwards(final, late, seconds):
    assert state(sending(), dispatched(), delivery(final, 60), delivery(late, seconds)).status == final


def test_the_senders_own_late_record_moves_nothing_back():
    for late in (dispatched(), UNKNOWN, REJECTED, RETRYING):
        assert state(sending(), delivery("delivered"), late).status is Status.DELIVERED
        assert state(sending(), delivery("sent"), late).status is Status.DISPATCHED


def test_of_two_final_words_the_later_event_counts_in_whatever_order_they_came():
    earlier, later = delivery("failed", 60), delivery("delivered", 61)
    for told in permutations([earlier, later]):
        assert state(sending(), dispatched(), *told).status is Status.DELIVERED
    earlier, later = delivery("delivered", 60), delivery("expired", 61)
    for told in permutations([earlier, later]):
        message = state(sending(), dispatched(), *told)
        assert (message.status, message.error) == (Status.FAILED, "expired")


def test_delivery_latency_runs_from_our_record_of_the_202_to_the_events_own_time():
    assert state(sending(), dispatched(), delivery("delivered", 61)).delivery_latency_ms == 60_000
    assert state(sending(), delivery("delivered", 61)).delivery_latency_ms == 61_000  # never recorded: from the try
    assert state(sending(), dispatched(), delivery("delivered", -500)).delivery_latency_ms == 0  # a skewed clock
    assert state(sending(), dispatched(), delivery("sent", 61)).delivery_latency_ms is None
    assert state(delivery("delivered", 61)).delivery_latency_ms is None  # nothing to run from


def test_a_message_known_by_an_event_alone():
    message = state(delivery("sent", 61))
    assert (message.status, message.cxone_message_id) == (Status.DISPATCHED, "cx-1")
    assert (message.recipient, message.fingerprint, message.deadline, message.attempts) == (None, None, None, 0)


words = st.sampled_from(["queued", "sent", "delivered", "undelivered", "failed", "expired", "rejected", "Weird"])
events = st.lists(st.tuples(words, st.integers(0, 5)), max_size=6)


@given(events, st.sampled_from(list(BEFORE_ANY_EVENT.values())), st.randoms(use_true_random=False))
def test_the_order_in_which_events_come_never_matters(told, before, rng: random.Random):
    deliveries = [delivery(*each) for each in told]
    shuffled = rng.sample(deliveries, len(deliveries))
    # Between our own entries too, whose order among themselves is always theirs.
    mixed = list(before)
    for each in shuffled:
        mixed.insert(rng.randint(0, len(mixed)), each)
    plain, moved, interleaved = state(*before, *deliveries), state(*before, *shuffled), state(*mixed)
    assert _ending(plain) == _ending(moved)
    assert _ending(plain)[:3] == _ending(interleaved)[:3]  # latencies follow our own entries' times, which have moved


def _ending(message):
    return message.status, message.error, message.cxone_message_id, message.delivery_latency_ms


def test_a_subject_names_its_message():
    assert subjects.message("msg_1") == "message#msg_1"


class TestDeliveryEvent:
    EVENT = DeliveryEvent("cx-1", "Delivered", "+15551234567", "2026-11-22T14:12:00+01:00", None)

    def test_word_and_instant_are_in_one_form(self):
        received_at = datetime(2026, 11, 22, 13, 12, 1, tzinfo=UTC)
        assert self.EVENT.word == "delivered"
        assert event_time(self.EVENT.timestamp, received_at).instant == "2026-11-22T13:12:00.000Z"

    @pytest.mark.parametrize(
        ("timestamp", "taken"),
        [
            ("2026-11-23T03:12:01", "2026-11-23T03:12:01.000Z"),  # the local time of the furthest zone, unnamed
            ("2026-11-23T13:12:01Z", "2026-11-23T13:12:01.000Z"),
            ("2026-11-23T13:12:02Z", "2026-11-22T13:12:01.000Z"),
            ("2999-01-01T00:00:00Z", "2026-11-22T13:12:01.000Z"),
            ("0001-01-01T00:00:00Z", "2026-11-22T13:12:01.000Z"),
        ],
    )
    def test_what_is_dated_more_than_a_day_ahead_happened_when_it_came(self, timestamp, taken):
        assert event_time(timestamp, datetime(2026, 11, 22, 13, 12, 1, tzinfo=UTC)).instant == taken

    @pytest.mark.parametrize(
        "other",
        [
            DeliveryEvent("cx-2", "Delivered", "+15551234567", "2026-11-22T14:12:00+01:00", None),
            DeliveryEvent("cx-1", "sent", "+15551234567", "2026-11-22T14:12:00+01:00", None),
            DeliveryEvent("cx-1", "Delivered", "+15551234567", "2026-11-22T14:12:01+01:00", None),
            DeliveryEvent("cx-1", "Delivered", "+15551234567", "2026-11-22T14:12:00+01:00", "30007"),
        ],
    )
    def test_two_different_events_have_different_identities(self, other):
        assert other.identity != self.EVENT.identity

    def test_the_number_stands_in_no_identity(self):
        without = DeliveryEvent("cx-1", "Delivered", "", "2026-11-22T14:12:00+01:00", None)
        assert without.identity == self.EVENT.identity
