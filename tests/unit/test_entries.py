import json
from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cxone_messaging.domain.entries import FIRST_PREVIOUS_HASH, Entry, EntryType, first_broken
from tests.building import SUBJECT, at, chain

VECTOR = Entry.following(
    None,
    subject="message#1",
    type=EntryType.DISPATCHED,
    timestamp="2026-11-22T13:12:00.000Z",
    data={"segments": 2, "note": "Grüße € 😀", "flag": True, "error": None, "list": [1, "zwei"]},
    index={"cxoneMessageId": "cx-1"},
)
# Written by hand, and hashed by sha256sum.
CANONICAL = (
    '{"cxoneMessageId":"cx-1","data":{"error":null,"flag":true,"list":[1,"zwei"],"note":"Grüße € 😀","segments":2},'
    '"previousHash":"0000000000000000000000000000000000000000000000000000000000000000","sequence":1,'
    '"subject":"message#1","timestamp":"2026-11-22T13:12:00.000Z","type":"dispatched"}'
)
CANONICAL_HASH = "b199f3df531666b85a8fdcd3ecf2faaabd4f8747ad650e307686a47cf8763331"


def inside(inner):
    return st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)


# Two levels of lists and objects. `st.recursive`, which counts its leaves and tries again, takes half as long again.
plain = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8)
values = plain | inside(plain | inside(plain))
data = st.dictionaries(st.text(max_size=4), values, max_size=3)
chains = st.lists(st.tuples(st.sampled_from(EntryType), data), min_size=1, max_size=6).map(lambda told: chain(*told))


def test_an_entry_is_hashed_as_its_canonical_json():
    assert sha256(CANONICAL.encode()).hexdigest() == CANONICAL_HASH
    assert VECTOR.hash == VECTOR.computed_hash() == CANONICAL_HASH


