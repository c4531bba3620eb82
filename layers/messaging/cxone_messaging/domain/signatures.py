"""How an event proves that it is CXone's: a signed callback URL or a signed body.

The key is the secret's hex text as ASCII bytes. During a rotation the previous secret still counts. Comparisons take
the same time whatever is compared.
"""

import hmac
from collections.abc import Mapping, Sequence
from hashlib import sha256

TOLERANCE_SECONDS = 300

_BODY_SIGNATURE = "x-cxone-signature"
_BODY_TIMESTAMP = "x-cxone-timestamp"
_SCHEME = "sha256="


def sign_reference(secret: str, message_id: str) -> str:
    """Sign a message's id for its callback URL: 64 hex digits."""
    return _sign(secret, message_id.encode())


def reference_is_signed(secrets: Sequence[str], message_id: str, signature: str) -> bool:
    """Whether a callback URL is one that we gave away."""
    # Anybody may ask for any reference, one with a lone surrogate too.
    signed = message_id.encode("utf-8", "surrogatepass")
    return _matches([_sign(secret, signed) for secret in secrets], signature)


def carries_signature(headers: Mapping[str, str]) -> bool:
    """Whether a request claims a signed body; a claim that is wrong is refused even when its URL is good.

    Header names are expected in lower case.
    """
    return _BODY_SIGNATURE in headers or _BODY_TIMESTAMP in headers


def body_is_signed(secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: float) -> bool:
    """Whether the raw body is signed by `X-CXone-Signature`, and recently where there is an `X-CXone-Timestamp`.

    `now` is in Unix seconds.
    """
    timestamp = headers.get(_BODY_TIMESTAMP)
    signed = body
    if timestamp is not None:
        # Digits of other scripts would pass int(); no timestamp of this century has more than eleven.
        if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 11):  # noqa: PLR2004
            return False
        if abs(now - int(timestamp)) > TOLERANCE_SECONDS:
            return False
        signed = timestamp.encode() + b"." + body
    signature = headers.get(_BODY_SIGNATURE, "")
    if not signature.startswith(_SCHEME):
        return False
    return _matches([_sign(secret, signed) for secret in secrets], signature.removeprefix(_SCHEME))


def _sign(secret: str, signed: bytes) -> str:
    return hmac.new(secret.encode("ascii"), signed, sha256).hexdigest()


def _matches(expected: Sequence[str], given: str) -> bool:
    # As bytes: compare_digest refuses text beyond ASCII. All are compared, so time tells nothing of which one fits.
    claimed = given.encode("utf-8", "surrogatepass")
    matches = [hmac.compare_digest(each.encode(), claimed) for each in expected]
    return any(matches)
