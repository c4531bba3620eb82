"""Looking for what must not be in any log line."""

import json
from urllib.parse import quote, quote_plus

from local.local_target import LocalTarget
from local.options import CLIENT_SECRET


def secrets_of(stack: LocalTarget) -> dict[str, str]:
    """Read every secret of a stack that has sent something: each value by a name to call it."""
    found = values_of_secrets(stack)
    # The client's, the access key's with one API, one token or two, the webhook's, the callbacks', the pepper.
    assert len(found) in {5, 6}, sorted(found)
    assert CLIENT_SECRET in found.values()
    return found


def values_of_secrets(stack: LocalTarget) -> dict[str, str]:
    """Read every secret of a stack: each value that is not empty, by a name to call it."""
    client = stack.client("secretsmanager")
    found = {}
    for secret in client.list_secrets()["SecretList"]:
        text = client.get_secret_value(SecretId=secret["ARN"])["SecretString"]
        try:
            values = json.loads(text)
        except ValueError:
            values = {"value": text}
        for name in ("clientSecret", "accessKeySecret", "accessToken", "current", "previous", "value"):
            if values.get(name):
                found[f"{secret['Name']}: {name}"] = values[name]
    return found


def signatures_of(stack: LocalTarget) -> list[str]:
    """Give the signatures of all callback URLs that CXone was given; one API takes none."""
    urls = [message["webhookUrl"] for message in stack.simulator("messages")["messages"]]
    return [url.partition("sig=")[2] for url in urls if url]


def leaks(lines: list[str], forbidden: list[str]) -> list[str]:
    """Give the lines that hold anything forbidden, plain or as JSON or a URL would write it."""
    needles = {needle for each in forbidden for needle in _spellings(each)}
    return [line for line in lines if any(needle in line for needle in needles)]


def _spellings(text: str) -> set[str]:
    return {text, json.dumps(text)[1:-1], quote(text, safe=""), quote_plus(text)}
