"""`make audit`: all of the ledger verified, entry by entry and against its checkpoints, and what is wanted exported."""

import sys
from pathlib import Path

# Entries are verified here by the very code that makes them on AWS, where a layer brings it along.
_LAYER = str(Path(__file__).resolve().parents[2] / "layers" / "messaging")
if _LAYER not in sys.path:
    sys.path.insert(0, _LAYER)
