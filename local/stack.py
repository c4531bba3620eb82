"""The local stack: `template.yaml` deployed by the SAM CLI to MiniStack, beside a CXone simulator.

`python -m local.stack up` leaves it running and writes `.local/stack.json`; `python -m local.stack down` stops it.
"""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import requests
from rich.console import Console

from local.processes import ServerError, Servers, tail

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".local"
STACK_FILE = FOLDER / "stack.json"
STACK_NAME = "cxone-messaging"
REGION = "us-east-1"
CAMPAIGN_ID = "local-campaign"
SENDER = "+15550100000"
CLIENT_ID = "local-client"
CLIENT_SECRET = "local-secret&=+%"  # noqa: S105  the simulator's; with all that a form must encode

_ARCHITECTURES = {"x86_64": "x86_64", "AMD64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True, slots=True)
class Options:
    """What `make up` can be told by its environment."""

    ministack_port: int
    simulator_port: int
    client_id: str
    client_secret: str
    sms_base_url: str | None
    api_base_url: str | None

    @classmethod
    def from_environment(cls) -> "Options":
        """Read the options. Raises `ServerError` for a base URL without the other one."""
        sms, api = os.environ.get("CXONE_SMS_BASE_URL"), os.environ.get("CXONE_API_BASE_URL")
        if bool(sms) != bool(api):
            raise ServerError("give both CXONE_SMS_BASE_URL and CXONE_API_BASE_URL, or neither")
        return cls(
            ministack_port=int(os.environ.get("MINISTACK_PORT", "4566")),
            simulator_port=int(os.environ.get("SIMULATOR_PORT", "8090")),
            client_id=os.environ.get("CXONE_CLIENT_ID") or CLIENT_ID,
            client_secret=os.environ.get("CXONE_CLIENT_SECRET") or CLIENT_SECRET,
            sms_base_url=sms or None,
            api_base_url=api or None,
        )

    @property
    def endpoint(self) -> str:
        """Where the emulator is."""
        return f"http://127.0.0.1:{self.ministack_port}"

    @property
    def simulator_url(self) -> str | None:
        """Where the simulator is, or None when a real CXone stands in its place."""
        return None if self.sms_base_url else f"http://127.0.0.1:{self.simulator_port}"


def up(options: Options, console: Console) -> dict[str, Any]:
    """Bring the stack up, or deploy anew to the one that runs. Raises `ServerError`, with nothing left running."""
    FOLDER.mkdir(exist_ok=True)
    servers = Servers(FOLDER)
    try:
        if not servers.running():
            _start(servers, options, console)
        with console.status("building the layer and the functions"):
            _run_sam(["build"], options)
        console.print("built the layer and the functions")
        with console.status("deploying template.yaml"):
            _run_sam(_deploy_command(options), options)
        stack = _describe(options)
        _store_credentials(options, stack["outputs"])
        with console.status("waiting for the API"):
            _wait_for(stack["apiUrl"])
    except BaseException:
        servers.stop()
        STACK_FILE.unlink(missing_ok=True)
        raise
    STACK_FILE.write_text(json.dumps(stack, indent=2) + "\n")
    console.print(f"deployed template.yaml: [bold]{stack['apiUrl']}[/bold]")
    return stack


def down(console: Console) -> None:
    """Stop what `up` started."""
    stopped = Servers(FOLDER).stop()
    STACK_FILE.unlink(missing_ok=True)
    console.print(f"stopped the {' and the '.join(stopped)}" if stopped else "nothing was running")


def client(options: Options, service: str) -> Any:
    """Make an AWS client for the emulator."""
    session: Any = boto3.Session("local", "local", region_name=REGION)  # the emulator takes any credentials
    return session.client(service, endpoint_url=options.endpoint)


def _start(servers: Servers, options: Options, console: Console) -> None:
    with console.status("starting the emulator"):
        temporary = FOLDER / "tmp"
        temporary.mkdir(exist_ok=True)
        emulator = {
            **_aws_environment(options),
            "BIND_HOST": "127.0.0.1",
            "MINISTACK_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(options.ministack_port),
            "TMPDIR": str(temporary),
            "LOG_LEVEL": "WARNING",
        }
        servers.start("emulator", [sys.executable, "-m", "ministack"], emulator, options.ministack_port)
    console.print(f"started the AWS emulator on {options.endpoint}")
    if options.simulator_url:
        with console.status("starting the CXone simulator"):
            credentials = {"CXONE_CLIENT_ID": options.client_id, "CXONE_CLIENT_SECRET": options.client_secret}
            command = [sys.executable, "-m", "local.simulator", "--port", str(options.simulator_port)]
            servers.start("simulator", command, {**os.environ, **credentials}, options.simulator_port)
        console.print(f"started the CXone simulator on {options.simulator_url}")


def _aws_environment(options: Options) -> dict[str, str]:
    """Make an environment in which nothing can reach a real AWS account."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {
        **kept,
        "AWS_ENDPOINT_URL": options.endpoint,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "SAM_CLI_TELEMETRY": "0",
    }


def _deploy_command(options: Options) -> list[str]:
    parameters = {
        "Architecture": _ARCHITECTURES[platform.machine()],
        "CxoneSmsBaseUrl": options.sms_base_url or options.simulator_url,
        "CxoneApiBaseUrl": options.api_base_url or options.simulator_url,
        "CxoneCampaignId": os.environ.get("CXONE_CAMPAIGN_ID", CAMPAIGN_ID),
        "CxoneFromNumber": os.environ.get("CXONE_FROM_NUMBER", SENDER),
        "EmulatorEndpoint": options.endpoint,
    }
    overrides = [f"{name}={value}" for name, value in parameters.items()]
    flags = ["--no-confirm-changeset", "--no-fail-on-empty-changeset", "--no-progressbar", "--resolve-s3"]
    return [
        *("deploy", "--stack-name", STACK_NAME, "--region", REGION, "--capabilities", "CAPABILITY_IAM"),
        *flags,
        *("--parameter-overrides", *overrides),
    ]


def _run_sam(arguments: list[str], options: Options) -> None:
    """Run the SAM CLI, its output going to a log that is shown when it fails."""
    log = FOLDER / f"sam-{arguments[0]}.log"
    binaries = Path(sys.executable).parent
    environment = _aws_environment(options) | {
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
        "ARCHITECTURE": _ARCHITECTURES[platform.machine()],
    }
    with log.open("wb") as output:
        done = subprocess.run(
            [str(binaries / "sam"), *arguments], cwd=ROOT, env=environment, stdout=output, stderr=output, check=False
        )
    if done.returncode != 0:
        raise ServerError(f"sam {arguments[0]} failed:\n{tail(log)}")


def _describe(options: Options) -> dict[str, Any]:
    described = client(options, "cloudformation").describe_stacks(StackName=STACK_NAME)["Stacks"][0]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}
    return {
        "apiUrl": outputs["ApiUrl"].rstrip("/"),
        "awsEndpointUrl": options.endpoint,
        "region": REGION,
        "simulatorUrl": options.simulator_url,
        "outputs": outputs,
    }


def _store_credentials(options: Options, outputs: dict[str, str]) -> None:
    credentials = {"clientId": options.client_id, "clientSecret": options.client_secret}
    client(options, "secretsmanager").put_secret_value(
        SecretId=outputs["CredentialsSecretArn"], SecretString=json.dumps(credentials)
    )


def _wait_for(api_url: str) -> None:
    """Wait until the API knows that it has never heard of a message."""
    give_up_at = time.monotonic() + 60
    answer: requests.Response | None = None
    while time.monotonic() < give_up_at:
        answer = requests.get(f"{api_url}/messages/none", headers={"Authorization": "local"}, timeout=30)
        if answer.status_code == requests.codes.not_found and "message_not_found" in answer.text:
            return
        time.sleep(0.2)
    raise ServerError(f"the API does not answer: {answer.text[:500] if answer is not None else ''}")


def main() -> int:
    """Run the command that is named."""
    console = Console()
    commands: dict[str, Callable[[], object]] = {
        "up": lambda: up(Options.from_environment(), console),
        "down": lambda: down(console),
    }
    if len(sys.argv) != 2 or sys.argv[1] not in commands:  # noqa: PLR2004
        console.print("usage: python -m local.stack up|down")
        return 2
    try:
        commands[sys.argv[1]]()
    except ServerError as error:
        console.print(str(error), style="red", markup=False)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
