"""The SAM CLI, made to build and deploy `template.yaml` to an emulator and to nothing else."""

import json
import os
import platform
import sys
from pathlib import Path

from cli.target import LOCAL_NAME
from local.options import ROOT, Options
from local.processes import ServerError, run, tail
from local.stand_ins import REGION, environment

_ARCHITECTURES = {"x86_64": "x86_64", "AMD64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}


def build(options: Options) -> None:
    """Build the layer and the functions for this machine. Raises `ServerError`."""
    _sam(options, "build", "--build-dir", str(_build_folder(options)))


def deploy(options: Options) -> None:
    """Deploy the build. Raises `ServerError`."""
    parameters = {
        "Architecture": architecture(),
        "CxoneSmsBaseUrl": options.sms_base_url or options.simulator_url,
        "CxoneApiBaseUrl": options.api_base_url or options.simulator_url,
        "CxoneCampaignId": options.campaign_id,
        "CxoneFromNumber": options.sender,
        "CxoneOperatorId": options.operator_id,
        "EmulatorEndpoint": options.endpoint,
        "TokenStore": options.token_store,
    }
    # As JSON, which is YAML: on a command line SAM reads quotes and spaces, and a value could set another parameter.
    file = options.folder / "parameters.yaml"
    file.write_text(json.dumps(parameters))
    _sam(
        options,
        "deploy",
        *("--template-file", str(_build_folder(options) / "template.yaml")),
        *("--stack-name", LOCAL_NAME, "--region", REGION, "--capabilities", "CAPABILITY_IAM", "--resolve-s3"),
        *("--no-confirm-changeset", "--no-fail-on-empty-changeset", "--no-progressbar"),
        *("--parameter-overrides", f"file://{file}"),
    )


def _sam(options: Options, command: str, *arguments: str) -> None:
    """Run the SAM CLI with its output in a log, which is shown if it fails."""
    log = options.folder / f"sam-{command}.log"
    binaries = Path(sys.executable).parent
    settings = {
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
        "ARCHITECTURE": architecture(),
        "SAM_CLI_TELEMETRY": "0",
        "SAM_CLI_POLL_DELAY": "0.2",  # seconds; five by default, and the emulator is done at once
    }
    code = run([str(binaries / "sam"), command, *arguments], environment(options.endpoint) | settings, ROOT, log)
    if code != 0:
        raise ServerError(f"sam {command} failed:\n{tail(log)}")


def _build_folder(options: Options) -> Path:
    return options.folder / "build"


def architecture() -> str:
    """Return Lambda's name of this machine's instruction set. Raises `ServerError` if Lambda has none."""
    machine = platform.machine()
    if machine not in _ARCHITECTURES:
        raise ServerError(f"Lambda has no functions for this machine's architecture, {machine}")
    return _ARCHITECTURES[machine]
