"""Claim: a body that CXone signed says nothing about a message but the one that it is of.

The attacker has the URL of a message of their own, which is `unknown`, and a signed body of another customer's message.
It names no recipient, or one in a writing that nobody reads.
"""

import itertools
import json
from dataclasses import replace

import pytest

from cxone_messaging.domain.consents import ConsentStatus
from cxone_messaging.domain.cxone_ids import MOST_CLAIMERS, WAIT
from cxone_messaging.domain.entries import Draft, EntryType
from cxone_messaging.domain.messages import Status
from cxone_messaging.domain.phone_numbers import PhoneNumber
from cxone_messaging.domain.times import format_time
from cxone_messaging.platform.clock import instant
from tests.building import dispatched, sending
from tests.security.test_a_url_proves_its_own_message_only import (
    MINE,
    MY_NUMBER,
    REFUSAL,
    THEIR_ID,
    THEIR_NUMBER,
    THEIRS,
    Attack,
)
from tests.webhooks import SMS, callback

NOBODY = [None, "", " ", "\u2003"]
UNREADABLE = ["+1 (202) 555-01", "x", "+999", "\u200b"]


def event(attack, status, to=None, **more):
    attack.webhook.clock.advance(0.1)
    time = format_time(instant(attack.webhook.clock.now()))
    return {"messageId": THEIR_ID, "status": status, "to": to, "timestamp": time, **more}


def post_signed(attack, told, message_id):
    raw = json.dumps(told).encode()
    assert attack.webhook.post(SMS, raw, query=callback(message_id), headers=attack.webhook.signed(raw))[0] == 200


def signed_words(attack, message_id):
    entries = attack.webhook.ledger.read(f"message#{message_id}")
    return {entry.data["status"] for entry in entries if entry.data.get("signed")}


def settle(attack):
    for step in ("caught up", "sweep"):
        attack.do(step)
    for message_id in (MINE, THEIRS):
        attack.webhook.read(message_id)
    attack.webhook.clock.advance(WAIT.total_seconds())
    attack.do("sweep")


@pytest.mark.parametrize("to", NOBODY + UNREADABLE)
@pytest.mark.parametrize("lagging", [False, True])
@pytest.mark.parametrize("dies", [False, True])
def test_posted_at_the_attackers_url_it_draws_no_event_that_names_another_recipient(monkeypatch, dies, lagging, to):
    for order in itertools.permutations(["drawn", "their sender", "delivered", "refused", "caught up"]):
        attack = Attack(monkeypatch, lagging=lagging, their_sender_dies=dies)
        for step in order:
            if step == "drawn":
                post_signed(attack, event(attack, "my word", to), MINE)
            else:
                attack.do(step)
        settle(attack)
        assert attack.words_of(MINE) == {"my word"}, order
        assert signed_words(attack, MINE) == set(), order
        assert attack.consent_of(MY_NUMBER) is ConsentStatus.OPTED_IN, order
        assert attack.consent_of(THEIR_NUMBER) is ConsentStatus.OPTED_OUT, order
        if not dies:
            assert {"delivered", "failed"} <= signed_words(attack, THEIRS), order


@pytest.mark.parametrize("to", [None, "+1 (202) 555-01"])
def test_nor_does_it_weaken_what_cxone_signs_at_the_other_messages_url(monkeypatch, to):
    attack = Attack(monkeypatch, their_sender_dies=True)
    post_signed(attack, event(attack, "sent", to), MINE)
    post_signed(attack, event(attack, "delivered", THEIR_NUMBER.e164), THEIRS)
    assert "delivered" in signed_words(attack, THEIRS)
    attack.webhook.clock.advance(9)
    assert attack.webhook.delivery(event(attack, "failed"), THEIRS)[0] == 200
    assert attack.status_of(THEIRS) is Status.DELIVERED


