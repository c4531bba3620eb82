"""The webhook's routes, from API Gateway's event to the ledger: who is let in, what is recorded, who is opted out."""

import base64
import hmac
import itertools
import json
from http import HTTPStatus

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cxone_messaging.domain.attention import Attention
from cxone_messaging.domain.consents import IN_FORCE_SECONDS, ConsentStatus
from cxone_messaging.domain.entries import Draft, first_broken
from cxone_messaging.domain.errors import Code, StorageError
from cxone_messaging.domain.messages import Message, Status
from cxone_messaging.domain.phone_numbers import PhoneNumber
from cxone_messaging.domain.times import format_time
from cxone_messaging.platform.clock import instant
from cxone_messaging.platform.telemetry import Metric
from cxone_messaging.use_cases.consents import ConsentFromApi
from cxone_messaging.use_cases.journal import Journal
from tests.building import MESSAGE_ID, SUBJECT, dispatched, sending
from tests.fakes import EPOCH, FakeClock, FakeConsentStore, FakeLedger
from tests.webhooks import CURRENT, EVENTS, PREVIOUS, SMS, Webhook, callback, hex_of

NUMBER = PhoneNumber.parse("+15551234567")
ACCEPTED, DUPLICATE = (HTTPStatus.OK, {"status": "accepted"}), (HTTPStatus.OK, {"status": "duplicate"})

OK = (ACCEPTED, DUPLICATE)


@pytest.fixture
def webhook(monkeypatch):
    return Webhook(monkeypatch)


def at(webhook, seconds=0.0):
    return format_time(instant(webhook.clock.now() + seconds))


def inbound(webhook, text, seconds=0.0, **changes):
    told = {"event": "message.inbound", "from": NUMBER.e164, "to": "+15550100000", "text": text}
    return told | {"timestamp": at(webhook, seconds)} | changes


def delivered(webhook, status="delivered", seconds=0.0, **changes):
    told = {"messageId": "cx-1", "status": status, "to": NUMBER.e164, "timestamp": at(webhook, seconds)}
    return told | changes


def put(webhook, status):
    webhook.manage.record(NUMBER, ConsentFromApi(status, "form", None, overrides_reply=True))


def consent(webhook):
    return webhook.consents.find(webhook.pseudonyms.recipient_hash(NUMBER))


def consent_entries(webhook):
    subject = f"consent#{webhook.pseudonyms.recipient_hash(NUMBER)}"
    entries = webhook.ledger.read(subject)
    assert first_broken(subject, entries) is None
    return entries


def start_message(webhook):
    """Enter what a sender enters before it posts."""
    type_, data = sending()
    hash_ = webhook.pseudonyms.recipient_hash(NUMBER)
    told = Draft(type_, {**data, "recipientHash": hash_, "deadline": at(webhook, 30)})
    Journal(webhook.ledger, webhook.clock).append(SUBJECT, lambda _: told)


def end_message(webhook, cxone_message_id="cx-1"):
    """Enter what a sender enters after CXone's answer."""
    type_, data = dispatched(cxone_message_id)
    draft = Draft(type_, data, {"cxoneMessageId": cxone_message_id})
    Journal(webhook.ledger, webhook.clock).append(SUBJECT, lambda _: draft)


