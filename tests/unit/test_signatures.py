import hmac

import pytest

from cxone_messaging.domain.signatures import (
    TOLERANCE_SECONDS,
    body_is_signed,
    carries_signature,
    reference_is_signed,
    sign_reference,
)

# All made by `openssl dgst -sha256 -hmac aa11`.
SECRET = "aa11"
REFERENCE = "msg_0123456789abcdef"
REFERENCE_SIGNATURE = "192fa72eb52692b4881c0d7a06f1a2a8ced138211f20ab718938d686f0adbf0c"
BODY = b'{"messageId":"cx-1"}'
BODY_SIGNATURE = "6242b54da762eecb97dfa19ff462f6bd04ec92a2fcb0717be3ef1081068d8550"
TIMESTAMP = 1_795_000_000
TIMED_SIGNATURE = "b18a8fd4903bf7ac908a08b48be77b52c39913531ac510c02e612ba4c615a900"
RAW_BODY = b'\xff\xfe\x00{"a"'
RAW_SIGNATURE = "648b1b87a99e85c6f0d062cc4184b54d53eaa565486919259aded94849845db9"


def signed(signature, timestamp=None):
    headers = {"x-cxone-signature": f"sha256={signature}"}
    return headers if timestamp is None else {**headers, "x-cxone-timestamp": timestamp}


def accepts(headers, body=BODY, now=TIMESTAMP, secrets=(SECRET,)):
    return body_is_signed(secrets, headers, body, now)


def test_the_callback_urls_vector():
    assert sign_reference(SECRET, REFERENCE) == REFERENCE_SIGNATURE
    assert reference_is_signed([SECRET], REFERENCE, REFERENCE_SIGNATURE)


@pytest.mark.parametrize(
    ("reference", "signature"),
    [
        (REFERENCE + "0", REFERENCE_SIGNATURE),
        (REFERENCE, REFERENCE_SIGNATURE[:-1] + "d"),
        (REFERENCE, REFERENCE_SIGNATURE[:-1]),
        (REFERENCE, REFERENCE_SIGNATURE.upper()),
        (REFERENCE, ""),
        (REFERENCE, "sígn"),
        (REFERENCE, "\ud800"),
        (REFERENCE, REFERENCE_SIGNATURE + "\n"),
        ("\ud800", REFERENCE_SIGNATURE),
        ("", REFERENCE_SIGNATURE),
    ],
)
def test_any_other_callback_url_is_refused(reference, signature):
    assert not reference_is_signed([SECRET], reference, signature)


def test_the_bodys_vector():
    assert accepts(signed(BODY_SIGNATURE))


def test_the_timed_bodys_vector():
    assert accepts(signed(TIMED_SIGNATURE, str(TIMESTAMP)))


def test_bytes_beyond_text_are_signed_as_they_are():
    assert accepts(signed(RAW_SIGNATURE), body=RAW_BODY)
    assert not accepts(signed(RAW_SIGNATURE), body=RAW_BODY.decode("utf-8", "replace").encode())


@pytest.mark.parametrize("age", [0, TOLERANCE_SECONDS, -TOLERANCE_SECONDS])
def test_a_timestamp_within_five_minutes_is_recent(age):
    assert TOLERANCE_SECONDS == 300
    assert accepts(signed(TIMED_SIGNATURE, str(TIMESTAMP)), now=TIMESTAMP + age)


@pytest.mark.parametrize("age", [TOLERANCE_SECONDS + 1, -TOLERANCE_SECONDS - 1, TOLERANCE_SECONDS + 0.5, 1e9])
def test_an_older_or_later_timestamp_is_refused(age):
    assert not accepts(signed(TIMED_SIGNATURE, str(TIMESTAMP)), now=TIMESTAMP + age)


def test_a_timestamp_is_part_of_what_is_signed():
    assert not accepts(signed(TIMED_SIGNATURE, str(TIMESTAMP + 1)))
    assert not accepts(signed(BODY_SIGNATURE, str(TIMESTAMP)))
    assert not accepts(signed(TIMED_SIGNATURE))


@pytest.mark.parametrize(
    "timestamp",
    [
        "",
        " 1795000000",
        "1795000000 ",
        "+1795000000",
        "-1795000000",
        "1795000000.0",
        "1_795_000_000",
        "1e9",
        "١٧٩٥٠٠٠٠٠٠",  # Arabic-Indic digits, which int() takes
        "１７９５００００００",  # noqa: RUF001  full width
        "²",
        "nan",
        "9" * 12,
        "9" * 5000,  # more than int() takes
        "\ud800",
    ],
)
def test_a_timestamp_of_any_other_form_is_refused(timestamp):
    # Signed as told, so that nothing but its form can be what it is refused for.
    payload = timestamp.encode("utf-8", "surrogatepass") + b"." + BODY
    signature = hmac.new(SECRET.encode(), payload, "sha256").hexdigest()
    assert not accepts(signed(signature, timestamp))


@pytest.mark.parametrize(
    "signature",
    [
        "",
        BODY_SIGNATURE,
        f"sha256={BODY_SIGNATURE.upper()}",
        f"SHA256={BODY_SIGNATURE}",
        f"sha256= {BODY_SIGNATURE}",
        f"sha256={BODY_SIGNATURE} ",
        f"sha256={BODY_SIGNATURE[:-1]}",
        f"sha256={BODY_SIGNATURE[:-1]}1",
        f"sha1={BODY_SIGNATURE}",
        "sha256=",
        "sha256=ünïcode",
        "sha256=\ud800",
        f"sha256={BODY_SIGNATURE},sha256={BODY_SIGNATURE}",
    ],
)
def test_a_signature_of_any_other_form_is_refused(signature):
    assert not accepts({"x-cxone-signature": signature})


def test_another_body_is_refused():
    assert not accepts(signed(BODY_SIGNATURE), body=BODY + b" ")
    assert not accepts(signed(BODY_SIGNATURE), body=b"")


def test_a_timestamp_alone_is_no_signature():
    assert not accepts({"x-cxone-timestamp": str(TIMESTAMP)})
    assert not accepts({})


def test_the_previous_secret_still_counts():
    assert accepts(signed(BODY_SIGNATURE), secrets=("bb22", SECRET))
    assert reference_is_signed(["bb22", SECRET], REFERENCE, REFERENCE_SIGNATURE)


def test_a_secret_that_is_no_longer_accepted_does_not():
    assert not accepts(signed(BODY_SIGNATURE), secrets=("bb22",))
    assert not accepts(signed(BODY_SIGNATURE), secrets=())
    assert not reference_is_signed(["bb22"], REFERENCE, REFERENCE_SIGNATURE)
    assert not reference_is_signed([], REFERENCE, REFERENCE_SIGNATURE)


@pytest.mark.parametrize(
    ("headers", "claims"),
    [
        ({}, False),
        ({"x-cxone-signature": ""}, True),
        ({"x-cxone-signature": "sha256=00"}, True),
        ({"x-cxone-timestamp": "1"}, True),
        ({"content-type": "application/json"}, False),
    ],
)
def test_what_claims_to_be_signed(headers, claims):
    assert carries_signature(headers) is claims
