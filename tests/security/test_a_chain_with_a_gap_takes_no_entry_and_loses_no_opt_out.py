"""Claim: one insert at a far sequence ends no chain unnoticed, and no opt-out is lost for it.

Nobody's append leaves a gap, so a chain with one was tampered with: it takes no more entries, and an alarm rings. An
opt-out comes into force all the same, and is entered before the gap.
"""

import itertools
import json
from dataclasses import replace

import pytest

from cxone_messaging.adapters.dynamodb.ledger import DynamoLedger
from cxone_messaging.domain.batches import BulkRecord
from cxone_messaging.domain.consents import IN_FORCE_SECONDS, Consent, ConsentStatus
from cxone_messaging.domain.cxone_ids import WAIT
from cxone_messaging.domain.entries import Draft, EntryType, first_broken
from cxone_messaging.domain.ledger import BrokenChainError
from cxone_messaging.domain.messages import Message, Status
from cxone_messaging.domain.phone_numbers import PhoneNumber
from cxone_messaging.domain.pseudonyms import Pseudonyms
from cxone_messaging.domain.sms import SmsRequest
from cxone_messaging.domain.times import format_time
from cxone_messaging.platform.clock import instant
from cxone_messaging.platform.telemetry import Metric
from cxone_messaging.use_cases.bulk.in_flight import Unusable
from cxone_messaging.use_cases.bulk.read_batch import ReadBatch
from cxone_messaging.use_cases.consents import ConsentFromApi, ConsentFromEvent
from cxone_messaging.use_cases.journal import Journal
from functions.manage_consents.handler import manage_consents
from functions.read_ledger.handler import read_message
from tests.building import MESSAGE_ID, message_trail, sending
from tests.building import SUBJECT as MESSAGE
from tests.dynamo import FakeDynamo
from tests.fakes import FakeClock, FakeConsentStore, FakeLedger, FakeTelemetry
from tests.security.test_a_url_proves_its_own_message_only import (
    MINE,
    MY_NUMBER,
    REFUSAL,
    THEIR_ID,
    THEIR_NUMBER,
    THEIRS,
    Attack,
)
from tests.webhooks import Webhook
from tests.worlds import World

NUMBER = PhoneNumber.parse("+12025550100")
HASH = Pseudonyms("pepper").recipient_hash(NUMBER)
SUBJECT = f"consent#{HASH}"
IN, OUT = ConsentStatus.OPTED_IN, ConsentStatus.OPTED_OUT
FAR = 10**37
ACCEPTED = (200, {"status": "accepted"})
INSTANT = "2026-11-18T13:06:40.000Z"
AGAIN = ConsentFromApi(IN, "form", None, overrides_reply=True)


def break_chain(ledger, clock, subject, sequence=FAR, type_=EntryType.CONSENT, **data):
    known = ledger.read(subject)
    said = {"recipient": NUMBER.masked, "recipientHash": HASH, "status": "opted_in", "source": "forged"} | data
    entry = replace(Draft(type_, said).following(known, subject, instant(clock.now())), sequence=sequence)
    ledger.insert(replace(entry, hash=entry.computed_hash()))


class Desk:
    def __init__(self):
        self.ledger, self.consents, self.clock = FakeLedger(), FakeConsentStore(), FakeClock()
        self.manage = manage_consents(self.ledger, self.consents, Pseudonyms("pepper"), self.clock)
        self.manage.record(NUMBER, ConsentFromApi(IN, "form", None))

    def hear(self, status, event_id):
        return self.manage.record_event(NUMBER, ConsentFromEvent(status, "message.inbound", event_id, INSTANT))


@pytest.fixture
def desk():
    return Desk()


@pytest.mark.parametrize("sequence", [3, 4, FAR, 0, -1])
def test_nothing_is_appended_to_a_chain_with_a_gap(desk, sequence):
    break_chain(desk.ledger, desk.clock, SUBJECT, sequence)
    before = desk.ledger.read(SUBJECT)
    with pytest.raises(BrokenChainError) as raised:
        Journal(desk.ledger, desk.clock).append(SUBJECT, lambda _: Draft(EntryType.EVENT, {}))
    assert raised.value.subject == SUBJECT
    assert [entry.sequence for entry in raised.value.kept] == [1]
    assert desk.ledger.read(SUBJECT) == before