def test_a_reader_who_knows_only_the_published_rule_comes_to_the_same_hash():
    entry = chain((EntryType.SENDING, {"a": "ß"}), (EntryType.DELIVERY, {"€": [True, None, -1]}))[1]
    sealed = {name: value for name, value in entry.attributes().items() if name != "hash"}
    text = json.dumps(sealed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert "ß" not in text
    assert "€" in text
    assert entry.hash == sha256(text.encode("utf-8")).hexdigest()


def test_entries_follow_each_other_from_one_without_gaps():
    first, second = chain((EntryType.SENDING, {}), (EntryType.UNKNOWN, {}))
    assert (first.sequence, first.previous_hash) == (1, "0" * 64)
    assert (second.sequence, second.previous_hash) == (2, first.hash)
    assert FIRST_PREVIOUS_HASH == "0" * 64


def test_stored_attributes_are_those_of_the_table():
    assert set(VECTOR.attributes()) == {
        *("subject", "sequence", "type", "timestamp", "data", "previousHash", "hash", "cxoneMessageId")
    }
    assert Entry.from_attributes(VECTOR.attributes()) == VECTOR


def test_index_keys_are_covered_by_the_hash():
    assert first_broken("message#1", [VECTOR]) is None
    assert first_broken("message#1", [replace(VECTOR, index={"cxoneMessageId": "cx-2"})]) == 1
    assert first_broken("message#1", [replace(VECTOR, index={})]) == 1
    assert first_broken("message#1", [replace(VECTOR, index={"cxoneMessageId": "cx-1", "added": "x"})]) == 1


def test_no_entries_are_a_chain_that_holds():
    assert first_broken(SUBJECT, []) is None


@pytest.mark.parametrize("name", [*VECTOR.attributes()])
@pytest.mark.parametrize("value", [None, 5, 1.5, True, [1], {}, {"a": 1}])
def test_an_attribute_of_another_type_can_be_shown_and_breaks_the_chain(name, value):
    entry = Entry.from_attributes({**VECTOR.attributes(), name: value})
    assert first_broken("message#1", [entry]) == 1


@pytest.mark.parametrize("name", [*VECTOR.attributes()])
def test_a_missing_attribute_breaks_the_chain(name):
    attributes = VECTOR.attributes()
    del attributes[name]
    assert first_broken("message#1", [Entry.from_attributes(attributes)]) == 1


def test_an_index_key_that_only_looks_the_same_breaks_the_chain():
    entry = Entry.following(
        None, subject=SUBJECT, type=EntryType.DISPATCHED, timestamp=at(0), data={}, index={"cxoneMessageId": "5"}
    )
    assert first_broken(SUBJECT, [entry]) is None
    assert first_broken(SUBJECT, [Entry.from_attributes({**entry.attributes(), "cxoneMessageId": 5})]) == 1


@given(chains)
def test_an_untouched_chain_holds_and_survives_storage(entries):
    stored = [Entry.from_attributes(json.loads(json.dumps(entry.attributes()))) for entry in entries]
    assert stored == entries
    assert first_broken(SUBJECT, stored) is None


ATTRIBUTES = {
    "subject": st.text(max_size=8),
    "sequence": st.integers(0, 9),
    "type": st.sampled_from(EntryType).map(str),
    "timestamp": st.integers(0, 10**6).map(at),
    "data": data,
    "previousHash": st.integers(0, 2**256 - 1).map("{:064x}".format),
    "hash": st.integers(0, 2**256 - 1).map("{:064x}".format),
}


@given(st.data(), chains, st.sampled_from(sorted(ATTRIBUTES)))
def test_a_changed_entry_is_found_where_it_stands(draw, entries, name):
    place = draw.draw(st.integers(0, len(entries) - 1))
    attributes = entries[place].attributes()
    changed = draw.draw(ATTRIBUTES[name])
    # As JSON: to Python, True is 1.
    assume(json.dumps(changed, sort_keys=True) != json.dumps(attributes[name], sort_keys=True))
    entries[place] = Entry.from_attributes({**attributes, name: changed})
    assert first_broken(SUBJECT, entries) == place + 1


@given(st.data(), chains, data)
def test_a_changed_entry_that_was_hashed_anew_breaks_the_next(draw, entries, changed):
    assume(len(entries) > 1)
    place = draw.draw(st.integers(0, len(entries) - 2))
    forged = replace(entries[place], data=changed)
    forged = replace(forged, hash=forged.computed_hash())
    assume(forged.hash != entries[place].hash)
    entries[place] = forged
    assert first_broken(SUBJECT, entries) == place + 2


@given(st.data(), chains)
def test_a_removed_entry_is_found(draw, entries):
    assume(len(entries) > 1)
    place = draw.draw(st.integers(0, len(entries) - 2))  # that the last one is missing shows in no chain
    del entries[place]
    assert first_broken(SUBJECT, entries) == place + 1


@given(st.data(), chains, data)
def test_an_inserted_entry_is_found(draw, entries, told):
    place = draw.draw(st.integers(0, len(entries) - 1))
    previous = entries[place - 1] if place else None
    inserted = Entry.following(previous, subject=SUBJECT, type=EntryType.DELIVERY, timestamp=at(0), data=told)
    assume(inserted.hash != entries[place].hash)
    entries.insert(place, inserted)
    assert first_broken(SUBJECT, entries) == place + 2


@given(st.data(), chains)
def test_swapped_entries_are_found(draw, entries):
    assume(len(entries) > 1)
    places = draw.draw(st.lists(st.integers(0, len(entries) - 1), min_size=2, max_size=2, unique=True))
    one, other = sorted(places)
    entries[one], entries[other] = entries[other], entries[one]
    assert first_broken(SUBJECT, entries) == one + 1


def test_a_gap_is_found_even_where_all_hashes_fit():
    first, second = chain((EntryType.SENDING, {}), (EntryType.UNKNOWN, {}))
    skipped = replace(second, sequence=3)
    skipped = replace(skipped, hash=skipped.computed_hash())
    assert first_broken(SUBJECT, [first, skipped]) == 2


def test_another_subjects_chain_is_found():
    assert first_broken("message#other", chain((EntryType.SENDING, {}))) == 1
