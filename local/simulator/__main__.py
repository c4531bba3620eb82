"""Run the simulator alone: `python -m local.simulator --port 8090`."""

import argparse
import contextlib
import os
import sys

from local.simulator.server import Server
from local.simulator.settings import MAXIMUM_EVENT_WORKERS, Settings
from local.simulator.simulator import Simulator


def main() -> int:
    """Serve until interrupted; credentials come from the environment, where they are set there."""
    parser = argparse.ArgumentParser(prog="python -m local.simulator", description="A stand-in for CXone.")
    parser.add_argument("--port", type=int, default=8090, help="on 127.0.0.1; 0 takes a free one (default: 8090)")
    workers = Settings().event_workers
    help_text = f"delivery events posted at the same time (default: {workers})"
    allowed = range(1, MAXIMUM_EVENT_WORKERS + 1)
    parser.add_argument("--event-workers", type=int, default=workers, choices=allowed, metavar="N", help=help_text)
    arguments = parser.parse_args()
    port = arguments.port
    fields = ("client_id", "client_secret", "access_key_id", "access_key_secret")
    names = {field: f"CXONE_{field.upper()}" for field in fields}
    credentials = {field: os.environ[name] for field, name in names.items() if os.environ.get(name)}
    settings = Settings().changed({**credentials, "event_workers": arguments.event_workers})
    try:
        server = Server(Simulator(settings), port, lambda url: print(f"CXone simulator ready on {url}", flush=True))
    except OSError as error:
        print(f"cannot listen on port {port}: {error.strerror}", file=sys.stderr)
        return 1
    with contextlib.suppress(KeyboardInterrupt):
        server.serve_until_stopped()
    return 0


if __name__ == "__main__":
    sys.exit(main())
