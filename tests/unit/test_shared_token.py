"""A shared token that makes no sense is none: it is replaced, by no operator."""

import json

import pytest

from cxone_messaging.adapters.cxone.shared_token import MAX_LIFETIME_SECONDS, SharedToken, Token
from cxone_messaging.adapters.secrets import UnreadableSecretError
from cxone_messaging.domain.errors import StorageError
from tests.fakes import EPOCH, FakeClock, FakeSecretStore

GOOD = {"accessToken": "T", "generation": 3, "expiresAt": EPOCH + 3600, "refreshAt": EPOCH + 3480.5}


def read(text):
    return SharedToken(FakeSecretStore(token=text), "token", FakeClock()).read()


def test_what_was_written_is_read():
    token = Token.issued("T", 3, EPOCH, 3600)
    shared = SharedToken(FakeSecretStore(token="{}"), "token", FakeClock())
    shared.write(token)
    assert shared.read() == token


def test_a_byte_order_mark_is_skipped():
    assert read("\ufeff" + json.dumps(GOOD)) == Token("T", 3, EPOCH + 3600, EPOCH + 3480.5)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "{}",
        "null",
        "[]",
        "12",
        '"T"',
        "hush",
        "{",
        "\ufeff",
        "[" * 100_000,
        '{"generation": ' + "1" * 5000 + "}",
    ],
    ids=range(12),
)
def test_what_is_no_object_is_no_token(text):
    assert read(text) is None


@pytest.mark.parametrize("name", GOOD)
def test_without_one_of_its_names_it_is_no_token(name):
    assert read(json.dumps({key: value for key, value in GOOD.items() if key != name})) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("accessToken", each) for each in (None, "", 12, True, ["T"], "a b", "a\r\nX: y", "\u20ac")),
        *(("generation", each) for each in (None, "3", 3.5, True, 0, -1, 10**15, 10**16, 10**400, [3])),
        *(
            (name, each)
            for name in ("expiresAt", "refreshAt")
            for each in (None, "1e9", True, -1, float("nan"), float("inf"), -float("inf"), 10**400, [1], {})
        ),
        *((name, EPOCH + MAX_LIFETIME_SECONDS + 61) for name in ("expiresAt", "refreshAt")),
    ],
)
def test_a_value_that_can_not_be_is_no_token(name, value):
    assert read(json.dumps({**GOOD, name: value})) is None


def test_a_whole_number_of_seconds_is_a_time():
    assert read(json.dumps({**GOOD, "expiresAt": round(EPOCH) + 60})).expires_at == round(EPOCH) + 60


@pytest.mark.parametrize("error", [UnreadableSecretError("no text"), StorageError("throttled")])
def test_a_secret_without_a_text_is_no_token_but_a_store_that_fails_is_an_error(error):
    def fail(_):
        raise error

    secrets = FakeSecretStore()
    secrets.read = fail
    if isinstance(error, UnreadableSecretError):
        assert SharedToken(secrets, "token", FakeClock()).read() is None
    else:
        with pytest.raises(StorageError):
            SharedToken(secrets, "token", FakeClock()).read()


@pytest.mark.parametrize(
    ("lifetime", "lives", "refreshed_after"),
    [(3600, 3600, 3480), (60, 60, 30), (1, 30, 15), (0, 30, 15), (10**9, 86_400, 86_280), (float("nan"), 30, 15)],
)
def test_a_lifetime_is_between_half_a_minute_and_a_day(lifetime, lives, refreshed_after):
    token = Token.issued("T", 1, EPOCH, lifetime)
    assert (token.expires_at - EPOCH, token.refresh_at - EPOCH) == (lives, refreshed_after)


def test_it_never_shows_in_its_repr():
    assert "hush" not in repr(Token.issued("hush", 1, EPOCH, 60))