class TestLetIn:
    def test_base64_bodies_are_signed_by_their_raw_bytes(self, webhook):
        body = json.dumps(inbound(webhook, "STOP")).encode("utf-16")  # which JSON may be in, and no text is
        headers = {"X-CXone-Signature": f"sha256={hex_of(CURRENT, body)}"}
        assert webhook.post(EVENTS, body, headers=headers, is_base64=True) == ACCEPTED
        wrong = {"X-CXone-Signature": f"sha256={hex_of(CURRENT, base64.b64encode(body))}"}
        status, problem = webhook.post(EVENTS, body, headers=wrong, is_base64=True)
        assert (status, problem["code"]) == (HTTPStatus.UNAUTHORIZED, Code.INVALID_SIGNATURE)

    def test_a_signed_url_is_not_enough_for_a_subscription_event(self, webhook):
        body = json.dumps(inbound(webhook, "STOP")).encode()
        status, _ = webhook.post(EVENTS, body, query=callback(MESSAGE_ID))
        assert (status, len(webhook.ledger)) == (HTTPStatus.UNAUTHORIZED, 0)
        assert webhook.telemetry[Metric.WEBHOOKS_REFUSED] == [1]

    @pytest.mark.parametrize("path", [SMS, EVENTS])
    def test_standard_webhooks_headers(self, webhook, path):
        told = inbound(webhook, "HELP") if path == EVENTS else delivered(webhook)
        body, now = json.dumps(told).encode(), str(int(webhook.clock.now()))
        key = bytes.fromhex(PREVIOUS)
        signature = base64.b64encode(hmac.digest(key, f"evt_1.{now}.".encode() + body, "sha256")).decode()
        headers = {"Webhook-Id": "evt_1", "Webhook-Timestamp": now, "Webhook-Signature": f"v1,x v1,{signature}"}
        assert webhook.post(path, body, headers=headers) == ACCEPTED
        assert webhook.post(path, body + b" ", headers=headers)[0] == HTTPStatus.UNAUTHORIZED

    def test_rotating_the_secret_during_a_stream_of_events_loses_none(self, webhook):
        secrets = [CURRENT, "d2" * 32, "e3" * 32]
        answers = []
        for number in range(90):
            if number in {30, 60}:
                new, old = secrets[number // 30], secrets[number // 30 - 1]
                webhook.secrets.secrets["arn:webhook"] = json.dumps({"current": new, "previous": old})
            for secret in {secrets[number // 30], secrets[max(0, number // 30 - 1)]}:  # CXone is told a bit later
                body = json.dumps(inbound(webhook, f"{number} {secret}")).encode()
                answers.append(webhook.post(EVENTS, body, headers=webhook.signed(body, secret)))
            webhook.clock.advance(0.3)
        assert all(answer == ACCEPTED for answer in answers)
        assert len(webhook.ledger) == len(answers) == 150


class TestSubscriptionEvents:
    @pytest.mark.parametrize("name", ["template.approved", "a2p.registered"])
    def test_news_of_a_template_is_an_entry_of_it_once(self, webhook, name):
        told = {"id": "evt_1", "event": name, "template_id": "tpl 1", "timestamp": at(webhook, -5), "new": {"x": [1]}}
        assert [webhook.event(told) for _ in range(2)] == [ACCEPTED, DUPLICATE]
        (entry,) = webhook.ledger.read("template#tpl 1")
        assert entry.type == "template_event"
        assert set(entry.data) == {"eventId", "event", "instant"}
        assert (entry.data["event"], entry.data["instant"]) == (name, at(webhook, -5))

    @pytest.mark.parametrize(
        "told",
        [
            {"event": "template.rejected", "template_id": "t"},
            {"event": "template.approved"},
            {"event": "+15551234567 called"},
            {"event": "x", "id": 5, "timestamp": "never"},
            {"event": 5},
            {"event": ""},
            {"type": "ping"},
            {},
        ],
    )
    def test_what_we_have_no_use_for_is_kept_for_review(self, webhook, told):
        assert [webhook.event(told) for _ in range(2)] == [ACCEPTED, DUPLICATE]
        (subject,) = webhook.ledger.subjects()
        assert subject.startswith("event#")
        assert list(webhook.ledger.flagged(Attention.REVIEW, at(webhook, -1), at(webhook, 1))) == [subject]
        assert "5551234567" not in repr(webhook.ledger.read(subject))

    @pytest.mark.parametrize("body", [b"", b"[]", b"5", b"\xff", b"[" * 60_000, b'{"status": "delivered"}'])
    def test_what_is_no_event_is_malformed(self, webhook, body):
        status, problem = webhook.post(EVENTS, body, headers=webhook.signed(body), is_base64=True)
        assert (status, problem["code"]) == (HTTPStatus.BAD_REQUEST, Code.MALFORMED_REQUEST)
        assert len(webhook.ledger) == 0


class TestNumericIds:
    """CXone may write its ids as JSON numbers: they are the same ids."""

    @pytest.mark.parametrize("number", [12345, 12345678901234567890123])
    def test_an_event_finds_the_message_whose_id_is_the_text(self, webhook, number):
        start_message(webhook)
        end_message(webhook, str(number))
        assert webhook.delivery(delivered(webhook, messageId=number)) == ACCEPTED
        assert webhook.ledger.read(SUBJECT)[-1].data["cxoneMessageId"] == str(number)
        assert webhook.delivery(delivered(webhook, messageId=str(number))) == DUPLICATE

    @pytest.mark.parametrize("id_", [True, None, [], ["cx-1"], {}, 1.5, "", "a" * 251, 10**250])
    def test_what_is_no_id_is_malformed(self, webhook, id_):
        status, problem = webhook.delivery(delivered(webhook, messageId=id_))
        assert (status, problem["code"]) == (HTTPStatus.BAD_REQUEST, Code.MALFORMED_REQUEST)
        assert len(webhook.ledger) == 0

    def test_a_templates_id_may_be_a_number_too(self, webhook):
        told = {"event": "template.approved", "template_id": 77, "timestamp": at(webhook, 0)}
        assert webhook.event(told) == ACCEPTED
        assert webhook.ledger.subjects() == ["template#77"]


class TestOptingOut:
    def test_a_stop_is_in_force_and_proven_at_once(self, webhook):
        put(webhook, ConsentStatus.OPTED_IN)
        assert webhook.event(inbound(webhook, "Stop!")) == ACCEPTED
        assert consent(webhook).status is ConsentStatus.OPTED_OUT
        assert consent(webhook).source == "message.inbound"
        entry = consent_entries(webhook)[-1]
        assert (entry.data["status"], entry.data["source"]) == ("opted_out", "message.inbound")
        assert {"eventId", "instant"} <= set(entry.data)

    def test_it_is_stored_once_nobody_goes_by_the_old_consent_any_more(self, webhook):
        put(webhook, ConsentStatus.OPTED_IN)
        before = webhook.clock.now()
        stop = inbound(webhook, "STOP")
        webhook.event(stop)
        assert webhook.clock.now() == before + IN_FORCE_SECONDS
        assert consent_entries(webhook)[-1].timestamp == consent(webhook).updated_at == at(webhook)
        webhook.event(stop)
        webhook.event(inbound(webhook, "STOP", 1))
        webhook.event(inbound(webhook, "START", 2))
        webhook.event(inbound(webhook, "STOP", -900))
        assert webhook.clock.now() == before + IN_FORCE_SECONDS
        assert [entry.data.get("passedOver") for entry in consent_entries(webhook)] == [None, None, None, None, True]

    def test_after_an_opt_out_through_the_api_nobody_can_tell_who_still_goes_by_the_old_consent(self, webhook):
        put(webhook, ConsentStatus.OPTED_OUT)
        before = webhook.clock.now()
        webhook.event(inbound(webhook, "STOP"))
        assert webhook.clock.now() == before + IN_FORCE_SECONDS

    def test_an_opt_in_that_comes_between_does_not_let_it_be_stored_before_it_is_in_force(self, monkeypatch):
        meanwhile = [ConsentStatus.OPTED_IN]

        class Busy(FakeClock):
            def sleep(self, seconds):
                super().sleep(seconds)
                while meanwhile:
                    put(webhook, meanwhile.pop())

        webhook = Webhook(monkeypatch, clock=Busy())
        before = webhook.clock.now()
        webhook.event(inbound(webhook, "STOP"))
        assert [entry.data["status"] for entry in consent_entries(webhook)] == ["opted_in", "opted_out"]
        assert consent(webhook).status is ConsentStatus.OPTED_OUT
        assert webhook.clock.now() == before + 2 * IN_FORCE_SECONDS

    def test_who_never_opted_in_can_opt_out(self, webhook):
        webhook.event(inbound(webhook, "unsubscribe"))
        assert consent(webhook).status is ConsentStatus.OPTED_OUT

    @pytest.mark.parametrize("word", ["START", "unstop"])
    def test_start_opts_in_again(self, webhook, word):
        webhook.event(inbound(webhook, "STOP"))
        webhook.event(inbound(webhook, word))
        assert consent(webhook).status is ConsentStatus.OPTED_IN
        assert [entry.data["status"] for entry in consent_entries(webhook)] == ["opted_out", "opted_in"]

    def test_the_same_event_again_changes_nothing_whatever_was_said_since(self, webhook):
        stop = inbound(webhook, "STOP")
        assert webhook.event(stop) == ACCEPTED
        put(webhook, ConsentStatus.OPTED_IN)
        assert webhook.event(stop) == DUPLICATE
        assert consent(webhook).status is ConsentStatus.OPTED_IN
        assert len(consent_entries(webhook)) == 2

    @pytest.mark.parametrize(("first", "last"), [("START", "STOP"), ("STOP", "START")])
    def test_the_word_with_the_later_time_counts_and_the_older_one_is_recorded(self, webhook, first, last):
        later, older = inbound(webhook, first, 0), inbound(webhook, last, -330)
        webhook.event(later)
        assert webhook.event(older) == ACCEPTED
        assert consent(webhook).status is (ConsentStatus.OPTED_IN if first == "START" else ConsentStatus.OPTED_OUT)
        assert [entry.data.get("passedOver") for entry in consent_entries(webhook)] == [None, True]

    def test_an_opt_out_of_a_clock_that_is_hours_behind_counts(self, webhook):
        put(webhook, ConsentStatus.OPTED_IN)
        webhook.event(inbound(webhook, "STOP", -8 * 3600))
        assert consent(webhook).status is ConsentStatus.OPTED_OUT

    def test_an_opt_in_dated_ahead_of_its_receipt_is_for_people_to_read(self, webhook):
        webhook.event(inbound(webhook, "STOP"))
        webhook.event(inbound(webhook, "START", 301))
        assert consent(webhook).status is ConsentStatus.OPTED_OUT
        assert len(list(webhook.ledger.flagged(Attention.REVIEW, at(webhook, -9), at(webhook, 9)))) == 1

    def test_nor_does_it_count_when_it_comes_again_after_that_time(self, webhook):
        """In between the recipient opted out, by a clock that is right."""
        put(webhook, ConsentStatus.OPTED_OUT)
        start = inbound(webhook, "START", seconds=7200)
        assert webhook.event(start) == ACCEPTED
        webhook.clock.advance(7200)
        assert webhook.event(start) == DUPLICATE
        assert consent(webhook).status is ConsentStatus.OPTED_OUT

    @pytest.mark.parametrize("timestamp", ["2999-01-01T00:00:00Z", "soon", "", None])
    def test_an_opt_out_counts_whatever_its_time_and_no_longer_than_others(self, webhook, timestamp):
        put(webhook, ConsentStatus.OPTED_IN)
        webhook.event(inbound(webhook, "STOP", timestamp=timestamp))
        assert consent(webhook).status is ConsentStatus.OPTED_OUT
        webhook.clock.advance(60)
        webhook.event(inbound(webhook, "START"))
        assert consent(webhook).status is ConsentStatus.OPTED_IN

    @pytest.mark.parametrize(("text", "reviewed"), [("HELP", 0), ("Where is my parcel, 5551234567?", 1), ("", 1)])
    def test_any_other_text_is_kept_without_its_words(self, webhook, text, reviewed):
        put(webhook, ConsentStatus.OPTED_IN)
        told = inbound(webhook, text)
        assert [webhook.event(told) for _ in range(2)] == [ACCEPTED, DUPLICATE]
        (subject,) = [each for each in webhook.ledger.subjects() if each.startswith("inbound#")]
        (entry,) = webhook.ledger.read(subject)
        assert entry.data["keyword"] == ("help" if text == "HELP" else "other")
        assert entry.data["recipient"] == "+*******4567"
        assert entry.data["textHash"] == webhook.pseudonyms.text_hash(text)
        assert "parcel" not in repr(entry)
        assert "5551234567" not in repr(entry)
        assert len(list(webhook.ledger.flagged(Attention.REVIEW, at(webhook, -1), at(webhook, 1)))) == reviewed
        assert consent(webhook).status is ConsentStatus.OPTED_IN

    @pytest.mark.parametrize("sender", ["", "24680", "somebody", None])
    def test_a_text_of_nobody_who_could_be_sent_to_is_kept_for_review(self, webhook, sender):
        assert webhook.event(inbound(webhook, "STOP", **{"from": sender})) == ACCEPTED
        (subject,) = webhook.ledger.subjects()
        assert subject.startswith("inbound#")

    @pytest.mark.parametrize("failing", [1, 2])
    def test_an_opt_out_that_broke_off_is_stored_only_if_in_force_and_made_up_for_when_it_comes_again(
        self, monkeypatch, failing
    ):
        class Down(FakeConsentStore):
            stores = 0

            def store(self, consent, **_):
                self.stores += 1
                if self.stores == 1 + failing:
                    raise StorageError("down")
                return super().store(consent)

        webhook = Webhook(monkeypatch, consents=Down())
        put(webhook, ConsentStatus.OPTED_IN)
        stop = inbound(webhook, "STOP")
        assert webhook.event(stop)[0] == HTTPStatus.INTERNAL_SERVER_ERROR
        is_stored = len(consent_entries(webhook)) == 2
        assert is_stored == (consent(webhook).status is ConsentStatus.OPTED_OUT) == (failing == 2)
        before = webhook.clock.now()
        assert webhook.event(stop) == (DUPLICATE if is_stored else ACCEPTED)
        assert webhook.clock.now() == before + (0 if is_stored else IN_FORCE_SECONDS)
        assert consent(webhook).status is ConsentStatus.OPTED_OUT
        assert consent(webhook).updated_at == consent_entries(webhook)[-1].timestamp
        assert len(consent_entries(webhook)) == 2

    @pytest.mark.parametrize("next_word", ["the same event", "api", "START"])
    def test_an_opt_out_that_never_got_into_the_ledger_is_in_force_until_the_next_word(self, monkeypatch, next_word):
        class Down(FakeLedger):
            down = False

            def insert(self, entry):
                if self.down:
                    raise StorageError("down")
                super().insert(entry)

        webhook = Webhook(monkeypatch, ledger=Down())
        put(webhook, ConsentStatus.OPTED_IN)
        stop = inbound(webhook, "STOP")
        webhook.ledger.down = True
        assert webhook.event(stop)[0] == HTTPStatus.INTERNAL_SERVER_ERROR
        assert consent(webhook).status is ConsentStatus.OPTED_OUT
        webhook.ledger.down = False
        if next_word == "api":
            put(webhook, ConsentStatus.OPTED_IN)
        else:
            told = stop if next_word == "the same event" else inbound(webhook, next_word, 1)
            assert webhook.event(told) == ACCEPTED
        expected = ConsentStatus.OPTED_OUT if next_word == "the same event" else ConsentStatus.OPTED_IN
        assert consent(webhook).status is expected
        assert consent(webhook).updated_at == consent_entries(webhook)[-1].timestamp

    @settings(max_examples=60, suppress_health_check=list(HealthCheck))
    @given(
        st.lists(st.tuples(st.sampled_from(["STOP", "START", "end"]), st.integers(0, 20)), min_size=1, max_size=6),
        st.randoms(use_true_random=False),
    )
    def test_any_order_and_any_duplicates_of_replies_end_alike(self, told, rng):
        told = [(text, 2 * number + (text == "START")) for text, number in told]

        def run(events):
            with pytest.MonkeyPatch.context() as patch:
                webhook = Webhook(patch)
                for text, seconds in events:
                    assert webhook.event(inbound(webhook, text, timestamp=format_time(instant(EPOCH + seconds)))) in OK
                entries = consent_entries(webhook)
                ids = [entry.data["eventId"] for entry in entries]
                assert len(ids) == len(set(ids)) == len(set(events))
                return consent(webhook).status

        mixed = told + rng.choices(told, k=len(told))
        rng.shuffle(mixed)
        text, _ = max(told, key=lambda each: (each[1], each[0] != "START"))
        assert run(told) == run(mixed) == (ConsentStatus.OPTED_IN if text == "START" else ConsentStatus.OPTED_OUT)


class TestWordsOfPeople:
    @pytest.mark.parametrize("text", ["STOP\nSent from my iPhone", "NO M\u00c1S", "cancel texts", "Reply STOP"])
    def test_a_wish_not_to_be_texted_is_obeyed(self, webhook, text):
        put(webhook, ConsentStatus.OPTED_IN)
        webhook.event(inbound(webhook, text))
        assert consent(webhook).status is ConsentStatus.OPTED_OUT

    def test_a_deployments_own_words_opt_out(self, monkeypatch):
        for words, status in (("", ConsentStatus.OPTED_IN), ("schluss, fertig jetzt", ConsentStatus.OPTED_OUT)):
            webhook = Webhook(monkeypatch, words=words)
            put(webhook, ConsentStatus.OPTED_IN)
            webhook.event(inbound(webhook, "Fertig jetzt!"))
            assert consent(webhook).status is status


class TestCarrierRefusal:
    def test_it_opts_out_whoever_the_message_was_for(self, webhook):
        put(webhook, ConsentStatus.OPTED_IN)
        start_message(webhook)
        told = delivered(webhook, "undelivered", error="21610 unsubscribed recipient", to="+15550000000")
        assert webhook.delivery(told, MESSAGE_ID) == ACCEPTED
        assert (consent(webhook).status, consent(webhook).source) == (ConsentStatus.OPTED_OUT, "carrier refusal")
        assert webhook.delivery(told, MESSAGE_ID) == DUPLICATE
        assert len(consent_entries(webhook)) == 2

    def test_it_is_answered_once_nobody_goes_by_the_old_consent_any_more(self, webhook):
        put(webhook, ConsentStatus.OPTED_IN)
        before = webhook.clock.now()
        for number in range(20):
            webhook.delivery(delivered(webhook, "failed", error="21610", messageId=f"cx-{number}"))
        assert webhook.clock.now() == before + IN_FORCE_SECONDS
        assert len(consent_entries(webhook)) == 21

    def test_of_a_message_that_we_do_not_know_it_is_for_whom_the_event_names(self, webhook):
        webhook.delivery(delivered(webhook, "rejected", error="opted out"))
        assert consent(webhook).status is ConsentStatus.OPTED_OUT

    @pytest.mark.parametrize(
        "changes",
        [
            {"status": "blocked"},
            {"status": "opted_out", "error": None},
            {"error": 21610},
            {"error": {"code": "40300", "title": "Blocked due to STOP message"}},
            {"error": [{"detail": "destinataire d\u00e9sabonn\u00e9"}]},
        ],
    )
    def test_it_may_have_any_status_and_its_reason_any_shape(self, webhook, changes):
        put(webhook, ConsentStatus.OPTED_IN)
        webhook.delivery({**delivered(webhook, "failed", error="opted out"), **changes})
        assert consent(webhook).status is ConsentStatus.OPTED_OUT

    @pytest.mark.parametrize(
        "changes",
        [{"error": "30007"}, {"status": "delivered"}, {"status": "sent"}, {"error": None}, {"to": "nobody"}],
    )
    def test_nothing_else_does(self, webhook, changes):
        put(webhook, ConsentStatus.OPTED_IN)
        webhook.delivery({**delivered(webhook, "failed", error="opted out"), **changes})
        assert consent(webhook).status is ConsentStatus.OPTED_IN


class TestDeliveryEvents:
    def state(self, webhook):
        entries = webhook.ledger.read(SUBJECT)
        assert first_broken(SUBJECT, entries) is None
        return Message.of(entries)

    def test_a_far_future_outranks_nothing_that_comes_after_it(self, webhook):
        start_message(webhook)
        end_message(webhook)
        webhook.delivery(delivered(webhook, "failed", timestamp="2999-01-01T00:00:00Z"), MESSAGE_ID)
        assert self.state(webhook).status is Status.FAILED
        assert webhook.ledger.read(SUBJECT)[-1].data["told"] == "2999-01-01T00:00:00.000Z"
        webhook.clock.advance(60)
        webhook.delivery(delivered(webhook, "delivered"), MESSAGE_ID)
        assert self.state(webhook).status is Status.DELIVERED

    @pytest.mark.parametrize(
        ("seconds", "latency"), [(-3600, 0), (1.5, 1500), (60, 60_000), (14 * 3600, 2000), (10**9, 2000)]
    )
    def test_no_clock_gives_a_negative_or_an_absurd_latency(self, webhook, seconds, latency):
        start_message(webhook)
        end_message(webhook)
        told = delivered(webhook, seconds=seconds)
        webhook.clock.advance(2)
        webhook.delivery(told, MESSAGE_ID)
        assert webhook.telemetry[Metric.DELIVERY_LATENCY] == [latency]

    def test_a_number_in_a_status_is_blotted_out(self, webhook):
        webhook.delivery(delivered(webhook, f"sent to {NUMBER.e164}"), MESSAGE_ID)
        assert "5551234567" not in repr(webhook.ledger.read(SUBJECT))

    @pytest.mark.parametrize("order", list(itertools.permutations(["sent", "delivered", "end"])))
    def test_events_around_our_own_record_of_the_202_whatever_names_the_message(self, webhook, order):
        start_message(webhook)
        for number, each in enumerate(order):
            if each == "end":
                end_message(webhook)
            else:
                reference = MESSAGE_ID if number % 2 else None
                webhook.delivery(delivered(webhook, each, {"sent": 1, "delivered": 2}[each]), reference)
        webhook.clock.advance(10)
        message = webhook.read(MESSAGE_ID)
        assert (message.message.status, message.verified) == (Status.DELIVERED, True)
        assert sorted(entry.data.get("word", "") for entry in message.entries) == ["", "", "delivered", "sent"]
