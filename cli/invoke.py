"""Hand an event to the function that its folder names: `make invoke EVENT=events/send_message/preview.json`."""

import argparse
import json
import sys
from http import HTTPStatus
from pathlib import Path
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from cli.plain import visible
from cli.progress import Progress
from cli.stacks import StackError, local_description, look_up
from cli.target import Deployed
from local import sam
from local.options import FOLDER, ROOT

# An event is handed over once, however long its function takes; whoever wants it twice says so.
_ONCE = Config(read_timeout=90, retries={"total_max_attempts": 1})


class InvokeError(Exception):
    """The event can't be handed over, or its function failed; the text says why."""


def main() -> int:
    """Invoke, and print the answer; 0 where there is one, whatever its status."""
    arguments = _arguments()
    try:
        print(visible(told(invoke(arguments.stack, *read(arguments.event))), lines=True))
    except (InvokeError, StackError, BotoCoreError, ClientError) as error:
        Progress().error(str(error))
        return 1
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m cli.invoke", description="Hand an event to its function.")
    parser.add_argument("event", type=Path, help="a JSON file in a folder that is named as one of functions/")
    parser.add_argument("--stack", default=str(FOLDER / "stack.json"), help="a stack.json, or a deployed stack's name")
    return parser.parse_args()


def read(file: Path) -> tuple[str, str]:
    """Give the name of an event's function, and the event. Raises `InvokeError`."""
    functions = sorted(path.parent.name for path in ROOT.glob("functions/*/handler.py"))
    name = file.resolve().parent.name
    try:
        event = file.read_text(encoding="utf-8")
        json.loads(event)
    except OSError as error:
        raise InvokeError(f"{file} can't be read: {error.strerror}") from None
    except ValueError as error:
        raise InvokeError(f"{file} is no JSON: {error}") from None
    if name not in functions:
        raise InvokeError(f"there is no function {name}; an event's folder names one of {', '.join(functions)}")
    return name, event


def invoke(stack: str, function: str, event: str) -> Any:
    """Give a function's answer to an event. Raises `InvokeError`, `StackError`, and botocore's errors."""
    description = local_description(stack)
    name = f"{stack if description is None else sam.STACK_NAME}-{function.replace('_', '-')}"
    session = look_up(stack).session if description is None else Deployed(description)
    answer = session.client("lambda", config=_ONCE).invoke(FunctionName=name, Qualifier="live", Payload=event.encode())
    payload = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        raise InvokeError(f"{name} failed: {json.dumps(payload, indent=2)}")
    return payload


def told(answer: Any) -> str:
    """Write an answer down: of one over HTTP the status, the headers and the body."""
    if not isinstance(answer, dict) or "statusCode" not in answer:
        return json.dumps(answer, indent=2, ensure_ascii=False)
    status = HTTPStatus(answer["statusCode"])
    headers = "".join(f"{name}: {value}\n" for name, value in answer["headers"].items())
    return (
        f"{status} {status.phrase}\n{headers}\n{json.dumps(json.loads(answer['body']), indent=2, ensure_ascii=False)}"
    )


if __name__ == "__main__":
    sys.exit(main())
