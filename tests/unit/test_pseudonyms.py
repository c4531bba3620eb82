import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxone_messaging.domain.phone_numbers import PhoneNumber
from cxone_messaging.domain.pseudonyms import Pseudonyms
from cxone_messaging.domain.sms import SmsRequest

NUMBER = "+15551234567"
PSEUDONYMS = Pseudonyms("pepper")


def all_of(text, pseudonyms=PSEUDONYMS):
    """Name the same text as each kind of thing that it could be."""
    return {
        "recipient": pseudonyms.recipient_hash(PhoneNumber(text)),
        "text": pseudonyms.text_hash(text),
        "message": pseudonyms.message_id(text),
        "request": pseudonyms.fingerprint(SmsRequest(to=text)),
    }


def test_they_are_what_openssl_makes_of_the_same():
    # printf '%s' ... | openssl dgst -sha256 -hmac pepper
    told = all_of(NUMBER)
    assert told["recipient"] == "ccf9b333d7a9d744ac15feac9e79b15a0f0d5a4195e3709b0d2352ea79d32ba4"
    assert told["text"] == "40bdf69117fc607790b24a36a6c8281fe1d0759ba86692683c160675ddf22580"
    assert told["message"] == "msg_23d8b395e2eb8cbfd3d484a935d07d9a"


@pytest.mark.parametrize("algorithm", sorted(hashlib.algorithms_guaranteed - {"shake_128", "shake_256"}))
def test_none_is_a_bare_hash(algorithm):
    written = [NUMBER, NUMBER[1:], "text:" + NUMBER, "key:" + NUMBER, "pepper" + NUMBER, NUMBER + "pepper"]
    bare = [hashlib.new(algorithm, text.encode(), usedforsecurity=False).hexdigest() for text in written]
    for name in all_of(NUMBER).values():
        assert not any(name.removeprefix("msg_")[:16] in hash_ for hash_ in bare)


def test_none_holds_what_it_names():
    for name in all_of(NUMBER).values():
        assert NUMBER[1:] not in name
        assert NUMBER[-7:] not in name


@given(st.text(max_size=20))
def test_the_kinds_are_separate(text):
    told = [name.removeprefix("msg_")[:32] for name in all_of(text).values()]
    assert len(set(told)) == len(told)


@given(st.text(max_size=20))
def test_another_pepper_gives_other_names(text):
    mine, theirs = all_of(text), all_of(text, Pseudonyms("salt"))
    assert all(mine[kind] != theirs[kind] for kind in mine)
    assert all_of(text, Pseudonyms("pepper")) == mine


def test_the_form_of_a_recipients_hash_and_of_a_message_id():
    assert len(PSEUDONYMS.recipient_hash(PhoneNumber(NUMBER))) == 64
    assert len(PSEUDONYMS.message_id("key")) == len("msg_") + 32


def test_different_keys_name_different_messages():
    keys = ["", "a", "A", "a ", "á", "a\u0301", "\ud800", "\ud801", "a" * 255]
    assert len({PSEUDONYMS.message_id(key) for key in keys}) == len(keys)


requests = st.builds(
    SmsRequest,
    to=st.text("+12", max_size=3),
    text=st.text('a,"\\', max_size=3),
    campaign_id=st.none() | st.text('a,"', max_size=2),
    sender=st.none() | st.text('a,"', max_size=2),
)


@given(requests, requests)
def test_a_fingerprint_covers_all_that_was_asked(one, other):
    assert (PSEUDONYMS.fingerprint(one) == PSEUDONYMS.fingerprint(other)) == (one == other)


def test_a_fingerprint_tells_fields_apart():
    asked = [
        SmsRequest(to="a", text=""),
        SmsRequest(to="", text="a"),
        SmsRequest(campaign_id="a"),
        SmsRequest(sender="a"),
        SmsRequest(),
        SmsRequest(campaign_id=""),
        SmsRequest(text="null"),
        SmsRequest(text="\ud800"),
    ]
    assert len({PSEUDONYMS.fingerprint(each) for each in asked}) == len(asked)
