"""The settings of the tables that a restore leaves out: policy, tags, point-in-time recovery, deletion protection.

CloudFormation sets none of them again: it compares templates, and never looks at a table that it made earlier.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from cli.restore.tables import RestoreError
from cli.target import Target

type Statement = Mapping[str, Any]

# The tables that outlive the stack: their logical ids in the template, and the outputs with their names.
TABLES = {"LedgerTable": "LedgerTableName", "ConsentsTable": "ConsentsTableName"}
# DynamoDB applies a policy some time after it was put, and refuses another change of it for 15 seconds.
_POLICY_PATIENCE_SECONDS, _POLICY_PAUSE_SECONDS = 60.0, 5.0


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting that a table lacks: what it is, and the call that sets it."""

    table: str
    what: str
    apply: Callable[[], object]

    def __str__(self) -> str:
        return f"{self.table}: {self.what}"


class Settings:
    """What the stack's template says of its tables, beside what the tables have."""

    def __init__(self, target: Target, sleep: Callable[[float], object] = time.sleep) -> None:
        """Read the stack's template and tags. Raises `RestoreError`."""
        self._target = target
        self._dynamodb = target.client("dynamodb")
        self._sleep = sleep
        cloudformation = target.client("cloudformation")
        try:
            answer = cloudformation.get_template(StackName=target.name, TemplateStage="Processed")
            stack = cloudformation.describe_stacks(StackName=target.name)["Stacks"][0]
        except (BotoCoreError, ClientError) as error:
            raise RestoreError(f"the template of the stack {target.name} can't be read: {error}") from None
        body = answer["TemplateBody"]
        try:
            self._resources: Mapping[str, Any] = body["Resources"] if isinstance(body, Mapping) else {}
            self._resources = {each: self._resources[each]["Properties"] for each in TABLES}
        except KeyError:
            raise RestoreError(f"the template of the stack {target.name} has no {' and '.join(TABLES)}") from None
        self._tags: Sequence[Mapping[str, str]] = stack.get("Tags", [])

    def missing(self, arns: Mapping[str, str]) -> Iterator[Setting]:
        """Yield each setting that a table lacks; `arns` are the tables' by their logical ids. Raises `RestoreError`."""
        for logical_id, properties in self._resources.items():
            try:
                yield from self._missing(self._target.output(TABLES[logical_id]), arns[logical_id], properties)
            except (BotoCoreError, ClientError) as error:
                raise RestoreError(f"the settings of {logical_id} can't be read: {error}") from None

    def _missing(self, table: str, arn: str, properties: Mapping[str, Any]) -> Iterator[Setting]:
        wanted = properties["ResourcePolicy"]["PolicyDocument"]
        policy, revision = self._policy(arn)
        lacking = [each for each in wanted["Statement"] if not _is_among(each, policy.get("Statement", []))]
        if lacking:
            merged = {**wanted, **policy, "Statement": [*policy.get("Statement", []), *lacking]}
            yield Setting(
                table,
                f"its policy lacks {len(lacking)} of {len(wanted['Statement'])} statements",
                lambda: self._put_policy(arn, merged, revision),
            )
        description = self._dynamodb.describe_table(TableName=table)["Table"]
        if properties.get("DeletionProtectionEnabled") and not description.get("DeletionProtectionEnabled"):
            yield Setting(
                table,
                "it has no deletion protection",
                lambda: self._dynamodb.update_table(TableName=table, DeletionProtectionEnabled=True),
            )
        backups = self._dynamodb.describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"]
        if backups.get("PointInTimeRecoveryDescription", {}).get("PointInTimeRecoveryStatus") != "ENABLED":
            recovery = {"PointInTimeRecoveryEnabled": True}
            yield Setting(
                table,
                "it has no point-in-time recovery",
                lambda: self._dynamodb.update_continuous_backups(
                    TableName=table, PointInTimeRecoverySpecification=recovery
                ),
            )
        pages = self._dynamodb.get_paginator("list_tags_of_resource").paginate(ResourceArn=arn)
        present = {each["Key"]: each["Value"] for page in pages for each in page["Tags"]}
        tags = [each for each in self._tags if present.get(each["Key"]) != each["Value"]]
        if tags:
            yield Setting(
                table,
                f"it lacks the tags {', '.join(each['Key'] for each in tags)}",
                lambda: self._dynamodb.tag_resource(ResourceArn=arn, Tags=tags),
            )

    def _policy(self, arn: str) -> tuple[dict[str, Any], str]:
        """Return a table's policy and its revision, empty without one."""
        try:
            found = self._dynamodb.get_resource_policy(ResourceArn=arn)
        except self._dynamodb.exceptions.PolicyNotFoundException:
            return {}, "NO_POLICY"
        return json.loads(found["Policy"]), found["RevisionId"]

    def _put_policy(self, arn: str, policy: Mapping[str, Any], revision: str) -> None:
        """Put a policy where no one else changed it meanwhile, and wait until it is in force. Raises `RestoreError`."""
        self._dynamodb.put_resource_policy(ResourceArn=arn, Policy=json.dumps(policy), ExpectedRevisionId=revision)
        waited = 0.0
        while not all(_is_among(each, self._policy(arn)[0].get("Statement", [])) for each in policy["Statement"]):
            if waited >= _POLICY_PATIENCE_SECONDS:
                raise RestoreError("DynamoDB took the policy, and does not show it after a minute")
            self._sleep(_POLICY_PAUSE_SECONDS)
            waited += _POLICY_PAUSE_SECONDS


def _is_among(statement: Statement, others: Sequence[Statement]) -> bool:
    return _canonical(statement) in map(_canonical, others)


def _canonical(statement: Statement) -> dict[str, Any]:
    """Return a statement in one way of writing: texts as lists, lists sorted, its name left out, everybody as `*`."""
    everybody = {"AWS": "*"}
    written: dict[str, Any] = {}
    for key, value in statement.items():
        if key in {"Action", "Resource"}:
            written[key] = sorted([value] if isinstance(value, str) else value)
        elif key != "Sid":
            written[key] = "*" if value == everybody else value
    return written
