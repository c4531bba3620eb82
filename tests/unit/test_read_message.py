from dataclasses import replace

import pytest

from cxone_messaging.domain.entries import Draft, Entry, EntryType, first_broken
from cxone_messaging.domain.errors import Code, MessagingError
from cxone_messaging.domain.messages import Status
from cxone_messaging.domain.times import format_time
from cxone_messaging.platform.clock import instant
from cxone_messaging.platform.telemetry import Metric
from cxone_messaging.use_cases.journal import Journal
from functions.read_ledger.handler import read_message
from tests.building import MESSAGE_ID, SUBJECT, delivery, dispatched, outcome, sending
from tests.fakes import FakeClock, FakeLedger, FakeTelemetry


class TamperedLedger(FakeLedger):
    """A ledger whose entries somebody rewrites behind its back."""

    def __init__(self):
        super().__init__()
        self.rewrite = lambda entries: entries

    def read(self, subject):
        return self.rewrite(super().read(subject))


class Desk:
    def __init__(self):
        self.ledger = TamperedLedger()
        self.clock = FakeClock()
        self.telemetry = FakeTelemetry()
        self.read = read_message(self.ledger, self.clock, self.telemetry)

    def write(self, *told):
        for type_, data in told:
            draft = Draft(type_, data)
            Journal(self.ledger, self.clock).append(SUBJECT, lambda _, draft=draft: draft)

    def sending(self, seconds):
        """Begin a send that has that many seconds to end."""
        type_, data = sending()
        self.write((type_, {**data, "deadline": format_time(instant(self.clock.now() + seconds))}))


@pytest.fixture
def desk():
    return Desk()


def test_a_message_is_shown_with_its_verified_entries(desk):
    desk.write(sending(), dispatched(), delivery("delivered"))
    read = desk.read(MESSAGE_ID)
    assert read.message.status is Status.DELIVERED
    assert [entry.type for entry in read.entries] == ["sending", "dispatched", "delivery"]
    assert read.verified is True


@pytest.mark.parametrize(
    ("entries", "posted", "collected"),
    [
        ([sending(), dispatched()], [False, False], [False, True]),
        ([sending(), outcome(EntryType.UNKNOWN, "x")], [False, False], [False, True]),
        ([sending(), outcome(EntryType.RETRYING, "x")], [False, False], [False, False]),
        ([sending(), dispatched(), delivery("delivered")], [True, True], [True, True]),
        ([sending(), dispatched(), delivery("undelivered")], [True, True], [True, True]),
        ([sending(), outcome(EntryType.REJECTED, "x")], [True, True], [True, True]),
    ],
)
def test_a_status_is_final_when_no_receipt_can_change_it(desk, entries, posted, collected):
    """At once, and after more than a day: then no receipt is collected any more."""
    collecting = read_message(desk.ledger, desk.clock, desk.telemetry, receipts_are_collected=True)
    desk.write(*entries)
    found = [(desk.read(MESSAGE_ID).is_final, collecting(MESSAGE_ID).is_final)]
    desk.clock.advance(86_401)
    found.append((desk.read(MESSAGE_ID).is_final, collecting(MESSAGE_ID).is_final))
    assert found == list(zip(posted, collected, strict=True))


def test_an_unknown_id_is_not_found(desk):
    with pytest.raises(MessagingError) as raised:
        desk.read("msg_none")
    assert raised.value.code is Code.MESSAGE_NOT_FOUND
    assert len(desk.ledger) == 0


@pytest.mark.parametrize("seconds", [-3600, -0.001])
def test_an_overdue_send_is_settled_as_unknown(desk, seconds):
    desk.sending(seconds)
    read = desk.read(MESSAGE_ID)
    assert (read.message.status, read.message.error, read.verified) == (Status.UNKNOWN, "outcome_unknown", True)
    assert [entry.type for entry in read.entries] == ["sending", "unknown"]
    assert read.entries[-1].data["reason"] == "deadline_passed"
    assert first_broken(SUBJECT, desk.ledger.read(SUBJECT)) is None
    assert desk.telemetry[Metric.MESSAGES_UNKNOWN] == [1]
    again = desk.read(MESSAGE_ID)
    assert again == read
    assert desk.telemetry[Metric.MESSAGES_UNKNOWN] == [1]


@pytest.mark.parametrize("seconds", [0, 0.001, 30])
def test_a_send_that_still_has_time_is_left_alone(desk, seconds):
    desk.sending(seconds)
    assert desk.read(MESSAGE_ID).message.status is Status.SENDING
    assert len(desk.ledger) == 1
    assert desk.telemetry.values == {}