def test_whoever_appends_nothing_is_not_refused(desk):
    break_chain(desk.ledger, desk.clock, SUBJECT)
    assert len(Journal(desk.ledger, desk.clock).append(SUBJECT, lambda _: None).entries) == 2


@pytest.mark.parametrize("sequence", [3, 4, FAR, 0, -1])
@pytest.mark.parametrize("through", ["event", "api"])
def test_an_opt_out_is_in_force_and_entered_before_the_gap(desk, sequence, through):
    break_chain(desk.ledger, desk.clock, SUBJECT, sequence)
    if through == "event":
        assert desk.hear(OUT, "stop")
        assert not desk.hear(OUT, "stop")
    else:
        assert desk.manage.record(NUMBER, ConsentFromApi(OUT, "clerk", None)).status is OUT
    assert desk.consents.find(HASH).status is OUT
    entries = [entry for entry in desk.ledger.read(SUBJECT) if entry.sequence in {1, 2}]
    assert [entry.data["status"] for entry in entries] == ["opted_in", "opted_out"]
    assert first_broken(SUBJECT, entries) is None


def test_an_opt_in_is_refused(desk):
    desk.hear(OUT, "stop")
    break_chain(desk.ledger, desk.clock, SUBJECT)
    with pytest.raises(BrokenChainError):
        desk.hear(IN, "start")
    with pytest.raises(BrokenChainError):
        desk.manage.record(NUMBER, ConsentFromApi(IN, "form", None))
    assert desk.consents.find(HASH).status is OUT


START = ConsentFromEvent(IN, "message.inbound", "start", "2026-11-18T13:06:40.000Z")
STOP = ConsentFromEvent(OUT, "message.inbound", "stop", "2026-11-18T13:06:50.000Z", is_certain=True)


class TestAStartThatComesAgain:
    """CXone repeats events, and a signed one without a timestamp can be replayed."""

    @pytest.fixture
    def desk(self):
        desk = Desk()
        desk.manage.record_event(NUMBER, START)
        desk.clock.advance(60)
        return desk

    def test_it_undoes_no_opt_out_behind_an_entry_that_vanished(self, desk):
        desk.manage.record(NUMBER, ConsentFromApi(IN, "form", None))
        desk.manage.record_event(NUMBER, STOP)
        desk.ledger.remove(SUBJECT, 3)
        assert not desk.manage.record_event(NUMBER, START)
        assert desk.consents.find(HASH).status is OUT

    @pytest.mark.parametrize(
        "opt_out",
        [lambda desk: desk.manage.record_event(NUMBER, STOP), lambda desk: desk.manage.record(NUMBER, CLERKS)],
        ids=["a stop", "through the api"],
    )
    @pytest.mark.parametrize("call", range(12))
    def test_nor_one_that_comes_at_the_same_time_on_a_chain_with_a_gap(self, desk, opt_out, call):
        break_chain(desk.ledger, desk.clock, SUBJECT)
        calls, began = itertools.count(), []

        def between(method):
            def run(*args, **options):
                if not began and next(calls) == call:
                    began.append(True)
                    opt_out(desk)
                return method(*args, **options)

            return run

        desk.ledger.read = between(desk.ledger.read)
        desk.ledger.insert = between(desk.ledger.insert)
        desk.consents.store = between(desk.consents.store)
        assert not desk.manage.record_event(NUMBER, START)
        if not began:
            opt_out(desk)
        assert desk.consents.find(HASH).status is OUT

    @pytest.mark.parametrize("gap", [1, 2])
    @pytest.mark.parametrize("opt_out", ["a stop", "through the api"])
    def test_nor_one_before_its_own_entry_where_entries_vanished(self, opt_out, gap):
        desk = Desk()
        for _ in range(gap):
            desk.manage.record(NUMBER, ConsentFromApi(IN, "form", None))
        desk.manage.record_event(NUMBER, START)
        for sequence in range(2, 2 + gap):
            desk.ledger.remove(SUBJECT, sequence)
        desk.clock.advance(60)
        if opt_out == "a stop":
            desk.manage.record_event(NUMBER, STOP)
        else:
            desk.manage.record(NUMBER, CLERKS)
        assert not desk.manage.record_event(NUMBER, START)
        assert desk.consents.find(HASH).status is OUT

    def test_nor_one_that_is_in_force_and_has_no_entry_yet(self, desk):
        break_chain(desk.ledger, desk.clock, SUBJECT)
        sleep, seen = desk.clock.sleep, []

        def meanwhile(seconds):
            desk.manage.record_event(NUMBER, START)
            seen.append(desk.consents.find(HASH).status)
            sleep(seconds)

        desk.clock.sleep = meanwhile
        assert desk.manage.record_event(NUMBER, STOP)
        assert seen == [OUT]
        assert desk.consents.find(HASH).status is OUT


