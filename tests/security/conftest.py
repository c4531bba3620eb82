"""What the tests of the threat model's claims stand on: as unit tests, they talk to nobody."""

from tests.unit.conftest import _no_sockets, log

__all__ = ["_no_sockets", "log"]
