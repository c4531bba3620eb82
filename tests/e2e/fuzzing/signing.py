"""What schemathesis can't know: the secrets that webhooks are signed with, and that others use the stack's rate."""

import hmac
import json
import os

import schemathesis

SECRET, CALLBACK_SECRET = (os.environ[f"FUZZ_{name}_SECRET"] for name in ("WEBHOOK", "CALLBACK"))


CLAIMS = ("X-CXone-Signature", "X-CXone-Timestamp", "webhook-id", "webhook-timestamp", "webhook-signature")


DEPLOYED_CEILING, LOWEST_CEILING = 100, 99


@schemathesis.hook.apply_to(path_regex="^/(webhooks/|pace$)")
def before_call(context, case, kwargs):
    """Sign an event's URL where it names a message, else an object's body; all others are strangers'.

    A ceiling of the pace becomes one that stops no other case.
    """
    if case.path == "/pace":
        _lift(case.body)
        return
    reference = case.query.get("ref")
    if isinstance(reference, str):
        case.query["sig"] = _signature(CALLBACK_SECRET, b"callback-url:/webhooks/cxone/sms:" + reference.encode())
        _claim_nothing(case)
    elif isinstance(case.body, dict) and case.path == "/webhooks/cxone/events":
        _claim_nothing(case)
        # As requests will write it; a body of bytes would pass for one that breaks the schema.
        case.headers["X-CXone-Signature"] = f"sha256={_signature(SECRET, json.dumps(case.body).encode())}"


def _lift(body):
    ceiling = body.get("ceiling") if isinstance(body, dict) else None
    if isinstance(ceiling, int | float) and not isinstance(ceiling, bool) and 0 <= ceiling < LOWEST_CEILING:
        body["ceiling"] = LOWEST_CEILING + ceiling / DEPLOYED_CEILING


def _claim_nothing(case):
    for name in CLAIMS:
        case.headers.pop(name, None)


def _signature(secret, signed):
    return hmac.new(secret.encode(), signed, "sha256").hexdigest()