CLERKS = ConsentFromApi(OUT, "clerk", None)


def test_a_start_that_comes_while_an_older_stop_is_on_its_way_stays_in_force(desk):
    store, came = desk.consents.store, []

    def meanwhile(consent, **options):
        if consent.status is OUT and not came:
            came.append(True)
            desk.clock.advance(3 * 3600)
            assert desk.manage.record_event(NUMBER, replace(STOP, status=IN, event_id="later", instant=LATER))
        return store(consent, **options)

    desk.consents.store = meanwhile
    assert desk.manage.record_event(NUMBER, STOP)
    assert [entry.data.get("passedOver") for entry in desk.ledger.read(SUBJECT)] == [None, None, True]
    assert desk.consents.find(HASH).status is IN


LATER = "2026-11-18T13:13:55.000Z"


def test_an_opt_out_counts_even_where_a_consent_of_the_far_sequence_was_in_force(desk):
    """As a repeated event would have put it there, before events put only their own entries in force."""
    break_chain(desk.ledger, desk.clock, SUBJECT)
    desk.consents.store(Consent(HASH, NUMBER.masked, IN, "forged", None, INSTANT, FAR))
    before = desk.clock.now()
    assert desk.hear(OUT, "stop")
    assert (desk.consents.find(HASH).status, desk.consents.find(HASH).sequence) == (OUT, 2)
    assert desk.clock.now() == before + IN_FORCE_SECONDS


@pytest.mark.parametrize("through", ["event", "repeated event", "api"])
def test_an_opt_out_counts_although_the_items_are_ahead_of_a_restored_ledger(desk, through):
    for _ in range(4):
        desk.manage.record(NUMBER, ConsentFromApi(IN, "form", None))
    if through == "repeated event":
        desk.manage.record_event(NUMBER, STOP)
        desk.consents.store(replace(desk.consents.find(HASH), status=IN, sequence=9))
    else:
        for sequence in range(3, 6):
            desk.ledger.remove(SUBJECT, sequence)
    if through == "api":
        desk.manage.record(NUMBER, CLERKS)
    else:
        desk.manage.record_event(NUMBER, STOP)
    assert desk.consents.find(HASH).status is OUT
    desk.manage.record(NUMBER, AGAIN)
    assert desk.consents.find(HASH).status is IN


def test_an_opt_out_that_is_not_the_last_in_the_ledger_overwrites_no_later_consent(desk):
    desk.manage.record_event(NUMBER, STOP)
    desk.manage.record(NUMBER, AGAIN)
    assert not desk.manage.record_event(NUMBER, STOP)
    assert desk.consents.find(HASH).status is IN


def test_every_stop_is_obeyed_however_often_somebody_breaks_the_chain_anew(desk):
    for number in range(5):
        sequence = desk.ledger.read(SUBJECT)[-1].sequence + 2
        break_chain(desk.ledger, desk.clock, SUBJECT, sequence, eventId=f"forged-{number}", instant=INSTANT)
        assert desk.hear(OUT, f"stop-{number}")
        assert desk.consents.find(HASH).status is OUT


def test_a_stop_through_the_door_is_answered_and_in_force(monkeypatch):
    webhook = Webhook(monkeypatch)
    webhook.manage.record(NUMBER, ConsentFromApi(IN, "form", None))
    break_chain(webhook.ledger, webhook.clock, SUBJECT)
    stop = {"event": "message.inbound", "from": NUMBER.e164, "text": "STOP", "timestamp": INSTANT}
    assert webhook.event(stop) == ACCEPTED
    assert webhook.consents.find(HASH).status is OUT


