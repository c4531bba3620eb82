import io
import logging

import pytest

from cxone_messaging.platform.telemetry import make_logger, service


@pytest.fixture(autouse=True)
def _no_sockets(socket_disabled):
    """Unit tests talk to nobody."""


@pytest.fixture
def log():
    """What the function logs, as text."""
    make_logger()
    (handler,) = logging.getLogger(service()).handlers
    captured = io.StringIO()
    before = handler.setStream(captured)
    yield captured
    handler.setStream(before)
