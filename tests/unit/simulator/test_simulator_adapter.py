import threading

import pytest
import requests
from urllib3.exceptions import MaxRetryError, NewConnectionError, ProtocolError

from local.simulator import Fault, Settings, Simulator
from local.simulator.transport import SimulatorAdapter

BASE = "https://account.my.cxone.com"
CREDENTIALS = {"grant_type": "client_credentials", "client_id": "local-client", "client_secret": "local-secret&=+%"}


class Rig:
    """A session over the simulator, and the seconds that were slept."""

    def __init__(self, **settings):
        self.simulator = Simulator(Settings(**settings))
        self.slept = []
        self.session = requests.Session()
        self.session.mount("https://", SimulatorAdapter(self.simulator, self.slept.append))
        self.token = self.session.post(f"{BASE}/api/v2/oauth/token", data=CREDENTIALS).json()["access_token"]

    def send(self, timeout=(2, 20)):
        body = {
            "to": ["+15551234567"],
            "from": "24680",
            "text": "é",
            "campaignId": "c",
            "segmentation": {"enabled": True},
        }
        headers = {"Authorization": f"Bearer {self.token}"}
        return self.session.post(f"{BASE}/api/v2/message/sms/send", json=body, headers=headers, timeout=timeout)

    @property
    def taken(self):
        return len(self.simulator.accepted_messages())


def test_an_exchange_looks_as_over_the_network_and_takes_as_long():
    rig = Rig(latency_median_seconds=0.25)
    answer = rig.send()
    assert answer.status_code == 202
    assert answer.json()["id"] == rig.simulator.accepted_messages()[0].id
    assert answer.headers["content-type"] == "application/json"
    assert answer.url == f"{BASE}/api/v2/message/sms/send"
    assert rig.slept == [0.25]


def test_queries_and_percent_encoding_arrive():
    rig = Rig()
    rig.send()
    shown = rig.session.get(f"{BASE}/_simulator/log", params={"operation": "send"}).json()["entries"]
    assert [entry["operation"] for entry in shown] == ["send"]
    made = rig.session.post(f"{BASE}/_simulator/templates/a%20b", json={"content": "x"})
    assert made.json()["id"] == "a b"


def test_a_garbage_body_is_no_json():
    rig = Rig()
    rig.simulator.add_fault(Fault(operation="send", action="garbage_body"))
    answer = rig.send()
    assert answer.status_code == 202
    with pytest.raises(requests.JSONDecodeError):
        answer.json()


def test_accepted_then_silence_is_a_read_timeout():
    rig = Rig()
    rig.simulator.add_fault(Fault(operation="send", action="accept_then_timeout"))
    with pytest.raises(requests.ReadTimeout) as raised:
        rig.send()
    assert raised.value.request.url.endswith("/send")
    assert (rig.slept, rig.taken) == ([20], 1)


def test_an_answer_slower_than_the_timeout_is_a_read_timeout_though_taken():
    rig = Rig(latency_median_seconds=30)
    with pytest.raises(requests.ReadTimeout):
        rig.send()
    assert (rig.slept, rig.taken) == ([20], 1)


def test_without_a_timeout_the_held_connection_is_closed_at_last():
    rig = Rig(hold_seconds=45)
    rig.simulator.add_fault(Fault(operation="send", action="accept_then_timeout"))
    with pytest.raises(requests.ConnectionError):
        rig.send(timeout=None)
    assert rig.slept == [45]


@pytest.mark.parametrize(("action", "taken"), [("reset", 0), ("accept_then_reset", 1)])
def test_a_reset_after_the_request_was_written(action, taken):
    rig = Rig()
    rig.simulator.add_fault(Fault(operation="send", action=action))
    with pytest.raises(requests.ConnectionError) as raised:
        rig.send()
    assert not isinstance(raised.value, requests.Timeout)
    assert isinstance(raised.value.args[0], ProtocolError)
    assert isinstance(raised.value.args[0].args[1], ConnectionResetError)
    assert rig.taken == taken


def test_a_refused_connection_looks_as_urllib3_tells_of_it():
    rig = Rig()
    rig.simulator.add_fault(Fault(operation="send", action="refuse"))
    with pytest.raises(requests.ConnectionError) as raised:
        rig.send()
    assert isinstance(raised.value.args[0], MaxRetryError)
    assert isinstance(raised.value.args[0].reason, NewConnectionError)
    assert rig.taken == 0


def test_a_connection_that_is_never_made():
    rig = Rig()
    rig.simulator.add_fault(Fault(operation="send", action="connect_timeout"))
    with pytest.raises(requests.ConnectTimeout):
        rig.send()
    assert (rig.slept, rig.taken) == ([2], 0)


def test_threads_share_one_simulator():
    rig = Rig(requests_per_second=50)
    statuses = []
    threads = [threading.Thread(target=lambda: statuses.append(rig.send().status_code)) for _ in range(80)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses.count(202) == rig.taken
    assert len(statuses) == 80
    assert len({message.id for message in rig.simulator.accepted_messages()}) == rig.taken
