"""What the tests of the threat model's claims stand on."""

from tests.unit.conftest import log

__all__ = ["log"]
