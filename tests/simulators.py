"""Simulators that a fork server starts: each is a process of its own, in milliseconds, not a third of a second.

A fork server imports this module in advance, so it imports the simulator.
"""

import multiprocessing
import os
import sys

from local.simulator.__main__ import main

PRELOADED = [__name__]
multiprocessing.get_context("forkserver").set_forkserver_preload(PRELOADED)


def serve(port: int) -> None:
    """Do as `python -m local.simulator --port …` does, with its own credentials."""
    for name in ("CXONE_CLIENT_ID", "CXONE_CLIENT_SECRET", "CXONE_ACCESS_KEY_ID", "CXONE_ACCESS_KEY_SECRET"):
        os.environ.pop(name, None)
    sys.argv[1:] = ["--port", str(port)]
    sys.exit(main())
