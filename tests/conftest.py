"""What integration tests stand on: AWS by an emulator of their own and by moto, and the template's tables."""

import signal
import uuid
from functools import cache, lru_cache

import boto3
import pytest
from botocore.config import Config
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from cxone_messaging.domain import phone_numbers
from local import stand_ins, template
from local.processes import Servers, free_port
from tests import aws_models

# In the background a shell has us ignore Ctrl-C, and so would every process whose interruption is to be tested.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine is no defect of the code, and bad luck no reason to refuse a change: `make test` always tries the same
# cases, `make proof` (--hypothesis-profile=explore) others each time.
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("project", parent=settings.get_profile("explore"), derandomize=True)
settings.load_profile("project")

# Tests send to a few numbers a hundred thousand times, and what libphonenumber makes of a text is always the same.
phone_numbers._canonical = lru_cache(4096)(phone_numbers._canonical)

aws_models.share()

# Of the end-to-end tests, these start a stack of their own; all others share one.
_WITH_THEIR_OWN_STACK = ("tests/e2e/test_demo.py", "tests/e2e/test_doctor.py")
_MOST_AT_ONCE = 8


class TwoStacks(LoadScopeScheduling):
    """Spreads the tests over processes, but has those of a local stack follow each other: two stacks run at a time.

    They come first, as they take longest. Of the others, a process gets several at a time, and one at a time in the
    end. What is done is forgotten: to count all of it after each of thousands of tests takes seconds.
    """

    def __init__(self, config, log):
        super().__init__(config, log)
        self._places = {}

    def _split_scope(self, nodeid):
        if not nodeid.startswith("tests/e2e/"):
            return nodeid
        return "a stack each" if nodeid.startswith(_WITH_THEIR_OWN_STACK) else "the shared stack"

    def mark_test_complete(self, node, item_index, duration=0):
        nodeid = self.registered_collections[node][item_index]
        work, scope = self.assigned_work[node], self._split_scope(nodeid)
        work[scope][nodeid] = True
        if all(work[scope].values()):
            del work[scope]
        self._reschedule(node)

    def _assign_work_unit(self, node):
        places = self._places.setdefault(node, {})
        if not places:
            places.update((nodeid, place) for place, nodeid in enumerate(self.registered_collections[node]))
        work, indexes = self.assigned_work[node], []
        for _ in range(max(1, min(_MOST_AT_ONCE, len(self.workqueue) // (8 * len(self.nodes))))):
            scope, unit = self.workqueue.popitem(last=False)
            work[scope] = unit
            indexes += [places[nodeid] for nodeid, is_done in unit.items() if not is_done]
            if len(unit) > 1:
                break
        node.send_runtest_some(indexes)


def pytest_xdist_make_scheduler(config, log):
    return TwoStacks(config, log)


@pytest.fixture(scope="session")
def emulator(tmp_path_factory):
    """Run MiniStack on a free port of 127.0.0.1, and give its endpoint."""
    folder = tmp_path_factory.mktemp("emulator")
    servers = Servers(folder)
    try:
        yield stand_ins.start_emulator(servers, free_port(), folder)
    finally:
        servers.stop()


@pytest.fixture(scope="session")
def make_client(emulator):
    """Make AWS clients for the emulator; one of one's own can be given event hooks."""
    session = boto3.Session("local", "local", region_name=stand_ins.REGION)
    config = Config(max_pool_connections=64, retries={"mode": "standard", "total_max_attempts": 3})
    return lambda service: session.client(service, endpoint_url=emulator, config=config)


@pytest.fixture(scope="session")
def dynamodb(make_client):
    return make_client("dynamodb")


@pytest.fixture(scope="session")
def secrets_manager(make_client):
    return make_client("secretsmanager")


@pytest.fixture
def ledger_table(dynamodb):
    return _created(dynamodb, "LedgerTable")


@pytest.fixture
def consents_table(dynamodb):
    return _created(dynamodb, "ConsentsTable")


@pytest.fixture
def coordination_table(dynamodb):
    return _created(dynamodb, "CoordinationTable")


def _created(dynamodb, logical_id):
    name = f"{logical_id}-{uuid.uuid4().hex}"
    dynamodb.create_table(**template.table(logical_id, name))
    return name


class Moto:
    """AWS as moto has it, in this process: a second opinion on what the emulator answers."""

    def __init__(self):
        self.client = _moto_session().client

    def table(self, logical_id):
        """Create a table as the template defines it; give a client and the table's name."""
        client = self.client("dynamodb")
        return client, _created(client, logical_id)


@cache
def _moto_session():
    return boto3.Session("moto", "moto", region_name=stand_ins.REGION)


@pytest.fixture
def moto():
    from moto import mock_aws  # noqa: PLC0415  most processes of the tests need none

    with mock_aws():
        yield Moto()
