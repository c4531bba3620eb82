import re

import pytest

from cxone_messaging.domain.consents import Consent, ConsentStatus
from cxone_messaging.domain.entries import first_broken
from cxone_messaging.domain.errors import Code, MessagingError, StorageError
from cxone_messaging.domain.phone_numbers import PhoneNumber
from cxone_messaging.domain.pseudonyms import Pseudonyms
from cxone_messaging.use_cases.consents import ConsentFromApi
from functions.manage_consents.handler import manage_consents, number_in_path
from tests.fakes import FakeClock, FakeConsentStore, FakeLedger

NUMBER = PhoneNumber.parse("+15551234567")
HASH = Pseudonyms("pepper").recipient_hash(NUMBER)
SUBJECT = f"consent#{HASH}"
IN = ConsentFromApi(ConsentStatus.OPTED_IN, "web form", "summer")
OUT = ConsentFromApi(ConsentStatus.OPTED_OUT, "keyword", None)


class Desk:
    def __init__(self, consents=None):
        self.ledger = FakeLedger()
        self.consents = consents or FakeConsentStore()
        self.clock = FakeClock()
        self.manage = manage_consents(self.ledger, self.consents, Pseudonyms("pepper"), self.clock)


@pytest.fixture
def desk():
    return Desk()


def test_a_word_is_recorded_in_the_ledger_and_in_force(desk):
    consent = desk.manage.record(NUMBER, IN)
    (entry,) = desk.ledger.read(SUBJECT)
    assert consent == Consent(
        HASH, "+*******4567", ConsentStatus.OPTED_IN, "web form", "summer", entry.timestamp, entry.sequence
    )
    assert desk.manage.find(NUMBER) == consent
    assert entry.type == "consent"
    assert dict(entry.data) == {
        "recipient": "+*******4567",
        "recipientHash": HASH,
        "status": "opted_in",
        "source": "web form",
        "campaignId": "summer",
    }


def test_the_number_itself_stands_nowhere(desk):
    desk.manage.record(NUMBER, IN)
    stored = repr(desk.ledger.read(SUBJECT)) + repr(desk.consents.find(HASH))
    assert "5551234567" not in stored


def test_a_campaign_that_was_not_named_is_left_out(desk):
    desk.manage.record(NUMBER, OUT)
    assert "campaignId" not in desk.ledger.read(SUBJECT)[0].data


def test_the_latest_word_counts_and_all_are_kept(desk):
    for given in (IN, OUT, IN, OUT):
        desk.clock.advance(1)
        desk.manage.record(NUMBER, given)
    assert desk.manage.find(NUMBER).status is ConsentStatus.OPTED_OUT
    entries = desk.ledger.read(SUBJECT)
    assert [entry.data["status"] for entry in entries] == ["opted_in", "opted_out", "opted_in", "opted_out"]
    assert first_broken(SUBJECT, entries) is None


def test_another_number_has_another_consent(desk):
    desk.manage.record(NUMBER, IN)
    with pytest.raises(MessagingError) as raised:
        desk.manage.find(PhoneNumber.parse("+15551234568"))
    assert raised.value.code is Code.CONSENT_NOT_FOUND


def test_with_or_without_its_plus_sign_it_is_the_same_number(desk):
    desk.manage.record(PhoneNumber.parse("15551234567"), IN)
    assert desk.manage.find(NUMBER).status is ConsentStatus.OPTED_IN


def test_of_two_words_at_once_the_ledgers_later_one_counts():
    """The opt-out is later in the ledger, but its item is stored before the opt-in's."""

    class Overtaken(FakeConsentStore):
        def store(self, consent, **_):
            if consent.status is ConsentStatus.OPTED_IN:
                desk.manage.record(NUMBER, OUT)
            return super().store(consent)

    desk = Desk(Overtaken())
    desk.manage.record(NUMBER, IN)
    assert [entry.data["status"] for entry in desk.ledger.read(SUBJECT)] == ["opted_in", "opted_out"]
    assert desk.manage.find(NUMBER).status is ConsentStatus.OPTED_OUT


def test_the_ledger_comes_first():
    """A word may be in the ledger and not yet in force, but never in force without being in the ledger."""

    class Down(FakeConsentStore):
        def store(self, consent, **_):
            raise StorageError("down")

    desk = Desk(Down())
    with pytest.raises(StorageError):
        desk.manage.record(NUMBER, IN)
    assert len(desk.ledger.read(SUBJECT)) == 1

    class LedgerDown(FakeLedger):
        def insert(self, entry):
            raise StorageError("down")

    consents = FakeConsentStore()
    manage = manage_consents(LedgerDown(), consents, Pseudonyms("pepper"), FakeClock())
    with pytest.raises(StorageError):
        manage.record(NUMBER, IN)
    assert consents.find(HASH) is None


@pytest.mark.parametrize(
    "text", ["+15551234567", "15551234567", " 15551234567", "+1 (555) 123-4567", "0015551234567", "١٥٥٥١٢٣٤٥٦٧"]
)
def test_a_number_in_a_path(text):
    assert number_in_path(text) == NUMBER


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("", ""),
        ("+1555", ""),
        ("me", ""),
        ("%2B15551234567", ""),
        ("me +15551234567", ""),
        ("+15551234567, +15551234568", ""),
        ("2025550104", ": write +12025550104 or +2025550104"),
    ],
)
def test_a_path_that_names_no_number(text, meant):
    with pytest.raises(MessagingError) as raised:
        number_in_path(text)
    assert raised.value.code is Code.VALIDATION_FAILED
    assert [(error.code, error.field) for error in raised.value.errors] == [(Code.INVALID_RECIPIENT, "phoneNumber")]
    assert raised.value.errors[0].message.endswith(meant)
    assert not re.search("[0-9]", str(raised.value)), "it may be logged"
