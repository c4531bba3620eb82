"""Claim: whoever has a callback URL can say what became of that message, and nothing about anything else.

The attacker has the URL of a message of their own, which is `unknown`, and knows CXone's id of another customer's.
"""

import itertools
import json

import pytest

from cxone_messaging.domain.attention import Attention
from cxone_messaging.domain.consents import ConsentStatus
from cxone_messaging.domain.cxone_ids import WAIT
from cxone_messaging.domain.entries import Draft, EntryType, first_broken
from cxone_messaging.domain.messages import Message, Status
from cxone_messaging.domain.phone_numbers import PhoneNumber
from cxone_messaging.domain.times import format_time
from cxone_messaging.platform.clock import instant
from cxone_messaging.use_cases.consents import ConsentFromApi
from cxone_messaging.use_cases.journal import Journal
from tests.building import dispatched, outcome, sending
from tests.fakes import FakeLedger
from tests.webhooks import SMS, Webhook, callback

MINE, THEIRS = "msg_" + "a" * 32, "msg_" + "b" * 32
MY_NUMBER, THEIR_NUMBER = PhoneNumber.parse("+12025550101"), PhoneNumber.parse("+12025550102")
THEIR_ID = "cx-theirs"
STRANGERS = [PhoneNumber.parse(f"+120255502{number:02}") for number in range(100)]
REFUSAL = "21610 unsubscribed recipient"


class Lagging(FakeLedger):
    """Its index of CXone's ids shows what was there when it last caught up."""

    def __init__(self):
        super().__init__()
        self.shown = FakeLedger()

    def catch_up(self):
        self.shown = self.copy()

    def subjects_of_cxone_message(self, cxone_message_id):
        return self.shown.subjects_of_cxone_message(cxone_message_id)


class Attack:
    def __init__(self, monkeypatch, *, lagging=False, their_sender_dies=False):
        self.webhook = Webhook(monkeypatch, ledger=Lagging() if lagging else None)
        self.lagging = lagging
        self.their_sender_dies = their_sender_dies
        for number in (MY_NUMBER, THEIR_NUMBER):
            self.webhook.manage.record(number, ConsentFromApi(ConsentStatus.OPTED_IN, "form", None))
        for message_id, number in ((MINE, MY_NUMBER), (THEIRS, THEIR_NUMBER)):
            type_, data = sending(recipient=number.masked, recipientHash=self.hash_of(number))
            self.append(message_id, Draft(type_, data))
        self.append(MINE, Draft(*outcome(EntryType.UNKNOWN, "outcome_unknown"), Attention.UNKNOWN.as_index()))

    def hash_of(self, number):
        return self.webhook.pseudonyms.recipient_hash(number)

    def append(self, message_id, draft):
        Journal(self.webhook.ledger, self.webhook.clock).append(f"message#{message_id}", lambda _: draft)

    def do(self, step):  # noqa: C901  a line of the story each
        self.webhook.clock.advance(0.1)
        time = format_time(instant(self.webhook.clock.now()))
        told = {"messageId": THEIR_ID, "to": THEIR_NUMBER.e164, "timestamp": time}
        match step:
            case "claim":  # the attacker's own event, at their own URL
                told |= {"status": "my word", "to": MY_NUMBER.e164}
                assert self.webhook.delivery(told, MINE)[0] == 200
            case "their sender":
                if not self.their_sender_dies:
                    type_, data = dispatched(THEIR_ID)
                    self.append(THEIRS, Draft(type_, data, {"cxoneMessageId": THEIR_ID}))
            case "delivered":
                assert self.webhook.delivery(told | {"status": "delivered"})[0] == 200
            case "refused":
                assert self.webhook.delivery(told | {"status": "failed", "error": REFUSAL})[0] == 200
            case "their url":
                assert self.webhook.delivery(told | {"status": "their word"}, THEIRS)[0] == 200
            case "read":
                self.webhook.read(MINE)
            case "caught up":
                if self.lagging:
                    self.webhook.ledger.catch_up()
            case "sweep":
                self.webhook.sweep()

    def words_of(self, message_id):
        entries = self.webhook.ledger.read(f"message#{message_id}")
        assert first_broken(f"message#{message_id}", entries) is None
        return {entry.data["status"] for entry in entries if entry.type == EntryType.DELIVERY}

    def status_of(self, message_id):
        return Message.of(self.webhook.ledger.read(f"message#{message_id}")).status

    def consent_of(self, number):
        found = self.webhook.consents.find(self.hash_of(number))
        return found and found.status


