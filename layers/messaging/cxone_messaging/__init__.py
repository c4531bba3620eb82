"""The shared layer: send SMS through NICE CXone never twice, never lost, always proven.

Floors, from the ground up: `segments` (a separate library), `domain` (no I/O), `platform` (the runtime), `adapters`
(AWS and CXone), `use_cases`, `wiring`. Imports run downward only; `make lint` checks it.
"""

# The only place of the version: pyproject.toml, the command line, log lines and requests to CXone take it from here.
__version__ = "0.2.0"
