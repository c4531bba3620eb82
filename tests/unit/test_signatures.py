import base64
import hmac

import pytest

from cxone_messaging.domain.signatures import (
    TOLERANCE_SECONDS,
    body_is_signed,
    carries_signature,
    is_within_limits,
    reference_is_signed,
    sign_reference,
)

# All made by `openssl dgst -sha256 -hmac aa11`.
SECRET = "aa11"
REFERENCE = "msg_0123456789abcdef0123456789abcdef"  # of "callback-url:/webhooks/cxone/sms:" and this
REFERENCE_SIGNATURE = "6eeef466412ff5a9f30184cc882bf981034ca39c0a84ea6f9c6569dd042f598e"
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


def test_a_body_is_signed_as_openssl_does_it():
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
        ({"webhook-id": "msg_1"}, True),
        ({"webhook-signature": "v1,x"}, True),
        ({"webhook-timestamp": "1"}, True),
        ({"content-type": "application/json"}, False),
    ],
)
def test_what_claims_to_be_signed(headers, claims):
    assert carries_signature(headers) is claims


# The vector of the Standard Webhooks specification; ours is the hex of what its secret encodes.
STANDARD_SECRET = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").hex()
STANDARD_BODY = b'{"test": 2432232314}'
STANDARD_TIME = 1614265330
STANDARD_SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
STANDARD = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": str(STANDARD_TIME),
    "webhook-signature": STANDARD_SIGNATURE,
}


class TestStandardWebhooks:
    def accepts(self, headers=None, body=STANDARD_BODY, now=STANDARD_TIME, secrets=(STANDARD_SECRET,)):
        return body_is_signed(secrets, {**STANDARD, **(headers or {})}, body, now)

    def test_the_specifications_own_example_is_accepted(self):
        assert self.accepts()

    def test_the_previous_secret_still_counts(self):
        assert self.accepts(secrets=("bb" * 32, STANDARD_SECRET))
        assert not self.accepts(secrets=("bb" * 32,))
        assert not self.accepts(secrets=())

    @pytest.mark.parametrize(
        "signatures",
        [
            f"v1,AAAA {STANDARD_SIGNATURE}",
            f"{STANDARD_SIGNATURE} v1,AAAA",
            f"v1a,{STANDARD_SIGNATURE} {STANDARD_SIGNATURE}",
            f"v2,x  {STANDARD_SIGNATURE}",
        ],
    )
    def test_one_of_several_signatures_is_enough(self, signatures):
        assert self.accepts({"webhook-signature": signatures})

    @pytest.mark.parametrize(
        "signatures",
        [
            "",
            "v1,",
            "v1",
            STANDARD_SIGNATURE.removeprefix("v1,"),
            STANDARD_SIGNATURE.replace("v1", "v2"),
            STANDARD_SIGNATURE.replace("v1", "v1a"),
            STANDARD_SIGNATURE[:-1],
            STANDARD_SIGNATURE.replace("g0", "g1"),
            STANDARD_SIGNATURE.lower(),
            "v1,ünïcode",
            "v1,\ud800",
            "v1,!!!not base64!!!",
            f"v1,AAAA\t{STANDARD_SIGNATURE}",
        ],
    )
    def test_a_signature_of_any_other_form_is_refused(self, signatures):
        assert not self.accepts({"webhook-signature": signatures})

    @pytest.mark.parametrize("id_", ["", "msg_other", "msg_p5jXN8AQM9LWM0D4loKWxJek ", "\ud800"])
    def test_another_id_is_refused(self, id_):
        assert not self.accepts({"webhook-id": id_})

    @pytest.mark.parametrize("name", STANDARD)
    def test_each_header_is_needed(self, name):
        headers = {each: value for each, value in STANDARD.items() if each != name}
        assert not body_is_signed([STANDARD_SECRET], headers, STANDARD_BODY, STANDARD_TIME)

    @pytest.mark.parametrize(("age", "recent"), [(300, True), (-300, True), (301, False), (-301, False)])
    def test_a_timestamp_is_recent_within_five_minutes(self, age, recent):
        assert self.accepts(now=STANDARD_TIME + age) is recent

    @pytest.mark.parametrize("timestamp", ["", "1614265330.0", " 1614265330", "١٦١٤٢٦٥٣٣٠", "+1614265330", "9" * 5000])
    def test_a_timestamp_of_any_other_form_is_refused(self, timestamp):
        payload = f"{STANDARD['webhook-id']}.{timestamp}.".encode() + STANDARD_BODY
        signature = base64.b64encode(hmac.digest(bytes.fromhex(STANDARD_SECRET), payload, "sha256")).decode()
        headers = {"webhook-timestamp": timestamp, "webhook-signature": f"v1,{signature}"}
        assert not self.accepts(headers)

    def test_the_key_is_what_the_hex_encodes_and_not_its_text(self):
        payload = f"{STANDARD['webhook-id']}.{STANDARD_TIME}.".encode() + STANDARD_BODY
        signature = base64.b64encode(hmac.digest(STANDARD_SECRET.encode(), payload, "sha256")).decode()
        assert not self.accepts({"webhook-signature": f"v1,{signature}"})

    def test_a_secret_that_is_no_hex_signs_nothing(self):
        empty = base64.b64encode(hmac.digest(b"", b"", "sha256")).decode()
        assert not self.accepts({"webhook-signature": f"v1,{empty}"}, secrets=("no hex",))

    def test_where_both_schemes_are_claimed_both_must_be_right(self):
        good = hmac.new(STANDARD_SECRET.encode(), STANDARD_BODY, "sha256").hexdigest()
        assert self.accepts({"x-cxone-signature": f"sha256={good}"})
        assert not self.accepts({"x-cxone-signature": f"sha256={'0' * 64}"})
        assert not self.accepts({"x-cxone-signature": f"sha256={good}", "webhook-signature": "v1,AAAA"})


@pytest.mark.parametrize(
    ("headers", "fine"),
    [
        ({}, True),
        (STANDARD, True),
        ({"cookie": "x" * 10_000}, True),
        ({"x-cxone-signature": "x" * 512}, True),
        ({"x-cxone-signature": "x" * 513}, False),
        ({"x-cxone-timestamp": "1" * 513}, False),
        ({"webhook-id": "m" * 513}, False),
        ({"webhook-signature": " ".join(["v1,x"] * 8)}, True),
        ({"webhook-signature": " ".join(["v1,x"] * 9)}, False),
    ],
)
def test_what_is_looked_into_at_all(headers, fine):
    assert is_within_limits(headers) is fine