@pytest.mark.parametrize("their_sender_dies", [False, True])
@pytest.mark.parametrize("lagging", [False, True])
@pytest.mark.parametrize("other", ["their url", "read", "sweep", "caught up"])
def test_no_order_lets_a_claimed_id_move_another_message_or_opt_anybody_else_out(
    monkeypatch, lagging, their_sender_dies, other
):
    for order in itertools.permutations(["claim", "their sender", "delivered", "refused", other]):
        attack = Attack(monkeypatch, lagging=lagging, their_sender_dies=their_sender_dies)
        for step in order:
            attack.do(step)
            attack.do("caught up") if not lagging else None
            assert attack.words_of(MINE) <= {"my word"}, order
            assert attack.consent_of(MY_NUMBER) is ConsentStatus.OPTED_IN, order
        for step in ("caught up", "read", "sweep"):
            attack.do(step)
        assert attack.words_of(MINE) == {"my word"}, order
        assert attack.consent_of(MY_NUMBER) is ConsentStatus.OPTED_IN, order
        assert attack.consent_of(THEIR_NUMBER) is ConsentStatus.OPTED_OUT, order
        if not their_sender_dies:
            assert {"delivered", "failed"} <= attack.words_of(THEIRS), order
            assert attack.status_of(THEIRS) in {Status.DELIVERED, Status.FAILED}, order


NAMES_NOBODY = {"messageId": THEIR_ID, "status": "delivered", "timestamp": "2026-11-22T14:14:00Z"}


class TestAnEventThatNamesNobody:
    """It comes by an id that the attacker's message only claims, and waits for the true sender to record that id."""

    def do(self, attack, step):
        match step:
            case "event":
                assert attack.webhook.delivery(NAMES_NOBODY)[0] == 200
            case "my lie":  # claims the id, and settles the attacker's own message
                told = {"messageId": THEIR_ID, "status": "failed", "timestamp": "2026-11-22T14:14:01Z"}
                assert attack.webhook.delivery(told, MINE)[0] == 200
            case "read theirs":
                attack.webhook.read(THEIRS)
            case "wait":
                attack.webhook.clock.advance(WAIT.total_seconds())
            case _:
                attack.do(step)

    @pytest.mark.parametrize("lagging", [False, True])
    @pytest.mark.parametrize("claim", ["claim", "my lie"])
    @pytest.mark.parametrize("other", ["read", "sweep", "their url"])
    def test_it_ends_at_the_message_whose_sender_has_the_id_in_any_order(self, monkeypatch, claim, other, lagging):
        for order in itertools.permutations([claim, "event", "their sender", other, "caught up"]):
            attack = Attack(monkeypatch, lagging=lagging)
            for step in order:
                self.do(attack, step)
                assert "delivered" not in attack.words_of(MINE), order
            for step in ("caught up", "wait", "read", "sweep", "read theirs"):
                self.do(attack, step)
                assert "delivered" not in attack.words_of(MINE), order
            assert attack.status_of(THEIRS) is Status.DELIVERED, order
            assert attack.status_of(MINE) is (Status.FAILED if claim == "my lie" else Status.DISPATCHED), order

    @pytest.mark.parametrize("late", ["event", "sweep"])
    @pytest.mark.parametrize("first", ["claim", "event"])
    def test_where_nobody_else_has_the_id_the_claimer_gets_it_after_a_wait(self, monkeypatch, first, late):
        attack = Attack(monkeypatch, their_sender_dies=True)
        for step in sorted(["claim", "event"], key=lambda step: step != first):
            self.do(attack, step)
        for step in ("read", "sweep"):
            self.do(attack, step)
            assert attack.words_of(MINE) == {"my word"}
        self.do(attack, "wait")
        self.do(attack, late)
        assert attack.words_of(MINE) == {"my word", "delivered"}
        entries = attack.webhook.ledger.read(f"message#{MINE}")
        assert not any("signed" in entry.data for entry in entries), "that it belongs there is the URL's word"

    @pytest.mark.parametrize("step", ["delivered", "refused"])
    def test_one_that_names_another_recipient_never_goes_to_the_claimer(self, monkeypatch, step):
        attack = Attack(monkeypatch, their_sender_dies=True)
        for each in ("claim", step, "wait", "read", "sweep", step):
            self.do(attack, each)
        assert attack.words_of(MINE) == {"my word"}

    def test_even_then_it_is_there_for_the_true_message(self, monkeypatch):
        attack = Attack(monkeypatch)
        for step in ("claim", "event", "wait", "sweep", "their sender", "sweep"):
            self.do(attack, step)
        assert attack.status_of(THEIRS) is Status.DELIVERED

    def test_a_claim_is_void_once_its_own_sender_has_another_id(self, monkeypatch):
        attack = Attack(monkeypatch, their_sender_dies=True)
        for step in ("claim", "event"):
            self.do(attack, step)
        type_, data = dispatched("cx-mine")
        attack.append(MINE, Draft(type_, data, {"cxoneMessageId": "cx-mine"}))
        for step in ("wait", "read", "sweep"):
            self.do(attack, step)
        assert attack.words_of(MINE) == {"my word"}


