"""The SAM CLI, made to build and deploy `template.yaml` to an emulator and to nothing else."""

import os
import platform
import sys
from pathlib import Path

from local.options import ROOT, Options
from local.processes import ServerError, run, tail

STACK_NAME = "cxone-messaging"
REGION = "us-east-1"

_ARCHITECTURES = {"x86_64": "x86_64", "AMD64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}
# Not the shell's: its own bytecode switch would make each start of each tool compile the whole tool anew, and its
# PYTHONPATH would reach into the functions.
_NOT_INHERITED = frozenset({"PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "PYTHONHOME"})


def environment(options: Options) -> dict[str, str]:
    """Make an environment in which nothing can reach a real AWS account, nor a proxy on the way to 127.0.0.1."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith("AWS_") and name not in _NOT_INHERITED
    }
    return {
        **kept,
        "AWS_ENDPOINT_URL": options.endpoint,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }


def build(options: Options) -> None:
    """Build the layer and the functions for this machine. Raises `ServerError`."""
    _sam(options, "build", "--build-dir", str(_build_folder(options)))


def deploy(options: Options) -> None:
    """Deploy what was built. Raises `ServerError`."""
    parameters = {
        "Architecture": _architecture(),
        "CxoneSmsBaseUrl": options.sms_base_url or options.simulator_url,
        "CxoneApiBaseUrl": options.api_base_url or options.simulator_url,
        "CxoneCampaignId": options.campaign_id,
        "CxoneFromNumber": options.sender,
        "CxoneOperatorId": options.operator_id,
        "EmulatorEndpoint": options.endpoint,
    }
    _sam(
        options,
        "deploy",
        *("--template-file", str(_build_folder(options) / "template.yaml")),
        *("--stack-name", STACK_NAME, "--region", REGION, "--capabilities", "CAPABILITY_IAM", "--resolve-s3"),
        *("--no-confirm-changeset", "--no-fail-on-empty-changeset", "--no-progressbar"),
        *("--parameter-overrides", *(f'{name}="{value}"' for name, value in parameters.items())),
    )


def _sam(options: Options, command: str, *arguments: str) -> None:
    """Run the SAM CLI, its output going to a log that is shown when it fails."""
    log = options.folder / f"sam-{command}.log"
    binaries = Path(sys.executable).parent
    settings = {
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
        "ARCHITECTURE": _architecture(),
        "SAM_CLI_TELEMETRY": "0",
        "SAM_CLI_POLL_DELAY": "0.2",  # seconds; five by default, and the emulator is done at once
    }
    code = run([str(binaries / "sam"), command, *arguments], environment(options) | settings, ROOT, log)
    if code != 0:
        raise ServerError(f"sam {command} failed:\n{tail(log)}")


def _build_folder(options: Options) -> Path:
    return options.folder / "build"


def _architecture() -> str:
    machine = platform.machine()
    if machine not in _ARCHITECTURES:
        raise ServerError(f"Lambda has no functions for this machine's architecture, {machine}")
    return _ARCHITECTURES[machine]
