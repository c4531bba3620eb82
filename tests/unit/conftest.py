import pytest


@pytest.fixture(autouse=True)
def _no_sockets(socket_disabled):
    """Unit tests talk to nobody."""
