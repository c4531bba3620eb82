"""The deployment that a campaign goes to: the local stack by its description, or one on AWS by its name."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from cli.campaign.people import CampaignError
from cli.stacks import StackError, local_description, look_up
from cli.target import Deployed

_TIMEOUT_SECONDS = 30
# What the template's parameters say unless somebody says otherwise.
_PARAMETERS = {"CxoneRequestsPerSecond": 100.0, "RateUtilisationPercent": 97.0, "MaxSegments": 10.0}


class Api(Protocol):
    """The deployment's API."""

    def call(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> requests.Response:
        """Call a route; a body of bytes goes out as it is. Raises `requests.RequestException`."""
        ...


@dataclass(frozen=True, slots=True)
class Stack:
    """A deployment; `rate` is how many messages a second it aims at."""

    api: Api
    rate: float = 97.0
    max_segments: int = 10


class SignedApi:
    """An API on AWS, every request signed with the caller's own credentials (SigV4, service `execute-api`)."""

    def __init__(self, url: str, credentials: Any, region: str) -> None:
        self._url = url.rstrip("/")
        self._signer = SigV4Auth(credentials, "execute-api", region)
        self._session = requests.Session()

    def call(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> requests.Response:
        """Call a route; a body of bytes goes out as it is. Raises `requests.RequestException`."""
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()

        def signed(prepared: requests.PreparedRequest) -> requests.PreparedRequest:
            # As the request's own `auth`, so that no .netrc replaces the signature.
            named = {"Content-Type": "application/json", **(headers or {})}
            request: Any = AWSRequest(method, prepared.url, named, data)
            self._signer.add_auth(request)
            prepared.headers.update(request.headers.items())
            return prepared

        return self._session.request(
            method, self._url + path, data=data, auth=signed, timeout=_TIMEOUT_SECONDS, allow_redirects=False
        )


def find(stack: str) -> Stack:
    """Find a deployment by the path of its `stack.json` or by its name in CloudFormation. Raises `CampaignError`."""
    try:
        description = local_description(stack)
        if description is not None:
            return Stack(Deployed(description))
        found = look_up(stack)
    except StackError as error:
        raise CampaignError(str(error)) from None
    if "ApiUrl" not in found.outputs:
        raise CampaignError(f"the stack {stack} has no output ApiUrl")
    rate, percent, segments = (float(found.parameters.get(name) or default) for name, default in _PARAMETERS.items())
    api = SignedApi(found.outputs["ApiUrl"], found.session.get_credentials(), found.session.region_name)
    return Stack(api, rate * percent / 100, int(segments))
