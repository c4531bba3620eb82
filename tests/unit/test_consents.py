from dataclasses import replace
from datetime import timedelta

import pytest

from cxone_messaging.domain.consents import Consent, ConsentStatus, consent_in, is_superseded, last_in_force, refusal
from cxone_messaging.domain.entries import Entry
from cxone_messaging.domain.errors import Code
from cxone_messaging.domain.times import format_time
from tests.building import START

CONSENT = Consent(
    recipient_hash="f" * 64,
    recipient="+*******4567",
    status=ConsentStatus.OPTED_IN,
    source="web form",
    campaign_id="summer",
    updated_at="2026-11-22T13:12:00.000Z",
    sequence=3,
)


def test_who_opted_in_may_be_sent_to():
    assert refusal(CONSENT) is None


@pytest.mark.parametrize(
    ("consent", "code"),
    [
        (None, Code.NOT_OPTED_IN),
        (Consent("f" * 64, "+*******4567", ConsentStatus.OPTED_OUT, "keyword", None, "", 4), Code.OPTED_OUT),
    ],
)
def test_who_did_not_or_no_longer_does_may_not(consent, code):
    refused = refusal(consent)
    assert refused is not None
    assert (refused.code, refused.field) == (code, "to")


def test_a_messages_entry_says_why_it_was_allowed_and_where_that_is_proven():
    assert CONSENT.for_message() == {
        "status": "opted_in",
        "source": "web form",
        "updatedAt": "2026-11-22T13:12:00.000Z",
        "sequence": 3,
    }


def said(status, *, at=None, through_api=None, certain=True, received=None):
    """Make an entry: of an event's own time, or of what our API was told at that time."""
    data = {"recipient": "+*******4567", "recipientHash": "f" * 64, "status": status, "source": "x"}
    if at is not None:
        data |= {"instant": time(at), "certain": certain}
    received = received if received is not None else through_api if through_api is not None else at
    return Entry("consent#f", 1, "consent", time(received), data, "", "")


def time(seconds):
    return format_time(START + timedelta(seconds=seconds))


IN, OUT = ConsentStatus.OPTED_IN, ConsentStatus.OPTED_OUT


@pytest.mark.parametrize(
    ("status", "at", "known", "passed_over"),
    [
        (OUT, 10, [], False),
        (IN, 10, [], False),
        # Events among themselves go by their own time; where it is the same, the opt-out counts.
        # An opt-out is older only where two clocks cannot differ so much.
        (OUT, 10, [said(IN, at=311)], True),
        (OUT, 10, [said(IN, at=310)], False),
        (OUT, 10, [said(IN, at=11)], False),
        (OUT, 10, [said(IN, at=311, certain=False)], False),
        (OUT, 10, [said(IN, at=311, received=300)], False),  # dated ahead of its receipt
        (OUT, 10, [said(OUT, at=311)], False),
        (OUT, 10, [said(IN, at=10)], False),
        (OUT, 10, [said(IN, at=9)], False),
        (IN, 10, [said(OUT, at=11)], True),
        (IN, 10, [said(OUT, at=10)], True),
        (IN, 10, [said(IN, at=10)], False),
        (IN, 10, [said(OUT, at=9)], False),
        (OUT, 10, [said(IN, at=311), said(IN, through_api=12)], True),
        # An opt-out counts whatever our API was told before, for nobody knows how CXone's clock is set.
        (OUT, -100_000, [said(IN, through_api=0)], False),
        # An opt-in only where it can't be older than an opt-out through the API.
        (IN, 10, [said(OUT, through_api=9)], False),
        (IN, 10, [said(OUT, through_api=15)], False),
        (IN, 10, [said(OUT, through_api=16)], True),
        (IN, 10, [said(IN, through_api=16)], False),
    ],
)
def test_a_word_that_is_older_than_what_was_said_since_is_passed_over(status, at, known, passed_over):
    assert is_superseded(status, time(at), known, is_certain=True) is passed_over


def test_what_was_passed_over_makes_nothing_else_be_passed_over():
    known = said(IN, at=320)
    ignored = replace(known, data={**known.data, "passedOver": True})
    assert is_superseded(OUT, time(10), [known], is_certain=True)
    assert not is_superseded(OUT, time(10), [known], is_certain=False)
    assert not is_superseded(OUT, time(10), [ignored], is_certain=True)
    assert consent_in(last_in_force([said(OUT, at=10), ignored])).status is OUT
    assert last_in_force([]) is None
