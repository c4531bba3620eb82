"""Send an event to the function that its folder names: `invoke events/send_message/preview.json`."""

import json
import re
from http import HTTPStatus
from pathlib import Path
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from cli.plain import visible
from cli.progress import Progress
from cli.target import Target, TargetError

FAILED = 1
# An event is sent once, however long its function takes. A caller that wants it twice runs the command twice.
_ONCE = Config(read_timeout=90, retries={"total_max_attempts": 1})
_FUNCTION = re.compile("[a-z][a-z_]*")


class InvokeError(Exception):
    """The event cannot be sent, or its function failed; the text says why."""


def run(event: Path, stack: str | None, *, as_json: bool = False) -> int:
    """Invoke, and print the answer; return 0 if there is one, whatever its status, and otherwise 1."""
    try:
        answer = invoke(stack, *read(event))
    except (InvokeError, TargetError, BotoCoreError, ClientError) as error:
        Progress(on_stderr=as_json).error(str(error))
        return FAILED
    print(json.dumps(answer) if as_json else visible(as_text(answer), lines=True))
    return 0


def read(file: Path) -> tuple[str, str]:
    """Return the name of an event's function, and the event. Raises `InvokeError`."""
    name = file.resolve().parent.name
    try:
        event = file.read_text(encoding="utf-8")
        json.loads(event)
    except OSError as error:
        raise InvokeError(f"{file} can't be read: {error.strerror}") from None
    except ValueError as error:
        raise InvokeError(f"{file} is no JSON: {error}") from None
    if not _FUNCTION.fullmatch(name):
        raise InvokeError(f"{name} is no function; put an event into a folder that has its function's name")
    return name, event


def invoke(stack: str | None, function: str, event: str) -> Any:
    """Return a function's answer to an event. Raises `InvokeError`, `TargetError`, and botocore's errors."""
    target = Target.find(stack)
    name = target.function(function)
    client = target.client("lambda", config=_ONCE)
    try:
        answer = client.invoke(FunctionName=name, Qualifier="live", Payload=event.encode())
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        detail = f"there is no function {name}; put an event into a folder that has its function's name"
        raise InvokeError(detail) from None
    payload = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        raise InvokeError(f"{name} failed: {json.dumps(payload, indent=2)}")
    return payload


def as_text(answer: Any) -> str:
    """Return an answer as a text: for HTTP its status, headers and body."""
    if not isinstance(answer, dict) or "statusCode" not in answer:
        return json.dumps(answer, indent=2, ensure_ascii=False)
    status = HTTPStatus(answer["statusCode"])
    headers = "".join(f"{name}: {value}\n" for name, value in answer["headers"].items())
    return (
        f"{status} {status.phrase}\n{headers}\n{json.dumps(json.loads(answer['body']), indent=2, ensure_ascii=False)}"
    )
