"""Claim: an event puts in force only the consent entry that it appended, or finds as its own.

The attacker here can insert into the ledger under `consent#…`, with a chain that verifies, and cannot write consents.
"""

import itertools

import pytest

from cxone_messaging.domain.consents import ConsentStatus
from cxone_messaging.domain.entries import Draft, EntryType, first_broken
from cxone_messaging.domain.errors import StorageError
from cxone_messaging.domain.phone_numbers import PhoneNumber
from cxone_messaging.domain.pseudonyms import Pseudonyms
from cxone_messaging.platform.clock import instant as moment
from cxone_messaging.use_cases.consents import ConsentFromApi, ConsentFromEvent
from functions.manage_consents.handler import manage_consents
from tests.fakes import FakeClock, FakeConsentStore, FakeLedger

NUMBER, OTHER = PhoneNumber.parse("+15551234567"), PhoneNumber.parse("+15551234568")
HASH, OTHER_HASH = (Pseudonyms("pepper").recipient_hash(each) for each in (NUMBER, OTHER))
SUBJECT = f"consent#{HASH}"
IN, OUT = ConsentStatus.OPTED_IN, ConsentStatus.OPTED_OUT


class BreaksOff(FakeConsentStore):
    """Consents whose writes fail while `down`."""

    down = False

    def store(self, consent, **options):
        if self.down:
            raise StorageError("down")
        return super().store(consent, **options)


class Desk:
    def __init__(self):
        self.ledger, self.consents, self.clock = FakeLedger(), BreaksOff(), FakeClock()
        self.manage = manage_consents(self.ledger, self.consents, Pseudonyms("pepper"), self.clock)

    def hear(self, status, event_id, second=0):
        return self.manage.record_event(NUMBER, ConsentFromEvent(status, "message.inbound", event_id, instant(second)))

    def forge(self, **data):
        """Insert an entry that verifies at the end of the recipient's chain."""
        said = {"recipient": NUMBER.masked, "recipientHash": HASH, "status": "opted_in", "source": "forged", **data}
        known = self.ledger.read(SUBJECT)
        self.ledger.insert(Draft(EntryType.CONSENT, said).following(known, SUBJECT, moment(self.clock.now())))
        assert first_broken(SUBJECT, self.ledger.read(SUBJECT)) is None

    def status(self, recipient_hash=HASH):
        consent = self.consents.find(recipient_hash)
        return consent and consent.status


def instant(second):
    return f"2026-11-18T13:06:{second:02}.000Z"


@pytest.fixture
def desk():
    return Desk()


@pytest.mark.parametrize("repeated", [1, 2], ids=["the opt-in again", "the opt-out again"])
@pytest.mark.parametrize(
    "forged",
    [
        {},
        {"eventId": "stop"},
        {"eventId": "start"},
        {"eventId": "stop", "instant": instant(9)},
        {"eventId": "other", "instant": instant(9)},
        {"campaignId": "summer"},
    ],
    ids=str,
)
def test_an_entry_that_somebody_inserted_is_never_put_in_force_by_a_repeated_event(desk, forged, repeated):
    words = {1: (IN, "start", 1), 2: (OUT, "stop", 2)}
    for word in words.values():
        assert desk.hear(*word)
    desk.forge(**forged)
    assert not desk.hear(*words[repeated])
    assert desk.status() is OUT


def test_not_even_by_all_events_that_ever_came_in_any_order(desk):
    words = [(IN, "first", 1), (OUT, "second", 2), (IN, "third", 3), (OUT, "fourth", 4)]
    for word in words:
        desk.hear(*word)
        desk.forge()
    for order in itertools.permutations(words):
        for word in order:
            assert not desk.hear(*word)
            assert desk.status() is OUT


def test_an_entry_that_bears_an_events_id_and_names_somebody_else_is_not_the_events(desk):
    desk.manage.record(OTHER, ConsentFromApi(OUT, "form", None))
    desk.forge(eventId="start", recipientHash=OTHER_HASH)
    assert desk.hear(IN, "start")
    assert (desk.status(), desk.status(OTHER_HASH)) == (IN, OUT)


def test_an_entry_that_bears_a_stops_id_does_not_make_the_stop_a_repeated_one(desk):
    desk.manage.record(NUMBER, ConsentFromApi(IN, "form", None))
    desk.forge(eventId="stop")
    assert desk.hear(OUT, "stop")
    assert desk.status() is OUT


@pytest.mark.parametrize("status", [IN, OUT])
def test_an_attempt_that_broke_off_is_repaired_by_the_same_event(desk, status):
    desk.manage.record(NUMBER, ConsentFromApi(OUT if status is IN else IN, "form", None))
    desk.consents.down = True
    with pytest.raises(StorageError):
        desk.hear(status, "event")
    desk.consents.down = False
    desk.hear(status, "event")
    assert desk.status() is status
    assert not desk.hear(status, "event")


def test_an_opt_in_that_broke_off_is_not_repaired_over_a_later_opt_out(desk):
    desk.manage.record(NUMBER, ConsentFromApi(OUT, "form", None))
    desk.consents.down = True
    with pytest.raises(StorageError):
        desk.hear(IN, "start")
    with pytest.raises(StorageError):
        desk.manage.record(NUMBER, ConsentFromApi(OUT, "form", None))
    desk.consents.down = False
    assert not desk.hear(IN, "start")
    assert desk.status() is OUT


def test_an_opt_out_that_broke_off_is_repaired_although_somebody_inserted_an_opt_in_behind_it(desk):
    """The entry before claims that an opt-out is in force already, so the item is stored only afterwards."""
    desk.manage.record(NUMBER, ConsentFromApi(IN, "form", None))
    desk.forge(status="opted_out", eventId="forged", instant=instant(0))
    desk.consents.down = True
    with pytest.raises(StorageError):
        desk.hear(OUT, "stop", 1)
    desk.forge()
    desk.consents.down = False
    assert desk.status() is IN
    assert not desk.hear(OUT, "stop", 1)
    assert desk.status() is OUT


def test_what_the_api_records_puts_its_own_entry_in_force(desk):
    desk.hear(OUT, "stop")
    desk.forge()
    assert desk.manage.record(NUMBER, ConsentFromApi(OUT, "form", None)).source == "form"
    assert desk.status() is OUT
