"""A deployment that somebody names: the local stack by its `stack.json`, one on AWS by its name in CloudFormation."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError


class StackError(Exception):
    """There is no such deployment, or nobody here may look at it; the text says what to do."""


@dataclass(frozen=True, slots=True)
class CloudStack:
    """A deployment on AWS, and a session that has credentials."""

    session: Any
    outputs: Mapping[str, str]
    parameters: Mapping[str, str]


def local_description(stack: str) -> dict[str, Any] | None:
    """Read a `stack.json`; None where the text is no path but a name. Raises `StackError`."""
    path = Path(stack)
    if path.is_file():
        description: dict[str, Any] = json.loads(path.read_text())
        return description
    if path.suffix == ".json" or "/" in stack:
        raise StackError(f"there is no {stack}; `make up` makes one, or give the name of a deployed stack")
    return None


def look_up(name: str) -> CloudStack:
    """Look a stack up in CloudFormation, with the credentials of the environment. Raises `StackError`."""
    session = boto3.Session()
    try:
        if session.get_credentials() is None:
            raise StackError("there are no AWS credentials in your environment")
        found = session.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
    except (BotoCoreError, ClientError) as error:
        raise StackError(f"the stack {name} can't be looked up: {error}") from None
    return CloudStack(
        session,
        {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", [])},
        {each["ParameterKey"]: each.get("ParameterValue", "") for each in found.get("Parameters", [])},
    )
