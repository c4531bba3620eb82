"""The SAM CLI, made to build and deploy `template.yaml` to an emulator and to nothing else."""

import os
import platform
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import yaml

from cli.target import LOCAL_NAME
from local.options import ROOT, Options
from local.processes import ServerError, run, tail
from local.stand_ins import REGION, environment

_QUOTED = re.compile("[ \"']")
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
    file = options.folder / "parameters.yaml"
    write_parameters(file, parameters)
    _sam(
        options,
        "deploy",
        *("--template-file", str(_build_folder(options) / "template.yaml")),
        *("--stack-name", LOCAL_NAME, "--region", REGION, "--capabilities", "CAPABILITY_IAM", "--resolve-s3"),
        *("--no-confirm-changeset", "--no-fail-on-empty-changeset", "--no-progressbar"),
        *("--parameter-overrides", f"file://{file}"),
    )


def write_parameters(file: Path, parameters: Mapping[str, str | None]) -> None:
    """Write values of parameters so that SAM reads from `file://` what they are.

    On a command line, a value could set another parameter. Of a file's values SAM removes quotes around them, and
    backslashes before blanks and quotes: twice, once for the file and once for the option that names it.
    """
    escaped = {name: _escaped(_escaped(value or "")) for name, value in parameters.items()}
    file.write_text(yaml.safe_dump(escaped), "utf-8")


def _escaped(value: str) -> str:
    return '"' + _QUOTED.sub(r"\\\g<0>", value) + '"'


def _sam(options: Options, command: str, *arguments: str) -> None:
    """Run the SAM CLI with its output in a log, which is shown if it fails."""
    log = options.folder / f"sam-{command}.log"
    binaries = Path(sys.executable).parent
    settings = {
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
        "ARCHITECTURE": architecture(),
        "SAM_CLI_TELEMETRY": "0",
        "SAM_CLI_POLL_DELAY": "0.2",  # seconds; five by default, and the emulator is done at once
        **kept_here(os.environ),
        "TMPDIR": str(temporary_folder(options.folder)),  # SAM leaves folders behind
    }
    code = run([str(binaries / "sam"), command, *arguments], environment(options.endpoint) | settings, ROOT, log)
    if code != 0:
        raise ServerError(f"sam {command} failed:\n{tail(log)}")


def temporary_folder(folder: Path) -> Path:
    """Return the folder of a stack's temporary files, which `down` removes."""
    temporary = folder / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    return temporary


def kept_here(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that keep what SAM and uv write in this folder, unless the environment names another place.

    The Makefile has the same ones. A home folder may be read-only, or somebody else's.
    """
    places = {"XDG_CACHE_HOME": ROOT / ".tools" / "cache", "__SAM_CLI_APP_DIR": ROOT / ".tools" / "sam"}
    return {name: environment.get(name) or str(place) for name, place in places.items()}


def _build_folder(options: Options) -> Path:
    return options.folder / "build"


def architecture() -> str:
    """Return Lambda's name of this machine's instruction set. Raises `ServerError` if Lambda has none."""
    machine = platform.machine()
    if machine not in _ARCHITECTURES:
        raise ServerError(f"Lambda has no functions for this machine's architecture, {machine}")
    return _ARCHITECTURES[machine]
