"""`make campaign`: a message to everybody in a CSV file, previewed, sent in bulk, and watched to its end."""

import sys
from pathlib import Path

# Texts and numbers are checked here by the very code that checks them on AWS, where a layer brings it along.
_LAYER = str(Path(__file__).resolve().parents[2] / "layers" / "messaging")
if _LAYER not in sys.path:
    sys.path.insert(0, _LAYER)
