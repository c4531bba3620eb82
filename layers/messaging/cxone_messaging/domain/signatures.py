"""How an event proves that it is from CXone: a signed callback URL or a signed body.

Each has its own secret, and the signed text of a URL begins with its purpose. So no signature of a body is valid for a
URL, even if both secrets are the same.

A body has two schemes: CXone's own headers, whose key is the secret's hex text as ASCII bytes, and Standard Webhooks,
whose key is the 32 bytes that the hex encodes. During a rotation the previous secret is still valid. A comparison
takes the same time for all values.
"""

import base64
import hmac
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256

TOLERANCE_SECONDS = 300

# The purpose of a callback URL's signature; the message's id follows.
_CALLBACK_PURPOSE = "callback-url:/webhooks/cxone/sms:"
_MESSAGE_ID = re.compile(r"msg_[0-9a-f]{32}")
_HEX_DIGEST = re.compile(r"[0-9A-Fa-f]{64}")
# Software that escapes a URL for HTML stores `&amp;` for `&`, which makes `amp;` a part of the next name.
_ESCAPED_AMPERSAND = re.compile(r"^(?:amp;)+", re.IGNORECASE)

_BODY_SIGNATURE = "x-cxone-signature"
_BODY_TIMESTAMP = "x-cxone-timestamp"
_SCHEME = re.compile(r"sha256=", re.ASCII | re.IGNORECASE)  # so that no other letter folds to s
_CXONE_HEADERS = frozenset({_BODY_SIGNATURE, _BODY_TIMESTAMP})

# Standard Webhooks: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
_STANDARD_ID = "webhook-id"
_STANDARD_TIMESTAMP = "webhook-timestamp"
_STANDARD_SIGNATURES = "webhook-signature"
_STANDARD_VERSION = "v1,"
_STANDARD_HEADERS = frozenset({_STANDARD_ID, _STANDARD_TIMESTAMP, _STANDARD_SIGNATURES})

# CXone sends no longer values, and no more of them. Such a request is refused before anything is computed from it. A
# rotation needs two signatures, and no timestamp of this century has more than eleven digits.
_VALUE_LIMIT = 512
_SIGNATURES_LIMIT = 8
_TIMESTAMP_DIGITS = 11


def sign_reference(secret: str, message_id: str) -> str:
    """Return the signature of a message's callback URL, 64 hex digits.

    `secret` is the callback secret.
    """
    return _sign(secret, (_CALLBACK_PURPOSE + message_id).encode())


def reference_and_signature(query: Mapping[str, str]) -> tuple[str, str]:
    """Return `ref` and `sig` of a callback URL, each empty if it is missing, the signature's hex in lower case.

    Their names are also found behind `&amp;`, as in a URL that was escaped for HTML. The plain name comes first.
    """
    named = {_ESCAPED_AMPERSAND.sub("", name): value for name, value in query.items()} | dict(query)
    reference, signature = named.get("ref", ""), named.get("sig", "")
    return reference, signature.lower() if _HEX_DIGEST.fullmatch(signature) else signature


def could_be_signed(reference: str, signature: str) -> bool:
    """Whether a callback URL consists of a message's id and 64 hex digits, in either case.

    Any other URL is not ours, and nothing is computed from it.
    """
    return bool(_MESSAGE_ID.fullmatch(reference) and _HEX_DIGEST.fullmatch(signature))


def reference_is_signed(secrets: Sequence[str], reference: str, signature: str) -> bool:
    """Whether a sender signed a callback URL. `secrets` are the values of the callback secret."""
    if not could_be_signed(reference, signature):
        return False
    return _matches([sign_reference(secret, reference) for secret in secrets], [signature.lower()])


def carries_signature(headers: Mapping[str, str]) -> bool:
    """Whether a request claims a signed body; a wrong claim is refused even if the URL is valid.

    Header names are expected in lower case.
    """
    return not (_CXONE_HEADERS | _STANDARD_HEADERS).isdisjoint(headers)


def is_within_limits(headers: Mapping[str, str]) -> bool:
    """Whether the headers of a signature are few and short enough to be examined."""
    claimed = [headers[name] for name in _CXONE_HEADERS | _STANDARD_HEADERS if name in headers]
    signatures = headers.get(_STANDARD_SIGNATURES, "").count(" ") + 1
    return max(map(len, claimed), default=0) <= _VALUE_LIMIT and signatures <= _SIGNATURES_LIMIT


def body_is_signed(secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: float) -> bool:
    """Whether the raw body is signed in each scheme that the headers claim, and in at least one.

    `now` is in Unix seconds; a timestamp may be five minutes off.
    """
    if not carries_signature(headers):
        return False
    cxone = _CXONE_HEADERS.isdisjoint(headers) or _is_signed_by_cxone(secrets, headers, body, now)
    standard = _STANDARD_HEADERS.isdisjoint(headers) or _is_signed_by_standard(secrets, headers, body, now)
    return cxone and standard


def _is_signed_by_cxone(secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: float) -> bool:
    """Whether `X-CXone-Signature` signs the body. Its scheme and its hex digits may be in either case.

    If `X-CXone-Timestamp` is present, the signed text is `<timestamp>.<body>`.
    """
    timestamp = headers.get(_BODY_TIMESTAMP)
    signed = body
    if timestamp is not None:
        if not _is_recent(timestamp, now):
            return False
        signed = timestamp.encode() + b"." + body
    signature = headers.get(_BODY_SIGNATURE, "")
    scheme = _SCHEME.match(signature)
    if scheme is None or not _HEX_DIGEST.fullmatch(signature, scheme.end()):
        return False
    return _matches([_sign(secret, signed) for secret in secrets], [signature[scheme.end() :].lower()])


def _is_signed_by_standard(secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: float) -> bool:
    """Whether one of the signatures in `webhook-signature` signs `<id>.<timestamp>.<body>`.

    The header separates them by spaces.
    """
    id_, timestamp = headers.get(_STANDARD_ID, ""), headers.get(_STANDARD_TIMESTAMP, "")
    if not id_ or not _is_recent(timestamp, now):
        return False
    signed = f"{id_}.{timestamp}.".encode("utf-8", "surrogatepass") + body
    expected = [
        base64.b64encode(hmac.digest(key, signed, "sha256")).decode() for key in map(_standard_key, secrets) if key
    ]
    claimed = headers.get(_STANDARD_SIGNATURES, "").split(" ")
    given = [each.removeprefix(_STANDARD_VERSION) for each in claimed if each.startswith(_STANDARD_VERSION)]
    return _matches(expected, given)


def _standard_key(secret: str) -> bytes:
    """Return the bytes that a secret's hex encodes; empty if it is not hex, and then signs nothing here."""
    try:
        return bytes.fromhex(secret)
    except ValueError:
        return b""


def _is_recent(timestamp: str, now: float) -> bool:
    # Digits of other scripts, signs and spaces would pass int().
    well_formed = timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= _TIMESTAMP_DIGITS
    return well_formed and abs(now - int(timestamp)) <= TOLERANCE_SECONDS


def _sign(secret: str, signed: bytes) -> str:
    return hmac.new(secret.encode(), signed, sha256).hexdigest()


def _matches(expected: Sequence[str], given: Sequence[str]) -> bool:
    # As bytes: compare_digest refuses text beyond ASCII. All are compared, so the time does not reveal which one fits.
    claimed = [each.encode("utf-8", "surrogatepass") for each in given]
    matches = [hmac.compare_digest(each.encode(), claim) for each in expected for claim in claimed]
    return any(matches)
