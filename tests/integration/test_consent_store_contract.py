"""One contract for the consents, kept by the real store and by the stand-in that unit tests use."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from cxone_messaging.adapters.dynamodb.consents import DynamoConsentStore
from cxone_messaging.domain.consents import Consent, ConsentStatus
from cxone_messaging.domain.errors import StorageError
from tests.fakes import FakeConsentStore

CONSENT = Consent(
    recipient_hash="f" * 64,
    recipient="+*******4567",
    status=ConsentStatus.OPTED_IN,
    source="Formular “Größe”",
    campaign_id="summer",
    updated_at="2026-11-22T13:12:00.000Z",
    sequence=1,
)
OUT = replace(CONSENT, status=ConsentStatus.OPTED_OUT, campaign_id=None, source="keyword", sequence=2)


@pytest.fixture(params=["fake", "moto", "dynamodb"])
def store(request):
    if request.param == "fake":
        return FakeConsentStore()
    if request.param == "moto":
        return DynamoConsentStore(*request.getfixturevalue("moto").table("ConsentsTable"))
    return DynamoConsentStore(request.getfixturevalue("dynamodb"), request.getfixturevalue("consents_table"))


def test_who_never_said_anything_has_none(store):
    assert store.find(CONSENT.recipient_hash) is None


@pytest.mark.parametrize("consent", [CONSENT, OUT], ids=["with a campaign", "without"])
def test_what_is_stored_is_found_at_once(store, consent):
    store.store(consent)
    assert store.find(consent.recipient_hash) == consent


def test_recipients_have_consents_of_their_own(store):
    other = replace(OUT, recipient_hash="e" * 64)
    store.store(CONSENT)
    store.store(other)
    assert store.find("f" * 64) == CONSENT
    assert store.find("e" * 64) == other


def test_a_later_word_replaces_an_earlier_one_whole(store):
    store.store(CONSENT)
    store.store(OUT)
    assert store.find(CONSENT.recipient_hash) == OUT


def test_an_earlier_word_that_comes_late_changes_nothing(store):
    store.store(OUT)
    store.store(CONSENT)
    assert store.find(CONSENT.recipient_hash) == OUT


def test_one_that_is_stored_regardless_replaces_even_a_later_one(store):
    store.store(replace(CONSENT, sequence=10**37))
    store.store(OUT, regardless=True)
    assert store.find(CONSENT.recipient_hash) == OUT


def test_one_that_is_stored_ahead_of_its_entry_replaces_earlier_ones_only(store):
    store.store(CONSENT)
    store.store(replace(OUT, sequence=CONSENT.sequence), ahead=True)
    assert store.find(CONSENT.recipient_hash) == CONSENT
    store.store(OUT, ahead=True)
    assert store.find(CONSENT.recipient_hash) == OUT


def test_of_two_for_the_same_place_in_the_ledger_the_one_that_got_it_comes_later(store):
    store.store(replace(OUT, sequence=CONSENT.sequence))
    store.store(CONSENT)
    assert store.find(CONSENT.recipient_hash) == CONSENT


def test_places_are_numbers_and_not_texts(store):
    store.store(replace(CONSENT, sequence=9))
    store.store(replace(OUT, sequence=10))
    assert store.find(CONSENT.recipient_hash).sequence == 10


# moto does not make the writes of several threads wait for one another.
@pytest.mark.parametrize("store", ["fake", "dynamodb"], indirect=True)
def test_whoever_comes_first_the_latest_word_stays(store):
    words = [replace(CONSENT, source=str(sequence), sequence=sequence) for sequence in range(1, 33)]
    start = threading.Barrier(len(words))

    def run(word):
        start.wait()
        store.store(word)

    with ThreadPoolExecutor(len(words)) as pool:
        list(pool.map(run, words))
    assert store.find(CONSENT.recipient_hash) == words[-1]


def test_a_table_that_is_not_there_is_a_storage_error(dynamodb):
    nowhere = DynamoConsentStore(dynamodb, "nowhere")
    with pytest.raises(StorageError):
        nowhere.find(CONSENT.recipient_hash)
    with pytest.raises(StorageError):
        nowhere.store(CONSENT)
