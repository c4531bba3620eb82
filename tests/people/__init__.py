"""What people, carriers and programs write, as data: a file for each kind, with right answers, reasons and sources."""

from pathlib import Path
from typing import Any

import pytest
import yaml

_FOLDER = Path(__file__).parent


def inputs(kind: str) -> Any:
    """Return a decorator that runs a test with each input of a kind's file."""
    entries = yaml.safe_load((_FOLDER / f"{kind}.yaml").read_text("utf-8"))
    return pytest.mark.parametrize(
        "entry", entries, ids=[f"{number} {entry['reason']}" for number, entry in enumerate(entries, 1)]
    )