def test_an_event_of_the_same_recipient_waits_too(monkeypatch):
    """Two messages to one person, of which one claims the other's id."""
    attack = Attack(monkeypatch)
    attack.do("claim")
    told = {"messageId": THEIR_ID, "to": MY_NUMBER.e164, "status": "delivered", "timestamp": "2026-11-22T14:14:00Z"}
    assert attack.webhook.delivery(told)[0] == 200
    attack.do("sweep")
    assert attack.words_of(MINE) == {"my word"}
    attack.webhook.clock.advance(WAIT.total_seconds())
    attack.do("sweep")
    assert attack.words_of(MINE) == {"my word", "delivered"}


def test_a_refusal_that_waits_opts_out_whom_its_signed_body_names(monkeypatch):
    attack = Attack(monkeypatch)
    attack.do("claim")
    attack.do("refused")
    assert attack.consent_of(THEIR_NUMBER) is ConsentStatus.OPTED_OUT
    assert attack.consent_of(MY_NUMBER) is ConsentStatus.OPTED_IN


def test_a_message_whose_sender_knows_its_id_claims_no_other(monkeypatch):
    attack = Attack(monkeypatch)
    type_, data = dispatched("cx-mine")
    attack.append(MINE, Draft(type_, data, {"cxoneMessageId": "cx-mine"}))
    attack.do("claim")
    assert attack.webhook.delivery(NAMES_NOBODY)[0] == 200
    for step in ("delivered", "refused", "sweep"):
        attack.do(step)
    assert attack.words_of(MINE) == {"my word"}


def test_a_message_is_shown_with_the_id_that_its_sender_got_whatever_was_claimed_before(monkeypatch):
    attack = Attack(monkeypatch)
    attack.do("claim")
    type_, data = dispatched("cx-mine")
    attack.append(MINE, Draft(type_, data, {"cxoneMessageId": "cx-mine"}))
    assert attack.webhook.read(MINE).message.cxone_message_id == "cx-mine"


def test_a_message_claims_one_id_at_most(monkeypatch):
    attack = Attack(monkeypatch)
    told = {"messageId": "cx-other", "status": "an earlier word", "timestamp": "2026-11-22T14:14:00Z"}
    assert attack.webhook.delivery(told, MINE)[0] == 200
    attack.do("claim")
    assert attack.webhook.delivery(NAMES_NOBODY)[0] == 200
    attack.do("sweep")
    assert attack.words_of(MINE) == {"an earlier word", "my word"}