@pytest.mark.parametrize("to", [{}, {"to": NUMBER.e164}], ids=["nobody is named", "the recipient is named"])
def test_a_signed_refusal_by_id_opts_out_the_recipient_of_a_message_with_a_gap(monkeypatch, to):
    webhook = Webhook(monkeypatch)
    webhook.manage.record(NUMBER, ConsentFromApi(IN, "form", None))
    journal = Journal(webhook.ledger, webhook.clock)
    type_, data = sending()
    journal.append(MESSAGE, lambda _: Draft(type_, {**data, "recipient": NUMBER.masked, "recipientHash": HASH}))
    sent = Draft(EntryType.DISPATCHED, {"cxoneMessageId": "cx-1"}, {"cxoneMessageId": "cx-1"})
    journal.append(MESSAGE, lambda _: sent)
    break_chain(webhook.ledger, webhook.clock, MESSAGE)
    refusal = {"messageId": "cx-1", "status": "failed", "error": "recipient opted out", "timestamp": INSTANT, **to}
    status, _ = webhook.delivery(refusal)
    assert status == 500, "CXone posts it again"
    assert webhook.consents.find(HASH).status is OUT


@pytest.mark.parametrize("is_certain", [False, True])
def test_a_refusal_by_id_opts_out_nobody_but_whom_it_names_for_another_messages_gap(monkeypatch, is_certain):
    """The message with the gap claims the id, or has it in the index."""
    attack = Attack(monkeypatch, their_sender_dies=True)
    webhook = attack.webhook

    def word(status, **more):
        time = format_time(instant(webhook.clock.now()))
        return {"messageId": THEIR_ID, "status": status, "timestamp": time, **more}

    if not is_certain:
        attack.do("claim")
    assert webhook.delivery(word("sent")) == ACCEPTED
    if is_certain:
        attack.append(MINE, Draft(EntryType.DISPATCHED, {"cxoneMessageId": THEIR_ID}, {"cxoneMessageId": THEIR_ID}))
    break_chain(webhook.ledger, webhook.clock, f"message#{MINE}", type_=EntryType.UNKNOWN)
    webhook.clock.advance(2 * WAIT.total_seconds())
    refusal = word("failed", error=REFUSAL, to=THEIR_NUMBER.e164)
    for _ in range(3):
        assert webhook.delivery(refusal)[0] == 200
        assert attack.consent_of(MY_NUMBER) is IN
        assert attack.consent_of(THEIR_NUMBER) is OUT
        webhook.clock.advance(600)


def test_a_gap_in_one_claimers_chain_keeps_no_event_from_another(monkeypatch):
    attack = Attack(monkeypatch, their_sender_dies=True)
    for step in ("claim", "their url"):
        attack.do(step)
    for number in (MY_NUMBER, THEIR_NUMBER):
        attack.webhook.clock.advance(0.1)
        time = format_time(instant(attack.webhook.clock.now()))
        event = {"messageId": THEIR_ID, "status": "delivered", "to": number.e164, "timestamp": time}
        assert attack.webhook.delivery(event) == ACCEPTED
    break_chain(attack.webhook.ledger, attack.webhook.clock, f"message#{MINE}", type_=EntryType.UNKNOWN)
    attack.webhook.clock.advance(2 * WAIT.total_seconds())
    attack.do("sweep")
    assert attack.status_of(THEIRS) is Status.DELIVERED


def test_a_carriers_refusal_opts_out_although_its_messages_chain_takes_no_entry(monkeypatch):
    webhook = Webhook(monkeypatch)
    webhook.manage.record(NUMBER, ConsentFromApi(IN, "form", None))
    type_, data = sending()
    sent = {**data, "recipient": NUMBER.masked, "recipientHash": HASH}
    Journal(webhook.ledger, webhook.clock).append(MESSAGE, lambda _: Draft(type_, sent))
    break_chain(webhook.ledger, webhook.clock, MESSAGE)
    refusal = {"messageId": "cx-1", "status": "failed", "error": "recipient opted out", "timestamp": INSTANT}
    status, _ = webhook.delivery(refusal, MESSAGE_ID)
    assert status == 500  # CXone sends it again
    assert webhook.consents.find(HASH).status is OUT
    assert [entry.sequence for entry in webhook.ledger.read(MESSAGE)] == [1, FAR]


