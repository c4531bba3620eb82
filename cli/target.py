"""The stack that a command works on: the local one by its `stack.json`, one on AWS by its name."""

import json
import threading
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Protocol, Self

import boto3
import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

LOCAL_NAME = "cxone-messaging"
LOCAL_FILE = Path(".local", "stack.json")
_TIMEOUT_SECONDS = 90.0  # cold functions on a busy machine
_STRANGER = (5.0, 30.0)  # to connect, and for the answer
_LOOK_UP = Config(connect_timeout=5, read_timeout=15, retries={"mode": "standard", "total_max_attempts": 2})
# The defaults of the template's parameters.
_PARAMETERS = {"CxoneRequestsPerSecond": 100.0, "RateUtilisationPercent": 96.0, "MaxSegments": 10.0}
_DEFAULT_COUNTRY = "US"
_making = threading.Lock()  # a session makes one client at a time


class TargetError(Exception):
    """The stack does not exist, or cannot be read; the text says what to do."""


class Api(Protocol):
    """A stack's API."""

    def call(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> requests.Response:
        """Return a route's answer; bytes are sent unchanged. Raises `requests.RequestException`."""
        ...


def aws_client(service: str, endpoint: str, region: str, config: Config | None = None) -> Any:
    """Return an AWS client for an emulator, which accepts any credentials; proxy settings are ignored."""
    with _making:
        session = _emulators_session(region)
        return session.client(service, endpoint_url=endpoint, config=Config(proxies={}).merge(config or Config()))


@cache
def _emulators_session(region: str | None) -> Any:
    """Return one session for all clients: each reads the descriptions of AWS's services anew, for up to 0.1 s."""
    return boto3.Session("local", "local", region_name=region)


class Target:
    """A stack: its outputs and parameters, its API and its AWS clients.

    Only the local stack has an `endpoint`.
    """

    def __init__(
        self,
        *,
        name: str,
        session: Any,
        outputs: Mapping[str, str],
        parameters: Mapping[str, str] | None = None,
        endpoint: str | None = None,
        simulator_url: str | None = None,
    ) -> None:
        self.name = name
        self.outputs = outputs
        self.simulator_url = simulator_url
        self._aws = session
        self._endpoint = endpoint
        given = parameters or {}
        rate, percent, segments = (float(given.get(each) or default) for each, default in _PARAMETERS.items())
        self.rate = rate * percent / 100
        self.max_segments = int(segments)
        self.default_country = given.get("DefaultCountry") or _DEFAULT_COUNTRY
        self._http = requests.Session()
        # No proxy on the way to this machine, and no .netrc that would replace the Authorization header.
        self._http.trust_env = endpoint is None

    @classmethod
    def find(cls, stack: str | None = None) -> Self:
        """Return a stack by its name on AWS or the path of a `stack.json`; without either, the local one.

        Raises `TargetError`.
        """
        if not stack:
            return cls.of_file(_local_file())
        return cls._on_aws(stack) if is_on_aws(stack) else cls.of_file(Path(stack))

    @classmethod
    def of_file(cls, path: Path) -> Self:
        """Return the stack that a `stack.json` describes. Raises `TargetError`."""
        try:
            return cls.described(json.loads(path.read_text("utf-8")))
        except OSError:
            raise TargetError(f"there is no {path}; run `make up` to make one, or name a deployed stack") from None
        except (ValueError, KeyError, TypeError):
            raise TargetError(f"{path} is no description of a stack; run `make up` to make one") from None

    @classmethod
    def described(cls, description: Mapping[str, Any]) -> Self:
        """Return the stack on this machine that the content of a `stack.json` describes."""
        return cls(
            name=LOCAL_NAME,
            session=_emulators_session(description["region"] or None),
            outputs={**description["outputs"], "ApiUrl": description["apiUrl"]},
            endpoint=description["awsEndpointUrl"],
            simulator_url=description["simulatorUrl"],
        )

    @classmethod
    def _on_aws(cls, name: str) -> Self:
        """Return a stack found in CloudFormation with the environment's credentials. Raises `TargetError`."""
        session: Any = boto3.Session()
        try:
            if session.get_credentials() is None:
                raise TargetError("there are no AWS credentials in your environment")
            found = session.client("cloudformation", config=_LOOK_UP).describe_stacks(StackName=name)["Stacks"][0]
        except (BotoCoreError, ClientError) as error:
            raise TargetError(f"the stack {name} can't be looked up: {error}") from None
        return cls(
            name=name,
            session=session,
            outputs={each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", [])},
            parameters={each["ParameterKey"]: each.get("ParameterValue", "") for each in found.get("Parameters", [])},
        )

    @property
    def is_local(self) -> bool:
        """Whether the stack is on this machine."""
        return self._endpoint is not None

    @property
    def region(self) -> str:
        """The stack's AWS region."""
        return str(self._aws.region_name)

    @property
    def api_url(self) -> str:
        """The API's address, without a slash at its end. Raises `TargetError`."""
        return self.output("ApiUrl").rstrip("/")

    def output(self, name: str) -> str:
        """Return an output of the stack. Raises `TargetError`."""
        if name not in self.outputs:
            raise TargetError(f"the stack {self.name} has no output {name}; deploy it anew")
        return self.outputs[name]

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float = _TIMEOUT_SECONDS,
    ) -> requests.Response:
        """Return a route's answer, for CXone's two at `WebhookUrl`; bytes are sent unchanged, other bodies as JSON.

        On AWS every request is signed with the caller's own credentials; an emulator checks no signature. Raises
        `requests.RequestException`, `TargetError`.
        """
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        named = {"Content-Type": "application/json", **(headers or {})}
        base = self.output("WebhookUrl") if path.startswith("/webhooks/") else self.api_url
        url = base + path
        if self._endpoint is not None:
            named = {"Authorization": "local", **named}
            return self._http.request(method, url, data=data or None, headers=named, timeout=timeout_seconds)

        def signed(prepared: requests.PreparedRequest) -> requests.PreparedRequest:
            # As the request's own `auth`, so that no .netrc replaces the signature.
            request: Any = AWSRequest(method, prepared.url, named, data)
            SigV4Auth(self._aws.get_credentials(), "execute-api", self._aws.region_name).add_auth(request)
            prepared.headers.update(request.headers.items())
            return prepared

        return self._http.request(method, url, data=data, auth=signed, timeout=timeout_seconds, allow_redirects=False)

    def call_as_stranger(
        self, method: str, url: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> requests.Response:
        """Return the answer to a request without credentials or cookies, within some 30 seconds.

        Raises `requests.RequestException`.
        """
        with requests.Session() as session:
            session.trust_env = not self.is_local
            session.auth = lambda prepared: prepared  # so that no .netrc adds credentials
            named = {"Content-Type": "application/json", **(headers or {})}
            return session.request(
                method, url, data=body or None, headers=named, timeout=_STRANGER, allow_redirects=False
            )

    def client(self, service: str, config: Config | None = None) -> Any:
        """Return an AWS client."""
        if self._endpoint is None:
            return self._aws.client(service, config=config)
        return aws_client(service, self._endpoint, self._aws.region_name, config)

    def function(self, folder: str) -> str:
        """Return the name of the stack's function that has this folder in `functions/`."""
        return f"{self.name}-{folder.replace('_', '-')}"


def is_on_aws(stack: str) -> bool:
    """Whether a value of `--stack` names a stack on AWS; otherwise it is the path of a `stack.json`."""
    path = Path(stack)
    return not (path.is_file() or path.suffix == ".json" or "/" in stack)


def _local_file() -> Path:
    """Return the path of the local stack's description: in this folder or one above, else beside this code."""
    here = Path.cwd()
    folders = [here, *here.parents, Path(__file__).resolve().parents[1]]
    return next((folder / LOCAL_FILE for folder in folders if (folder / LOCAL_FILE).is_file()), LOCAL_FILE)
