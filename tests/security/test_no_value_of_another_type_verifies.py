"""A stored value exchanged for one of another of DynamoDB's types breaks its entry, however alike the two look."""

import pytest

from cli.audit.copy import Copy
from cli.audit.faults import Kind, chain_faults
from cxone_messaging.adapters.dynamodb.values import attributes_of, read, written
from cxone_messaging.domain.entries import Entry, EntryType, first_broken

FOREIGN = [
    {"SS": ["a"]},
    {"NS": ["1", "2"]},
    {"BS": [b"a"]},
    {"B": b"a"},
    {"N": "1.5"},
    {"N": "1E+2"},
    {"N": "-0.0"},
]
SUBJECT = "message#1"


def look_alikes(foreign):
    """Give all that the ledger could hold and that somebody might take for it, in Python's and JSON's writing."""
    ((kind, value),) = foreign.items()
    texts = {repr(value), str(value), repr(foreign), str(read(foreign)), kind}
    values = [value] if isinstance(value, str) else list(value) if isinstance(value, list) else []
    maps = [{kind: text} for text in texts] + [{kind: repr(value), "foreign": text} for text in ("0.5", "'0.5'", "")]
    return [*texts, [str(each) for each in values], *maps]


def entry_of(value, place):
    data = {"status": value} if place == "value" else {"deep": [{"status": value}]} if place == "deep" else value
    return Entry.following(
        None, subject=SUBJECT, type=EntryType.DELIVERY, timestamp="2026-11-22T12:00:00.000Z", data=data
    )


@pytest.mark.parametrize("place", ["value", "deep"])
@pytest.mark.parametrize("foreign", FOREIGN, ids=str)
def test_it_verifies_in_the_place_of_nothing(foreign, place):
    for value in look_alikes(foreign):
        genuine = entry_of(value, place)
        item = {name: written(each) for name, each in genuine.attributes().items()}
        assert first_broken(SUBJECT, [Entry.from_attributes(attributes_of(item))]) is None
        status = item["data"]["M"]["status"] if place == "value" else item["data"]["M"]["deep"]["L"][0]["M"]["status"]
        status.clear()
        status.update(foreign)
        stored = attributes_of(item)
        assert first_broken(SUBJECT, [Entry.from_attributes(stored)]) == 1, value
        copy = Copy()
        copy.add([stored])
        (chain,) = copy.chains()
        assert [fault.kind for fault in chain_faults(SUBJECT, chain.entries)] == [Kind.CHANGED]
        copy.close()


@pytest.mark.parametrize("name", ["data", "type", "timestamp", "previousHash", "hash", "batchId", "cxoneMessageId"])
@pytest.mark.parametrize("foreign", FOREIGN, ids=str)
def test_it_verifies_as_no_attribute_of_an_entry(foreign, name):
    for value in look_alikes(foreign):
        if name == "data":
            if not isinstance(value, dict):
                continue
            genuine = entry_of(value, "data")
        else:
            genuine = Entry.following(
                None,
                subject=SUBJECT,
                type=EntryType.DELIVERY,
                timestamp="2026-11-22T12:00:00.000Z",
                data={},
                index={"batchId": str(value), "cxoneMessageId": str(value)},
            )
        item = {key: written(each) for key, each in genuine.attributes().items()} | {name: foreign}
        assert first_broken(SUBJECT, [Entry.from_attributes(attributes_of(item))]) == 1


@pytest.mark.parametrize("value", ["a", "", 1, -5, 10**37, True, None, ["a", 1], {"a": {"b": []}}])
def test_what_the_ledger_holds_is_read_as_it_was_written(value):
    assert read(written(value)) == value
    assert type(read(written(value))) is type(value)
