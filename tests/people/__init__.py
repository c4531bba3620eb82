"""What people, carriers and programs write, as data: a file for each kind, with right answers, reasons and sources."""

from pathlib import Path
from typing import Any

import pytest
import yaml

_FOLDER = Path(__file__).parent


def table(kind: str) -> Any:
    """Return the inputs of a kind's file."""
    text = (_FOLDER / f"{kind}.yaml").read_text("utf-8")
    # libyaml is many times as fast, and refuses half of a surrogate pair.
    if r"\ud" in text:
        return yaml.safe_load(text)
    return yaml.load(text, yaml.CSafeLoader)


def inputs(kind: str) -> Any:
    """Return a decorator that runs a test with each input of a kind's file."""
    entries = table(kind)
    return pytest.mark.parametrize(
        "entry", entries, ids=[f"{number} {entry['reason']}" for number, entry in enumerate(entries, 1)]
    )
