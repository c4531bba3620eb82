"""The folders that Lambda provides for a function: the runtime's packages, our layer, the naive layer."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from local import sam

ROOT = Path(__file__).resolve().parent.parent
_BIN = ROOT / ".venv" / "bin"
# Whenever a source was last changed, as far as a layer knows that was zipped and unpacked again.
_UNPACKED_AT = 946_684_800


@dataclass(frozen=True, slots=True)
class Layers:
    """Folders that follow a function's own on its path.

    `naive` is what an installer puts there for the imports of the handler, without bytecode; with the tracer
    comes a botocore of its own. `lean` is the same without what the runtime has too.
    """

    runtime: Path
    ours: Path
    naive: Path
    lean: Path


def build(folder: Path) -> Layers:
    """Build all of them below a folder, for this machine."""
    layers = Layers(folder / "runtime", folder / "ours" / "python", folder / "naive", folder / "lean")
    # Lambda's image has bytecode for what it brings.
    _install(layers.runtime, "--compile-bytecode", "boto3", "awslambdaric")
    _install(layers.naive, "--group", "naive")
    shutil.copytree(layers.naive, layers.lean)
    for name in ("botocore", "jmespath", "dateutil", "urllib3"):
        shutil.rmtree(layers.lean / name)
    environment = {**os.environ, "PATH": f"{_BIN}:{os.environ['PATH']}"}
    arguments = [f"ARTIFACTS_DIR={layers.ours.parent}", f"ARCHITECTURE={sam.architecture()}"]
    command = ["make", "--no-print-directory", "-C", "layers/messaging", "build-MessagingLayer", *arguments]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)  # noqa: S603
    for source in layers.ours.rglob("*.py"):
        os.utime(source, (_UNPACKED_AT, _UNPACKED_AT))
    return layers


def megabytes(folder: Path) -> float:
    """Return a folder's size, in millions of bytes."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def _install(target: Path, *what: str) -> None:
    options = ["--quiet", "--python", sys.executable, "--link-mode", "copy", "--constraint", "requirements.lock"]
    command = [str(_BIN / "uv"), "pip", "install", *options, "--target", str(target), *what]
    subprocess.run(command, cwd=ROOT, check=True)  # noqa: S603