def test_a_dead_senders_message_with_a_gap_keeps_nobody_from_the_others():
    ledger, clock, telemetry = FakeLedger(), FakeClock(), FakeTelemetry()
    type_, data = sending()
    Journal(ledger, clock).append(MESSAGE, lambda _: Draft(type_, data))
    break_chain(ledger, clock, MESSAGE, FAR, type_, **data)
    clock.advance(30 * 86_400)
    known = ledger.read(MESSAGE)
    trail = message_trail(ledger, clock, telemetry)
    assert trail.is_overdue(Message.of(known))
    assert trail.mark_overdue_unknown(MESSAGE, known) == known
    assert ledger.read(MESSAGE) == known


@pytest.mark.parametrize("last", [EntryType.RETRYING, EntryType.SENDING], ids=["to be sent again", "overdue"])
def test_a_bulk_record_whose_message_has_a_gap_waits_for_a_person(last):
    asked = BulkRecord("r", SmsRequest(NUMBER.e164, "Hello."), None)
    sent, world = World(), World()
    for each in (sent, world):
        each.opt(IN, NUMBER)
    sent.batch_sender()([asked], sent.within(60))
    (subject,) = (each for each in sent.ledger.subjects() if each.startswith("message#"))
    claim = sent.ledger.read(subject)[0]
    world.ledger.insert(claim)
    break_chain(world.ledger, world.clock, subject, FAR, last, **claim.data, error="rate_limited")
    world.clock.advance(3600)
    assert world.batch_sender()([asked], world.within(60)) == [Unusable("broken_chain")]
    assert [entry.sequence for entry in world.ledger.read(subject)] == [1, FAR]


class TestAlarm:
    @pytest.fixture
    def telemetry(self):
        return FakeTelemetry()

    @pytest.fixture
    def ledger(self, telemetry):
        return DynamoLedger(FakeDynamo(), "ledger", clock=FakeClock(), telemetry=telemetry)

    def test_a_chain_with_a_gap_is_counted_whenever_it_is_read(self, ledger, telemetry):
        Journal(ledger, FakeClock()).append(SUBJECT, lambda _: Draft(EntryType.EVENT, {}))
        ledger.read(SUBJECT)
        assert len(telemetry[Metric.BROKEN_CHAINS]) == 0
        break_chain(ledger, FakeClock(), SUBJECT)
        counted = len(telemetry[Metric.BROKEN_CHAINS])
        ledger.read(SUBJECT)
        assert len(telemetry[Metric.BROKEN_CHAINS]) == counted + 1

    def test_who_reads_a_message_or_a_batch_counts_its_gap(self, ledger, telemetry):
        read_batch = ReadBatch(ledger)
        reader = read_message(ledger, FakeClock(), telemetry)
        for place, subject in enumerate([MESSAGE, "batch#b"], start=1):
            Journal(ledger, FakeClock()).append(subject, lambda _: Draft(*sending(total=1)))
            break_chain(ledger, FakeClock(), subject)
            if subject == MESSAGE:
                assert reader(MESSAGE_ID).verified is False
            else:
                assert read_batch("b") == (1, {"queued": 1})
            assert telemetry[Metric.BROKEN_CHAINS] == [1] * place

    def test_a_gap_that_only_the_query_saw_is_none(self, ledger, telemetry):
        """A query is no snapshot: it may miss an entry that is appended meanwhile, and see the one after it."""
        for _ in range(3):
            Journal(ledger, FakeClock()).append(SUBJECT, lambda _: Draft(EntryType.EVENT, {}))

        def miss(operation, _, answer):
            ledger._client.spoil = lambda *_: None
            del answer["Items"][1]

        ledger._client.spoil = miss
        assert [entry.sequence for entry in ledger.read(SUBJECT)] == [1, 2, 3]
        assert len(telemetry[Metric.BROKEN_CHAINS]) == 0

    def test_a_sequence_that_is_no_whole_number_is_a_gap_too(self, ledger, telemetry):
        for _ in range(3):
            Journal(ledger, FakeClock()).append(SUBJECT, lambda _: Draft(EntryType.EVENT, {}))
        rows = ledger._client.rows
        rows[SUBJECT, 1.5] = {**json.loads(json.dumps(rows[SUBJECT, 1])), "sequence": {"N": "1.5"}}
        with pytest.raises(BrokenChainError) as raised:
            Journal(ledger, FakeClock()).append(SUBJECT, lambda _: Draft(EntryType.EVENT, {}))
        assert [entry.sequence for entry in raised.value.kept] == [1, 2, 3]
        assert len(telemetry[Metric.BROKEN_CHAINS])