@pytest.mark.parametrize(
    "settled",
    [
        dispatched(),
        outcome(EntryType.REJECTED, "cxone_rejected"),
        outcome(EntryType.RETRYING, "rate_limited"),
        delivery("sent"),
    ],
    ids=lambda told: told[0],
)
def test_what_is_no_longer_sending_is_never_overdue(desk, settled):
    desk.sending(-3600)
    desk.write(settled)
    desk.read(MESSAGE_ID)
    assert len(desk.ledger) == 2


def test_a_sender_that_speaks_at_the_last_moment_is_heard(desk):
    desk.sending(-1)
    reads = []

    def speak(entries):
        reads.append(entries)
        if len(reads) == 1:
            desk.write(dispatched())
        return entries

    desk.ledger.rewrite = speak
    read = desk.read(MESSAGE_ID)
    assert read.message.status is Status.DISPATCHED
    assert [entry.type for entry in read.entries] == ["sending", "dispatched"]
    assert desk.telemetry[Metric.MESSAGES_UNKNOWN] == []


def test_of_two_readers_who_settle_it_at_once_one_does_and_counts_it(desk):
    desk.sending(-1)
    others = read_message(desk.ledger, FakeClock(desk.clock.now() + 1), desk.telemetry)

    def settle_first(entries):
        desk.ledger.rewrite = lambda entries: entries
        others(MESSAGE_ID)
        return entries

    desk.ledger.rewrite = settle_first
    assert desk.read(MESSAGE_ID).message.status is Status.UNKNOWN
    assert len(desk.ledger) == 2
    assert desk.telemetry[Metric.MESSAGES_UNKNOWN] == [1]


def changed(place, **attributes):
    """Rewrite one entry's attributes, as somebody with a console would."""

    def rewrite(entries):
        entries[place] = Entry.from_attributes({**entries[place].attributes(), **attributes})
        return entries

    return rewrite


def without(place):
    return lambda entries: entries[:place] + entries[place + 1 :]


def swapped(entries):
    return [entries[1], entries[0], *entries[2:]]


def doubled(entries):
    return [entries[0], *entries]


def rehashed(entries):
    """Change an entry and hash it anew: the one after it gives it away."""
    forged = replace(entries[0], data={**entries[0].data, "recipientHash": "e" * 64})
    return [replace(forged, hash=forged.computed_hash()), *entries[1:]]


TAMPERINGS = {
    "another time": changed(0, timestamp="2020-01-01T00:00:00.000Z"),
    "another status": changed(2, data={"word": "delivered", "status": "delivered"}),
    "less data": changed(2, data={}),
    "another type": changed(1, type="rejected"),
    "no type of ours": changed(2, type="invented"),
    "no text as its type": changed(2, type=None),
    "no data": changed(0, data=None),
    "a word that is none": changed(2, type="delivery", data={"word": ["failed"], "instant": 5}),
    "fractions of a place": changed(2, sequence="1.5"),
    "no time": changed(1, timestamp="never"),
    "no instant": changed(2, data={"word": "failed", "instant": "never"}),
    "an index key": changed(1, cxoneMessageId="cx-9"),
    "another hash": changed(1, hash="0" * 64),
    "removed": without(0),
    "removed within": without(1),
    "swapped": swapped,
    "inserted": doubled,
    "hashed anew": rehashed,
}


@pytest.mark.parametrize("tampering", TAMPERINGS.values(), ids=list(TAMPERINGS))
@pytest.mark.parametrize("last", [delivery("failed"), outcome(EntryType.UNKNOWN, "x")], ids=["event", "outcome"])
def test_a_tampered_chain_is_shown_unverified(desk, last, tampering):
    desk.write(sending(), dispatched(), last)
    desk.ledger.rewrite = tampering
    read = desk.read(MESSAGE_ID)
    assert read.verified is False
    assert read.entries == desk.ledger.read(SUBJECT)


def test_nothing_is_appended_to_a_tampered_chain(desk):
    desk.sending(-3600)
    desk.ledger.rewrite = changed(0, timestamp="2020-01-01T00:00:00.000Z")
    read = desk.read(MESSAGE_ID)
    assert (read.message.status, read.verified) == (Status.SENDING, False)
    assert len(desk.ledger) == 1
    assert desk.telemetry.values == {}