def test_an_event_that_names_the_recipient_is_signed_whatever_the_index_says(monkeypatch):
    """An older version indexed the id for the attacker's message."""
    attack = Attack(monkeypatch, their_sender_dies=True)
    told = {"cxoneMessageId": THEIR_ID, "eventId": "e", "status": "sent", "word": "sent", "signed": True}
    attack.append(MINE, Draft(EntryType.DELIVERY, told, {"cxoneMessageId": THEIR_ID}))
    post_signed(attack, event(attack, "delivered", THEIR_NUMBER.e164), THEIRS)
    assert signed_words(attack, THEIRS) == {"delivered"}
    for status, error in (("delivered", None), ("failed", REFUSAL)):
        assert attack.webhook.delivery(event(attack, status, THEIR_NUMBER.e164, error=error))[0] == 200
    settle(attack)
    assert attack.words_of(MINE) == {"sent"}
    assert attack.consent_of(MY_NUMBER) is ConsentStatus.OPTED_IN
    assert attack.consent_of(THEIR_NUMBER) is ConsentStatus.OPTED_OUT
    assert signed_words(attack, THEIRS) == {"delivered", "failed"}


def test_unless_its_own_sender_got_another_id(monkeypatch):
    attack = Attack(monkeypatch)
    type_, data = dispatched("cx-mine")
    attack.append(MINE, Draft(type_, data, {"cxoneMessageId": "cx-mine"}))
    post_signed(attack, event(attack, "delivered", MY_NUMBER.e164), MINE)
    assert signed_words(attack, MINE) == set()


@pytest.mark.parametrize("to", [*NOBODY, *UNREADABLE, 12025550102, 12025550102.0, " +12025550102 ", "12025550102"])
@pytest.mark.parametrize("order", list(itertools.permutations(["event", "their sender"])))
def test_the_true_messages_own_event_counts_as_signed_once_its_sender_has_the_id(monkeypatch, order, to):
    for reference in (None, THEIRS):
        attack = Attack(monkeypatch)
        for step in order:
            if step == "event" and reference:
                post_signed(attack, event(attack, "delivered", to), reference)
            elif step == "event":
                assert attack.webhook.delivery(event(attack, "delivered", to))[0] == 200
            else:
                attack.do(step)
        assert attack.webhook.delivery(event(attack, "failed"), THEIRS)[0] == 200
        attack.do("sweep")
        assert signed_words(attack, THEIRS) == {"delivered"}
        assert attack.status_of(THEIRS) is Status.DELIVERED


def test_a_signed_refusal_at_its_own_url_opts_out_its_recipient_in_any_writing(monkeypatch):
    for to in [*NOBODY, *UNREADABLE, 12025550102]:
        attack = Attack(monkeypatch)
        post_signed(attack, event(attack, "failed", to, error=REFUSAL), THEIRS)
        assert attack.consent_of(THEIR_NUMBER) is ConsentStatus.OPTED_OUT


@pytest.mark.parametrize("at", [None, THEIRS])
def test_a_number_without_its_countrys_code_names_nobody_else(monkeypatch, at):
    """`2025550102` is the recipient's number as people write it, and with a plus sign a possible one of Egypt."""
    attack = Attack(monkeypatch)
    attack.do("their sender")
    refusal = event(attack, "failed", "2025550102", error=REFUSAL)
    if at:
        post_signed(attack, refusal, at)
    else:
        assert attack.webhook.delivery(refusal)[0] == 200
    assert signed_words(attack, THEIRS) == {"failed"}
    assert attack.consent_of(THEIR_NUMBER) is ConsentStatus.OPTED_OUT
    egyptian = attack.webhook.pseudonyms.recipient_hash(PhoneNumber.parse("+2025550102"))
    assert attack.webhook.consents.find(egyptian) is None


def test_and_early_it_goes_to_the_sender_that_gets_the_id(monkeypatch):
    attack = Attack(monkeypatch)
    assert attack.webhook.delivery(event(attack, "delivered", "2025550102"))[0] == 200
    attack.do("their sender")
    attack.do("sweep")
    assert signed_words(attack, THEIRS) == {"delivered"}


def test_but_with_all_its_digits_it_names_its_recipient(monkeypatch):
    attack = Attack(monkeypatch, their_sender_dies=True)
    attack.do("claim")
    attack.do("their url")
    assert attack.webhook.delivery(event(attack, "delivered", THEIR_NUMBER.e164.removeprefix("+")))[0] == 200
    settle(attack)
    assert "delivered" in attack.words_of(THEIRS)
    assert attack.words_of(MINE) == {"my word"}