def test_an_id_that_a_sender_has_is_claimed_by_nobody_else(monkeypatch):
    attack = Attack(monkeypatch, lagging=True)
    attack.do("their sender")
    assert attack.webhook.delivery(NAMES_NOBODY)[0] == 200  # kept, for the index does not show their message yet
    attack.do("caught up")
    attack.do("claim")
    attack.do("sweep")
    assert attack.words_of(MINE) == {"my word"}
    assert attack.words_of(THEIRS) == {"delivered"}


def test_two_urls_that_claim_one_id_leave_its_events_where_they_are(monkeypatch):
    attack = Attack(monkeypatch, their_sender_dies=True)
    attack.do("claim")
    attack.do("their url")
    assert attack.webhook.delivery(NAMES_NOBODY)[0] == 200
    attack.do("sweep")
    assert "delivered" not in attack.words_of(MINE) | attack.words_of(THEIRS)
    assert len(attack.webhook.ledger.read(f"delivery#{THEIR_ID}")) == 1


def test_nobody_is_opted_out_by_a_refusal_that_names_nobody_and_whose_message_is_only_claimed(monkeypatch):
    attack = Attack(monkeypatch)
    attack.do("claim")
    told = {"messageId": THEIR_ID, "status": "failed", "error": REFUSAL, "timestamp": "2026-11-22T14:14:00Z"}
    assert attack.webhook.delivery(told)[0] == 200
    assert attack.consent_of(MY_NUMBER) is ConsentStatus.OPTED_IN


class TestRefusals:
    def refusal(self, number, **changes):
        told = {"messageId": "cx-1", "status": "failed", "to": number.e164, "error": REFUSAL}
        return {**told, "timestamp": "2026-11-22T14:14:00Z", **changes}

    def test_one_url_opts_out_its_own_recipient_whatever_the_body_names(self, monkeypatch):
        attack = Attack(monkeypatch)
        for number in STRANGERS:
            assert attack.webhook.delivery(self.refusal(number), MINE)[0] == 200
        assert attack.consent_of(MY_NUMBER) is ConsentStatus.OPTED_OUT
        assert {attack.consent_of(number) for number in STRANGERS} == {None}

    def test_the_url_of_a_message_that_is_not_known_opts_out_nobody(self, monkeypatch):
        attack = Attack(monkeypatch)
        for place, number in enumerate(STRANGERS):
            told = self.refusal(number, messageId=f"cx-{place}")
            assert attack.webhook.delivery(told, f"msg_{place:032x}") == (200, {"status": "accepted"})
        assert {attack.consent_of(number) for number in STRANGERS} == {None}

    def test_with_a_signed_body_the_number_counts_where_no_message_is_known(self, monkeypatch):
        attack = Attack(monkeypatch)
        body = json.dumps(self.refusal(STRANGERS[0])).encode()
        headers = attack.webhook.signed(body)
        query = callback("msg_" + "c" * 32)
        assert attack.webhook.post(SMS, body, query=query, headers=headers)[0] == 200
        assert attack.consent_of(STRANGERS[0]) is ConsentStatus.OPTED_OUT

    def test_and_where_the_message_is_known_its_own_recipient_does(self, monkeypatch):
        attack = Attack(monkeypatch)
        body = json.dumps(self.refusal(STRANGERS[0])).encode()
        assert attack.webhook.post(SMS, body, query=callback(MINE), headers=attack.webhook.signed(body))[0] == 200
        assert attack.consent_of(STRANGERS[0]) is None
        assert attack.consent_of(MY_NUMBER) is ConsentStatus.OPTED_OUT


UNKEEPABLE = {"messageId": "Ä" * 300, "status": "sent", "to": MY_NUMBER.e164, "timestamp": "2026-11-22T14:14:00Z"}


