"""The local stack for tests and the demo: its API, its CXone simulator, its secrets and its log lines."""

import hmac
import json
from collections import defaultdict
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import requests

from cli.target import Target

_TIMEOUT_SECONDS = 90


class LocalTarget(Target):
    """A stack that `make up` or a test has deployed."""

    @classmethod
    def at(cls, folder: Path) -> Self:
        """Return the stack of a folder's `stack.json`. Raises `TargetError`."""
        return cls.of_file(folder / "stack.json")

    def simulator(self, path: str, body: object = None, method: str | None = None) -> Any:
        """Return an answer of the CXone simulator's administration, under `/_simulator/`; a body changes it."""
        response = self._simulator.request(
            method or ("GET" if body is None else "POST"),
            f"{self.simulator_url}/_simulator/{path}",
            json=body,
            timeout=_TIMEOUT_SECONDS,
        )
        response.raise_for_status()
        return response.json()

    def signature(self, signed: bytes) -> str:
        """Return the signature with which CXone signs the bodies of its events: the HMAC-SHA256, in hex."""
        return hmac.new(self.secret("WebhookSecretArn").encode(), signed, "sha256").hexdigest()

    def callback(self, message_id: str) -> str:
        """Return the path and query of a message's callback URL, signed as the senders sign it."""
        signed = f"callback-url:/webhooks/cxone/sms:{message_id}".encode()
        signature = hmac.new(self.secret("CallbackSecretArn").encode(), signed, "sha256").hexdigest()
        return f"/webhooks/cxone/sms?ref={message_id}&sig={signature}"

    def secret(self, output: str) -> str:
        """Return the current value of a signing secret, by the output with its ARN."""
        secret = self.client("secretsmanager").get_secret_value(SecretId=self.outputs[output])
        current: str = json.loads(secret["SecretString"])["current"]
        return current

    def log_lines(self) -> dict[str, list[str]]:
        """Return each log group's lines, in the order of the groups' names."""
        return {
            group["logGroupName"]: [
                event["message"]
                for page in self._logs.get_paginator("filter_log_events").paginate(logGroupName=group["logGroupName"])
                for event in page["events"]
            ]
            for page in self._logs.get_paginator("describe_log_groups").paginate()
            for group in sorted(page["logGroups"], key=lambda each: str(each["logGroupName"]))
        }

    def metrics(self) -> dict[str, list[float]]:
        """Return each metric's values, from the functions' embedded metric format lines (`_aws` names the metrics)."""
        values: dict[str, list[float]] = defaultdict(list)
        for line in (line for lines in self.log_lines().values() for line in lines if '"_aws"' in line):
            document = json.loads(line)
            for directive in document["_aws"]["CloudWatchMetrics"]:
                for metric in directive["Metrics"]:
                    value = document[metric["Name"]]
                    values[metric["Name"]] += value if isinstance(value, list) else [value]
        return dict(values)

    @cached_property
    def _simulator(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        return session

    @cached_property
    def _logs(self) -> Any:
        return self.client("logs")
