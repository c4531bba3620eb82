import pytest

from cxone_messaging.domain.consents import Consent, ConsentStatus, refusal
from cxone_messaging.domain.errors import Code

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
    assert CONSENT.evidence() == {
        "status": "opted_in",
        "source": "web form",
        "updatedAt": "2026-11-22T13:12:00.000Z",
        "sequence": 3,
    }
