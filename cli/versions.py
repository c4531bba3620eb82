"""The version of each function: each answers the version event with it."""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from botocore.config import Config

from cli.target import Target
from cxone_messaging.platform.version_event import VERSION_EVENT

# The folders in functions/.
FUNCTIONS = (
    "approve_template",
    "checkpoint_ledger",
    "manage_consents",
    "manage_pace",
    "read_ledger",
    "receive_webhook",
    "send_bulk",
    "send_message",
    "submit_bulk",
    "sweep_ledger",
)
# It is there with one API of CXone's only.
COLLECTOR = "collect_receipts"
# It is asked first: in a version that does not know the event, it changes nothing.
_FIRST = "read_ledger"
_CONFIG = Config(
    connect_timeout=5, read_timeout=60, retries={"total_max_attempts": 1}, max_pool_connections=len(FUNCTIONS) + 1
)


_MISSING = "it does not exist"


@dataclass(frozen=True, slots=True)
class Versions:
    """The functions' versions by folder, and the functions that gave none, each with the kind of its failure."""

    known: Mapping[str, str]
    failed: Mapping[str, str]

    @property
    def all_known(self) -> frozenset[str]:
        """The different versions."""
        return frozenset(self.known.values())


def versions_of(target: Target) -> Versions:
    """Return the version of each function's `live` code. Raises botocore's errors, but for those of one function."""
    client = target.client("lambda", _CONFIG)
    first = _asked(client, target.function(_FIRST))
    if "version" not in first:
        return Versions({}, {_FIRST: first["failure"]})
    others = [each for each in (*FUNCTIONS, COLLECTOR) if each != _FIRST]
    with ThreadPoolExecutor(len(others)) as pool:
        answers = pool.map(lambda folder: _asked(client, target.function(folder)), others)
        found = {_FIRST: first, **dict(zip(others, answers, strict=True))}
    if found[COLLECTOR].get("failure") == _MISSING:
        del found[COLLECTOR]
    return Versions(
        {folder: each["version"] for folder, each in found.items() if "version" in each},
        {folder: each["failure"] for folder, each in found.items() if "failure" in each},
    )


def _asked(client: Any, function: str) -> dict[str, str]:
    """Return a function's version, or the kind of its failure. Raises botocore's errors."""
    try:
        answer = client.invoke(FunctionName=function, Qualifier="live", Payload=json.dumps(VERSION_EVENT).encode())
    except client.exceptions.ResourceNotFoundException:
        return {"failure": _MISSING}
    except client.exceptions.TooManyRequestsException:
        return {"failure": "it is throttled"}
    payload = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        return {"failure": f"it can't start or fails ({payload.get('errorType', 'unknown error')})"}
    version = payload.get("version") if isinstance(payload, dict) else None
    return {"version": version} if isinstance(version, str) else {"failure": "its version does not say which it is"}
