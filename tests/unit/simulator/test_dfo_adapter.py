import jwt
import pytest
import requests

from local.simulator import MAIN_CHANNEL, Fault, Settings, Simulator
from local.simulator.transport import SimulatorAdapter
from tests.tenant import ISSUER, KEY, NUMBER

BODY = {
    "messageContent": {"type": "TEXT", "payload": {"text": "hello"}},
    "recipients": [{"idOnExternalPlatform": NUMBER, "name": "", "isPrimary": True, "isPrivate": True}],
}


class Client:
    """What a client does by the facts, over `requests` and without a socket."""

    def __init__(self, simulator, slept):
        self.session = requests.Session()
        self.session.mount("https://", SimulatorAdapter(simulator, slept))
        places = self.session.get(f"{ISSUER}/.well-known/openid-configuration").json()
        token = self.session.post(
            places["token_endpoint"], KEY, auth=("local-client", "local-secret&=+%"), headers={"Accept": "*/*"}
        ).json()
        self.session.headers["Authorization"] = f"Bearer {token['access_token']}"
        tenant = jwt.decode(token["id_token"], options={"verify_signature": False})["tenantId"]
        found = self.session.get(f"{ISSUER}/.well-known/cxone-configuration", params={"tenantId": tenant}).json()
        self.base = f"https://api-de-{found['area']}.{found['domain']}/dfo/3.0"

    def send(self):
        return self.session.post(f"{self.base}/channels/{MAIN_CHANNEL}/outbound", json=BODY, timeout=(2, 20))

    def search(self, **query):
        return self.session.get(f"{self.base}/messages", params=query).json()


@pytest.fixture
def simulator():
    return Simulator(Settings())


@pytest.fixture
def slept():
    return []


@pytest.fixture
def client(simulator, slept):
    return Client(simulator, slept.append)


def test_discovery_token_send_and_search(client):
    message = client.send().json()["message"]
    found = client.search(**{"channel[]": ["sms_nobody", MAIN_CHANNEL], "contentContains": "ell"})
    assert [each["id"] for each in found["data"]] == [message["id"]]
    assert client.session.get(f"{client.base}/messages/{message['id']}").json()["id"] == message["id"]


def test_an_answer_is_lost_after_the_message_was_taken(client, simulator, slept):
    simulator.add_fault(Fault(operation="dfo.send", action="accept_then_timeout"))
    with pytest.raises(requests.ReadTimeout):
        client.send()
    assert slept == [20]
    simulator.add_fault(Fault(operation="dfo.send", action="send_without_record"))
    with pytest.raises(requests.ConnectionError):
        client.send()
    assert list(map(len, simulator.texts().values())) == [2]
    assert client.search()["hits"] == 1


def test_a_tenant_that_moves(client, simulator):
    simulator.settings = simulator.settings.changed({"dfo_area": "eu1"})
    assert client.send().status_code == 404
    assert Client(simulator, None).send().status_code == 200


def test_an_encoded_channel_and_both_apis_in_one_log(client, simulator):
    answer = client.session.post(f"{client.base}/channels/sms%2Fnobody/outbound", json=BODY)
    assert answer.status_code == 404
    client.session.post("https://account.my.cxone.com/api/v2/oauth/token", data={"grant_type": "x"})
    client.send()
    assert simulator.counts()["dfo.send"] == {"accepted": 1}
    assert simulator.counts()["token_sms"] == {"refused": 1}
    assert client.session.get(f"{ISSUER}/_simulator/health").json()["messages"] == 1
    shown = client.session.get(f"{ISSUER}/_simulator/log", params={"operation": "dfo.discovery"}).json()["entries"]
    assert len(shown) == 1
    assert client.session.get(f"{ISSUER}/_simulator/dfo/limits").json()["sends"] == {"accepted": 1, "refused": 0}


def test_secrets_are_not_shown(client):
    shown = client.session.get(f"{ISSUER}/_simulator/settings").json()
    assert shown["access_key_id"] == "local-access-key"
    assert "access_key_secret" not in shown
    assert client.session.put(f"{ISSUER}/_simulator/settings", json=shown).json() == shown