def test_a_chain_with_a_gap_under_the_id_keeps_no_opt_out_from_its_url(monkeypatch):
    attack = Attack(monkeypatch)
    assert attack.webhook.delivery(event(attack, "sent"))[0] == 200
    entry = attack.webhook.ledger.remove(f"delivery#{THEIR_ID}", 1)
    attack.webhook.ledger.put(replace(entry, sequence=3))
    post_signed(attack, event(attack, "failed", error=REFUSAL), THEIRS)
    assert attack.consent_of(THEIR_NUMBER) is ConsentStatus.OPTED_OUT


class TestAContestedId:
    """Both messages claim the id on their URLs' word, and the true sender died."""

    def contested(self, monkeypatch, first):
        attack = Attack(monkeypatch, their_sender_dies=True)
        for step in sorted(["claim", "their url"], key=lambda step: step != first):
            attack.do(step)
        return attack

    @pytest.mark.parametrize("first", ["claim", "their url"])
    def test_an_event_goes_to_the_one_message_whose_recipient_it_names_after_the_wait(self, monkeypatch, first):
        attack = self.contested(monkeypatch, first)
        attack.do("delivered")
        attack.do("sweep")
        assert "delivered" not in attack.words_of(THEIRS)
        attack.webhook.clock.advance(WAIT.total_seconds())
        attack.do("sweep")
        assert "delivered" in attack.words_of(THEIRS)
        assert attack.status_of(THEIRS) is Status.DELIVERED
        assert attack.words_of(MINE) == {"my word"}
        assert signed_words(attack, THEIRS) == set(), "that the id is theirs is still their URL's word"

    @pytest.mark.parametrize("first", ["claim", "their url"])
    @pytest.mark.parametrize("to", [None, *UNREADABLE])
    def test_one_that_names_no_readable_recipient_stays_where_it_is(self, monkeypatch, to, first):
        attack = self.contested(monkeypatch, first)
        assert attack.webhook.delivery(event(attack, "delivered", to))[0] == 200
        settle(attack)
        assert "delivered" not in attack.words_of(MINE) | attack.words_of(THEIRS)

    def test_and_so_does_one_whose_recipient_both_have(self, monkeypatch):
        attack = self.contested(monkeypatch, "their url")
        third = "msg_" + "c" * 32
        type_, data = sending(recipient=THEIR_NUMBER.masked, recipientHash=attack.hash_of(THEIR_NUMBER))
        attack.append(third, Draft(type_, data))
        assert attack.webhook.delivery(event(attack, "third word"), third)[0] == 200
        attack.do("delivered")
        settle(attack)
        for message_id in (MINE, THEIRS, third):
            assert "delivered" not in attack.words_of(message_id)

    def test_a_crowd_of_claimers_costs_a_bounded_number_of_reads(self, monkeypatch):
        attack = self.contested(monkeypatch, "their url")
        for place in range(MOST_CLAIMERS):
            other = f"msg_{place:032x}"
            attack.append(other, Draft(*sending()))
            assert attack.webhook.delivery(event(attack, "crowd"), other)[0] == 200
        attack.do("delivered")
        settle(attack)
        assert "delivered" not in attack.words_of(THEIRS)


@pytest.mark.parametrize("to", UNREADABLE)
def test_an_unreadable_recipient_is_not_no_recipient(monkeypatch, to):
    attack = Attack(monkeypatch, their_sender_dies=True)
    attack.do("claim")
    assert attack.webhook.delivery(event(attack, "delivered", to))[0] == 200
    settle(attack)
    assert attack.words_of(MINE) == {"my word"}


def test_a_reader_needs_no_index_of_cxones_ids_which_its_role_may_not_query(monkeypatch):
    attack = Attack(monkeypatch, their_sender_dies=True)
    attack.do("claim")
    attack.do("delivered")
    attack.webhook.clock.advance(WAIT.total_seconds())
    monkeypatch.setattr(attack.webhook.ledger, "subjects_of_cxone_message", None)
    monkeypatch.setattr(attack.webhook.ledger, "subject_of_cxone_message", None)
    assert attack.webhook.read(MINE).message.status is Status.DISPATCHED
