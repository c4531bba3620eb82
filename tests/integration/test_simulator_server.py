import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import jwt
import pytest
import requests

from local.processes import free_port
from local.simulator import MAIN_CHANNEL, DeliveryStep, Fault, Settings, Simulator
from local.simulator.server import running
from tests.digital_client import CLIENT, KEY, DigitalClient

ROOT = Path(__file__).parents[2]
CREDENTIALS = {"grant_type": "client_credentials", "client_id": "local-client", "client_secret": "local-secret&=+%"}

pytestmark = pytest.mark.enable_socket  # pytest-socket's, where sockets are off


@pytest.fixture
def simulator():
    steps = (
        DeliveryStep(status="sent", delay_seconds=0.05),
        DeliveryStep(status="delivered", delay_seconds=0.1),
    )
    return Simulator(Settings(delivery_steps=steps, redelivery_first_seconds=0.1, hold_seconds=1))


@pytest.fixture
def url(simulator):
    with running(simulator) as url:
        yield url


@pytest.fixture
def listener():
    """A URL, the bodies that it was sent, and the answers that it is to give before it gives 200."""
    received, answers = queue.Queue(), queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            received.put(body)
            self.send_response(answers.get() if not answers.empty() else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/hook", received, answers
        server.shutdown()
        thread.join()


def send(url, webhook_url=None, timeout=5):
    with requests.Session() as session:
        token = session.post(f"{url}/api/v2/oauth/token", data=CREDENTIALS, timeout=5).json()["access_token"]
        body = {
            "to": ["+15551234567"],
            "from": "24680",
            "text": "hello",
            "campaignId": "summer",
            "segmentation": {"enabled": True},
        }
        if webhook_url:
            body["webhookUrl"] = webhook_url
        headers = {"Authorization": f"Bearer {token}"}
        return session.post(f"{url}/api/v2/message/sms/send", json=body, headers=headers, timeout=timeout)


def test_it_tells_its_health_over_http(url):
    answer = requests.get(f"{url}/_simulator/health", timeout=5)
    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"
    assert url.startswith("http://127.0.0.1:")


def test_a_send_and_its_delivery_events_with_a_redelivery(simulator, url, listener):
    hook, received, answers = listener
    answers.put(503)
    answer = send(url, hook)
    assert answer.status_code == 202
    events = [received.get(timeout=5) for _ in range(3)]
    assert sorted(event["status"] for event in events) == ["delivered", "sent", "sent"]
    assert {event["messageId"] for event in events} == {answer.json()["id"]}
    deadline = time.monotonic() + 5
    while simulator.open_events() and time.monotonic() < deadline:
        time.sleep(0.02)
    states = [(event["state"], [a["status"] for a in event["attempts"]]) for event in simulator.events()]
    assert states == [("delivered", [503, 200]), ("delivered", [200])]


@pytest.mark.parametrize("workers", [1, 3])
def test_no_more_events_are_posted_at_the_same_time_than_allowed(simulator, url, workers):
    under_way, most, done = [], [], threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            under_way.append(self)
            most.append(len(under_way))
            time.sleep(0.1)
            under_way.remove(self)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()
            if len(most) == 12:
                done.set()

        def log_message(self, *args):
            pass

    simulator.settings = simulator.settings.changed({"event_workers": workers})
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        for _ in range(6):
            send(url, f"http://127.0.0.1:{server.server_port}/hook")
        assert done.wait(10)
        server.shutdown()
        thread.join()
    assert max(most) == workers


def test_an_unreachable_listener_is_tried_again(simulator, url):
    send(url, f"http://127.0.0.1:{free_port()}/hook")
    deadline = time.monotonic() + 5
    while not any(len(event["attempts"]) > 1 for event in simulator.events()) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert {a["status"] for event in simulator.events() for a in event["attempts"]} == {None}
    assert any(len(event["attempts"]) > 1 for event in simulator.events())


@pytest.mark.parametrize(("action", "taken"), [("reset", 0), ("accept_then_reset", 1)])
def test_a_reset_breaks_the_connection(simulator, url, caplog, action, taken):
    simulator.add_fault(Fault(operation="send", action=action))
    with pytest.raises(requests.ConnectionError) as raised:
        send(url)
    assert not isinstance(raised.value, requests.Timeout)
    assert isinstance(raised.value.args[0].args[1], ConnectionResetError)
    assert len(simulator.accepted_messages()) == taken
    assert send(url).status_code == 202
    assert "ASGI" not in caplog.text


def test_accepted_then_no_answer(simulator, url, caplog):
    simulator.add_fault(Fault(operation="send", action="accept_then_timeout", times=2))
    with pytest.raises(requests.ReadTimeout):
        send(url, timeout=0.3)
    start = time.monotonic()
    with pytest.raises(requests.ConnectionError):  # who waits longer is hung up on
        send(url, timeout=10)
    assert 0.9 < time.monotonic() - start < 5
    assert len(simulator.accepted_messages()) == 2
    assert "ASGI" not in caplog.text


def test_latency_is_waited_for_without_blocking_others(simulator, url):
    simulator.add_fault(Fault(operation="send", action="delay", delay_seconds=0.5))
    slow = threading.Thread(target=send, args=(url,))
    start = time.monotonic()
    slow.start()
    while not simulator.accepted_messages():
        time.sleep(0.01)
    assert requests.get(f"{url}/_simulator/health", timeout=5).status_code == 200
    assert slow.is_alive()
    slow.join()
    assert time.monotonic() - start >= 0.5


def test_large_bodies_wrong_methods_and_unknown_paths(url):
    with requests.Session() as session:
        assert session.post(f"{url}/oauth/token", data=b"x" * 1_000_001, timeout=5).status_code == 413
        assert session.put(f"{url}/oauth/token", timeout=5).status_code == 405
        assert session.get(f"{url}/nothing", timeout=5).status_code == 404
        assert session.get(f"{url}/_simulator/health", timeout=5).status_code == 200


def test_a_template_id_is_percent_decoded_once(url):
    answer = requests.post(f"{url}/_simulator/templates/50%25%20off", json={"content": "x"}, timeout=5)
    assert answer.json()["id"] == "50% off"


def test_shutdown_ends_its_threads_even_while_a_connection_is_held(simulator):
    simulator.settings = simulator.settings.changed({"hold_seconds": 60})
    simulator.add_fault(Fault(operation="send", action="accept_then_timeout"))
    start = time.monotonic()
    with running(simulator) as url:
        held = threading.Thread(target=_ignore, args=(send, url))
        held.start()
        while not simulator.accepted_messages():
            time.sleep(0.01)
    held.join(timeout=5)
    assert time.monotonic() - start < 8
    assert not {thread.name for thread in threading.enumerate()} & {"simulator", "events"}
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{url}/_simulator/health", timeout=2)


def test_the_digital_engagement_api_is_on_the_same_port(simulator, url):
    client = DigitalClient(url)
    key_id = jwt.get_unverified_header(client.id_token)["kid"]
    keys = requests.get(client.keys, timeout=5).json()["keys"]
    (key,) = [jwt.PyJWK(key) for key in keys if key["kid"] == key_id]
    claims = jwt.decode(client.id_token, key, ["RS256"], audience=CLIENT[0], issuer=url)
    place = f"{url}/.well-known/cxone-configuration"
    assert requests.get(place, params={"tenantId": claims["tenantId"]}, timeout=5).json()["area"] == claims["area"]
    answer = client.send()
    assert (answer.status_code, len(answer.headers["X-Trace-Id"])) == (200, 36)
    found = client.search(**{"channel[]": ["sms_nobody", MAIN_CHANNEL], "direction": "outbound"})
    assert [each["id"] for each in found["data"]] == [answer.json()["message"]["id"]]
    assert send(url).status_code == 202
    counts = requests.get(f"{url}/_simulator/log", timeout=5).json()["counts"]
    assert (counts["send"], counts["dfo.send"]) == ({"accepted": 1}, {"accepted": 1})
    texts = requests.get(f"{url}/_simulator/carrier", timeout=5).json()["texts"]
    assert {(text["to"], text["text"], text["count"]) for text in texts} == {
        ("14155550100", "hello", 1),
        ("15551234567", "hello", 1),
    }


def test_digital_sends_whose_fate_the_client_does_not_see(simulator, url, caplog):
    client = DigitalClient(url)
    for action, error in (
        ("reset", requests.ConnectionError),
        ("accept_then_reset", requests.ConnectionError),
        ("accept_then_timeout", requests.ReadTimeout),
        ("send_without_record", requests.ConnectionError),
    ):
        requests.post(f"{url}/_simulator/faults", json={"operation": "dfo.send", "action": action}, timeout=5)
        with pytest.raises(error):
            client.send(action, timeout=0.3)
    assert [message.text for message in simulator.accepted_messages()] == [
        "accept_then_reset",
        "accept_then_timeout",
        "send_without_record",
    ]
    assert client.search()["hits"] == 2
    assert "ASGI" not in caplog.text


def test_an_area_that_changes_and_keys_that_rotate(url):
    client = DigitalClient(url, "/area/na1")
    assert client.send().status_code == 200
    requests.put(f"{url}/_simulator/settings", json={"dfo_area": "eu1"}, timeout=5)
    assert client.send().status_code == 404
    assert DigitalClient(url, "/area/eu1").send().status_code == 200
    kid = requests.post(f"{url}/_simulator/dfo/keys/rotate", json={"keep_old": False}, timeout=5).json()["kid"]
    assert [key["kid"] for key in requests.get(client.keys, timeout=5).json()["keys"]] == [kid]


def _ignore(function, *args):
    with contextlib.suppress(requests.RequestException):
        function(*args)


def test_it_runs_alone_with_credentials_from_the_environment():
    credentials = {"CXONE_CLIENT_ID": "me", "CXONE_CLIENT_SECRET": "it's & = + %"}
    environment = {**os.environ, **credentials, "CXONE_ACCESS_KEY_ID": "key", "CXONE_ACCESS_KEY_SECRET": "x=="}
    command = [sys.executable, "-m", "local.simulator", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        ready = process.stdout.readline()
        assert ready.startswith("CXone simulator ready on http://127.0.0.1:")
        url = ready.split()[-1]
        form = {**CREDENTIALS, "client_id": "me", "client_secret": "it's & = + %"}
        assert requests.post(f"{url}/api/v2/oauth/token", data=form, timeout=5).status_code == 200
        assert requests.post(f"{url}/api/v2/oauth/token", data=CREDENTIALS, timeout=5).status_code == 401
        form = {**KEY, "username": "key", "password": "x=="}
        assert requests.post(f"{url}/auth/token", form, auth=("me", "it's & = + %"), timeout=5).status_code == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 0
        assert process.stdout.read() == ""


def test_a_port_that_is_taken_is_said(url):
    port = url.rpartition(":")[2]
    command = [sys.executable, "-m", "local.simulator", "--port", port]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)  # noqa: S603
    assert done.returncode == 1
    assert done.stderr.startswith(f"cannot listen on port {port}: ")


def test_a_send_is_on_its_way_before_it_counts(simulator, url, monkeypatch):
    monkeypatch.setattr(simulator, "arrival_seconds", lambda request: 0.15 if request.path.endswith("/send") else 0.0)
    began = simulator.now
    requests.post(f"{url}/api/v2/message/sms/send", timeout=10)
    requests.post(f"{url}/api/v2/oauth/token", data=CREDENTIALS, timeout=10)
    sent, fetched = simulator.log()
    assert sent.time - began >= 0.15
    assert fetched.time - sent.time < 0.15
