"""What token endpoints answer is read generously, and never quoted."""

import json

import pytest
import requests

from cxone_messaging.adapters.cxone.http import Answer
from cxone_messaging.adapters.cxone.sms_v2.token import TokenEndpoint
from cxone_messaging.domain.errors import Code, MessagingError, StorageError
from cxone_messaging.wiring import tokens
from cxone_messaging.wiring.sms_v2 import credentials
from tests.fakes import FakeClock, FakeSecretStore

GOOD = {"access_token": "hush", "token_type": "Bearer", "expires_in": 3600}


class Session:
    """Answers as told, and remembers what it was given."""

    def __init__(self, answer):
        self.answer = answer
        self.seconds = []

    def exchange(self, url, body, headers, seconds, *, must_read, may_read=(), method="POST"):
        self.seconds.append(seconds)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def fetch(answer, credentials=lambda: ("client", "secret")):
    return TokenEndpoint(Session(answer), "http://cxone.test/token", credentials)(5)


def ok(body):
    return Answer(200, {}, body if isinstance(body, bytes) else json.dumps(body).encode())


def refused(answer, **options):
    with pytest.raises(MessagingError) as caught:
        fetch(answer, **options)
    assert "hush" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("scope", "scopes"),
    [("a b", {"a", "b"}), (" a  b ", {"a", "b"}), ("", set()), (None, None), (["a"], None), (7, None)],
)
def test_scopes_are_a_text_with_blanks_between_them_or_not_named(scope, scopes):
    assert fetch(ok({**GOOD, "scope": scope})).scopes == (None if scopes is None else frozenset(scopes))
    assert fetch(ok(GOOD)).scopes is None


@pytest.mark.parametrize(
    ("expires_in", "seconds"),
    [
        *((each, 3600) for each in (3600, 3600.0, "3600", " 3600 ", "3.6e3")),
        (0.5, 0.5),
        (86_401, 86_400),
        *((each, 86_400) for each in (10**9, 10**400, "9" * 400, float("inf"), "inf", "1e999")),
        *((each, 300) for each in (None, "", "soon", 0, -1, "-3600", float("nan"), "nan", [], {}, [3600], -(10**400))),
    ],
)
def test_a_lifetime_is_a_number_or_its_text_five_minutes_if_unstated_and_a_day_at_most(expires_in, seconds):
    token = fetch(ok({**GOOD, "expires_in": expires_in}))
    assert (token.value, token.lifetime) == ("hush", seconds)


def test_a_lifetime_of_five_thousand_digits_is_a_day():
    body = b'{"access_token": "hush", "expires_in": ' + b"9" * 5000 + b"}"
    assert fetch(ok(body)).lifetime == 86_400


def test_a_lifetime_that_is_left_out_is_five_minutes():
    assert fetch(ok({"access_token": "hush", "token_type": "Bearer"})).lifetime == 300


@pytest.mark.parametrize("type_", ["bearer", "BEARER", " Bearer ", "BearerToken", "", None, 12, []])
def test_a_type_in_any_letter_case_or_none_is_a_bearer_tokens(type_):
    assert fetch(ok({**GOOD, "token_type": type_})).value == "hush"


@pytest.mark.parametrize("type_", ["mac", "DPoP", "N_A"])
def test_a_type_that_is_clearly_another_is_refused(type_):
    assert refused(ok({**GOOD, "token_type": type_})).code is Code.CXONE_UNAVAILABLE


def test_a_long_token_is_taken():
    assert len(fetch(ok({**GOOD, "access_token": "x" * 40_000})).value) == 40_000


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-8"])
def test_a_byte_order_mark_is_skipped(encoding):
    assert fetch(ok(json.dumps(GOOD).encode(encoding))).value == "hush"


@pytest.mark.parametrize("body", [b"<!doctype html><p>hush", b"\xef\xbb\xbf\r\n <html>hush"])
def test_html_with_200_is_a_failure_with_a_clear_word(body):
    error = refused(ok(body))
    assert (error.code, "HTML" in error.detail) == (Code.CXONE_UNAVAILABLE, True)


@pytest.mark.parametrize(
    "body", [b"", b"hush", b"[]", b"null", b"{}", b'"hush"', b"[" * 60_000, b"\xff\xfe\xfa", b"{hush"]
)
def test_what_is_no_token_is_a_failure(body):
    assert refused(ok(body)).code is Code.CXONE_UNAVAILABLE


@pytest.mark.parametrize("status", [400, 401, 403])
def test_refused_credentials(status):
    assert refused(Answer(status, {}, b"hush")).code is Code.CXONE_AUTH_FAILED


@pytest.mark.parametrize("status", [302, 404, 405, 429, 500, 503])
@pytest.mark.parametrize("wait", [None, 0.2, 60.0])
def test_every_other_status_is_a_failure_with_the_wait_that_cxone_asks_for(status, wait):
    error = refused(Answer(status, {}, b"hush", wait))
    assert (error.code, error.retry_after) == (Code.CXONE_UNAVAILABLE, {None: None, 0.2: 1, 60.0: 60}[wait])


@pytest.mark.parametrize("error", [requests.ConnectionError("hush"), OSError("hush"), ValueError("hush")])
def test_no_answer_is_a_failure_that_quotes_nothing(error):
    assert refused(error).code is Code.CXONE_UNAVAILABLE


@pytest.mark.parametrize("credentials", [("", ""), ("client", ""), ("", "secret")])
def test_without_credentials_nothing_is_requested(credentials):
    session = Session(ok(GOOD))
    with pytest.raises(MessagingError, match="check the credentials") as caught:
        TokenEndpoint(session, "http://cxone.test/token", lambda: credentials)(5)
    assert (caught.value.code, session.seconds) == (Code.CXONE_AUTH_FAILED, [])


def test_the_time_that_reading_the_credentials_took_is_not_there_for_the_fetch():
    clock, session = FakeClock(), Session(ok(GOOD))
    endpoint = TokenEndpoint(session, "http://cxone.test/token", lambda: (clock.sleep(7), ("a", "b"))[1], (), clock)
    endpoint(10)
    assert session.seconds == [3]
    with pytest.raises(StorageError):
        endpoint(7.2)
    assert len(session.seconds) == 1


@pytest.mark.parametrize(
    ("secret", "read"),
    [
        ('{"clientId": "a", "clientSecret": "b"}', ("a", "b")),
        ('\ufeff{"clientId": "a", "clientSecret": "b"}', ("a", "b")),
        ('{"clientId": null, "clientSecret": null}', ("", "")),
        ("{}", ("", "")),
    ],
)
def test_the_credentials_secret(monkeypatch, secret, read):
    monkeypatch.setattr(tokens.aws, "secrets_manager", lambda: None)
    monkeypatch.setattr(tokens, "SecretsManagerStore", lambda _: FakeSecretStore(credentials=secret))
    assert credentials("credentials")() == read
