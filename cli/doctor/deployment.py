"""What the checks look at: a stack, its parameters and resources, its functions' settings, its secrets, its ledger."""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

from botocore.config import Config

from cli.findings import NotCheckedError
from cli.target import Target, is_on_aws
from cli.versions import COLLECTOR, FUNCTIONS
from cxone_messaging.adapters.dynamodb.ledger import DynamoLedger
from cxone_messaging.adapters.secrets import SecretsManagerStore
from cxone_messaging.domain.cxone_apis import DFO
from cxone_messaging.platform.clock import Clock, SystemClock

CONFIG = Config(
    connect_timeout=5,
    read_timeout=15,
    retries={"mode": "standard", "total_max_attempts": 2},
    max_pool_connections=len(FUNCTIONS) + 1,
)
# The outputs of template.yaml.
OUTPUTS = frozenset(
    {
        "AlarmTopicArn",
        "ApiUrl",
        "BulkDeadLetterQueueUrl",
        "BulkQueueUrl",
        "CallbackSecretArn",
        "ConsentsTableName",
        "CredentialsSecretArn",
        "LedgerTableName",
        "PepperSecretArn",
        "WebhookSecretArn",
        "WebhookUrl",
    }
)


class Deployment:
    """One stack, as `--stack` names it; what is looked up is kept. Its properties raise botocore's errors."""

    def __init__(self, stack: str | None, clock: Clock | None = None) -> None:
        self.stack = stack
        self.clock = clock or SystemClock()
        self.is_reached = False  # whether AWS has accepted the credentials

    @property
    def is_on_aws(self) -> bool:
        """Whether a stack on AWS is named."""
        return bool(self.stack and is_on_aws(self.stack))

    @cached_property
    def target(self) -> Target:
        """The stack. Raises `TargetError`."""
        return Target.find(self.stack)

    def client(self, service: str) -> Any:
        """Return an AWS client, bounded in time."""
        return self.target.client(service, CONFIG)

    @cached_property
    def description(self) -> Mapping[str, Any]:
        """The stack as CloudFormation describes it."""
        described = self.client("cloudformation").describe_stacks(StackName=self.target.name)["Stacks"][0]
        return dict(described)

    @cached_property
    def parameters(self) -> Mapping[str, str]:
        """The stack's parameters."""
        return {each["ParameterKey"]: each.get("ParameterValue", "") for each in self.description["Parameters"]}

    def number(self, parameter: str) -> float:
        """Return a numeric parameter. Raises `NotCheckedError` if the stack does not have it."""
        try:
            return float(self.parameters[parameter])
        except (KeyError, ValueError):
            raise NotCheckedError(f"the stack has no parameter {parameter}") from None

    def resources(self, type_: str) -> dict[str, str]:
        """Return the physical ids of the stack's resources of a type, by their logical ids."""
        pages = self.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=self.target.name)
        listed = [each for page in pages for each in page["StackResourceSummaries"]]
        return {
            each["LogicalResourceId"]: each["PhysicalResourceId"] for each in listed if each["ResourceType"] == type_
        }

    @cached_property
    def functions(self) -> Mapping[str, Mapping[str, Any]]:
        """The configuration of each function's `live` version, by its folder; a missing function is left out."""
        client = self.client("lambda")

        def configuration(folder: str) -> Mapping[str, Any] | None:
            try:
                found = client.get_function_configuration(FunctionName=self.target.function(folder), Qualifier="live")
            except client.exceptions.ResourceNotFoundException:
                return None
            return dict(found)

        folders = (*FUNCTIONS, COLLECTOR)
        with ThreadPoolExecutor(len(folders)) as pool:
            found = zip(folders, pool.map(configuration, folders), strict=True)
            return {folder: each for folder, each in found if each is not None}

    @property
    def speaks_dfo(self) -> bool:
        """Whether the stack speaks Digital Engagement."""
        variables = self.functions.get("send_message", {}).get("Environment", {}).get("Variables", {})
        return bool(variables.get("CXONE_API") == DFO)

    def setting(self, folder: str, variable: str) -> str:
        """Return an environment variable of a function's `live` version. Raises `NotCheckedError` if it has none."""
        variables = self.functions.get(folder, {}).get("Environment", {}).get("Variables", {})
        if variable not in variables:
            raise NotCheckedError(f"{self.target.function(folder)} has no setting {variable}")
        return str(variables[variable])

    @cached_property
    def secrets(self) -> SecretsManagerStore:
        """The store of the stack's secrets."""
        return SecretsManagerStore(self.client("secretsmanager"))

    @cached_property
    def ledger(self) -> DynamoLedger:
        """The stack's ledger."""
        return DynamoLedger(self.client("dynamodb"), self.target.output("LedgerTableName"), clock=self.clock)


def statements_of(policy: str) -> list[Mapping[str, Any]]:
    """Return the statements of a policy's JSON."""
    statements = json.loads(policy)["Statement"]
    return [statements] if isinstance(statements, dict) else list(statements)
