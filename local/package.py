"""The release bundle: a built template with its artifacts beside it, which deploys without Python and make.

`python -m local.package` writes `dist/cxone-messaging-<version>-<architecture>`, and a zip file of it.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import yaml

from cli.progress import Progress
from cxone_messaging import __version__
from local import template
from local.options import ROOT
from local.processes import ServerError, run, tail
from local.sam import kept_here
from local.verbs import VerbError, check_architecture

NAME = "cxone-messaging"
DEFAULT_ARCHITECTURE = "arm64"
# What goes into the bundle as it is in the repository, under its name in the bundle.
_COPIED = {
    "samconfig.toml": "samconfig.toml",
    "docs/bundle.md": "README.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "LICENSE": "LICENSE",
}


def package(folder: Path, architecture: str, environment: Mapping[str, str] = os.environ) -> Path:
    """Write the bundle and its zip file into a folder, and return the bundle's own. Raises `ServerError`.

    `architecture` is Lambda's name of an instruction set.
    """
    bundle = folder / f"{NAME}-{__version__}-{architecture}"
    shutil.rmtree(bundle, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    binaries = Path(sys.executable).parent
    settings = {
        "PATH": f"{binaries}{os.pathsep}{environment['PATH']}",
        "ARCHITECTURE": architecture,
        "SAM_CLI_TELEMETRY": "0",
        **kept_here(environment),
    }
    log = folder / "build.log"
    command = [str(binaries / "sam"), "build", "--build-dir", str(bundle)]
    with tempfile.TemporaryDirectory() as temporary:  # SAM leaves folders behind
        code = run(command, {**environment, **settings, "TMPDIR": temporary}, ROOT, log)
    if code != 0:
        raise ServerError(f"sam build failed:\n{tail(log)}")
    log.unlink()
    (folder / "build.toml").unlink()  # SAM's own notes, with this machine's paths
    _bind(bundle / "template.yaml", architecture)
    for source, name in _COPIED.items():
        shutil.copyfile(ROOT / source, bundle / name)
    shutil.make_archive(str(bundle), "zip", folder, bundle.name)
    return bundle


def _bind(path: Path, architecture: str) -> None:
    """Have a template take no other architecture than the layer's: its functions would fail at their first import."""
    document = template.read(path)
    document["Parameters"]["Architecture"] |= {"Default": architecture, "AllowedValues": [architecture]}
    path.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120), "utf-8")


def main() -> int:
    """Write the bundle into `dist/`."""
    progress = Progress()
    architecture = os.environ.get("ARCHITECTURE") or DEFAULT_ARCHITECTURE
    try:
        check_architecture(architecture)
        with progress.step(f"packaging for {architecture}", "packaged") as outcome:
            bundle = package(ROOT / "dist", architecture)
            outcome.text = f"packaged {bundle.relative_to(ROOT)}\nand {bundle.name}.zip beside it"
    except (ServerError, VerbError) as error:
        progress.error(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
