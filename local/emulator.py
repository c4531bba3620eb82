"""MiniStack, the AWS emulator, behind the guard: `python -m local.emulator`, with MiniStack's own variables."""

import hashlib
import io
import os
import tempfile
import threading
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ministack import app as ministack
from ministack.core.lambda_runtime import Worker
from ministack.services import lambda_svc

from local.guard import Guard

_spawn = Worker._spawn  # noqa: SLF001
_unpacking = threading.Lock()
_unpacked: dict[str, Path] = {}


def spawn(worker: Any) -> None:
    """Start a function's process as MiniStack does, with layers that are unpacked once for all processes.

    So it is in Lambda, where all environments mount the same files. MiniStack unpacks thousands of files for each
    process, which takes longer than all else of its start.
    """
    config = worker.config
    worker.config = with_unpacked_layers(config)
    try:
        _spawn(worker)
    finally:
        worker.config = config


def with_unpacked_layers(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a function's configuration that names its layers' folders to MiniStack's worker, and no layer."""
    layers = [each if isinstance(each, str) else each.get("Arn", "") for each in config.get("Layers") or []]
    archives = [lambda_svc._resolve_layer_zip(layer) for layer in layers]  # noqa: SLF001
    folders = [str(_folder_of(archive)) for archive in archives if archive]
    environment = config.get("Environment") or {}
    variables = {**environment.get("Variables", {}), "_LAMBDA_LAYERS_DIRS": os.pathsep.join(folders)}
    return {**config, "Layers": [], "Environment": {**environment, "Variables": variables}}


def _folder_of(archive: bytes) -> Path:
    """Return the folder with a layer's files; `ZipFile` writes none elsewhere."""
    content = hashlib.sha256(archive).hexdigest()
    with _unpacking:
        if content not in _unpacked:
            folder = Path(tempfile.mkdtemp(prefix="ministack-layer-"))
            with zipfile.ZipFile(io.BytesIO(archive)) as file:
                file.extractall(folder)
            _unpacked[content] = folder
        return _unpacked[content]


if __name__ == "__main__":
    Worker._spawn = spawn  # noqa: SLF001
    # `main` serves whatever its module calls `app`.
    ministack.app = Guard(ministack.app)
    ministack.main()
