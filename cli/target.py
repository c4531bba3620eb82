"""A stack that is up, as its clients see it: its API, its CXone, its logs."""

import hmac
import json
from collections import defaultdict
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
import requests
from botocore.config import Config

_TIMEOUT_SECONDS = 90  # cold functions on a busy machine


def aws_client(service: str, endpoint: str, region: str, config: Config | None = None) -> Any:
    """Make an AWS client for an emulator, which takes any credentials; whatever the shell says of proxies."""
    session: Any = boto3.Session("local", "local", region_name=region)
    return session.client(service, endpoint_url=endpoint, config=Config(proxies={}).merge(config or Config()))


class Deployed:
    """What `stack.json` describes."""

    def __init__(self, description: Mapping[str, Any]) -> None:
        self.api_url: str = description["apiUrl"]
        self.simulator_url: str | None = description["simulatorUrl"]
        self.outputs: Mapping[str, str] = description["outputs"]
        self._endpoint: str = description["awsEndpointUrl"]
        self._region: str = description["region"]
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy, and no .netrc that would replace the Authorization header

    @classmethod
    def at(cls, folder: Path) -> "Deployed":
        """Read a folder's `stack.json`."""
        return cls(json.loads((folder / "stack.json").read_text()))

    def call(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> requests.Response:
        """Call a route, CXone's two at `WebhookUrl`; a body of bytes goes out as it is, any other as JSON.

        The emulator checks no signature.
        """
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        return self._session.request(
            method,
            self._address(path),
            data=data,
            headers={"Authorization": "local", "Content-Type": "application/json", **(headers or {})},
            timeout=_TIMEOUT_SECONDS,
        )

    def _address(self, path: str) -> str:
        return (self.outputs["WebhookUrl"] if path.startswith("/webhooks/") else self.api_url) + path

    def simulator(self, path: str, body: object = None, method: str | None = None) -> Any:
        """Ask the CXone simulator, or steer it when there is a body; the path is under `/_simulator/`."""
        response = self._session.request(
            method or ("GET" if body is None else "POST"),
            f"{self.simulator_url}/_simulator/{path}",
            json=body,
            timeout=_TIMEOUT_SECONDS,
        )
        response.raise_for_status()
        return response.json()

    def client(self, service: str, config: Config | None = None) -> Any:
        """Make an AWS client."""
        return aws_client(service, self._endpoint, self._region, config)

    def signature(self, signed: bytes) -> str:
        """Sign as CXone signs the bodies of its events: the HMAC-SHA256, in hex."""
        return hmac.new(self.secret("WebhookSecretArn").encode(), signed, "sha256").hexdigest()

    def callback(self, message_id: str) -> str:
        """Return the path and query of a message's callback URL, signed as the senders sign it."""
        signed = f"callback-url:/webhooks/cxone/sms:{message_id}".encode()
        signature = hmac.new(self.secret("CallbackSecretArn").encode(), signed, "sha256").hexdigest()
        return f"/webhooks/cxone/sms?ref={message_id}&sig={signature}"

    def secret(self, output: str) -> str:
        """Read the current value of a secret that signs, by the output that names it."""
        secret = self.client("secretsmanager").get_secret_value(SecretId=self.outputs[output])
        current: str = json.loads(secret["SecretString"])["current"]
        return current

    def log_lines(self) -> dict[str, list[str]]:
        """Return the lines of each log group by its name; all functions share one."""
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
        """Give each metric's values, from the functions' embedded metric format lines (`_aws` names the metrics)."""
        values: dict[str, list[float]] = defaultdict(list)
        for line in (line for lines in self.log_lines().values() for line in lines if '"_aws"' in line):
            document = json.loads(line)
            for directive in document["_aws"]["CloudWatchMetrics"]:
                for metric in directive["Metrics"]:
                    value = document[metric["Name"]]
                    values[metric["Name"]] += value if isinstance(value, list) else [value]
        return dict(values)

    @cached_property
    def _logs(self) -> Any:
        return self.client("logs")
