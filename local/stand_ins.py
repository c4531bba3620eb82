"""The stand-ins: an emulator in place of AWS, and a simulator in place of CXone, each on 127.0.0.1."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from local.options import ROOT
from local.processes import Servers

REGION = "us-east-1"
# The emulator takes any.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_DEFAULT_REGION": REGION}

# Not the shell's: its own bytecode switch would make each start of each tool compile the whole tool anew, and its
# PYTHONPATH would reach into the functions.
_NOT_INHERITED = frozenset({"PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "PYTHONHOME"})


def environment(endpoint: str) -> dict[str, str]:
    """Return an environment that reaches no real AWS account, and no proxy on the way to 127.0.0.1."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith("AWS_") and name not in _NOT_INHERITED
    }
    return {
        **kept,
        **CREDENTIALS,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }


def start_emulator(servers: Servers, port: int, temporary: Path) -> str:
    """Start MiniStack behind the guard, and return its endpoint. Raises `ServerError`.

    MiniStack unpacks layers into the temporary folder.
    """
    endpoint = f"http://127.0.0.1:{port}"
    settings = {
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",  # this listener and the next would be open to the network
        "SFTP_ENABLED": "0",
        "TMPDIR": str(temporary),
        # AWS's default. Otherwise it depends on this machine's memory, and so would what `doctor` says of it.
        "LAMBDA_ACCOUNT_CONCURRENCY": "1000",
        "LOG_LEVEL": "WARNING",
    }
    servers.start("emulator", [sys.executable, "-m", "local.emulator"], environment(endpoint) | settings, port, ROOT)
    return endpoint


def start_simulator(servers: Servers, port: int, *options: str, credentials: Mapping[str, str] | None = None) -> str:
    """Start the CXone simulator, and return its URL. Raises `ServerError`."""
    command = [sys.executable, "-m", "local.simulator", "--port", str(port), *options]
    servers.start("simulator", command, {**os.environ, **(credentials or {})}, port, ROOT)
    return f"http://127.0.0.1:{port}"