class TestAnIdThatCanNotBeKept:
    """CXone accepted a message under an id that is none of ours to keep: it is `unknown`, and its URL settles it."""

    def test_its_events_at_its_url_settle_it(self, monkeypatch):
        attack = Attack(monkeypatch)
        assert attack.webhook.delivery(UNKEEPABLE, MINE)[0] == 200
        assert attack.status_of(MINE) is Status.DISPATCHED
        assert attack.webhook.delivery(UNKEEPABLE | {"status": "delivered"}, MINE)[0] == 200
        assert attack.status_of(MINE) is Status.DELIVERED
        assert "Ä" not in str(attack.webhook.ledger.read(f"message#{MINE}"))

    def test_without_a_url_they_name_no_message(self, monkeypatch):
        attack = Attack(monkeypatch)
        attack.do("their sender")
        assert attack.webhook.delivery(UNKEEPABLE)[0] == 400

    @pytest.mark.parametrize("id_", [UNKEEPABLE["messageId"], None, "", 4.5, {"id": 1}])
    def test_at_the_url_of_a_message_with_an_id_they_are_of_that_id(self, monkeypatch, id_):
        attack = Attack(monkeypatch)
        attack.do("their sender")
        assert attack.webhook.delivery(UNKEEPABLE | {"messageId": id_}, THEIRS)[0] == 200
        last = attack.webhook.ledger.read(f"message#{THEIRS}")[-1]
        assert last.data["cxoneMessageId"] == THEIR_ID
        assert "Ä" not in str(last)


def test_anothers_signed_body_at_a_url_draws_nothing_of_theirs(monkeypatch, log):
    """The attacker has a URL of their own and has seen a signed body of somebody else's message."""
    attack = Attack(monkeypatch)
    webhook = attack.webhook
    now = format_time(instant(webhook.clock.now()))
    body = {"messageId": THEIR_ID, "to": THEIR_NUMBER.e164, "timestamp": now, "status": "sent"}
    raw = json.dumps(body).encode()
    assert webhook.post(SMS, raw, query=callback(MINE), headers=webhook.signed(raw))[0] == 200
    assert webhook.ledger.subject_of_cxone_message(THEIR_ID) is None, "the id is not indexed as mine for certain"
    attack.do("their sender")
    attack.do("refused")
    assert webhook.consents.find(attack.hash_of(MY_NUMBER)).status is ConsentStatus.OPTED_IN
    assert webhook.consents.find(attack.hash_of(THEIR_NUMBER)).status is ConsentStatus.OPTED_OUT


def test_a_urls_refusal_dated_ahead_uses_up_no_signed_one(monkeypatch):
    """The holder of the URL posts the words of tomorrow's refusal; the recipient opts in; then CXone signs them."""
    attack = Attack(monkeypatch)
    webhook = attack.webhook
    attack.do("their sender")
    refusal = {"messageId": THEIR_ID, "status": "failed", "error": REFUSAL}
    refusal["timestamp"] = format_time(instant(webhook.clock.now() + 3600))
    assert webhook.delivery(refusal, THEIRS)[0] == 200
    webhook.clock.advance(1800)
    now = format_time(instant(webhook.clock.now()))
    start = {"event": "message.inbound", "from": THEIR_NUMBER.e164, "text": "START", "timestamp": now}
    assert webhook.event(start)[0] == 200
    assert attack.consent_of(THEIR_NUMBER) is ConsentStatus.OPTED_IN
    webhook.clock.advance(1900)
    assert webhook.delivery(refusal)[0] == 200
    assert attack.consent_of(THEIR_NUMBER) is ConsentStatus.OPTED_OUT


def test_a_signed_refusal_is_obeyed_whatever_the_urls_holder_sent_before(monkeypatch, log):
    attack = Attack(monkeypatch)
    webhook = attack.webhook

    def refusal(seconds):
        time = format_time(instant(webhook.clock.now() + seconds))
        return {"messageId": "cx-mine", "status": "failed", "error": REFUSAL, "timestamp": time}

    for number in range(3):
        assert webhook.delivery(refusal(80_000 + number), MINE)[0] == 200
    webhook.clock.advance(10)
    again = ConsentFromApi(ConsentStatus.OPTED_IN, "form", None, overrides_reply=True)
    webhook.manage.record(MY_NUMBER, again)
    raw = json.dumps(refusal(0)).encode()
    assert webhook.post(SMS, raw, query=callback(MINE), headers=webhook.signed(raw))[0] == 200
    assert webhook.consents.find(attack.hash_of(MY_NUMBER)).status is ConsentStatus.OPTED_OUT
